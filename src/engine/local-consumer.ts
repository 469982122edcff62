/**
 * A consumer in this process that has a session, as a client over the network has: what is published while it is away waits for it, and
 * a message stays its own until the program has acknowledged it, also over a restart. It is a client of the core like any other, whose
 * connection ends in a function instead of a socket.
 *
 *     core -> `LocalOutput` decodes what a client would be sent -> waiting, in order -> handler -> `ack` -> PUBACK to the core
 *
 * Two limits hold: `receiveMaximum` messages are with the program at a time, and while what it has and has not acknowledged
 * exceeds `windowBytesMax`, the core keeps the rest in the session's queue, as for a socket that does not drain.
 */
import type { Client } from '../core/connection/client.ts'
import type { Namespace } from '../core/namespace.ts'
import { programPrincipal } from '../core/ports/authority.ts'
import type { Peer } from '../core/ports/peer.ts'
import { neverExpires } from '../core/session/session.ts'
import { Decoder } from '../mqtt/decoder.ts'
import {
  noProperties,
  type PacketSink,
  type Properties,
  type PublishFrame,
  type Qos,
  type SubscriptionRequest,
} from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { Durability } from '../store/store.ts'
import type { ByteStream } from './byte-stream.ts'
import { Connection } from './connection.ts'
import { type Engine, RefusedError } from './engine.ts'
import { Output } from './output.ts'
import { Room } from './room.ts'
import type { PacketDecoder } from './wire.ts'

export interface ConsumeFilterOptions {
  /** Names the session: who comes with the same one goes on where it was left. */
  clientId: string
  /** How long the session outlives its consumer; a day if absent, 0 ends it at once. */
  sessionExpirySeconds?: number
  /** Messages that the program has at a time; 1 if absent, which keeps their order. */
  receiveMaximum?: number
  /** Bytes of messages that the program has, or will have next; 16 MiB if absent. One larger message still comes. */
  windowBytesMax?: number
  /** Begin with a new session. */
  cleanStart?: boolean
  namespace?: string
}

export interface ConsumedMessage {
  readonly topic: string
  readonly payload: Uint8Array
  /** 0 or 1: at 1 it waits for `ack`, at 0 it is gone when the handler is done with it. */
  readonly qos: Qos
  readonly retain: boolean
  /** It may have been here before. */
  readonly dup: boolean
  /** MQTT 5.0 properties that the publisher gave. */
  readonly properties: Properties
  /** The message is done. Resolves when that is stored; false: the consumer has stopped, and the message comes again. */
  ack(): Promise<boolean>
}

export interface MessageConsumer {
  /** Whether its session was there already. */
  readonly sessionPresent: boolean
  /** Resolves with the reason when it has ended: `client` after `stop`, `session_taken_over` where another came with its client id, … */
  readonly ended: Promise<string>
  /** Takes no more messages. Its session waits for the next consumer; what is not acknowledged comes again. */
  stop(): Promise<void>
}

export interface ConsumerParts {
  engine: Engine
  committer: { settled(): Promise<void> }
  durability: Durability
  /** The handler threw. */
  onError(error: unknown): void
}

type Handler = (message: ConsumedMessage) => unknown

const sessionExpirySecondsDefault = 86_400
const windowBytesMaxDefault = 16 * 1024 * 1024
const windowBytesMaxMax = 1024 * 1024 * 1024
/** For what a message takes besides its contents. */
const messageObjectBytes = 500

interface Waiting {
  message: Omit<ConsumedMessage, 'ack'>
  packetId: number
  bytes: number
}

/** @throws RangeError */
export function checkedOptions(options: ConsumeFilterOptions): Required<Omit<ConsumeFilterOptions, 'namespace'>> {
  const { clientId, cleanStart = false } = options
  const { sessionExpirySeconds = sessionExpirySecondsDefault, receiveMaximum = 1 } = options
  const { windowBytesMax = windowBytesMaxDefault } = options
  if (typeof clientId !== 'string' || clientId === '') throw new RangeError('a consumer needs a clientId')
  requireWhole('sessionExpirySeconds', sessionExpirySeconds, 0, neverExpires)
  requireWhole('receiveMaximum', receiveMaximum, 1, 65_535)
  requireWhole('windowBytesMax', windowBytesMax, 1, windowBytesMaxMax)
  return { clientId, cleanStart, sessionExpirySeconds, receiveMaximum, windowBytesMax }
}

function requireWhole(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new RangeError(`expected ${name} from ${min} to ${max}, got ${value}`)
}

