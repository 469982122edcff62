/** `mqtide start` as a process: ready line, signals, exit codes, configuration from all sources. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningProgram, runCommand, runProgram, startProgram } from './program.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-start-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const freePorts = ['--mqtt-port', '0', '--http-port', '0']
const readyLine =
  /^mqtide \d+\.\d+\.\d+ ready: MQTT mqtt:\/\/127\.0\.0\.1:(\d+), HTTP http:\/\/127\.0\.0\.1:(\d+), pid (\d+)\n$/

async function start(words: string[], variables: Record<string, string> = {}) {
  const running = startProgram(['start', ...words], variables)
  await running.untilStdout('\n')
  return running
}

async function stop(running: RunningProgram, signal: NodeJS.Signals = 'SIGTERM') {
  running.process.kill(signal)
  return running.ended
}

/** The ready line's parts; the process writes nothing else to standard output when it's no terminal. */
async function stopAndRead(running: RunningProgram) {
  const ended = await stop(running)
  expect(ended.stdout.toString()).toMatch(readyLine)
  const [, mqttPort, httpPort, pid] = readyLine.exec(ended.stdout.toString())!
  return { ...ended, mqttPort: Number(mqttPort), httpPort: Number(httpPort), pid: Number(pid) }
}

/** Ports of a running process, from its log-independent ready line. */
async function portsOf(running: RunningProgram): Promise<{ mqttPort: number; httpPort: number }> {
  let line = ''
  running.process.stdout.on('data', (chunk: Buffer) => (line += chunk.toString()))
  await running.untilStdout('\n')
  const [, mqttPort, httpPort] = readyLine.exec(line)!
  return { mqttPort: Number(mqttPort), httpPort: Number(httpPort) }
}

