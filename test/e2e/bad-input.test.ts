/** Whatever strangers send, over real sockets: they are closed and counted by reason, and nobody else notices. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway, transports } from './gateway.ts'
import { connectPacket, connectRaw } from './raw-client.ts'

/** Two clients, one on TCP and one on WebSocket, which exchange numbered messages while others misbehave. */
async function scene(options: GatewayOptions = {}) {
  const gateway = await startGateway(options)
  const watcher = await connectClient(gateway, { clientId: 'watcher' }, transports[2])
  await watcher.mqtt.subscribeAsync('innocent', { qos: 2 })
  const talker = await connectClient(gateway, { clientId: 'talker' })
  const before = gateway.metrics()
  let said = 0
  return {
    gateway,
    /** How much a counter grew. */
    grown: (name: string) => (gateway.metrics()[name] ?? 0) - (before[name] ?? 0),
    /** The two still talk, nothing was lost or doubled, and only they are connected. */
    async untouched() {
      await talker.mqtt.publishAsync('innocent', String(said++), { qos: 2 })
      await watcher.until(said)
      expect(watcher.texts()).toEqual(Array.from({ length: said }, (_, index) => String(index)))
      await eventually(() => gateway.metrics()['mqtt_connections']).toBe(2)
      expect(gateway.metrics()['mqtt_internal_errors_total']).toBe(0)
    },
  }
}

