/** Delayed messages by Mosquitto's clients of 3.1.1 and 5, over `kill -9`, and what an operator sees and takes back. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { describePeer } from '../peers.ts'
import { run, runCommand, startProgram } from './program.ts'

describePeer('delayed messages', ['mosquitto_pub', 'mosquitto_sub'], (programs) => {
  let dataDir: string
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'mqtide-delayed-'))
  })
  afterEach(() => rmSync(dataDir, { recursive: true }))

  async function start() {
    const program = startProgram(['start', '--mqtt-port', '0', '--http-port', '0', '--data-dir', dataDir])
    let line = ''
    program.process.stdout.on('data', (chunk: Buffer) => (line += chunk.toString()))
    await program.untilStdout('pid')
    const [mqtt, http] = [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => port!) as [string, string]
    const pub = (...words: string[]) => run(programs.mosquitto_pub, ['-p', mqtt, '-q', '1', ...words])
    const sub = (...words: string[]) => run(programs.mosquitto_sub, ['-p', mqtt, '-q', '1', ...words])
    const mqtide = async (...words: string[]) => {
      const url = `http://127.0.0.1:${http}`
      const { stdout, exitCode } = await runCommand([...words, '--url', url, '--data-dir', dataDir])
      return { exitCode, text: stdout.toString() }
    }
    return { program, pub, sub, mqtide }
  }

  it('are kept over kill -9, come when they are due, and can be cancelled by command and by schedule-id', async () => {
    const first = await start()
    // Its session stays, and gets what is due.
    await first.sub('-V', '311', '-i', 'reader', '-c', '-t', 'lamp/#', '-E')
    for (const version of ['311', '5'])
      expect((await first.pub('-V', version, '-t', '$delayed/1/lamp/1', '-m', version)).exitCode).toBe(0)
    await first.pub(
      '-V',
      '5',
      '-i',
      'me',
      '-t',
      '$delayed/3600/lamp/2',
      '-m',
      'x',
      '-D',
      'PUBLISH',
      'user-property',
      'schedule-id',
      'night',
    )
    await first.pub('-V', '5', '-t', '$delayed/4102444800/lamp/3', '-m', 'in 2100', '-r')
    await first.pub('-V', '5', '-t', '$delayed/7200/other', '-m', 'y')
    first.program.process.kill('SIGKILL')
    await first.program.ended

    const second = await start()
    const got = await second.sub('-V', '311', '-i', 'reader', '-c', '-t', 'lamp/#', '-C', '2', '-F', '%t %p')
    expect(got.stdout.toString()).toBe('lamp/1 311\nlamp/1 5\n')
    const { text } = await second.mqtide('delayed', 'list')
    expect(text.split('\n').slice(1, 4)).toEqual([
      expect.stringMatching(/default +lamp\/2 +1 +night +me +1 +x$/),
      expect.stringMatching(/ other /),
      expect.stringMatching(/^2100-01-01T00:00:00\.000Z .* lamp\/3 /),
    ])
    const rows = JSON.parse((await second.mqtide('delayed', 'list', '--filter', 'other', '--json')).text) as {
      id: string
    }[]
    expect(rows).toMatchObject([{ topic: 'other', payload: 'y', retain: false, scheduleId: '' }])
    const { id } = rows[0]!
    expect((await second.mqtide('delayed', 'show', id)).text).toMatch(/^topic +other$/m)
    expect((await second.mqtide('delayed', 'cancel', id)).exitCode).toBe(0)
    expect((await second.mqtide('delayed', 'show', id)).exitCode).toBe(1)
    expect((await second.pub('-V', '5', '-i', 'me', '-t', '$delayed/cancel/night', '-n')).exitCode).toBe(0)
    const left = JSON.parse((await second.mqtide('delayed', 'list', '--json')).text) as object[]
    expect(left).toMatchObject([{ topic: 'lamp/3', retain: true, dueAt: '2100-01-01T00:00:00.000Z' }])
    second.program.process.kill('SIGTERM')
    expect((await second.program.ended).exitCode).toBe(0)
  })
})
