/** Listeners behind proxies: HAProxy as it comes from Debian, and headers as bytes, from those who may write them and from others. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { connectAsync } from 'mqtt'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { TestAuthority } from '../listeners/openssl.ts'
import { describePeer } from '../peers.ts'
import { eventually } from './eventually.ts'
import { startGateway } from './gateway.ts'
import { freePort } from './mosquitto.ts'
import { run, startProgram } from './program.ts'

type Listeners = NonNullable<GatewayOptions['listeners']>
type Seen = { remoteAddress: string; certificate?: Readonly<Record<string, string>> | undefined }

const connectBytes = Buffer.from('100c00044d5154540402003c0000', 'hex')
const connack = '20020000'
const version1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 54321 1883\r\n'
const loopback = ['127.0.0.1']

async function serve(...listeners: object[]): Promise<{ gateway: Gateway; ports: number[]; seen: Seen[] }> {
  const seen: Seen[] = []
  const gateway = await startGateway({
    mqttPort: undefined,
    httpPort: undefined,
    listeners: listeners.map((one, index) => ({ name: `n${index}`, port: 0, ...one })) as Listeners,
    authenticator: {
      authenticate: ({ remoteAddress, certificate }) => {
        seen.push(certificate === undefined ? { remoteAddress } : { remoteAddress, certificate })
        return { reasonCode: 0 }
      },
    },
  })
  return { gateway, ports: gateway.listeners.map(({ port }) => port), seen }
}

const sockets: Socket[] = []
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})

function open(port: number): Socket {
  const socket = connect({ port, host: '127.0.0.1' })
  sockets.push(socket)
  socket.on('error', () => {})
  return socket
}

async function answerTo(socket: Socket, ...parts: (string | Buffer)[]): Promise<string> {
  for (const part of parts) socket.write(part)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  return answer.toString('hex')
}

const closed = async (socket: Socket): Promise<void> => {
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
}

describe('a listener with proxyProtocol', () => {
  test.each([
    ['together with CONNECT', [Buffer.concat([Buffer.from(version1), connectBytes])]],
    ['alone, CONNECT behind it', [version1, connectBytes]],
    ['with the beginning of CONNECT', [Buffer.concat([Buffer.from(version1), connectBytes.subarray(0, 5)])]],
  ])('knows a client by the address that its header names, coming %s', async (_name, parts) => {
    const { ports, seen } = await serve({ kind: 'tcp', proxyProtocol: true, trustedProxies: loopback })
    const socket = open(ports[0]!).setNoDelay(true)
    const rest = parts.length === 1 && parts[0]!.length < version1.length + connectBytes.length
    for (const part of parts.slice(0, -1)) {
      socket.write(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    if (rest) setImmediate(() => socket.write(connectBytes.subarray(5)))
    expect(await answerTo(socket, parts.at(-1)!)).toBe(connack)
    expect(seen).toEqual([{ remoteAddress: '192.0.2.7:54321' }])
  })

  test('reads one that comes byte by byte', async () => {
    const { ports, seen } = await serve({ kind: 'tcp', proxyProtocol: true, trustedProxies: ['127.0.0.0/8'] })
    const socket = open(ports[0]!).setNoDelay(true)
    for (const byte of Buffer.concat([Buffer.from(version1), connectBytes.subarray(0, -1)])) {
      socket.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await answerTo(socket, connectBytes.subarray(-1))).toBe(connack)
    expect(seen).toEqual([{ remoteAddress: '192.0.2.7:54321' }])
  })

  test('closes what comes from strangers unread, and what does not begin with a header, and counts both', async () => {
    const { gateway, ports, seen } = await serve(
      { kind: 'tcp', proxyProtocol: true, trustedProxies: ['10.0.0.0/8', '2001:db8::/32'] },
      { kind: 'tcp', proxyProtocol: true, trustedProxies: loopback },
      { kind: 'tcp', proxyProtocol: true, trustedProxies: loopback, limits: { handshakeTimeoutMs: 50 } },
    )
    const [stranger, plain, long, silent] = [open(ports[0]!), open(ports[1]!), open(ports[1]!), open(ports[2]!)]
    stranger.write(version1)
    plain.write(connectBytes)
    long.write(`PROXY TCP4 ${'1'.repeat(200)}`)
    silent.write('PROXY')
    await Promise.all([stranger, plain, long, silent].map(closed))
    expect(seen).toEqual([])
    expect(gateway.metrics()).toMatchObject({
      mqtt_connections_refused_total: 4,
      'mqtt_protocol_errors_total{reason="proxy_not_trusted"}': 1,
      'mqtt_protocol_errors_total{reason="proxy_header"}': 2,
      'mqtt_protocol_errors_total{reason="proxy_timeout"}': 1,
    })
  })

  test('lets sockets that wait for their header take no more than the places of connections before their CONNECT', async () => {
    const { gateway, ports } = await serve({
      ...{ kind: 'tcp', proxyProtocol: true, trustedProxies: loopback },
      limits: { handshakesMax: 3 },
    })
    const waiting = Array.from({ length: 8 }, () => open(ports[0]!))
    await eventually(() => waiting.filter((socket) => !socket.closed && !socket.readableEnded).length).toBe(3)
    await eventually(() => gateway.metrics()['mqtt_protocol_errors_total{reason="proxy_displaced"}']).toBe(5)
    expect(await answerTo(open(ports[0]!), version1, connectBytes)).toBe(connack)
  })

  test('serves WebSocket and pages behind it, several requests on one connection too', async () => {
    const { gateway, ports, seen } = await serve({ kind: 'http', proxyProtocol: true, trustedProxies: loopback })
    const socket = open(ports[0]!)
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk))
    socket.write(`${version1}GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await eventually(() => answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*alive/)
    answer = ''
    socket.write('GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    await eventually(() => answer).toMatch(/^HTTP\/1\.1 200 [\s\S]*ready/)
    const client = new WebSocket(`ws://127.0.0.1:${ports[0]}/mqtt`, 'mqtt', {
      createConnection: () => {
        const behind = open(ports[0]!)
        behind.write(version1)
        return behind
      },
    })
    await once(client, 'open')
    client.send(connectBytes)
    const [data] = (await once(client, 'message')) as [Buffer]
    expect(data.toString('hex')).toBe(connack)
    expect(seen).toEqual([{ remoteAddress: '192.0.2.7:54321' }])
    client.terminate()
    expect(gateway.metrics()['mqtt_connections_refused_total']).toBe(0)
  })
})

test.each([
  ['1', Buffer.from('PROXY TCP6 ::FFFF:192.0.2.7 ::ffff:198.51.100.1 54321 1883\r\n'), '192.0.2.7:54321'],
  ['1', Buffer.from('PROXY TCP6 2001:0DB8:0::7 2001:db8::1 54321 1883\r\n'), '2001:db8::7:54321'],
  [
    '2',
    Buffer.from('0d0a0d0a000d0a515549540a21210024' + `${'0'.repeat(20)}ffffc0000207`.repeat(2) + 'd431075b', 'hex'),
    '192.0.2.7:54321',
  ],
])(
  'an address in a header of version %s has one writing, and IPv4 in IPv6 is IPv4',
  async (_version, header, expected) => {
    const { ports, seen } = await serve({ kind: 'tcp', proxyProtocol: true, trustedProxies: loopback })
    expect(await answerTo(open(ports[0]!), Buffer.concat([header, connectBytes]))).toBe(connack)
    expect(seen).toEqual([{ remoteAddress: expected }])
  },
)

describe('a header of HTTP that names the client', () => {
  async function addressFor(listener: object, headers: Record<string, string>): Promise<string> {
    const { ports, seen } = await serve({ kind: 'ws', ...listener })
    const client = new WebSocket(`ws://127.0.0.1:${ports[0]}/mqtt`, 'mqtt', { headers })
    await once(client, 'open')
    client.send(connectBytes)
    await once(client, 'message')
    client.terminate()
    return seen[0]!.remoteAddress
  }
  const trusted = { trustedProxies: [...loopback, '10.0.0.0/8'] }
  const own = /^127\.0\.0\.1:\d+$/

  test.each([
    ['192.0.2.7', '192.0.2.7:0'],
    ['192.0.2.7:4711', '192.0.2.7:4711'],
    ['2001:db8::7', '2001:db8::7:0'],
    ['2001:0DB8:0:0::7', '2001:db8::7:0'],
    ['::ffff:c000:207', '192.0.2.7:0'],
    // The client wrote the first one itself.
    ['203.0.113.9, 192.0.2.7', '192.0.2.7:0'],
    ['192.0.2.7, 10.1.2.3', '192.0.2.7:0'],
    ['10.1.2.3', '10.1.2.3:0'],
    ['192.0.2.7, unknown', own],
    ['x'.repeat(2000), own],
    ['', own],
  ])('X-Forwarded-For: %s is read from its end, as far as proxies are trusted', async (value, expected) => {
    const address = await addressFor(trusted, { 'X-Forwarded-For': value, Forwarded: 'for=203.0.113.1' })
    if (typeof expected === 'string') expect(address).toBe(expected)
    else expect(address).toMatch(expected)
  })

  test.each([
    ['for=192.0.2.7', '192.0.2.7:0'],
    ['for=203.0.113.9;proto=http, For="192.0.2.7:4711";by=10.0.0.1', '192.0.2.7:4711'],
    ['for="[2001:db8::7]:4711"', '2001:db8::7:4711'],
    ['for=192.0.2.7, by=10.0.0.1', own],
    ['for=_hidden', own],
    ['host="a,b\\"";for=192.0.2.7', '192.0.2.7:0'],
    // The client left a quotation mark open, which the proxy's own one must not close.
    ['for=203.0.113.9;x=", for="192.0.2.7"', '192.0.2.7:0'],
    ['for=203.0.113.9, for=", for="[2001:db8::7]:4711"', '2001:db8::7:4711'],
  ])('Forwarded: %s is read where it is configured', async (value, expected) => {
    const listener = { ...trusted, forwardedHeader: 'Forwarded' }
    const address = await addressFor(listener, { Forwarded: value, 'X-Forwarded-For': '203.0.113.1' })
    if (typeof expected === 'string') expect(address).toBe(expected)
    else expect(address).toMatch(expected)
  })

  test('Forwarded is not searched for longer than what proxies write', async () => {
    const headers = { Forwarded: `for=203.0.113.9${','.repeat(3000)}"` }
    expect(await addressFor({ ...trusted, forwardedHeader: 'Forwarded' }, headers)).toMatch(own)
  })

  test('says nothing from an address that is not trusted, or where nobody is', async () => {
    const headers = { 'X-Forwarded-For': '192.0.2.7' }
    expect(await addressFor({ trustedProxies: ['10.0.0.0/8'] }, headers)).toMatch(own)
    expect(await addressFor({}, headers)).toMatch(own)
  })
})

describePeer('HAProxy', ['haproxy', 'openssl', 'mosquitto_pub'], ({ haproxy, openssl, mosquitto_pub }) => {
  const authority = openssl === undefined ? undefined! : new TestAuthority(openssl)
  const folder = mkdtempSync(join(tmpdir(), 'mqtide-haproxy-'))
  const processes: ReturnType<typeof spawn>[] = []
  afterEach(async () => {
    for (const one of processes.splice(0)) {
      one.kill()
      await once(one, 'exit')
    }
  })
  afterAll(() => {
    authority[Symbol.dispose]()
    rmSync(folder, { recursive: true })
  })
  const server = authority?.issue({ commonName: 'localhost', names: ['DNS:localhost', 'IP:127.0.0.1'] }, 'server')
  const pump = authority?.issue({ commonName: 'pump-7' }, 'pump')

  /** HAProxy in front of a gateway's port. Returns its own. */
  async function front(port: number, send: string, bind = ''): Promise<number> {
    const own = await freePort()
    const file = join(folder, `${own}.cfg`)
    const times = ' timeout connect 5s\n timeout client 30s\n timeout server 30s\n'
    const parts = [
      `defaults\n mode tcp\n${times}frontend mqtt\n bind 127.0.0.1:${own} ${bind}\n default_backend gateway`,
      `backend gateway\n server one 127.0.0.1:${port} ${send}\n`,
    ]
    writeFileSync(file, parts.join('\n'))
    const child = spawn(haproxy, ['-db', '-f', file], { stdio: 'ignore' })
    processes.push(child)
    await eventually(async () => {
      const socket = connect({ port: own, host: '127.0.0.1' })
      const answers = await new Promise((resolve) => {
        socket.once('connect', () => resolve(true))
        socket.once('error', () => resolve(false))
      })
      socket.destroy()
      return answers
    }).toBe(true)
    return own
  }

  const behind = { proxyProtocol: true, trustedProxies: loopback }

  test.each(['send-proxy', 'send-proxy-v2'])('with %s tells who the client is', async (send) => {
    const { ports, seen } = await serve({ kind: 'tcp', ...behind })
    const port = await front(ports[0]!, send)
    const socket = open(port)
    expect(await answerTo(socket, connectBytes)).toBe(connack)
    expect(seen).toEqual([{ remoteAddress: `127.0.0.1:${socket.localPort}` }])
  })

  test('that passes TLS through leaves the handshake to the gateway, whose client certificate counts', async () => {
    const tls = { ...server, ca: authority.ca, clientCertificate: 'require' }
    const { ports, seen } = await serve({ kind: 'tls', ...behind, ...tls }, { kind: 'wss', ...behind, ...tls })
    const files = { cert: readFileSync(pump.cert), key: readFileSync(pump.key), ca: readFileSync(authority.ca) }
    const socket = connectTls({ ...files, host: 'localhost', port: await front(ports[0]!, 'send-proxy-v2') })
    await once(socket, 'secureConnect')
    expect(await answerTo(socket, connectBytes)).toBe(connack)
    const { localPort } = socket
    socket.destroy()
    const url = `wss://localhost:${await front(ports[1]!, 'send-proxy')}/mqtt`
    const client = await connectAsync(url, { ...files, reconnectPeriod: 0 })
    await client.endAsync()
    expect(seen[0]).toMatchObject({ remoteAddress: `127.0.0.1:${localPort}`, certificate: { cn: 'pump-7' } })
    expect(seen[1]).toMatchObject({ certificate: { cn: 'pump-7' } })
  })

  test('names the client whose handshake fails, in the log too', async () => {
    const file = join(folder, 'handshake.yaml')
    const listener = { kind: 'tls', port: 0, proxyProtocol: true, trustedProxies: loopback, ...server }
    writeFileSync(file, JSON.stringify({ inMemory: true, listeners: [listener] }))
    const program = startProgram(['start', '--config', file])
    let output = ''
    program.process.stdout.on('data', (chunk) => (output += chunk))
    await program.untilStdout('ready')
    const socket = open(Number(/mqtts:\/\/127\.0\.0\.1:(\d+)/.exec(output)![1]))
    socket.write(Buffer.concat([Buffer.from(version1), connectBytes]))
    await closed(socket)
    await program.untilStderr('TLS handshake failed')
    program.process.kill('SIGTERM')
    const { stderr } = await program.ended
    expect(stderr).toMatch(/"address":"192\.0\.2\.7","reason":"not_tls"/)
  })

  test('that ends TLS hands on the name in the certificate that it verified', async () => {
    const { ports, seen } = await serve({ kind: 'tcp', ...behind })
    const pem = join(folder, 'front.pem')
    writeFileSync(pem, `${readFileSync(server.cert)}\n${readFileSync(server.key)}`)
    const bind = `ssl crt ${pem} ca-file ${authority.ca} verify optional`
    const port = await front(ports[0]!, 'send-proxy-v2-ssl-cn', bind)
    const words = ['-h', 'localhost', '-p', String(port), '--cafile', authority.ca, '-t', 'a', '-m', 'b', '-q', '1']
    expect(await run(mosquitto_pub, [...words, '--cert', pump.cert, '--key', pump.key])).toMatchObject({ exitCode: 0 })
    expect(await run(mosquitto_pub, words)).toMatchObject({ exitCode: 0 })
    expect(seen.map(({ certificate }) => certificate)).toEqual([{ cn: 'pump-7' }, undefined])
  })

  test('whose health checks come without a client is no client itself', async () => {
    const { gateway, ports } = await serve({ kind: 'tcp', ...behind })
    await front(ports[0]!, 'send-proxy-v2 check inter 100')
    await eventually(() => gateway.metrics()['mqtt_connections_accepted_total']).toBeGreaterThan(1)
    expect(gateway.metrics()['mqtt_protocol_errors_total{reason="proxy_header"}']).toBeUndefined()
  })
})
