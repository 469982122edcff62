/** Brokers that do not behave, as a bridge meets them: each fault is bounded, counted and said, and nothing is lost by it. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gateway, GatewayOptions } from '../../src/gateway.ts'
import { Decoder } from '../../src/mqtt/decoder.ts'
import { encodeAck, encodeConnack } from '../../src/mqtt/encoder.ts'
import { type PacketSink, PacketType, type PublishFrame } from '../../src/mqtt/packet.ts'
import { decodeUtf8 } from '../../src/mqtt/utf8.ts'
import { eventually } from './eventually.ts'
import { connectClient, startGateway } from './gateway.ts'

const servers: Server[] = []
const sockets = new Set<Socket>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers.splice(0)) server.close()
})

interface Published {
  topic: string
  packetId: number
  dup: boolean
}

/** A broker that does what it is told: `meet` is called for each connection, with its number. */
async function scripted(meet: (socket: Socket, connection: number, seen: Published[]) => void): Promise<{
  port: number
  seen: Published[]
  connections(): number
}> {
  let connections = 0
  const seen: Published[] = []
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    meet(socket, ++connections, seen)
  })
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { port: (server.address() as AddressInfo).port, seen, connections: () => connections }
}

const connack = (reasonCode = 0) => encodeConnack(5, { sessionPresent: false, reasonCode, properties: {} })

/** Answers CONNECT, and each PUBLISH with what `answer` returns. */
function answering(socket: Socket, seen: Published[], answer: (publish: Published) => Uint8Array | null): void {
  const sink: Partial<PacketSink> = {
    onConnect: () => void socket.write(connack()),
    onPublish(frame: PublishFrame) {
      const { buffer, topicStart, topicEnd, packetId, dup } = frame
      const publish = { topic: decodeUtf8(buffer, topicStart, topicEnd)!, packetId, dup }
      seen.push(publish)
      const bytes = answer(publish)
      if (bytes !== null) socket.write(bytes)
    },
    onDisconnect() {},
    onPingreq() {},
  }
  const decoder = new Decoder(sink as PacketSink, { role: 'server', packetBytesMax: 1_000_000 })
  socket.on('data', (chunk) => decoder.push(chunk))
}

type BridgeOptions = NonNullable<GatewayOptions['bridges']>[string]

function bridged(port: number, more: Partial<BridgeOptions> = {}): Promise<Gateway> {
  const url = `mqtt://127.0.0.1:${port}`
  const topics: BridgeOptions['topics'] = [{ filter: 'plant/#', direction: 'out', qos: 1 }]
  return startGateway({ bridges: { cloud: { url, topics, reconnectMs: 20, reconnectMaxMs: 100, ...more } } })
}

const failures = (gateway: Gateway) => gateway.bridges[0]!.failures

