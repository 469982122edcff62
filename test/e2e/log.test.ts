/** The program with a log that nobody reads, or that has no room: MQTT goes on, memory stays, and what was left out is told. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'mqtt-packet'
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from './eventually.ts'
import { bin } from './program.ts'
import { connectPacket } from './raw-client.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close()
})

interface Program {
  child: ChildProcess
  mqttPort: number
  httpPort: number
  /** One of `/metrics`. */
  metric(name: string): Promise<number>
}

async function start(stderr: number, level: string): Promise<Program> {
  const ports = ['--mqtt-port', '0', '--http-port', '0']
  const child = spawn(process.execPath, [bin, 'start', '--in-memory', ...ports, '--log-level', level], {
    stdio: ['ignore', 'pipe', stderr],
  })
  closers.push(() => child.kill('SIGKILL'))
  let output = ''
  for await (const chunk of child.stdout!) {
    output += String(chunk)
    if (output.includes('pid')) break
  }
  const portOf = (scheme: string) => Number(new RegExp(`${scheme}://127\\.0\\.0\\.1:(\\d+)`).exec(output)?.[1])
  const metric = async (name: string) => {
    const text = await (await fetch(`http://127.0.0.1:${portOf('http')}/metrics`)).text()
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length + 1),
    )
  }
  return { child, mqttPort: portOf('mqtt'), httpPort: portOf('http'), metric }
}

async function dial(port: number, clientId: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  closers.push(() => socket.destroy())
  socket.on('error', () => {})
  socket.write(generate(connectPacket(clientId)))
  await once(socket, 'data')
  return socket
}

/** Each PUBACK for nothing is one line at level debug. */
const pubacks = Buffer.concat(Array.from({ length: 1000 }, () => Buffer.from('40020001', 'hex')))

/** So many lines, each thousand of which ends with a round trip. */
async function flood(socket: Socket, thousands: number): Promise<void> {
  for (let i = 0; i < thousands; i++) {
    socket.write(pubacks)
    socket.write(Buffer.from('c000', 'hex'))
    await once(socket, 'data')
  }
}

const unwritten = 'mqtt_log_lines_dropped_total{reason="not_taken"}'
const leftOut = 'mqtt_log_lines_dropped_total{reason="left_out"}'

/** A pipe that this process reads when it likes, if ever. */
function pipe(): { reader: number; writer: number } {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-log-'))
  execFileSync('mkfifo', [join(folder, 'log')])
  const reader = openSync(join(folder, 'log'), constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(join(folder, 'log'), constants.O_WRONLY)
  closers.push(() => {
    closeSync(reader)
    closeSync(writer)
    rmSync(folder, { recursive: true })
  })
  return { reader, writer }
}

function readAll(reader: number): string {
  const chunk = Buffer.alloc(1024 * 1024)
  let text = ''
  try {
    for (let bytes = -1; bytes !== 0; text += chunk.toString('utf8', 0, bytes)) bytes = readSync(reader, chunk)
  } catch {
    // Nothing more is there now.
  }
  return text
}

describe.skipIf(process.platform === 'win32')('a log that nobody reads', () => {
  test('holds up nobody; what it could not take is counted, and told when it is read again', async () => {
    const { reader, writer } = pipe()
    const { child, mqttPort, metric } = await start(writer, 'debug')
    const socket = await dial(mqttPort, 'flood')
    await flood(socket, 20)
    expect(await metric(unwritten)).toBeGreaterThan(0)
    let text = ''
    await eventually(() => (text += readAll(reader))).toContain('lines were not written')
    for (const line of text.trim().split('\n')) expect(JSON.parse(line)).toHaveProperty('msg')
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
    expect(readAll(reader)).toContain('client disconnected')
  })

  test('does not keep the process from ending', async () => {
    const { child, mqttPort } = await start(pipe().writer, 'debug')
    const socket = await dial(mqttPort, 'flood')
    await flood(socket, 20)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  })
})

describe.skipIf(process.platform !== 'linux')('a log on a full disk', () => {
  test('holds up nobody, and does not keep the process from ending', async () => {
    const fd = openSync('/dev/full', 'w')
    closers.push(() => closeSync(fd))
    const { child, mqttPort, metric } = await start(fd, 'debug')
    const socket = await dial(mqttPort, 'flood')
    await flood(socket, 20)
    expect(await metric(unwritten)).toBeGreaterThan(0)
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await ended).toEqual([0, null])
  })
})

describe('a client that does the same wrong all the time', () => {
  test('gets some lines and a count of the others', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mqtide-log-'))
    closers.push(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'log')
    const fd = openSync(file, 'a')
    const { mqttPort, metric } = await start(fd, 'info')
    closeSync(fd)
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        Array.from({ length: 50 }, async () => {
          const socket = connect(mqttPort, '127.0.0.1')
          socket.on('error', () => {})
          socket.write('GET / HTTP/1.1\r\n\r\n')
          await once(socket.resume(), 'close')
        }),
      )
    }
    await eventually(() => metric('mqtt_protocol_errors_total{reason="protocol_error"}')).toBe(1000)
    const lines = () =>
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    const told = () => lines().filter(({ msg }) => /more lines with this reason/.test(msg))
    const written = () => lines().filter(({ reason, msg }) => reason === 'protocol_error' && !/more lines/.test(msg))
    await eventually(() => told().reduce((sum, { lines }) => sum + lines, 0) + written().length).toBe(1000)
    expect(await metric(leftOut)).toBe(1000 - written().length)
  })
})

test('what stands behind the ? of a request is not in it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-log-'))
  closers.push(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'log')
  const fd = openSync(file, 'a')
  const { child, httpPort } = await start(fd, 'trace')
  closeSync(fd)
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
  for (const [path, fields] of [
    ['/mqtt', upgrade],
    ['/nowhere', upgrade],
    ['/metrics', ''],
    ['/nowhere', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'],
  ]) {
    const socket = connect(httpPort, '127.0.0.1')
    socket.write(`GET ${path}?password=secret HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`)
    await once(socket, 'data')
    socket.destroy()
  }
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
  const log = readFileSync(file, 'utf8')
  expect(log.match(/websocket_refused/g)).toHaveLength(2)
  expect(log).not.toContain('secret')
})