describe('a start', () => {
  test('prints one line with its addresses and pid, serves them, and SIGTERM ends it with 0', async () => {
    const running = startProgram(['start', '--in-memory', ...freePorts])
    const { mqttPort, httpPort } = await portsOf(running)
    const client = await connectAsync({ host: '127.0.0.1', port: mqttPort })
    const browser = await connectAsync(`ws://127.0.0.1:${httpPort}/mqtt`)
    expect((await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status).toBe(200)
    await client.endAsync()
    await browser.endAsync()
    const ended = await stopAndRead(running)
    expect(ended.exitCode).toBe(0)
    expect(ended.pid).toBe(running.process.pid)
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s sends DISCONNECT 0x8B to 5.0 clients before it ends with 0',
    async (signal) => {
      const running = startProgram(['start', '--in-memory', ...freePorts])
      const { mqttPort, httpPort } = await portsOf(running)
      const clients = await Promise.all([
        connectAsync({ host: '127.0.0.1', port: mqttPort, protocolVersion: 5, reconnectPeriod: 0 }),
        connectAsync(`ws://127.0.0.1:${httpPort}`, { protocolVersion: 5, reconnectPeriod: 0 }),
      ])
      const farewells = clients.map(
        (client) => new Promise((resolve) => client.on('disconnect', (packet) => resolve(packet.reasonCode))),
      )
      const closes = clients.map((client) => new Promise((resolve) => client.on('close', () => resolve('closed'))))
      const old = await connectAsync({ host: '127.0.0.1', port: mqttPort, protocolVersion: 4, reconnectPeriod: 0 })
      const oldClosed = new Promise((resolve) => old.on('close', () => resolve('closed')))
      const ended = await stop(running, signal)
      expect(await Promise.all(farewells)).toEqual([0x8b, 0x8b])
      expect(await Promise.all(closes)).toEqual(['closed', 'closed'])
      await oldClosed
      expect(ended.exitCode).toBe(0)
    },
  )

  test('an acknowledged retained message is there again after SIGTERM and a new start', async () => {
    const dataDir = join(folder, 'kept')
    const first = startProgram(['start', '--data-dir', dataDir, ...freePorts])
    const before = await connectAsync({ host: '127.0.0.1', port: (await portsOf(first)).mqttPort })
    await before.publishAsync('kept', 'still here', { qos: 1, retain: true })
    await before.endAsync()
    expect((await stop(first)).exitCode).toBe(0)
    const second = startProgram(['start', '--data-dir', dataDir, ...freePorts])
    const after = await connectAsync({ host: '127.0.0.1', port: (await portsOf(second)).mqttPort })
    const message = new Promise((resolve) => after.on('message', (_topic, payload) => resolve(payload.toString())))
    await after.subscribeAsync('kept')
    expect(await message).toBe('still here')
    await after.endAsync()
    expect((await stop(second)).exitCode).toBe(0)
  })

  test('a damaged database is refused with 1 and advice; --quarantine-store sets it aside and starts', async () => {
    const dataDir = join(folder, 'damaged')
    await stop(await start(['--data-dir', dataDir, ...freePorts]))
    const database = join(dataDir, 'mqtide.db')
    writeFileSync(database, Buffer.concat([Buffer.from('no database at all'), readFileSync(database).subarray(18)]))
    const refused = await runProgram(['start', '--data-dir', dataDir, ...freePorts])
    expect(refused.exitCode).toBe(1)
    expect(refused.stderr).toContain('--quarantine-store')
    expect(refused.stderr).not.toMatch(/^\s+at /m)
    const accepted = await start(['--data-dir', dataDir, '--quarantine-store', ...freePorts])
    const { exitCode, stderr } = await stop(accepted)
    expect(exitCode).toBe(0)
    expect(stderr).toContain('"movedTo"')
    // A whole database is left alone by the same flag.
    const again = await stop(await start(['--data-dir', dataDir, '--quarantine-store', ...freePorts]))
    expect(again.exitCode).toBe(0)
    expect(again.stderr).not.toContain('"movedTo"')
  })

  test('a second gateway on the same data is refused with 1 and names it', async () => {
    const dataDir = join(folder, 'shared')
    const first = await start(['--data-dir', dataDir, ...freePorts])
    const second = await runProgram(['start', '--data-dir', dataDir, ...freePorts])
    expect(second.exitCode).toBe(1)
    expect(second.stderr).toContain(dataDir)
    expect(second.stderr).not.toMatch(/^\s+at /m)
    expect((await stop(first)).exitCode).toBe(0)
  })
})

describe('configuration', () => {
  test('flag wins over environment over file, and a variable that is no option is a warning in the log', async () => {
    const file = join(folder, 'order.yaml')
    writeFileSync(file, 'inMemory: true\nmqttPort: 1\nhttpPort: 0\nlogLevel: info\n')
    const running = await start(['--config', file, '--mqtt-port', '0'], {
      MQTIDE_MQTT_PORT: '2',
      MQTIDE_LOG_LEVEL: 'warn',
      MQTIDE_LOGLEVEL: 'trace',
    })
    const { stderr } = await stopAndRead(running)
    expect(stderr).toContain('environment variable MQTIDE_LOGLEVEL is no option; did you mean MQTIDE_LOG_LEVEL?')
    expect(stderr).not.toContain('"level":"info"')
  })

  test('the log is one JSON object per line, and silent means nothing at all', async () => {
    const talking = startProgram(['start', '--in-memory', ...freePorts])
    const client = await connectAsync({ host: '127.0.0.1', port: (await portsOf(talking)).mqttPort })
    await client.endAsync()
    const { stderr } = await stop(talking)
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { level: string; time: string; msg: string })
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines)
      expect(line).toMatchObject({ level: expect.any(String), time: expect.any(String), msg: expect.any(String) })
    const silent = startProgram(['start', '--in-memory', '--log-level', 'silent', ...freePorts])
    const second = await connectAsync({ host: '127.0.0.1', port: (await portsOf(silent)).mqttPort })
    await second.endAsync()
    expect((await stop(silent)).stderr).toBe('')
  })

  test('SIGHUP takes a new log level, names what needs a restart, and keeps the old configuration if the file is invalid', async () => {
    const file = join(folder, 'reload.yaml')
    writeFileSync(file, 'inMemory: true\nmqttPort: 0\nhttpPort: 0\nlogLevel: info\nmqttDurability: none\n')
    const running = await start(['--config', file])
    writeFileSync(file, 'inMemory: true\nmqttPort: 0\nhttpPort: 0\nlogLevel: info\nlimits:\n  receiveMaximum: 7\n')
    running.process.kill('SIGHUP')
    await running.untilStderr('"needRestart":["limits.receiveMaximum"]')
    writeFileSync(file, 'mqttPort: 0\nmqtPort: 1\n')
    running.process.kill('SIGHUP')
    await running.untilStderr(`${file}:2:1: mqtPort: unknown option; did you mean mqttPort?`)
    writeFileSync(file, 'inMemory: true\nmqttPort: 0\nhttpPort: 0\nlogLevel: debug\nmqttDurability: none\n')
    running.process.kill('SIGHUP')
    await running.untilStderr('"needRestart":[]')
    expect((await stop(running)).exitCode).toBe(0)
  })

  test('check-config says ok with 0, or where the fault is with 2', async () => {
    const good = join(folder, 'good.yaml')
    const bad = join(folder, 'bad.json')
    writeFileSync(good, 'mqttPort: 1884\n')
    writeFileSync(bad, '{\n  "limits": { "packetBytesMax": "big" }\n}\n')
    expect(await runCommand(['check-config', good])).toMatchObject({
      exitCode: 0,
      stderr: '',
      stdout: Buffer.from(`${good}: ok\n`),
    })
    const refused = await runCommand(['check-config', bad])
    expect(refused.exitCode).toBe(2)
    expect(refused.stderr).toContain(`${bad}:2:15: limits.packetBytesMax: expected a whole number`)
    const printed = await runCommand(['check-config', good, '--print'])
    expect(printed.stdout.toString()).toMatch(/^mqttPort: 1884$/m)
    writeFileSync(good, printed.stdout)
    expect((await runCommand(['check-config', good])).exitCode).toBe(0)
    const schema = await runCommand(['check-config', '--json-schema'])
    expect(JSON.parse(schema.stdout.toString())).toMatchObject({ properties: { mqttPort: { default: 1883 } } })
    expect((await runCommand(['check-config'])).exitCode).toBe(2)
  })
})