async function dial({ addresses }: Gateway): Promise<Socket> {
  const socket = connect(addresses.mqtt!.port, addresses.mqtt!.host)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Sends bytes and gives what came back until the gateway closed. */
async function say(gateway: Gateway, bytes: Uint8Array | string): Promise<Buffer> {
  const socket = await dial(gateway)
  const answers: Buffer[] = []
  socket.on('data', (chunk) => answers.push(chunk))
  const closed = once(socket, 'close')
  socket.write(bytes)
  await closed
  return Buffer.concat(answers)
}

const connect4 = generate(connectPacket('stranger', 4))
const connect5 = generate(connectPacket('stranger', 5), { protocolVersion: 5 })

describe('on the MQTT port', () => {
  const closedWithoutAnswer: [name: string, bytes: Uint8Array | string, reason: string][] = [
    ['an HTTP request', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n', 'protocol_error'],
    ['a TLS handshake', Buffer.from('16030100c2010000be0303', 'hex'), 'protocol_error'],
    ['zeros', Buffer.alloc(64), 'protocol_error'],
    ['PINGREQ before CONNECT', Buffer.from([0xc0, 0x00]), 'protocol_error'],
    [
      'PUBLISH before CONNECT',
      generate({ cmd: 'publish', topic: 'a', payload: 'x', qos: 0, dup: false, retain: false }),
      'protocol_error',
    ],
    ['a CONNECT whose length is beyond every limit', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), 'packet_too_large'],
    ['a length of five bytes', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0x01]), 'malformed_packet'],
    ["another protocol's name", Buffer.from('100c0004485454500402003c0000', 'hex'), 'protocol_error'],
  ]
  test.each(closedWithoutAnswer)('%s closes the connection without an answer', async (_, bytes, reason) => {
    const { gateway, grown, untouched } = await scene()
    expect(await say(gateway, bytes)).toEqual(Buffer.alloc(0))
    expect(grown(`mqtt_protocol_errors_total{reason="${reason}"}`)).toBe(1)
    await untouched()
  })

  test('a second CONNECT closes 3.1.1 without a word and tells 5.0 the reason', async () => {
    const { gateway, grown, untouched } = await scene()
    expect(await say(gateway, Buffer.concat([connect4, connect4]))).toEqual(Buffer.from([0x20, 2, 0, 0]))
    const answer = await say(gateway, Buffer.concat([connect5, connect5]))
    const connackBytes = 2 + answer[1]!
    expect([answer[0], answer[connackBytes], answer[connackBytes + 2]]).toEqual([0x20, 0xe0, 0x82])
    expect(grown('mqtt_protocol_errors_total{reason="protocol_error"}')).toBe(2)
    await untouched()
  })

  test('1,000 connections of random bytes are all closed, and the two others never notice', async () => {
    const { gateway, grown, untouched } = await scene({ limits: { connectTimeoutMs: 300 } })
    let seed = 1
    const random = () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff) >> 16
    for (let round = 0; round < 20; round++) {
      const strangers = Array.from({ length: 50 }, () => {
        const bytes = Buffer.from(Array.from({ length: 1 + (random() % 200) }, () => random() & 0xff))
        // Half of them begin like a CONNECT, to get further.
        return say(
          gateway,
          random() % 2 === 0 ? bytes : Buffer.concat([connect5.subarray(0, 2 + (random() % 12)), bytes]),
        )
      })
      await Promise.all(strangers)
      await untouched()
    }
    expect(grown('mqtt_connections_accepted_total')).toBe(1000)
  })

  test('every truncation of a CONNECT, followed by garbage or by the end, is harmless', async () => {
    const { gateway, untouched } = await scene({ limits: { connectTimeoutMs: 300 } })
    const garbage = Buffer.from([0xff, 0x00, 0xc0, 0x80])
    const cuts = Array.from({ length: connect5.length }, (_, end) => connect5.subarray(0, end))
    await Promise.all(cuts.map((part) => say(gateway, Buffer.concat([part, garbage]))))
    await Promise.all(
      cuts.map(async (part) => {
        const socket = await dial(gateway)
        socket.end(part)
        await once(socket.resume(), 'close')
      }),
    )
    await untouched()
  })

  test('silence, half a packet and bytes that drip in are closed when the time for CONNECT is over', async () => {
    const { gateway, grown, untouched } = await scene({ limits: { connectTimeoutMs: 200 } })
    const silent = await dial(gateway)
    const half = await dial(gateway)
    half.write(connect4.subarray(0, 5))
    const dripping = await dial(gateway)
    let sent = 0
    const long = generate(connectPacket('x'.repeat(60), 4))
    const timer = setInterval(() => sent < long.length - 1 && dripping.write(long.subarray(sent, ++sent)), 20)
    await Promise.all([silent, half, dripping].map((socket) => once(socket.resume(), 'close')))
    clearInterval(timer)
    expect(sent).toBeLessThan(long.length - 1)
    expect(grown('mqtt_disconnects_total{reason="connect_timeout"}')).toBe(3)
    await untouched()
  })

  test("half a PUBLISH is not a message, and its sender's will is published when its connection breaks", async () => {
    const { gateway, untouched } = await scene()
    const observer = gateway.subscribe(['half', 'will'])
    const stranger = await connectRaw(gateway, 'TCP')
    stranger.sendPacket({
      ...connectPacket('half'),
      will: { topic: 'will', payload: Buffer.from('gone'), qos: 0, retain: false },
    })
    await stranger.until(() => stranger.packets.length === 1)
    const publish = generate({
      cmd: 'publish',
      topic: 'half',
      payload: 'never complete',
      qos: 0,
      dup: false,
      retain: false,
    })
    stranger.send(publish.subarray(0, -1))
    stranger.destroy()
    for await (const message of observer) {
      expect(message.topic).toBe('will')
      break
    }
    await untouched()
  })

  test('a flood of connections that say nothing, vanish or stay is survived, and displaces only itself', async () => {
    const limits = { connectionsMax: 3, handshakesMax: 100 }
    const { gateway, grown, untouched } = await scene({ limits })
    const vanishing = Array.from({ length: 300 }, async () => {
      const socket = await dial(gateway)
      socket.write(connect4)
      socket.destroy()
    })
    await Promise.all(vanishing)
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(2)
    const displacedBefore = grown('mqtt_disconnects_total{reason="handshake_displaced"}')
    const staying = await Promise.all(Array.from({ length: 150 }, () => dial(gateway)))
    // A client that says what it wants gets in all the same.
    const client = await dial(gateway)
    client.write(connect4)
    expect((await once(client, 'data'))[0]).toEqual(Buffer.from([0x20, 2, 0, 0]))
    expect(grown('mqtt_disconnects_total{reason="handshake_displaced"}') - displacedBefore).toBe(51)
    for (const socket of [...staying, client]) socket.destroy()
    await untouched()
  })

  test('a publisher of packets beyond the limit is closed before it has sent them, with the reason in 5.0', async () => {
    const { gateway, grown, untouched } = await scene({ limits: { packetBytesMax: 1000 } })
    const tooLarge = Buffer.from([0x30, 0xff, 0xff, 0x7f])
    expect(await say(gateway, Buffer.concat([connect4, tooLarge]))).toEqual(Buffer.from([0x20, 2, 0, 0]))
    const answer = await say(gateway, Buffer.concat([connect5, tooLarge]))
    expect(answer.subarray(2 + answer[1]!)[2]).toBe(0x95)
    expect(grown('mqtt_protocol_errors_total{reason="packet_too_large"}')).toBe(2)
    await untouched()
  })
})