export class LocalConsumer implements MessageConsumer, ByteStream {
  readonly peer: Peer
  readonly headroomBytes = 0
  readonly ended: Promise<string>
  sessionPresent = false
  readonly #parts: ConsumerParts
  readonly #handler: Handler
  readonly #connection: Connection
  readonly #output: { taken: number }
  readonly #receiveMaximum: number
  readonly #started = Promise.withResolvers<void>()
  readonly #waiting: Waiting[] = []
  /** Messages that the program has. */
  #inHand = 0
  #isOver = false
  #reason = 'client'
  #onEnd: (reason: string) => void = () => {}
  #isGiving = false

  /** To be called within a turn. */
  constructor(
    parts: ConsumerParts,
    namespace: Namespace,
    filters: readonly string[],
    options: ReturnType<typeof checkedOptions>,
    handler: Handler,
  ) {
    this.#parts = parts
    this.#handler = handler
    this.#receiveMaximum = options.receiveMaximum
    this.peer = {
      address: 'in-process',
      listener: 'program',
      namespace: namespace.name,
      certificate: null,
      admission: { principal: programPrincipal, namespace: namespace.name },
    }
    this.ended = new Promise((resolve) => {
      this.#onEnd = resolve
    })
    const { engine, durability } = parts
    const room = new Room({ connectionsMax: Infinity, handshakesMax: Infinity })
    let output: LocalOutput | undefined
    this.#connection = new Connection(engine, this, durability, room, (_engine, connection) => {
      output = new LocalOutput(this, engine, connection, options.windowBytesMax, this.#sink())
      return { decoder: noDecoder, output }
    })
    this.#output = output!
    engine.connections.add(this.#connection)
    this.#client.withDurability(() => {
      try {
        this.#connect(filters, options)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
        this.#client.onFault(error, 5)
      }
    })
  }

  /** Resolves when its subscriptions are in force. @throws RefusedError where they can't be had, or the session */
  async started(): Promise<this> {
    await this.#started.promise
    return this
  }

  get #client(): Client {
    return this.#connection.client
  }

  #connect(filters: readonly string[], options: ReturnType<typeof checkedOptions>): void {
    const client = this.#client
    const { clientId, cleanStart, sessionExpirySeconds: sessionExpiryInterval, receiveMaximum } = options
    const properties = { sessionExpiryInterval, receiveMaximum }
    client.onConnect({ version: 5, cleanStart, keepAlive: 0, clientId, properties })
    if (!client.connected) return
    // A bound on Keep Alive is for those who may vanish.
    client.keepAlive = 0
    client.times.startKeepAlive()
    const others = [...client.session!.subscriptions.keys()].filter((filter) => !filters.includes(filter))
    if (others.length > 0) client.onUnsubscribe({ packetId: 2, topicFilters: others, properties: noProperties })
    client.onSubscribe({ packetId: 1, subscriptions: filters.map(requestOf), properties: noProperties })
  }

  #sink(): PacketSink {
    return {
      ...ignored,
      onConnack: ({ reasonCode, sessionPresent }) => {
        this.sessionPresent = sessionPresent
        if (reasonCode !== 0) this.#refused(reasonCode)
      },
      onSuback: ({ reasonCodes }) => {
        const refusal = reasonCodes.find((code) => code >= 0x80)
        if (refusal === undefined) this.#started.resolve()
        else {
          this.#refused(refusal)
          // Not within the core's call.
          queueMicrotask(() => void this.stop())
        }
      },
      onDisconnect: ({ reasonCode }) => {
        this.#reason = reasonName(reasonCode)
      },
      onPublish: (frame) => this.#onPublish(frame),
    }
  }

  #refused(reasonCode: number): void {
    this.#reason = reasonName(reasonCode)
    this.#started.reject(new RefusedError(`the consumer is refused: ${reasonName(reasonCode)}`))
  }

  #onPublish({
    buffer,
    topicStart,
    topicEnd,
    payloadStart,
    end,
    qos,
    retain,
    dup,
    packetId,
    ...frame
  }: PublishFrame): void {
    const topic = Buffer.from(buffer.subarray(topicStart, topicEnd)).toString()
    const properties = publishProperties(buffer.subarray(frame.propertiesStart, frame.propertiesEnd))
    const bytes = end - topicStart + messageObjectBytes
    this.#output.taken += bytes
    const payload = buffer.subarray(payloadStart, end)
    this.#waiting.push({ message: { topic, payload, qos, retain, dup, properties }, packetId, bytes })
    this.#give()
  }

  /** Not within the core's call: the program may do with the gateway what it likes. */
  #give(): void {
    if (this.#isGiving) return
    this.#isGiving = true
    queueMicrotask(() => {
      this.#isGiving = false
      while (!this.#isOver && this.#inHand < this.#receiveMaximum && this.#waiting.length > 0)
        void this.#hand(this.#waiting.shift()!)
    })
  }

  async #hand({ message, packetId, bytes }: Waiting): Promise<void> {
    this.#inHand++
    let isDone = false
    const done = (): boolean => {
      if (isDone || this.#isOver) return false
      isDone = true
      this.#done(packetId, bytes)
      return true
    }
    const ack = async (): Promise<boolean> => {
      const isOwn = isDone ? !this.#isOver : done()
      if (isOwn) await this.#parts.committer.settled()
      return isOwn
    }
    try {
      await this.#handler({ ...message, ack })
    } catch (error) {
      this.#parts.onError(error)
    }
    if (message.qos === 0) done()
  }

  #done(packetId: number, bytes: number): void {
    this.#inHand--
    this.#output.taken -= bytes
    this.#parts.engine.run(() => {
      const client = this.#client
      // Another may have its session already.
      if (client.ended) return
      if (packetId === 0) client.pump()
      else client.withDurability(() => client.onPuback(packetId, ReasonCode.success, noProperties))
    })
    this.#give()
  }

  async stop(): Promise<void> {
    const client = this.#client
    this.#parts.engine.run(() => {
      if (!client.ended) client.withDurability(() => client.onDisconnect({ reasonCode: 0, properties: noProperties }))
    })
    this.#over()
    await this.#parts.committer.settled().catch(() => {})
  }

  #over(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#waiting.length = 0
    this.#started.reject(new RefusedError(`the consumer has ended: ${this.#reason}`))
    this.#started.promise.catch(() => {})
    this.#onEnd(this.#reason)
  }

  // What the engine does with a byte stream.

  write(): boolean {
    return true
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.#over()
  }

  destroy(): void {
    this.#over()
    this.#connection.onClosed('client')
  }
}

