/**
 * The lean client: a session's state and little else, on the project's own codec, for swarms of ten thousand and more per
 * process. It writes once per turn, keeps no timers of its own, and resends after a reconnect what a durable session owes.
 */
import type { Duplex } from 'node:stream'
import { Decoder } from '../../src/mqtt/decoder.ts'
import {
  encodeAck,
  encodeConnect,
  encodeDisconnect,
  encodePingreq,
  encodeProperties,
  encodeSubscribe,
} from '../../src/mqtt/encoder.ts'
import {
  type ConnackPacket,
  type ConnectPacket,
  noBytes,
  noProperties,
  type PacketSink,
  PacketType,
  type Properties,
  type ProtocolVersion,
  type PublishFrame,
  type SubackPacket,
} from '../../src/mqtt/packet.ts'
import { encodePublish, publishProperties } from '../../src/mqtt/publish.ts'
import { envelopeProperty } from '../payload/envelope.ts'
import type { Random } from '../random.ts'
import type { Client, ClientEvents, OutgoingMessage, SessionOptions, SubscriptionRequest } from './client.ts'
import { Link, type LinkShape } from './link.ts'
import { killStream, openStream, type StreamTarget } from './stream.ts'

interface Inflight {
  message: OutgoingMessage
  onAcknowledged: (reasonCode: number) => void
  /** PUBREC has come: what is owed now is a PUBREL. */
  released: boolean
}

const versions = { '3.1': 3, '3.1.1': 4, '5.0': 5 } as const
const packetBytesMax = 268_435_460
const unexpected = (): never => {
  throw new Error('the broker sent a packet that only clients send')
}

const topicBytes = new Map<string, Uint8Array>()
const topicCacheMax = 200_000

function bytesOfTopic(topic: string): Uint8Array {
  let bytes = topicBytes.get(topic)
  if (bytes === undefined) {
    if (topicBytes.size >= topicCacheMax) topicBytes.clear()
    bytes = Buffer.from(topic, 'utf8')
    topicBytes.set(topic, bytes)
  }
  return bytes
}

export class LeanClient implements Client {
  readonly #session: SessionOptions
  readonly #events: ClientEvents
  readonly #random: Random
  readonly #disturbed: boolean
  readonly #version: ProtocolVersion
  #stream: Duplex | undefined
  #shape: LinkShape | undefined
  #decoder: Decoder | undefined
  #out: Uint8Array[] = []
  #online = false
  #packetId = 0
  readonly #inflight = new Map<number, Inflight>()
  #subscribes: Map<number, (codes: readonly number[]) => void> | undefined
  /** QoS 2 identifiers received and not yet released. */
  #received: Set<number> | undefined
  /** Acknowledgements that wait for a consumer's work, in order. */
  #work: Promise<void> | undefined
  #lastSentMs = 0
  #pingSentMs = 0
  #stalled = false

  /** `disturbed` connections go through a link that faults can shape. */
  constructor(session: SessionOptions, events: ClientEvents, random: Random, disturbed: boolean) {
    this.#session = session
    this.#events = events
    this.#random = random
    this.#disturbed = disturbed
    this.#version = versions[session.protocol]
  }

