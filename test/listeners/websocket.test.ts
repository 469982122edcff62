/** A WebSocket at the gateway, byte by byte over a socket: handshake, limits, control frames, closing. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { generate } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { AuthenticationResult, Authenticator, Gateway } from '../../src/gateway.ts'
import { eventually } from '../e2e/eventually.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { connectPacket } from '../e2e/raw-client.ts'

const fields = {
  Host: 'localhost',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol': 'mqtt',
}

function request(changed: Record<string, string> = {}, start = 'GET /mqtt HTTP/1.1'): string {
  const lines = Object.entries({ ...fields, ...changed }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${start}\r\n${lines.join('')}\r\n`
}

/** With a mask of zeros, so that the bytes of the payload stand in the frame as they are. */
function frame(payload: Uint8Array, opcode = 2): Buffer {
  const { length } = payload
  const header = length < 126 ? [length | 0x80] : [0xfe, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(0x80 | opcode, ...header, 0, 0, 0, 0), payload])
}

interface Peer {
  socket: Socket
  received(): Buffer
  /** Resolves when these bytes have come. */
  until(bytes: Buffer | string): Promise<void>
  /** Resolves when the gateway takes nothing any more. */
  gone(): Promise<void>
}

async function dial({ addresses }: Gateway): Promise<Peer> {
  // A peer that keeps its half of the connection for as long as it may.
  const socket = connect({ port: addresses.http!.port, host: addresses.http!.host, allowHalfOpen: true })
  socket.on('error', () => {})
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await once(socket, 'connect')
  const received = () => Buffer.concat(chunks)
  const until = async (bytes: Buffer | string) => {
    while (!received().includes(bytes)) {
      if (socket.destroyed) throw new Error(`closed after ${received().toString('latin1')}`)
      await Promise.race([once(socket, 'data'), closed])
    }
  }
  const gone = async () => {
    // Only who sends hears that the other side has closed its socket.
    const timer = setInterval(() => socket.write(Buffer.of(0)), 50)
    await closed
    clearInterval(timer)
  }
  return { socket, received, until, gone }
}

async function upgraded(gateway: Gateway): Promise<Peer> {
  const peer = await dial(gateway)
  peer.socket.write(request())
  await peer.until('\r\n\r\n')
  return peer
}

const connect4 = frame(generate(connectPacket('c')))
const connack = Buffer.from('820420020000', 'hex')

describe('the handshake', () => {
  test('is answered as in section 1.3 of RFC 6455, and what came with it is read', async () => {
    const peer = await dial(await startGateway())
    peer.socket.write(Buffer.concat([Buffer.from(request()), connect4]))
    await peer.until(connack)
    const head = peer.received().toString('latin1').split('\r\n\r\n', 1)[0]!.split('\r\n')
    expect(head).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
      'Sec-WebSocket-Protocol: mqtt',
    ])
    peer.socket.destroy()
  })

  const refusals: [name: string, status: string, bytes: string][] = [
    ['another version', '426 ', request({ 'Sec-WebSocket-Version': '8' })],
    ['a key that is none', '400 ', request({ 'Sec-WebSocket-Key': 'short' })],
    ['another method', '405 ', request({}, 'POST /mqtt HTTP/1.1')],
    ['a body', '400 ', request({ 'Content-Length': '5' })],
  ]
  test.each(refusals)('is refused with %s, and the socket does not stay', async (_name, status, bytes) => {
    const gateway = await startGateway()
    const peer = await dial(gateway)
    peer.socket.write(bytes)
    await once(peer.socket, 'end')
    expect(peer.received().toString()).toMatch(new RegExp(`^HTTP/1.1 ${status}`))
    expect(peer.received().toString()).toContain('Sec-WebSocket-Version: 13')
    await peer.gone()
    expect(gateway.metrics()['mqtt_connections']).toBe(0)
  })
})

