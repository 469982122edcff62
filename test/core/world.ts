/**
 * The broker core with a fake clock and without sockets: devices hand it packets as bytes, through the real decoder, and read
 * what it put into their links, through the real decoder again. Nothing here waits; time moves when a test says so.
 */
import { Broker, type BrokerPorts } from '../../src/core/broker.ts'
import { Client } from '../../src/core/connection/client.ts'
import { type BrokerOptions, defaultBrokerOptions } from '../../src/core/options.ts'
import type { Link } from '../../src/core/ports/link.ts'
import { levelNone, levelOf } from '../../src/engine/durability.ts'
import { Decoder } from '../../src/mqtt/decoder.ts'
import {
  encodeAck,
  encodeConnect,
  encodeDisconnect,
  encodeProperties,
  encodeSubscribe,
  encodeUnsubscribe,
} from '../../src/mqtt/encoder.ts'
import {
  type ConnackPacket,
  type ConnectPacket,
  type DisconnectPacket,
  noProperties,
  type PacketSink,
  PacketType,
  type Properties,
  type ProtocolVersion,
  type PublishFrame,
  type Qos,
  type SubackPacket,
  type SubscriptionRequest,
} from '../../src/mqtt/packet.ts'
import { ProtocolError } from '../../src/mqtt/protocol-error.ts'
import { encodePublish, publishProperties } from '../../src/mqtt/publish.ts'
import type { ReasonCode } from '../../src/mqtt/reason-code.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import type { Durability } from '../../src/store/store.ts'

export interface SeenPublish {
  type: 'publish'
  topic: string
  payload: string
  qos: Qos
  retain: boolean
  dup: boolean
  packetId: number
  properties: Properties
}