describe('on the HTTP port', () => {
  /** The close code of a WebSocket after it has sent these messages. */
  async function closeCode({ addresses }: Gateway, ...sent: (string | Uint8Array)[]): Promise<number> {
    const socket = new WebSocket(`ws://127.0.0.1:${addresses.http!.port}/mqtt`, 'mqtt')
    await once(socket, 'open')
    for (const message of sent) socket.send(message)
    const [code] = (await once(socket, 'close')) as [number]
    return code
  }

  test('a text frame, garbage and an HTTP request in a frame end that WebSocket only', async () => {
    const { gateway, grown, untouched } = await scene()
    expect(await closeCode(gateway, 'text')).toBe(1003)
    await closeCode(gateway, Buffer.from([0xff, 0xff]))
    await closeCode(gateway, Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    await closeCode(gateway, connect4, connect4)
    expect(grown('mqtt_protocol_errors_total{reason="websocket_text"}')).toBe(1)
    expect(grown('mqtt_protocol_errors_total{reason="protocol_error"}')).toBe(3)
    await untouched()
  })

  test('WebSocket frames that break RFC 6455 end that connection only', async () => {
    const { gateway, untouched } = await scene()
    const { port } = gateway.addresses.http!
    const key = Buffer.alloc(16, 'k').toString('base64')
    const upgrade = `GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n`
    const unmasked = Buffer.from([0x82, 0x01, 0x00])
    const reserved = Buffer.from([0xf2, 0x81, 0, 0, 0, 0, 0])
    const endless = Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    for (const frame of [unmasked, reserved, endless]) {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(upgrade)
      let answer = ''
      socket.on('data', (chunk) => {
        if (answer === '') socket.write(frame)
        answer += chunk.toString('latin1')
      })
      await once(socket, 'close')
      expect(answer).toMatch(/^HTTP\/1.1 101 /)
    }
    await untouched()
  })

  test.each([
    ['another path', '/other', 'mqtt', 404],
    ['a foreign subprotocol', '/mqtt', 'graphql-ws', 400],
  ])('an upgrade to %s is refused with the reason in words', async (_, path, subprotocol, status) => {
    const { gateway, grown, untouched } = await scene()
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.addresses.http!.port}${path}`, subprotocol)
    socket.on('error', () => {})
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }]
    expect(response.statusCode).toBe(status)
    expect(grown('mqtt_connections_refused_total')).toBe(1)
    await untouched()
  })

  test("a page of a foreign origin may not connect until it's listed; pages of this machine and of the gateway may", async () => {
    const statusOf = async ({ addresses }: Gateway, origin: string) => {
      const socket = new WebSocket(`ws://127.0.0.1:${addresses.http!.port}/mqtt`, 'mqtt', { origin })
      socket.on('error', () => {})
      return new Promise<number>((resolve) => {
        socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0))
        socket.on('open', () => {
          socket.terminate()
          resolve(101)
        })
      })
    }
    const { gateway, grown, untouched } = await scene()
    const own = `http://127.0.0.1:${gateway.addresses.http!.port}`
    for (const origin of [own, 'http://localhost:3000', 'http://[::1]:5173'])
      expect(await statusOf(gateway, origin)).toBe(101)
    for (const origin of ['https://panel.example', 'http://localhost.example', 'null']) {
      expect(await statusOf(gateway, origin)).toBe(403)
    }
    expect(grown('mqtt_connections_refused_total')).toBe(3)
    await untouched()
    const open = await startGateway({ allowedOrigins: ['https://panel.example'] })
    expect(await statusOf(open, 'https://panel.example')).toBe(101)
    expect(await statusOf(open, 'https://other.example')).toBe(403)
  })

  /** The answer to a request written by hand. */
  async function answerTo({ addresses }: Gateway, request: string): Promise<string> {
    const socket = connect(addresses.http!.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(request)
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    await once(socket, 'close')
    return answer
  }

  test('an offer to upgrade to anything but WebSocket is ignored, and the request answered', async () => {
    const { gateway, grown, untouched } = await scene()
    const offer =
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n'
    for (const path of ['/', '/livez', '/metrics', '/mqtt.min.js']) {
      const answer = await answerTo(gateway, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${offer}`)
      expect(answer).toMatch(/^HTTP\/1.1 200 /)
      const [head, body] = [answer.split('\r\n\r\n', 1)[0]!, answer.slice(answer.indexOf('\r\n\r\n') + 4)]
      expect(body.length).toBe(Number(/content-length: (\d+)/i.exec(head)![1]))
    }
    const notFound = `GET /nope HTTP/1.1\r\nHost: localhost\r\n${offer}`
    expect(await answerTo(gateway, notFound)).toMatch(/^HTTP\/1.1 404 /)
    expect(grown('mqtt_connections_refused_total')).toBe(0)
    await untouched()
  })

  test.each(['h2c', 'websocket'])(
    'an upgrade to %s right behind requests that are not answered yet ends that connection only',
    async (protocol) => {
      const { gateway, untouched } = await scene()
      const key = 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
      const upgrade = `GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${key}\r\n`
      // Answered by us, late and at once; answered by Node; left unread.
      for (const before of ['', 'Expect: 100-continue\r\n', 'Expect: rain\r\n', 'Content-Length: 0\r\n']) {
        for (const path of ['/metrics', '/', '/nope']) {
          const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${before}\r\n`
          expect(await answerTo(gateway, request + request + upgrade)).not.toMatch(/^HTTP\/1.1 101/)
        }
      }
      await untouched()
    },
  )

  test('a name that was made to point here is refused by HTTP and WebSocket until it is listed, /livez and /readyz aside', async () => {
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
    const asked = (gateway: Gateway, path: string, fields = 'Connection: close\r\n') =>
      answerTo(gateway, `GET ${path} HTTP/1.1\r\nHost: rebound.example\r\n${fields}\r\n`)
    const { gateway, grown, untouched } = await scene()
    for (const path of ['/', '/metrics', '/nope']) expect(await asked(gateway, path)).toMatch(/^HTTP\/1.1 421 /)
    expect(await asked(gateway, '/mqtt', upgrade)).toMatch(/^HTTP\/1.1 421 Misdirected Request\r\n.*allowedHosts/s)
    expect(grown('mqtt_connections_refused_total')).toBe(1)
    for (const path of ['/livez', '/readyz']) expect(await asked(gateway, path)).toMatch(/^HTTP\/1.1 200 /)
    await untouched()
    const listed = await startGateway({ allowedHosts: ['rebound.example'] })
    expect(await asked(listed, '/metrics')).toMatch(/^HTTP\/1.1 200 /)
    const foreign = 'Origin: https://foreign.example\r\nConnection: close\r\n'
    expect(await asked(listed, '/metrics', foreign)).toMatch(/^HTTP\/1.1 403 /)
  })

  test('MQTT without WebSocket on the HTTP port is answered as HTTP and closed', async () => {
    const { gateway, untouched } = await scene()
    const socket = connect(gateway.addresses.http!.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(connect4)
    let answer = ''
    socket.on('data', (chunk) => (answer += chunk.toString('latin1')))
    await once(socket, 'close')
    expect(answer).toMatch(/^HTTP\/1.1 400 /)
    await untouched()
  })
})
