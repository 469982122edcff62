/**
 * A broker of a few lines whose faults are scripted: it forwards each PUBLISH to all subscribers (or to the one whose filter names
 * the publisher's topic) as often as `copies` says. Built on mqtt-packet, which shares no code with the generator.
 */
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { generate, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { createWebSocketStream, WebSocketServer } from 'ws'

export interface Script {
  /** How often the publish number `n` (from 0, over all publishers) is delivered to one subscriber; 1 if not given. */
  copies?(n: number): number
  /** Deliver the publishes of one turn in reverse order. */
  reverse?: boolean
  /** Changes the bytes of a delivery before they are written. */
  damage?(bytes: Buffer, n: number): Buffer
  /** Writes every byte by itself. */
  byteByByte?: boolean
  /** Reason code of SUBACK. */
  subackCode?: number
  /** Never acknowledges a publish. */
  silent?: boolean
}

export interface ScriptedBroker {
  port: number
  /** Acknowledgements (PUBACK, PUBCOMP) that subscribers sent. */
  acknowledgements: number
  close(): Promise<void>
}

interface Subscription {
  filter: RegExp
  qos: 0 | 1 | 2
  stream: Duplex
  version: number
}

/** Starts it on a free port; over WebSocket if `webSocket`. */
export async function scriptedBroker(script: Script = {}, webSocket = false): Promise<ScriptedBroker> {
  const subscriptions: Subscription[] = []
  const streams = new Set<Duplex>()
  let published = 0
  const broker: ScriptedBroker = { port: 0, acknowledgements: 0, close: () => closeAll(server, streams) }
  const write = (stream: Duplex, bytes: Buffer): void => {
    if (script.byteByByte) for (const byte of bytes) stream.write(Buffer.of(byte))
    else stream.write(bytes)
  }
  const deliver = (packet: IPublishPacket, n: number): void => {
    for (const { filter, qos, stream, version } of subscriptions) {
      if (!filter.test(packet.topic)) continue
      const granted = Math.min(qos, packet.qos) as 0 | 1 | 2
      const id = granted > 0 ? { messageId: (n % 65_535) + 1 } : {}
      const copy: IPublishPacket = { ...packet, ...id, qos: granted, dup: false, retain: false }
      if (version === 5) copy.properties = { ...packet.properties, userProperties: { of: 'broker' } }
      const bytes = generate(copy, { protocolVersion: version })
      for (let i = 0; i < (script.copies?.(n) ?? 1); i++) write(stream, script.damage?.(bytes, n) ?? bytes)
    }
  }
  let batch: IPublishPacket[] = []
  const onPublish = (packet: IPublishPacket): void => {
    if (!script.reverse) {
      deliver(packet, published++)
    } else if (batch.push(packet) === 1) {
      setImmediate(() => {
        for (const one of batch.reverse()) deliver(one, published++)
        batch = []
      })
    }
  }
  const accept = (stream: Duplex): void => {
    streams.add(stream)
    stream.on('error', () => {})
    const decode = parser()
    let version = 4
    decode.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') version = packet.protocolVersion ?? 4
      answer(packet, version, stream)
    })
    stream.on('data', (chunk: Buffer) => decode.parse(chunk))
  }
  const answer = (packet: Packet, version: number, stream: Duplex): void => {
    const reply = (one: Packet): boolean => stream.write(generate(one, { protocolVersion: version }))
    switch (packet.cmd) {
      case 'connect':
        reply({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false })
        break
      case 'subscribe':
        for (const { topic, qos } of packet.subscriptions) {
          subscriptions.push({ filter: expressionOf(topic), qos, stream, version })
        }
        reply({ cmd: 'suback', messageId: packet.messageId!, granted: [script.subackCode ?? 0] })
        break
      case 'publish':
        if (packet.qos > 0 && !script.silent) {
          reply({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId! })
        }
        onPublish(packet)
        break
      case 'pubrel':
        reply({ cmd: 'pubcomp', messageId: packet.messageId! })
        break
      case 'pubrec':
        reply({ cmd: 'pubrel', messageId: packet.messageId! })
        break
      case 'puback':
      case 'pubcomp':
        broker.acknowledgements++
    }
  }
  const server = webSocket ? webSocketServer(accept) : createServer(accept)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  broker.port = (server.address() as AddressInfo).port
  return broker
}

function webSocketServer(accept: (stream: Duplex) => void): Server {
  const server = createHttpServer()
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => accept(createWebSocketStream(socket)))
  return server
}

function expressionOf(filter: string): RegExp {
  return new RegExp(`^${filter.replaceAll('+', '[^/]*').replace('#', '.*')}$`)
}

function closeAll(server: Server, streams: Set<Duplex | Socket>): Promise<void> {
  for (const stream of streams) stream.destroy()
  return new Promise((resolve) => server.close(() => resolve()))
}