export type Seen =
  | SeenPublish
  | ({ type: 'connack' } & ConnackPacket)
  | ({ type: 'suback' | 'unsuback' } & SubackPacket)
  | ({ type: 'disconnect' | 'auth' } & DisconnectPacket)
  | { type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'; packetId: number; reasonCode: number }
  | { type: 'pingresp' }

/** Reads what the broker sends. */
class Reader implements PacketSink {
  readonly seen: Seen[] = []
  onConnack(packet: ConnackPacket): void {
    this.seen.push({ type: 'connack', ...packet })
  }
  onPublish(frame: PublishFrame): void {
    const text = (start: number, end: number) => Buffer.from(frame.buffer.subarray(start, end)).toString()
    const properties = { ...publishProperties(frame.buffer.slice(frame.propertiesStart, frame.propertiesEnd)) }
    this.seen.push({
      type: 'publish',
      topic: text(frame.topicStart, frame.topicEnd),
      payload: text(frame.payloadStart, frame.end),
      qos: frame.qos,
      retain: frame.retain,
      dup: frame.dup,
      packetId: frame.packetId,
      properties,
    })
  }
  onPuback(packetId: number, reasonCode: number): void {
    this.seen.push({ type: 'puback', packetId, reasonCode })
  }
  onPubrec(packetId: number, reasonCode: number): void {
    this.seen.push({ type: 'pubrec', packetId, reasonCode })
  }
  onPubrel(packetId: number, reasonCode: number): void {
    this.seen.push({ type: 'pubrel', packetId, reasonCode })
  }
  onPubcomp(packetId: number, reasonCode: number): void {
    this.seen.push({ type: 'pubcomp', packetId, reasonCode })
  }
  onSuback(packet: SubackPacket): void {
    this.seen.push({ type: 'suback', ...packet })
  }
  onUnsuback(packet: SubackPacket): void {
    this.seen.push({ type: 'unsuback', ...packet })
  }
  onPingresp(): void {
    this.seen.push({ type: 'pingresp' })
  }
  onDisconnect(packet: DisconnectPacket): void {
    this.seen.push({ type: 'disconnect', ...packet })
  }
  onAuth(packet: DisconnectPacket): void {
    this.seen.push({ type: 'auth', ...packet })
  }
  onConnect(): void {
    throw new Error('a server does not send CONNECT')
  }
  onSubscribe(): void {
    throw new Error('a server does not send SUBSCRIBE')
  }
  onUnsubscribe(): void {
    throw new Error('a server does not send UNSUBSCRIBE')
  }
  onPingreq(): void {
    throw new Error('a server does not send PINGREQ')
  }
}

interface Held {
  frame: Uint8Array
  ticket: number
  freesReceiveSlot: boolean
}

/** A link whose fullness and commits a test decides. */
export class FakeLink implements Link {
  full = false
  empty = true
  readingPaused = false
  inboundInflight = 0
  closed: string | undefined
  faults: string[] = []
  readonly held: Held[] = []
  readonly #output: Uint8Array[] = []
  readonly durability: number
  readonly #committed: () => number
  #holdAll = false

  constructor(committed: () => number, durability: number) {
    this.durability = durability
    this.#committed = () => (durability === levelNone ? Number.POSITIVE_INFINITY : committed())
  }

  write(frame: Uint8Array, start = 0, end = frame.length): void {
    const own = frame.slice(start, end)
    if (this.#holdAll && this.held.length > 0) this.held.push({ frame: own, ticket: 0, freesReceiveSlot: false })
    else this.#output.push(new Uint8Array(own))
  }

  writePublish(frame: Uint8Array, start: number, end: number, first: number, packetIdAt: number, id: number): void {
    const own = new Uint8Array(frame.subarray(start, end))
    own[0] = first
    if (packetIdAt > 0) {
      own[packetIdAt - start] = id >> 8
      own[packetIdAt - start + 1] = id & 0xff
    }
    this.write(own)
  }

  hold(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void {
    this.held.push({ frame: new Uint8Array(frame), ticket, freesReceiveSlot })
    this.release()
  }

  holdAck(firstByte: number, packetId: number, ticket: number, freesReceiveSlot: boolean): void {
    this.hold(Uint8Array.of(firstByte, 2, packetId >> 8, packetId & 0xff), ticket, freesReceiveSlot)
  }

  holdAll(): void {
    this.#holdAll = true
  }

  release(): void {
    for (let first = this.held[0]; first !== undefined && first.ticket <= this.#committed(); first = this.held[0]) {
      this.held.shift()
      if (first.freesReceiveSlot) this.inboundInflight--
      this.#output.push(first.frame)
    }
    if (this.held.length > 0) return
    this.#holdAll = false
    this.#afterHeld?.()
    this.#afterHeld = null
  }

  yields = 0
  yieldTurn(): void {
    this.yields++
  }

  paused = false
  pauseForRate(): void {
    this.paused = true
    this.readingPaused = true
  }
  resumeFromRate(): void {
    this.paused = false
    this.readingPaused = false
  }

  pauseReading(): void {}
  resumeReading(): void {}

  admit(): boolean {
    return true
  }

  #afterHeld: (() => void) | null = null
  awaitHeld(then: () => void): boolean {
    if (this.held.length === 0) return false
    this.#afterHeld = then
    return true
  }

  close(reason: string): void {
    this.closed = reason
    this.#afterHeld = null
  }

  fault(_reasonCode: ReasonCode, text: string): void {
    this.faults.push(text)
  }

  takeOutput(): Uint8Array[] {
    return this.#output.splice(0)
  }
}

export class World {
  readonly broker: Broker
  now = 1_700_000_000_000

  constructor(options: Partial<BrokerOptions> = {}, ports: BrokerPorts = {}) {
    this.broker = new Broker({ ...defaultBrokerOptions, ...options }, ports)
    this.broker.now = this.now
  }

  /** Lets time pass; what is due happens at its own time. */
  advance(ms: number): void {
    const end = this.now + ms
    for (let next = this.broker.deadlines.next; next <= end; next = this.broker.deadlines.next) {
      this.now = Math.max(this.now, next)
      this.broker.advance(this.now)
    }
    this.now = end
    this.broker.advance(end)
  }

  /** Ends a turn: what was put off to the next one happens. */
  turn(): void {
    while (this.broker.turnWanted) this.broker.onTurn()
  }

  /** `namespace`: what its listener says. */
  device(version: ProtocolVersion = 5, durability: Durability = 'fsync', namespace?: string): Device {
    return new Device(this, version, durability, namespace)
  }

  /** A connected device that has read its CONNACK. */
  connected(clientId: string, options: Partial<ConnectPacket> = {}, namespace?: string): Device {
    const device = this.device(options.version ?? 5, 'fsync', namespace)
    device.connect({ clientId, ...options })
    const [connack] = device.take()
    if (connack?.type !== 'connack' || connack.reasonCode !== 0) throw new Error(`refused: ${JSON.stringify(connack)}`)
    device.sessionPresent = connack.sessionPresent
    return device
  }
}

export class Device {
  readonly link: FakeLink
  readonly client: Client
  readonly version: ProtocolVersion
  sessionPresent = false
  readonly #world: World
  readonly #decoder: Decoder
  readonly #reader = new Reader()
  readonly #incoming: Decoder
  #packetId = 0

  constructor(world: World, version: ProtocolVersion, durability: Durability, namespace?: string) {
    this.#world = world
    this.version = version
    this.link = new FakeLink(() => world.broker.journal.committed, levelOf(durability))
    this.client = new Client(world.broker, this.link, {
      address: '192.0.2.1:4711',
      listener: 'test',
      certificate: null,
      ...(namespace !== undefined && { namespace }),
    })
    this.#decoder = new Decoder(this.client, {
      role: 'server',
      packetBytesMax: world.broker.options.packetBytesMax,
      limits: world.broker.options,
    })
    this.#incoming = new Decoder(this.#reader, { role: 'client', version, packetBytesMax: 268_435_460 })
  }

  /** Hands bytes to the broker as a socket would. */
  send(bytes: Uint8Array): this {
    this.#world.broker.now = this.#world.now
    this.client.withDurability(() => {
      try {
        this.#decoder.push(bytes)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        this.client.onFault(error, this.#decoder.version)
      }
    })
    return this
  }

  connect(options: Partial<ConnectPacket> = {}): this {
    const { version } = this
    return this.send(
      encodeConnect({ version, cleanStart: true, keepAlive: 0, clientId: '', properties: noProperties, ...options }),
    )
  }

  publish(
    topic: string,
    payload: string,
    options: Partial<Omit<SeenPublish, 'type' | 'topic' | 'payload'>> & { expiry?: number } = {},
  ): number {
    const { qos = 0, retain = false, dup = false, expiry = -1 } = options
    const packetId = qos === 0 ? 0 : (options.packetId ?? ++this.#packetId)
    const forwardProperties = encodeProperties(PacketType.publish, options.properties ?? noProperties)
    const parts = { topic: encodeUtf8(topic), payload: Buffer.from(payload), forwardProperties }
    const common = { qos, retain, dup, packetId, subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false }
    this.send(encodePublish(this.version, parts, { ...common, expiryIntervalSeconds: expiry }).bytes)
    return packetId
  }

  subscribe(
    topicFilter: string,
    qos: Qos = 0,
    options: Partial<SubscriptionRequest> = {},
    properties = noProperties,
  ): this {
    const request = {
      topicFilter,
      qos,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0 as const,
      ...options,
    }
    return this.send(
      encodeSubscribe(this.version, { packetId: ++this.#packetId, subscriptions: [request], properties }),
    )
  }

  unsubscribe(topicFilter: string): this {
    const packet = { packetId: ++this.#packetId, topicFilters: [topicFilter], properties: noProperties }
    return this.send(encodeUnsubscribe(this.version, packet))
  }

  acknowledge(type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp', packetId: number, reasonCode = 0): this {
    return this.send(encodeAck(this.version, PacketType[type], packetId, reasonCode))
  }

  disconnect(reasonCode = 0, properties: Properties = noProperties): this {
    return this.send(encodeDisconnect(this.version, reasonCode, properties))
  }

  /** The socket dies without a word. */
  drop(): this {
    this.client.withDurability(() => this.client.end('socket_error'))
    return this
  }

  /** Everything the broker has sent since the last call. */
  take(): Seen[] {
    for (const frame of this.link.takeOutput()) this.#incoming.push(frame)
    return this.#reader.seen.splice(0)
  }

  /** The PUBLISH packets among what was sent since the last call; the rest is dropped. */
  takePublishes(): SeenPublish[] {
    return this.take().filter((packet) => packet.type === 'publish')
  }

  /** Takes deliveries and acknowledges them fully, again and again, until nothing more comes. Returns their payloads. */
  drain(): string[] {
    const payloads: string[] = []
    for (let packets = this.take(); packets.length > 0; packets = this.take()) {
      for (const packet of packets) {
        if (packet.type === 'publish') {
          payloads.push(packet.payload)
          if (packet.qos === 1) this.acknowledge('puback', packet.packetId)
          if (packet.qos === 2) this.acknowledge('pubrec', packet.packetId)
        } else if (packet.type === 'pubrel') this.acknowledge('pubcomp', packet.packetId)
      }
      this.#world.turn()
    }
    return payloads
  }
}
