/** mosquitto_sub as a worker of MQTT 3.1.1, the gateway as a program that is killed, and the commands. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { freePort } from './mosquitto.ts'
import { type RunningProgram, run, runCommand, startProgram } from './program.ts'

interface Shown {
  ready: number
  leased: number
  waiting: number
  consumers: number
  totals: Record<string, number>
}

describePeer(
  "Mosquitto's clients as workers",
  ['mosquitto_sub', 'mosquitto_pub'],
  ({ mosquitto_sub, mosquitto_pub }) => {
    let folder: string
    let mqttPort: number
    let program: RunningProgram
    const started: ChildProcess[] = []

    const queues = async (...words: string[]) => {
      const { stdout, stderr } = await runCommand(['queues', ...words, '--config', join(folder, 'mqtide.yaml')])
      return stdout.toString() + stderr
    }

    async function start(): Promise<void> {
      program = startProgram(['start', '--config', join(folder, 'mqtide.yaml')])
      await program.untilStdout(' ready: ')
    }

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'mqtide-queues-'))
      mqttPort = await freePort()
      const ports = `mqttPort: ${mqttPort}\nhttpPort: ${await freePort()}\ndataDir: ${join(folder, 'data')}\n`
      const queue = 'queues: { orders: { filter: shop/+/orders, retry: { firstMs: 10 } } }\n'
      writeFileSync(join(folder, 'mqtide.yaml'), ports + queue)
      await start()
    })
    afterEach(async () => {
      for (const child of started.splice(0)) child.kill('SIGKILL')
      program.process.kill('SIGKILL')
      await program.ended
      rmSync(folder, { recursive: true, maxRetries: 5 })
    })

    /** A 3.1.1 worker, there when the gateway has so many. */
    async function worker(id: string, consumers: number) {
      const words = [
        '-p',
        String(mqttPort),
        '-V',
        'mqttv311',
        '-i',
        id,
        '-q',
        '1',
        '-t',
        '$queue/orders',
        '-F',
        '%t %p',
      ]
      const child = spawn(mosquitto_sub, words)
      started.push(child)
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
      await eventually(async () => (await orders()).consumers).toBe(consumers)
      return { child, lines: () => output.split('\n').slice(0, -1) }
    }

    const orders = async (): Promise<Shown> => (JSON.parse(await queues('list', '--json')) as Shown[])[0]!

    const publish = async (...jobs: string[]): Promise<void> => {
      for (const job of jobs) {
        const words = ['-p', String(mqttPort), '-q', '1', '-t', 'shop/7/orders', '-m', job]
        expect(await run(mosquitto_pub, words)).toMatchObject({ exitCode: 0, stderr: '' })
      }
    }

    it('share jobs, and one that hangs and is killed leaves its job to the other', async () => {
      const one = await worker('one', 1)
      const other = await worker('other', 2)
      await publish('1', '2', '3', '4')
      await eventually(() => [...one.lines(), ...other.lines()].toSorted()).toEqual(
        ['1', '2', '3', '4'].map((job) => `shop/7/orders ${job}`),
      )
      await eventually(async () => (await orders()).totals['settled']).toBe(4)
      one.child.kill('SIGSTOP')
      await publish('5', '6')
      await eventually(async () => [(await orders()).leased, (await orders()).ready]).toEqual([1, 0])
      one.child.kill('SIGKILL')
      await eventually(() =>
        other
          .lines()
          .filter((line) => /[56]$/.test(line))
          .toSorted(),
      ).toEqual(['shop/7/orders 5', 'shop/7/orders 6'])
      expect((await orders()).totals['retried']).toBe(1)
    })

    it('find everything without a verdict again after kill -9 of the gateway, and nothing that was done', async () => {
      const early = await worker('early', 1)
      await publish('0')
      await eventually(() => early.lines()).toEqual(['shop/7/orders 0'])
      await eventually(async () => (await orders()).totals['settled']).toBe(1)
      early.child.kill('SIGSTOP')
      await publish('1', '2', '3')
      program.process.kill('SIGKILL')
      await program.ended
      early.child.kill('SIGKILL')
      await start()
      expect(await orders()).toMatchObject({ ready: 3, leased: 0, waiting: 0 })
      const late = await worker('late', 1)
      await eventually(() => late.lines()).toEqual(['1', '2', '3'].map((job) => `shop/7/orders ${job}`))
    })
  },
)
