/**
 * One connection to another broker, as its client: CONNECT to CONNACK, Keep Alive, and what is on its way there. It keeps no more
 * unacknowledged than the broker takes (Receive Maximum), and a broker that does not acknowledge for `ackTimeoutMs` is given up.
 *
 * It owns no state of the session: packet identifiers are those of the gateway's own session, which has everything in the store.
 */
import type { Duplex } from 'node:stream'
import { Decoder } from '../mqtt/decoder.ts'
import { encodeConnect, encodeDisconnect, encodePingreq, encodeSubscribe, encodeUnsubscribe } from '../mqtt/encoder.ts'
import type {
  ConnackPacket,
  ConnectPacket,
  DisconnectPacket,
  PacketSink,
  Properties,
  PublishFrame,
  Qos,
  SubackPacket,
  SubscriptionRequest,
} from '../mqtt/packet.ts'
import { PacketType } from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import { gatewayProperty } from '../mqtt/user-property.ts'
import { type Dialled, dial } from './dial.ts'
import type { BridgeSettings } from './settings.ts'

/** Of bytes that the kernel has not taken yet: beyond it nothing more is fetched from our own session. */
const writableBytesMax = 1024 * 1024

/** What the broker said of itself. */
export interface RemoteSession {
  readonly present: boolean
  readonly maximumQos: Qos
  readonly retainAvailable: boolean
  readonly receiveMaximum: number
  readonly maximumPacketSize: number
  /** Of one that is a gateway like this; empty: it is not, or 3.1.1 is spoken. */
  readonly gatewayId: string
}

export interface RemoteEvents {
  onOpen(remote: Remote): void
  onPublish(remote: Remote, frame: PublishFrame): void
  onAcknowledgement(remote: Remote, type: AcknowledgementType, packetId: number, reasonCode: number): void
  onSuback(remote: Remote, packet: SubackPacket): void
  /** A chunk was decoded. */
  onChunkEnd(): void
  onDrain(): void
  /** Once. */
  onClosed(remote: Remote, failure: RemoteFailure): void
}

type AcknowledgementType = 4 | 5 | 6 | 7

/** Why a connection ended, or was not made: a word for counters, and a sentence for people. */
export interface RemoteFailure {
  readonly reason: string
  readonly text: string
}

export interface RemoteOptions {
  settings: BridgeSettings
  connect: ConnectPacket
  /** Says in the protocol level of 3.1.1 that this is a bridge. */
  bridgeBit: boolean
  /** Steady milliseconds. */
  now(): number
}

export class Remote implements PacketSink {
  session: RemoteSession | null = null
  readonly #options: RemoteOptions
  readonly #events: RemoteEvents
  readonly #decoder: Decoder
  readonly #stream: Duplex
  readonly #openedAt: number
  #out: Uint8Array[] = []
  /** By packet identifier: since when its next acknowledgement is waited for. In the order of that. */
  readonly #inflight = new Map<number, number>()
  #waiting: { packetId: number; bytes: Uint8Array }[] = []
  #pausedFor = 0
  #sentAt = 0
  #pingAt = 0
  #keepAliveMs: number
  #closed = false
  #paused = false
  #drains = 0

