/**
 * Two listeners at different levels on one database: what their acknowledgements wait for, what is left after kill -9, and
 * what a power cut would find on the disk.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect, connectAsync, type IClientOptions } from 'mqtt'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { connectClient, startGateway, tcp, transports } from './gateway.ts'
import { bin, startProgram } from './program.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-listener-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const away: IClientOptions = { clientId: 'away', clean: false, reconnectPeriod: 0 }
const passing: IClientOptions = { reconnectPeriod: 0 }

interface Ports {
  mqttPort: number
  httpPort: number
}

function portsIn(line: string): Ports {
  const [, mqttPort, httpPort] = /mqtt:\/\/127\.0\.0\.1:(\d+), HTTP http:\/\/127\.0\.0\.1:(\d+)/.exec(line)!
  return { mqttPort: Number(mqttPort), httpPort: Number(httpPort) }
}

const overTcp = ({ mqttPort }: Ports, options: IClientOptions) =>
  connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { protocolVersion: 4, ...options })
const overWebSocket = ({ httpPort }: Ports, options: IClientOptions) =>
  connectAsync(`ws://127.0.0.1:${httpPort}`, { protocolVersion: 4, ...options })

function words(dataDir: string, mqttDurability: string, httpDurability: string): string[] {
  const ports = ['--mqtt-port', '0', '--http-port', '0', '--log-level', 'warn']
  const levels = ['--mqtt-durability', mqttDurability, '--http-durability', httpDurability]
  return ['start', '--data-dir', dataDir, ...ports, ...levels]
}

/** A durable subscriber that is away, made over the stricter listener. */
async function subscribeAndLeave(ports: Ports): Promise<void> {
  const subscriber = await overWebSocket(ports, away)
  await subscriber.subscribeAsync('kept', { qos: 1 })
  await subscriber.endAsync()
}

describe('a gateway with two levels', () => {
  it('counts acknowledgements by the level of their listener, at each the global one where nothing else is said', async () => {
    const options = { inMemory: false, durability: 'process', mqttDurability: 'none' } as const
    const gateway = await startGateway({ ...options, dataDir: folder })
    const subscriber = await connectClient(gateway, { clientId: 'away', clean: false })
    await subscriber.mqtt.subscribeAsync('kept', { qos: 1 })
    await subscriber.mqtt.endAsync()
    const [lax, strict] = [await connectClient(gateway, {}, tcp), await connectClient(gateway, {}, transports[1]!)]
    for (const qos of [1, 2, 1] as const) await lax.mqtt.publishAsync('kept', 'x', { qos })
    await strict.mqtt.publishAsync('kept', 'x', { qos: 1 })
    await strict.mqtt.publishAsync('nobody', 'x', { qos: 1 })
    expect(gateway.metrics()).toMatchObject({
      'mqtt_acknowledgements_total{after="none"}': 3,
      'mqtt_acknowledgements_total{after="process"}': 1,
      'mqtt_acknowledgements_total{after="nothing"}': 1,
    })
    expect(gateway.metrics()).not.toHaveProperty('mqtt_acknowledgements_total{after="fsync"}')
  })
})