describe('a start that fails', () => {
  test('SIGTERM while it starts ends it with 0 all the same', async () => {
    const running = startProgram(['start', '--in-memory', '--log-level', 'debug', ...freePorts], {
      MQTIDE_UNKNOWN: 'x',
    })
    // The warning about the variable is the first thing that it logs, before it opens anything.
    await running.untilStderr('MQTIDE_UNKNOWN')
    expect((await stop(running)).exitCode).toBe(0)
  })

  test.each([
    [['start', '--nope'], "unknown option '--nope'"],
    [['start', '--mqtt-port', 'x'], 'Expected a port number'],
    [['start', '--mqtt-port', '65536'], '--mqtt-port: mqttPort: expected a port'],
    [['start', '--log-level', 'loud'], 'Allowed choices are'],
    [['start', '--data-dir', 'x', '--in-memory'], 'cannot be used with'],
    [['start', '--config', '/nonexistent.yaml'], "/nonexistent.yaml: the configuration file can't be read"],
    [['start', '--host', '0.0.0.0'], 'allowAnonymous: true'],
    [['start', 'extra'], 'too many arguments'],
    [['nope'], "unknown command 'nope'"],
    [[], 'Usage: mqtide'],
  ])('%j is bad usage: 2, and the message says why', async (words, message) => {
    const ended = await runCommand(words)
    expect(ended.stderr).toContain(message)
    expect(ended.stdout.toString()).toBe('')
    expect(ended.exitCode).toBe(2)
  })

  test.each(['--mqtt-port', '--http-port'])(
    'a port in use is 1, and the message names the port and %s',
    async (flag) => {
      const taken = createServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => taken.once('listening', resolve))
      const { port } = taken.address() as { port: number }
      const other = flag === '--mqtt-port' ? '--http-port' : '--mqtt-port'
      const ended = await runProgram(['start', '--in-memory', flag, String(port), other, '0'])
      taken.close()
      expect(ended.stderr).toBe(
        `mqtide: port ${port} on 127.0.0.1 is in use; choose another one with ${flag} (0 takes a free one)\n`,
      )
      expect(ended.stdout.toString()).toBe('')
      expect(ended.exitCode).toBe(1)
    },
  )

  test('--help and --version go to standard output and end with 0', async () => {
    expect(await runCommand(['--version'])).toMatchObject({ exitCode: 0, stderr: '' })
    const help = await runCommand(['start', '--help'])
    expect(help).toMatchObject({ exitCode: 0, stderr: '' })
    expect(help.stdout.toString()).toContain('--allow-anonymous')
  })
})
