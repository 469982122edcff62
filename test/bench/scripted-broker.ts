/**
 * A broker of a few lines whose faults are scripted: it forwards each PUBLISH to all subscribers (or to the one whose filter names
 * the publisher's topic) as often as `copies` says. Built on mqtt-packet, which shares no code with the generator.
 */
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
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

interface Subscription {
  filter: RegExp
  qos: 0 | 1 | 2
  stream: Duplex
  version: number
}

export class ScriptedBroker {
  port = 0
  /** Acknowledgements (PUBACK, PUBCOMP) that subscribers sent. */
  acknowledgements = 0
  readonly #script: Script
  readonly #server: Server
  readonly #streams = new Set<Duplex>()
  readonly #subscriptions: Subscription[] = []
  #published = 0
  #batch: IPublishPacket[] = []

  constructor(script: Script, webSocket: boolean) {
    this.#script = script
    const accept = (stream: Duplex): void => this.#accept(stream)
    this.#server = webSocket ? webSocketServer(accept) : createServer(accept)
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.port = (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    for (const stream of this.#streams) stream.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #accept(stream: Duplex): void {
    this.#streams.add(stream)
    stream.on('error', () => {})
    const decode = parser()
    let version = 4
    decode.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') version = packet.protocolVersion ?? 4
      this.#answer(packet, version, stream)
    })
    stream.on('data', (chunk: Buffer) => decode.parse(chunk))
  }

  #answer(packet: Packet, version: number, stream: Duplex): void {
    const reply = (one: Packet): boolean => stream.write(generate(one, { protocolVersion: version }))
    switch (packet.cmd) {
      case 'connect':
        reply({ cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false })
        break
      case 'subscribe':
        for (const { topic, qos } of packet.subscriptions) {
          this.#subscriptions.push({ filter: expressionOf(topic), qos, stream, version })
        }
        reply({ cmd: 'suback', messageId: packet.messageId!, granted: [this.#script.subackCode ?? 0] })
        break
      case 'publish':
        if (packet.qos > 0 && !this.#script.silent) {
          reply({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId! })
        }
        this.#onPublish(packet)
        break
      case 'pubrel':
        reply({ cmd: 'pubcomp', messageId: packet.messageId! })
        break
      case 'pubrec':
        reply({ cmd: 'pubrel', messageId: packet.messageId! })
        break
      case 'puback':
      case 'pubcomp':
        this.acknowledgements++
    }
  }

  #onPublish(packet: IPublishPacket): void {
    if (!this.#script.reverse) {
      this.#deliver(packet, this.#published++)
    } else if (this.#batch.push(packet) === 1) {
      setImmediate(() => {
        for (const one of this.#batch.reverse()) this.#deliver(one, this.#published++)
        this.#batch = []
      })
    }
  }

  #deliver(packet: IPublishPacket, n: number): void {
    const { copies, damage, byteByByte } = this.#script
    for (const { filter, qos, stream, version } of this.#subscriptions) {
      if (!filter.test(packet.topic)) continue
      const granted = Math.min(qos, packet.qos) as 0 | 1 | 2
      const id = granted > 0 ? { messageId: (n % 65_535) + 1 } : {}
      const copy: IPublishPacket = { ...packet, ...id, qos: granted, dup: false, retain: false }
      if (version === 5) copy.properties = { ...packet.properties, userProperties: { of: 'broker' } }
      const encoded = generate(copy, { protocolVersion: version })
      const bytes = damage?.(encoded, n) ?? encoded
      for (let i = 0; i < (copies?.(n) ?? 1); i++) {
        if (byteByByte) for (const byte of bytes) stream.write(Buffer.of(byte))
        else stream.write(bytes)
      }
    }
  }
}

/** Starts one on a free port; over WebSocket if `webSocket`. */
export async function scriptedBroker(script: Script = {}, webSocket = false): Promise<ScriptedBroker> {
  const broker = new ScriptedBroker(script, webSocket)
  await broker.listen()
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