describe('kill -9 at an acknowledgement', () => {
  async function started(httpDurability: string) {
    const running = startProgram(words(folder, 'none', httpDurability))
    let line = ''
    running.process.stdout.on('data', (chunk: Buffer) => (line += chunk.toString()))
    await running.untilStdout('\n')
    return { running, ports: portsIn(line) }
  }

  /** Publishes one more message at the stricter level, and gives all that the subscriber that was away gets. */
  async function receivedUpTo(last: string, ports: Ports): Promise<string[]> {
    const publisher = await overWebSocket(ports, passing)
    await publisher.publishAsync('kept', last, { qos: 1 })
    await publisher.endAsync()
    const subscriber = connect(`ws://127.0.0.1:${ports.httpPort}`, { protocolVersion: 4, ...away })
    const received: string[] = []
    await new Promise<void>((resolve) =>
      subscriber.on('message', (_topic, payload) => {
        received.push(payload.toString())
        if (received.at(-1) === last) resolve()
      }),
    )
    await subscriber.endAsync()
    return received
  }

  it.each(['fsync', 'process'])(
    'at %s loses neither that message nor older ones of the listener at none',
    async (level) => {
      const expected: string[] = []
      let { running, ports } = await started(level)
      await subscribeAndLeave(ports)
      for (let round = 0; round < 3; round++) {
        const [lax, strict] = [await overTcp(ports, passing), await overWebSocket(ports, passing)]
        for (const client of [lax, strict]) client.on('error', () => {})
        await lax.publishAsync('kept', `none ${round}`, { qos: 1 })
        await strict.publishAsync('kept', `${level} ${round}`, { qos: 1 })
        running.process.kill('SIGKILL')
        expected.push(`none ${round}`, `${level} ${round}`)
        await running.ended
        for (const client of [lax, strict]) client.end(true)
        ;({ running, ports } = await started(level))
      }
      expect(await receivedUpTo('last', ports)).toEqual([...expected, 'last'])
      running.process.kill('SIGTERM')
      expect((await running.ended).exitCode).toBe(0)
    },
    60_000,
  )

  it('at none loses the newest at most: what is left is older, and without a gap', async () => {
    let { running, ports } = await started('fsync')
    await subscribeAndLeave(ports)
    const lax = await overTcp(ports, passing)
    lax.on('error', () => {})
    const sent = Array.from({ length: 200 }, (_, i) => String(i))
    await Promise.all(sent.map((text) => lax.publishAsync('kept', text, { qos: 1 })))
    running.process.kill('SIGKILL')
    await running.ended
    lax.end(true)
    ;({ running, ports } = await started('fsync'))
    const received = await receivedUpTo('last', ports)
    expect(received).toEqual([...sent.slice(0, received.length - 1), 'last'])
    running.process.kill('SIGTERM')
    expect((await running.ended).exitCode).toBe(0)
  }, 60_000)
})

describePeer('strace', ['strace'], ({ strace }) => {
  /** What the gateway did while messages came in turn over TCP (at none) and WebSocket, in the order of completion. */
  async function traced(httpDurability: string, rounds: number): Promise<string[]> {
    const log = join(folder, 'strace.log')
    const calls = 'trace=write,writev,pwrite64,fsync,fdatasync'
    const wrapper = ['-f', '-y', '-s', '8', '-e', calls, '-o', log]
    const node = [process.execPath, bin, ...words(join(folder, 'data'), 'none', httpDurability)]
    const child = spawn(strace, [...wrapper, ...node], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'close')
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
    const ports = portsIn(line)
    await subscribeAndLeave(ports)
    const [lax, strict] = [await overTcp(ports, passing), await overWebSocket(ports, passing)]
    for (let round = 0; round < rounds; round++) {
      await lax.publishAsync('kept', 'x', { qos: 1 })
      await strict.publishAsync('kept', 'x', { qos: 1 })
    }
    for (const client of [lax, strict]) await client.endAsync()
    process.kill(Number(/pid (\d+)/.exec(line)![1]), 'SIGTERM')
    await ended
    return readFileSync(log, 'latin1').split('\n').flatMap(event)
  }

  /** A line of the trace: the log written or forced, which count where they end, or a PUBACK, which counts where it begins. */
  function event(line: string): string[] {
    if (/"@\\0*2/.test(line)) return ['PUBACK over TCP']
    if (/"\\202\\4@\\0*2/.test(line)) return ['PUBACK over WebSocket']
    if (line.includes('unfinished')) return []
    if (/pwrite64(\(\d+<[^>]*-wal>| resumed)/.test(line)) return ['written']
    return /f(data)?sync(\(\d+<[^>]*-wal>| resumed)/.test(line) ? ['forced'] : []
  }

  /** Before each PUBACK over WebSocket: whether the log was written since the last one, and whether all of it was forced. */
  function beforeStrict(events: readonly string[]): [written: boolean, forced: boolean][] {
    const found: [boolean, boolean][] = []
    let written = false
    let dirty = true
    for (const one of events) {
      if (one === 'written') written = dirty = true
      else if (one === 'forced') dirty = false
      else if (one === 'PUBACK over WebSocket') {
        found.push([written, !dirty])
        written = false
      }
    }
    return found
  }

  it.each([
    ['fsync', true],
    ['process', false],
  ] as const)(
    "sees that at %s the stricter listener's acknowledgements leave after the log is written, and forced: %s",
    async (level, forced) => {
      const rounds = 8
      const events = await traced(level, rounds)
      expect(beforeStrict(events)).toEqual(new Array(rounds).fill([true, forced]))
      expect(events.filter((one) => one === 'PUBACK over TCP')).toHaveLength(rounds)
    },
    60_000,
  )
})