describe('what a WebSocket makes the gateway keep', () => {
  test('is bounded as over TCP: a CONNECT beyond every limit is refused at its first bytes, whatever its frame', async () => {
    const gateway = await startGateway()
    const peer = await upgraded(gateway)
    const header = Buffer.from('82ff0000000001000000', 'hex')
    peer.socket.write(Buffer.concat([header, Buffer.alloc(4), Buffer.from([0x10, 0xff, 0xff, 0xff, 0x07])]))
    await once(peer.socket, 'end')
    expect(gateway.metrics()['mqtt_protocol_errors_total{reason="packet_too_large"}']).toBe(1)
    peer.socket.destroy()
  })

  test('is nothing for a PUBLISH beyond its limit, of which no byte is waited for', async () => {
    const gateway = await startGateway({ limits: { packetBytesMax: 1000 } })
    const peer = await upgraded(gateway)
    peer.socket.write(connect4)
    await peer.until(connack)
    peer.socket.write(Buffer.from('82ff000000000100000000000000' + '30ffff7f', 'hex'))
    await once(peer.socket, 'end')
    expect(gateway.metrics()['mqtt_protocol_errors_total{reason="packet_too_large"}']).toBe(1)
    peer.socket.destroy()
  })

  test('is no answer for each of ten thousand pings, but one for the last', async () => {
    const gateway = await startGateway()
    const peer = await upgraded(gateway)
    const pings = Array.from({ length: 10_000 }, (_, index) => frame(Buffer.from(String(index).padStart(5, '0')), 9))
    peer.socket.write(Buffer.concat([connect4, ...pings]))
    await peer.until(Buffer.concat([Buffer.of(0x8a, 5), Buffer.from('09999')]))
    expect(peer.received().length).toBeLessThan(20_000)
    peer.socket.destroy()
  })

  test('is left in the socket while the authenticator has not answered', async () => {
    let answer: (result: AuthenticationResult) => void = () => {}
    const asked = new Promise<AuthenticationResult>((resolve) => (answer = resolve))
    const authenticator: Authenticator = {
      authenticate: ({ clientId }) => (clientId === 'c' ? asked : { reasonCode: 0 }),
    }
    const gateway = await startGateway({ authenticator })
    const peer = await upgraded(gateway)
    peer.socket.write(connect4)
    const publish = generate({
      cmd: 'publish',
      topic: 't',
      payload: Buffer.alloc(60_000),
      qos: 0,
      dup: false,
      retain: false,
    })
    let written = false
    const bytes = Buffer.concat(Array.from({ length: 600 }, () => frame(publish)))
    peer.socket.write(bytes, () => (written = true))
    const other = await connectClient(gateway)
    for (let i = 0; i < 50; i++) await other.mqtt.publishAsync('other', 'x', { qos: 1 })
    expect(written).toBe(false)
    expect(gateway.metrics()['mqtt_bytes_received_total']).toBeLessThan(1024 * 1024)
    answer({ reasonCode: 0 })
    await eventually(() => gateway.metrics()['mqtt_messages_received_total{qos="0"}']).toBe(600)
    peer.socket.destroy()
  })
})

describe('closing', () => {
  test("echoes the code of the client's close frame", async () => {
    const gateway = await startGateway()
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.addresses.http!.port}/mqtt`, 'mqtt')
    await once(socket, 'open')
    socket.close(3001, 'done')
    expect((await once(socket, 'close'))[0]).toBe(3001)
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
  })

  test('after DISCONNECT has the code 1000, and ends when the client has answered', async () => {
    const gateway = await startGateway()
    const peer = await upgraded(gateway)
    peer.socket.write(Buffer.concat([connect4, frame(Buffer.from('e000', 'hex'))]))
    await peer.until(Buffer.from('880203e8', 'hex'))
    peer.socket.write(frame(Buffer.from('03e8', 'hex'), 8))
    await once(peer.socket, 'end')
    peer.socket.destroy()
  })

  test('by the fault of a frame names it, once what came before was answered', async () => {
    const gateway = await startGateway()
    const peer = await upgraded(gateway)
    peer.socket.write(connect4)
    await peer.until(connack)
    peer.socket.write(Buffer.from('8101', 'hex'))
    await once(peer.socket, 'end')
    expect(peer.received().subarray(-4).toString('hex')).toBe('880203eb')
    expect(gateway.metrics()['mqtt_protocol_errors_total{reason="websocket_text"}']).toBe(1)
    await peer.gone()
  })

  test('of a peer that only goes away leaves nothing', async () => {
    const gateway = await startGateway()
    const peers = await Promise.all(Array.from({ length: 5 }, () => upgraded(gateway)))
    expect(gateway.metrics()['mqtt_connections']).toBe(5)
    for (const { socket } of peers) socket.end()
    await Promise.all(peers.map(({ socket }) => once(socket, 'close')))
    await eventually(() => gateway.metrics()['mqtt_connections']).toBe(0)
  })
})

describe('who closes first and keeps the socket', () => {
  const close = frame(Buffer.of(0x03, 0xe8), 8)
  const answer = Buffer.from('880203e8', 'hex')

  test('counts as a stranger until the socket is gone, and is the first to be displaced', async () => {
    const gateway = await startGateway({ limits: { handshakesMax: 2 } })
    const lingering = async () => {
      const peer = await upgraded(gateway)
      peer.socket.write(close)
      await peer.until(answer)
      return peer
    }
    const [first, second] = [await lingering(), await lingering()]
    const strangers = async () => {
      const response = await fetch(`http://127.0.0.1:${gateway.addresses.http!.port}/api/v1/listeners`)
      const { items } = (await response.json()) as { items: { kind: string; handshakes: number }[] }
      return items.find(({ kind }) => kind === 'http')!.handshakes
    }
    expect(await strangers()).toBe(2)
    expect(gateway.metrics()['mqtt_connections']).toBe(0)
    const client = await connectClient(gateway)
    await first.gone()
    await client.mqtt.endAsync()
    second.socket.destroy()
    await eventually(strangers).toBe(0)
  })
})