  connect(target: StreamTarget): void {
    const stream = this.#disturbed ? new Link(this.#random, this.#shape) : openStream(target)
    this.#stream = stream
    this.#out = []
    this.#pingSentMs = 0
    this.#decoder = new Decoder(this.#sink(stream), { role: 'client', packetBytesMax, version: this.#version })
    stream.on('data', (chunk: Buffer) => {
      if (this.#stream !== stream) return
      try {
        this.#decoder?.push(chunk)
      } catch (error) {
        this.#events.onError((error as Error).message)
        this.sever()
      }
      this.flush()
    })
    stream.on('error', (error) => {
      if (this.#stream === stream) this.#events.onError(error.message)
    })
    stream.on('close', () => this.#onClose(stream))
    if (stream instanceof Link) stream.open(target, () => {})
    this.#write(encodeConnect(this.#connectPacket()))
    this.flush()
  }

  publish(message: OutgoingMessage, onAcknowledged: (reasonCode: number) => void): void {
    let packetId = 0
    if (message.qos > 0) {
      packetId = this.#nextPacketId()
      this.#inflight.set(packetId, { message, onAcknowledged, released: false })
    }
    if (this.#online) this.#writePublish(message, packetId, false)
  }

  subscribe(requests: readonly SubscriptionRequest[], onGranted: (codes: readonly number[]) => void): void {
    const packetId = this.#nextPacketId()
    this.#subscribes ??= new Map()
    this.#subscribes.set(packetId, onGranted)
    const subscriptions = requests.map(({ filter, ...rest }) => ({ topicFilter: filter, ...rest }))
    this.#write(encodeSubscribe(this.#version, { packetId, subscriptions, properties: noProperties }))
    this.flush()
  }

  disconnect(): void {
    this.#write(encodeDisconnect(this.#version))
    this.flush()
    this.#stream?.end()
  }

  sever(): void {
    const stream = this.#stream
    if (stream instanceof Link) stream.sever()
    else if (stream !== undefined) killStream(stream)
  }

  abandon(onOutcome: (closedByBroker: boolean) => void): void {
    if (this.#stream instanceof Link) this.#stream.abandon(onOutcome)
    else this.sever()
  }

  setShape(shape: LinkShape | undefined): void {
    this.#shape = shape
    if (this.#stream instanceof Link) this.#stream.setShape(shape)
  }

  hold(up: boolean, down: boolean): void {
    this.#stalled = true
    if (this.#stream instanceof Link) this.#stream.hold(up, down)
  }

  release(): void {
    this.#stalled = false
    if (this.#stream instanceof Link) this.#stream.release()
  }

  flush(): void {
    const { length } = this.#out
    if (length === 0) return
    const out = this.#out
    this.#out = []
    this.#lastSentMs = performance.now()
    this.#stream?.write(length === 1 ? out[0]! : Buffer.concat(out))
  }

  /** Once a second: PINGREQ when idle for the keep alive, the end when none is answered. */
  tick(): void {
    const keepAliveMs = this.#session.keepAliveSeconds * 1000
    if (!this.#online || keepAliveMs === 0) return
    const now = performance.now()
    if (this.#pingSentMs > 0 && now - this.#pingSentMs > keepAliveMs * 1.5) {
      this.sever()
    } else if (this.#pingSentMs === 0 && (now - this.#lastSentMs > keepAliveMs * 0.9 || this.#stalled)) {
      this.#pingSentMs = now
      this.#write(encodePingreq())
      this.flush()
    }
  }

  end(): void {
    const stream = this.#stream
    this.#stream = undefined
    this.#online = false
    if (stream === undefined) return
    // With 5.0 the broker need not keep the session of a device that will never come back.
    const properties = this.#version === 5 && !this.#session.clean ? { sessionExpiryInterval: 0 } : noProperties
    stream.write(encodeDisconnect(this.#version, 0, properties))
    stream.end()
    // A broker that does not close in turn must not keep the process.
    setTimeout(() => stream.destroy(), 500).unref()
  }

  #write(bytes: Uint8Array): void {
    this.#out.push(bytes)
  }

  #nextPacketId(): number {
    do this.#packetId = this.#packetId >= 65_535 ? 1 : this.#packetId + 1
    while (this.#inflight.has(this.#packetId) || this.#subscribes?.has(this.#packetId))
    return this.#packetId
  }

  #writePublish(message: OutgoingMessage, packetId: number, dup: boolean): void {
    const { topic, payload, qos, retain } = message
    const parts = { topic: bytesOfTopic(topic), payload, forwardProperties: this.#propertiesOf(message) }
    const options = {
      qos,
      retain,
      dup,
      packetId,
      expiryIntervalSeconds: -1,
      subscriptionIdentifiers: [],
      topicAlias: 0,
      omitTopic: false,
    }
    this.#write(encodePublish(this.#version, parts, options).bytes)
  }

  #propertiesOf({ envelope, responseTopic, correlationData }: OutgoingMessage): Uint8Array {
    if (
      this.#version !== 5 ||
      (envelope === undefined && responseTopic === undefined && correlationData === undefined)
    ) {
      return noBytes
    }
    const properties: Properties = {}
    if (envelope !== undefined) properties.userProperties = [[envelopeProperty, envelope]]
    if (responseTopic !== undefined) properties.responseTopic = responseTopic
    if (correlationData !== undefined) properties.correlationData = correlationData
    return encodeProperties(PacketType.publish, properties)
  }

  #connectPacket(): ConnectPacket {
    const { clientId, clean, keepAliveSeconds, username, password, will, sessionExpirySeconds, receiveMaximum } =
      this.#session
    const properties: Properties = {}
    if (this.#version === 5 && !clean) properties.sessionExpiryInterval = sessionExpirySeconds
    if (this.#version === 5 && receiveMaximum !== undefined) properties.receiveMaximum = receiveMaximum
    const packet: ConnectPacket = {
      version: this.#version,
      cleanStart: clean,
      keepAlive: keepAliveSeconds,
      clientId,
      properties,
    }
    if (username !== undefined) packet.username = username
    if (password !== undefined) packet.password = Buffer.from(password)
    if (will !== undefined) {
      const { topic, payload, qos, retain, delaySeconds } = will
      const willProperties =
        this.#version === 5 && delaySeconds > 0 ? { willDelayInterval: delaySeconds } : noProperties
      packet.will = { topic, payload, qos, retain, properties: willProperties, forwardProperties: noBytes }
    }
    return packet
  }

  #onClose(stream: Duplex): void {
    // An abandoned link's close is the device's to see, too: #stream is still that link.
    if (this.#stream !== stream) return
    this.#stream = undefined
    this.#online = false
    this.#subscribes?.clear()
    if (this.#session.clean) this.#forgetSession()
    this.#events.onClosed()
  }

  #forgetSession(): void {
    this.#inflight.clear()
    this.#received?.clear()
  }

  #onConnack({ reasonCode, sessionPresent, properties }: ConnackPacket): void {
    if (reasonCode !== 0) {
      this.#events.onRefused(reasonCode)
      this.sever()
      return
    }
    this.#online = true
    // MQTT 3.1 has no flag: a durable session is taken to be there.
    const present = sessionPresent || (this.#version === 3 && !this.#session.clean)
    if (!present) this.#received?.clear()
    for (const [packetId, inflight] of this.#inflight) {
      if (inflight.released) this.#write(encodeAck(this.#version, PacketType.pubrel, packetId))
      else this.#writePublish(inflight.message, packetId, true)
    }
    this.#events.onOnline(present, properties.receiveMaximum ?? 65_535)
  }

  #onPublish(frame: PublishFrame): void {
    const { qos, packetId, buffer } = frame
    if (qos === 2) {
      this.#received ??= new Set()
      if (this.#received.has(packetId)) {
        this.#acknowledge(PacketType.pubrec, packetId, 0)
        return
      }
      this.#received.add(packetId)
    }
    const properties =
      frame.propertiesEnd > frame.propertiesStart
        ? publishProperties(buffer.subarray(frame.propertiesStart, frame.propertiesEnd))
        : noProperties
    const topic = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length).toString(
      'utf8',
      frame.topicStart,
      frame.topicEnd,
    )
    this.#events.onMessage({
      topic,
      payload: buffer.subarray(frame.payloadStart, frame.end),
      qos,
      retain: frame.retain,
      envelope: properties.userProperties?.find(([name]) => name === envelopeProperty)?.[1],
      responseTopic: properties.responseTopic,
      correlationData: properties.correlationData,
    })
    if (qos > 0)
      this.#acknowledge(qos === 1 ? PacketType.puback : PacketType.pubrec, packetId, this.#events.workMs(topic))
  }

  /** A consumer works on one message at a time: acknowledgements wait for those before them. */
  #acknowledge(type: typeof PacketType.puback | typeof PacketType.pubrec, packetId: number, workMs: number): void {
    if (workMs === 0 && this.#work === undefined) {
      this.#write(encodeAck(this.#version, type, packetId))
      return
    }
    const stream = this.#stream
    const work = (this.#work ?? Promise.resolve()).then(async () => {
      await new Promise((resolve) => setTimeout(resolve, workMs))
      if (this.#work === work) this.#work = undefined
      // An acknowledgement belongs to the connection that brought the message.
      if (this.#stream !== stream) return
      this.#write(encodeAck(this.#version, type, packetId))
      this.flush()
    })
    this.#work = work
  }

  #onAcknowledged(packetId: number, reasonCode: number): void {
    const inflight = this.#inflight.get(packetId)
    if (inflight === undefined) return
    this.#inflight.delete(packetId)
    inflight.onAcknowledged(reasonCode)
  }

  #onSuback({ packetId, reasonCodes }: SubackPacket): void {
    const onGranted = this.#subscribes?.get(packetId)
    this.#subscribes?.delete(packetId)
    onGranted?.(reasonCodes)
  }

  #sink(stream: Duplex): PacketSink {
    const client = this
    const live = (): boolean => client.#stream === stream
    return {
      onConnack: (packet) => client.#onConnack(packet),
      onPublish: (frame) => live() && client.#onPublish(frame),
      onPuback: (packetId, reasonCode) => client.#onAcknowledged(packetId, reasonCode),
      onPubrec(packetId, reasonCode) {
        const inflight = client.#inflight.get(packetId)
        if (reasonCode >= 0x80) {
          client.#onAcknowledged(packetId, reasonCode)
          return
        }
        if (inflight !== undefined) inflight.released = true
        client.#write(encodeAck(client.#version, PacketType.pubrel, packetId, inflight === undefined ? 0x92 : 0))
      },
      onPubrel(packetId) {
        client.#received?.delete(packetId)
        client.#write(encodeAck(client.#version, PacketType.pubcomp, packetId))
      },
      onPubcomp: (packetId, reasonCode) => client.#onAcknowledged(packetId, reasonCode),
      onSuback: (packet) => client.#onSuback(packet),
      onUnsuback() {},
      onPingresp() {
        client.#pingSentMs = 0
      },
      onDisconnect({ reasonCode }) {
        client.#events.onError(`the broker sent DISCONNECT 0x${reasonCode.toString(16)}`)
      },
      onAuth: unexpected,
      onConnect: unexpected,
      onSubscribe: unexpected,
      onUnsubscribe: unexpected,
      onPingreq: unexpected,
    }
  }
}