  /** @throws Error for a file that can't be read */
  constructor(options: RemoteOptions, events: RemoteEvents) {
    this.#options = options
    this.#events = events
    const { settings, connect } = options
    const { packetBytesMax } = settings
    this.#decoder = new Decoder(this, { role: 'client', version: connect.version, packetBytesMax })
    this.#openedAt = options.now()
    this.#keepAliveMs = settings.keepAliveSeconds * 1000
    const dialled: Dialled = dial(settings)
    this.#stream = dialled.stream
    dialled.onReady(() => this.#sayConnect())
    this.#stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.#stream.on('drain', () => this.#onDrain())
    this.#stream.on('error', (error) => this.fail('connection', error.message))
    this.#stream.on('close', () => this.fail('closed', 'the other broker closed the connection'))
    this.#stream.on('end', () => this.fail('closed', 'the other broker closed the connection'))
  }

  get version(): 4 | 5 {
    return this.#options.settings.protocolVersion
  }

  get inflight(): number {
    return this.#inflight.size + this.#waiting.length
  }

  /** It has more to write than it should: what follows waits in our session. */
  get full(): boolean {
    return this.#stream.writableLength > writableBytesMax
  }

  #sayConnect(): void {
    const bytes = encodeConnect(this.#options.connect)
    // The level stands behind the fixed header of two bytes and the protocol name, as CONNECT is this short only where there is no will.
    if (this.#options.bridgeBit) setBridgeBit(bytes)
    this.#write(bytes)
    this.flush()
  }

  /** Puts a packet into what is written next. */
  send(bytes: Uint8Array): void {
    this.#out.push(bytes)
  }

  /** The same of a PUBLISH, when the broker takes one more. */
  publish(bytes: Uint8Array, packetId: number, qos: Qos): void {
    if (qos === 0) {
      this.#out.push(bytes)
    } else if (this.#inflight.size < this.session!.receiveMaximum && this.#waiting.length === 0) {
      this.#inflight.set(packetId, this.#options.now())
      this.#out.push(bytes)
    } else {
      this.#waiting.push({ packetId, bytes })
    }
  }

  /** PUBREL goes, also for what an earlier connection began. */
  expect(packetId: number): void {
    this.#inflight.delete(packetId)
    this.#inflight.set(packetId, this.#options.now())
  }

  /** Its exchange is over: another one may go. */
  settle(packetId: number): void {
    if (!this.#inflight.delete(packetId)) return
    while (this.#inflight.size < this.session!.receiveMaximum) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#inflight.set(next.packetId, this.#options.now())
      this.#out.push(next.bytes)
    }
  }

  subscribe(packetId: number, subscriptions: readonly SubscriptionRequest[]): void {
    const { version } = this.#options.connect
    this.send(encodeSubscribe(version, { packetId, subscriptions, properties: {} }))
    this.expect(packetId)
  }

  unsubscribe(packetId: number, topicFilters: readonly string[]): void {
    this.send(encodeUnsubscribe(this.#options.connect.version, { packetId, topicFilters, properties: {} }))
    this.expect(packetId)
  }

  /** Writes what was put. */
  flush(): void {
    if (this.#out.length === 0 || this.#closed) return
    const out = this.#out
    this.#out = []
    this.#write(out.length === 1 ? out[0]! : Buffer.concat(out))
  }

  #write(bytes: Uint8Array): void {
    this.#sentAt = this.#options.now()
    this.#stream.write(bytes)
    if (this.full) this.#drains++
  }

  #onDrain(): void {
    if (this.#drains === 0) return
    this.#drains = 0
    this.#events.onDrain()
  }

  /** Nothing is read until every `pause` has its `resume`. */
  pause(): void {
    if (this.#pausedFor++ === 0) this.#stream.pause()
  }

  resume(): void {
    if (this.#pausedFor === 0 || --this.#pausedFor > 0 || this.#closed) return
    this.#stream.resume()
  }

  /** After `onOpen`: what came behind CONNACK is taken now. */
  goOn(): void {
    this.#paused = false
    this.#guarded(() => this.#decoder.resume())
    this.resume()
  }

  /** Looks at what is overdue; to be called about once a second. */
  tick(): void {
    if (this.#closed) return
    const { now, settings } = this.#options
    const time = now()
    if (this.session === null) {
      if (time - this.#openedAt >= settings.connectTimeoutMs)
        this.fail('connect_timeout', `not connected within ${settings.connectTimeoutMs} ms`)
      return
    }
    const [oldest = time] = this.#inflight.values()
    // While our own side takes nothing, the other one's words lie unread.
    if (this.#pausedFor > 0) return
    if (time - oldest >= settings.ackTimeoutMs) {
      this.fail('ack_timeout', `nothing acknowledged for ${settings.ackTimeoutMs} ms`)
    } else if (this.#pingAt > 0 && time - this.#pingAt >= this.#keepAliveMs) {
      this.fail('ping_timeout', `no answer to PINGREQ for ${this.#keepAliveMs / 1000} s`)
    } else if (this.#pingAt === 0 && this.#keepAliveMs > 0 && time - this.#sentAt >= this.#keepAliveMs * pingAfter) {
      this.#pingAt = time
      this.#write(encodePingreq())
    }
  }

  /** Says goodbye. No event follows. */
  leave(properties: Properties = {}): void {
    if (this.#closed) return
    this.#closed = true
    this.#decoder.close()
    if (this.session !== null) {
      this.#out.push(encodeDisconnect(this.#options.connect.version, 0, properties))
      this.#stream.write(Buffer.concat(this.#out))
    }
    this.#stream.end()
    // A broker that does not close its side must not keep the process.
    const stream = this.#stream
    setTimeout(() => stream.destroy(), lingerMs).unref()
    stream.resume()
  }

  fail(reason: string, text: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#decoder.close()
    this.#stream.destroy()
    this.#events.onClosed(this, { reason, text })
  }

  #onData(chunk: Buffer): void {
    if (this.#closed) return
    this.#pingAt = 0
    this.#guarded(() => this.#decoder.push(chunk))
    if (!this.#paused) this.#events.onChunkEnd()
  }

  #guarded(decode: () => void): void {
    try {
      decode()
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.fail(reasonName(error.reasonCode), `the other broker sent what can't be read: ${error.message}`)
    }
  }

  onConnack({ reasonCode, sessionPresent, properties }: ConnackPacket): void {
    const { settings } = this.#options
    if (reasonCode !== 0) {
      const code = settings.protocolVersion === 5 ? reasonName(reasonCode) : (returnCodes[reasonCode] ?? 'refused')
      const why = properties.reasonString === undefined ? '' : `: ${properties.reasonString.slice(0, 200)}`
      this.fail(code, `the other broker refuses the connection (${code.replaceAll('_', ' ')})${why}`)
      return
    }
    const { receiveMaximum = 65_535, maximumQos = 2, retainAvailable = 1, maximumPacketSize = Infinity } = properties
    const { userProperties = [] } = properties
    this.session = {
      present: sessionPresent,
      maximumQos: maximumQos as Qos,
      retainAvailable: retainAvailable === 1,
      receiveMaximum: Math.min(receiveMaximum, settings.inflightMessagesMax),
      maximumPacketSize: Math.min(maximumPacketSize, settings.packetBytesMax),
      gatewayId: userProperties.find(([name]) => name === gatewayProperty)?.[1] ?? '',
    }
    if (properties.serverKeepAlive !== undefined) this.#keepAliveMs = properties.serverKeepAlive * 1000
    this.#paused = true
    this.#decoder.pause()
    this.pause()
    this.#events.onOpen(this)
  }

  onPublish(frame: PublishFrame): void {
    this.#events.onPublish(this, frame)
  }

  onPuback(packetId: number, reasonCode: number): void {
    this.#events.onAcknowledgement(this, PacketType.puback, packetId, reasonCode)
  }

  onPubrec(packetId: number, reasonCode: number): void {
    this.#events.onAcknowledgement(this, PacketType.pubrec, packetId, reasonCode)
  }

  onPubrel(packetId: number, reasonCode: number): void {
    this.#events.onAcknowledgement(this, PacketType.pubrel, packetId, reasonCode)
  }

  onPubcomp(packetId: number, reasonCode: number): void {
    this.#events.onAcknowledgement(this, PacketType.pubcomp, packetId, reasonCode)
  }

  onSuback(packet: SubackPacket): void {
    this.settle(packet.packetId)
    this.#events.onSuback(this, packet)
  }

  onPingresp(): void {
    this.#pingAt = 0
  }

  onDisconnect({ reasonCode, properties }: DisconnectPacket): void {
    const why = properties.reasonString === undefined ? '' : `: ${properties.reasonString.slice(0, 200)}`
    const code = reasonName(reasonCode)
    this.fail(code, `the other broker ends the connection (${code.replaceAll('_', ' ')})${why}`)
  }

  onUnsuback({ packetId }: SubackPacket): void {
    this.settle(packetId)
  }

  onConnect(): void {}

  onSubscribe(): void {}

  onUnsubscribe(): void {}

  onPingreq(): void {}

  onAuth(): void {
    this.fail('auth', 'the other broker asks for enhanced authentication, which bridges do not have')
  }
}

/** Part of Keep Alive after which a silent client says PINGREQ. */
const pingAfter = 0.75
const lingerMs = 2000

const returnCodes: Readonly<Record<number, string>> = {
  1: 'unacceptable_protocol_version',
  2: 'identifier_rejected',
  3: 'server_unavailable',
  4: 'bad_user_name_or_password',
  5: 'not_authorized',
}

/** CONNECT: fixed header, the protocol name of two bytes length and four letters, the level. */
function setBridgeBit(connect: Uint8Array): void {
  let at = 1
  while (connect[at++]! >= 0x80);
  connect[at + 6]! |= 0x80
}