function requestOf(topicFilter: string): SubscriptionRequest {
  return { topicFilter, qos: 1, noLocal: false, retainAsPublished: true, retainHandling: 1 }
}

const nothing = (): void => {}

const ignored: PacketSink = {
  ...{ onConnect: nothing, onConnack: nothing, onPublish: nothing, onPuback: nothing, onPubrec: nothing },
  ...{ onPubrel: nothing, onPubcomp: nothing, onSubscribe: nothing, onSuback: nothing, onUnsubscribe: nothing },
  ...{ onUnsuback: nothing, onPingreq: nothing, onPingresp: nothing, onDisconnect: nothing, onAuth: nothing },
}

/** Nothing comes in as bytes. */
const noDecoder: PacketDecoder = {
  version: 5,
  memoryBytes: 0,
  refusedBytes: null,
  push: nothing,
  pause: nothing,
  resume: nothing,
  close: nothing,
  handTo: nothing,
}

/** What a client would be sent, as packets. */
class LocalOutput extends Output {
  /** Bytes of messages that the program has, or that wait for it. */
  taken = 0
  readonly #bytesMax: number
  readonly #decoder: Decoder

  constructor(stream: ByteStream, engine: Engine, owner: { client: Client }, bytesMax: number, sink: PacketSink) {
    super(stream, engine, owner)
    this.#bytesMax = bytesMax
    this.#decoder = new Decoder(sink, { role: 'client', version: 5, packetBytesMax: Number.POSITIVE_INFINITY })
  }

  override get bytes(): number {
    return this.taken
  }

  override get limit(): number {
    return this.#bytesMax
  }

  override write(frame: Uint8Array, start: number, end: number): void {
    this.#decoder.push(new Uint8Array(frame.subarray(start, end)))
  }

  override writePublish(
    frame: Uint8Array,
    start: number,
    end: number,
    firstByte: number,
    packetIdAt: number,
    packetId: number,
  ): void {
    const at = packetIdAt === 0 ? 0 : packetIdAt - start
    this.#decoder.push(this.copyOfPublish(frame.subarray(start, end), firstByte, at, packetId))
  }

  /** It publishes nothing that could be acknowledged. */
  override writeAck(): void {}

  override writeOut(): void {}

  override count(): void {}
}