describe('a broker that', () => {
  test('says nothing is given up, and tried again', async () => {
    const broker = await scripted(() => {})
    const local = await bridged(broker.port, { connectTimeoutMs: 100 })
    await eventually(broker.connections).toBeGreaterThan(1)
    expect(failures(local)).toMatchObject({ connect_timeout: expect.any(Number) })
    expect(local.bridges[0]!.lastFailure!.text).toBe('not connected within 100 ms')
  })

  test('takes messages and never acknowledges is given up, and gets them again on the next connection', async () => {
    const broker = await scripted((socket, connection, seen) =>
      answering(socket, seen, ({ packetId }) => (connection === 1 ? null : encodeAck(5, PacketType.puback, packetId))),
    )
    const local = await bridged(broker.port, { ackTimeoutMs: 200 })
    await local.publish({ topic: 'plant/a', qos: 1 })
    await eventually(() => local.bridges[0]!.waiting + local.bridges[0]!.inflight).toBe(0)
    expect(failures(local)).toMatchObject({ ack_timeout: 1 })
    const [first, second] = broker.seen
    expect(first).toMatchObject({ topic: 'plant/a', dup: false })
    expect(second).toEqual({ ...first, dup: true })
  })

  test('refuses the password is asked more and more rarely, and the reason is said', async () => {
    const broker = await scripted((socket) => socket.once('data', () => socket.end(connack(0x86))))
    const local = await bridged(broker.port, { username: 'me', password: 'wrong' })
    await eventually(() => local.bridges[0]!.attempts).toBeGreaterThan(2)
    expect(local.bridges[0]).toMatchObject({ connects: 0, lastFailure: { reason: 'bad_user_name_or_password' } })
    expect(JSON.stringify(local.bridges)).not.toContain('wrong')
  })

  test('closes each connection at once costs an attempt at a time', async () => {
    const broker = await scripted((socket) => socket.destroy())
    const local = await bridged(broker.port, { reconnectMs: 50, reconnectMaxMs: 60_000 })
    await eventually(() => local.bridges[0]!.attempts).toBe(3)
    expect(broker.connections()).toBe(3)
    expect(local.bridges[0]!.nextAttemptAt! - local.bridges[0]!.lastFailure!.at).toBeGreaterThanOrEqual(100)
  })

  test('sends what can not be read is left', async () => {
    const broker = await scripted((socket) => {
      socket.once('data', () => socket.write(Buffer.concat([connack(), Buffer.from('0000', 'hex')])))
    })
    const local = await bridged(broker.port)
    await eventually(() => Object.keys(failures(local))).toContain('malformed_packet')
    expect(local.bridges[0]!.lastFailure!.text).toContain('what can')
  })

  test('has no room (0x97) gets the message again later', async () => {
    const broker = await scripted((socket, connection, seen) =>
      answering(socket, seen, ({ packetId }) => encodeAck(5, PacketType.puback, packetId, connection < 3 ? 0x97 : 0)),
    )
    const local = await bridged(broker.port)
    await local.publish({ topic: 'plant/a', qos: 1 })
    await eventually(() => local.bridges[0]!.waiting + local.bridges[0]!.inflight).toBe(0)
    expect(broker.seen).toHaveLength(3)
    expect(failures(local)).toEqual({ quota_exceeded: 2 })
  })

  test('refuses a message for good does not hold up the next ones', async () => {
    const broker = await scripted((socket, _, seen) =>
      answering(socket, seen, ({ topic, packetId }) =>
        encodeAck(5, PacketType.puback, packetId, topic === 'plant/no' ? 0x87 : 0),
      ),
    )
    const local = await bridged(broker.port)
    for (const topic of ['plant/no', 'plant/yes']) await local.publish({ topic, qos: 1 })
    await eventually(() => local.bridges[0]!.waiting + local.bridges[0]!.inflight).toBe(0)
    expect(local.bridges[0]).toMatchObject({ refused: { not_authorized: 1 }, failures: {}, sent: 2 })
  })

  test('does not read gets no more than a window and a buffer; the rest waits in the session', async () => {
    const broker = await scripted((socket) => {
      socket.once('data', () => {
        socket.write(connack())
        socket.pause()
      })
    })
    const local = await bridged(broker.port, { inflightMessagesMax: 200 })
    await eventually(() => local.bridges[0]!.state).toBe('connected')
    const payload = Buffer.alloc(100_000)
    for (let i = 0; i < 300; i++) await local.publish({ topic: 'plant/a', payload, qos: 1 })
    const { waiting, inflight } = local.bridges[0]!
    expect(waiting + inflight).toBe(300)
    expect(inflight).toBeLessThanOrEqual(200)
  })
})

test('a full outbox does what was chosen: the publisher is told, or the oldest goes', async () => {
  const away = { url: 'mqtt://127.0.0.1:1', reconnectMs: 1000 }
  const topics: BridgeOptions['topics'] = [{ filter: 'plant/#', direction: 'out', qos: 1 }]
  const bridges = (queueFull: 'reject' | 'drop-oldest') => ({
    bridges: { cloud: { ...away, topics, queueMessagesMax: 3, queueFull } },
  })
  const rejecting = await startGateway(bridges('reject'))
  const client = await connectClient(rejecting, { protocolVersion: 5 })
  const codes = []
  for (let i = 0; i < 4; i++) {
    const answer = await client.mqtt
      .publishAsync('plant/a', `${i}`, { qos: 1 })
      .catch((error: { code: number }) => error)
    codes.push((answer as { code?: number }).code ?? 0)
  }
  expect(codes).toEqual([0, 0, 0, 0x97])
  const dropping = await startGateway(bridges('drop-oldest'))
  for (let i = 0; i < 5; i++) await dropping.publish({ topic: 'plant/a', payload: `${i}`, qos: 1 })
  expect(dropping.bridges[0]).toMatchObject({ waiting: 3, dropped: 2 })
})

test('a message that is larger than the broker takes stays here and is counted', async () => {
  const remote = await startGateway({ limits: { packetBytesMax: 2000 } })
  const local = await bridged(remote.addresses.mqtt!.port)
  await eventually(() => local.bridges[0]!.state).toBe('connected')
  const there = await connectClient(remote)
  await there.mqtt.subscribeAsync('plant/#', { qos: 1 })
  await local.publish({ topic: 'plant/large', payload: Buffer.alloc(5000), qos: 1 })
  await local.publish({ topic: 'plant/small', payload: 'x', qos: 1 })
  await there.until(1)
  expect(there.received[0]!.topic).toBe('plant/small')
  expect(local.bridges[0]).toMatchObject({ dropped: 1, failures: {} })
})
