/**
 * The decoder of a connection that speaks `mqtide.v1.json`: texts in, the core's packets out, as the decoder of MQTT does it.
 *
 * A text that is no JSON object, too long or nested too deep ends the connection, as a malformed packet does. One that is an
 * operation with something wrong in it is answered by an error, and the connection goes on. Who does not begin with `connect`
 * is connected as if it had said so, with nothing to ask for.
 */
import { noBytes, type PublishFrame } from '../mqtt/packet.ts'
import { malformed, ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { decodeUtf8 } from '../mqtt/utf8.ts'
import { publishedText } from './answers.ts'
import { depthOf } from './depth.ts'
import {
  type Operation,
  operationSchemas,
  type PublishOperation,
  type RequestId,
  type RequestOperation,
  requestTimeoutMs,
} from './operations.ts'
import {
  type AwaitedAnswer,
  checkFilter,
  connectByTicket,
  connectPacketOf,
  identifiedBy,
  type JsonSink,
  publishFrameOf,
  RequestFault,
  shapedBy,
  startingAt,
  subscribePacketOf,
} from './packets.ts'
import type { JsonRequests } from './requests.ts'
import { faultOf } from './schema.ts'
import { consumePacketOf, reasonsOf, verdictOf } from './work.ts'

export const operationDepthMax = 32
/** What a text takes in memory besides its characters, about: there may be thousands of two characters in one chunk. */
const textObjectBytes = 64

export interface JsonDecoderOptions {
  /** Longest text, in bytes. */
  messageBytesMax: number
  /** Largest MQTT packet that a message may become. */
  packetBytesMax: number
  /** Topic filters of one operation. */
  filtersMax: number
}

/** What is said without asking the core: it leaves at once. */
export interface JsonReplies {
  reply(text: string): void
  /** Counted and answered: something is wrong with a request. */
  refuse(id: RequestId | null, reasonCode: number, message: string): void
  /** An answer is asked for, and told when it comes. @throws RequestFault where too many wait */
  awaitAnswer(id: RequestId, timeoutMs: number): AwaitedAnswer
  /** The connection is over. */
  end(): void
}

const flowing = 0
const paused = 1
const closed = 2

export class JsonDecoder {
  readonly version = 5
  /** The beginning of the text at which an exception ended decoding. */
  refusedBytes: Uint8Array | null = null
  #sink: JsonSink
  readonly #requests: JsonRequests
  readonly #replies: JsonReplies
  readonly #options: JsonDecoderOptions
  #state: number = flowing
  #running = false
  /** Of a text whose end has not come: what has, in a buffer that grows with it. */
  #partial: Uint8Array = noBytes
  #partialBytes = 0
  /** What came while paused. */
  #texts: string[] = []
  #textsLength = 0
  /** It waits for the connection to be accepted. */
  #next: Operation | null = null
  #connectSent = false

  constructor(sink: JsonSink, requests: JsonRequests, replies: JsonReplies, options: JsonDecoderOptions) {
    this.#sink = sink
    this.#requests = requests
    this.#replies = replies
    this.#options = options
  }

  /** The next packet is for this one; may be called by the sink itself. */
  handTo(sink: JsonSink): void {
    this.#sink = sink
  }

  get memoryBytes(): number {
    return this.#partial.length + this.#textsLength
  }

  /**
   * Hands each whole text to the sink before it returns. The bytes are not kept. Not to be called by the sink.
   *
   * @param ends whether the text ends with them
   * @throws ProtocolError for the peer's fault, or what the sink throws; the decoder is closed then
   */
  push(bytes: Uint8Array, ends: boolean): void {
    if (this.#state === closed) return
    this.#guarded(() => {
      const length = this.#partialBytes + bytes.length
      if (length > this.#options.messageBytesMax) {
        const text = `a message has at most ${this.#options.messageBytesMax} bytes`
        throw new ProtocolError(ReasonCode.packetTooLarge, text)
      }
      if (!ends || this.#partialBytes > 0) this.#append(bytes, length)
      if (ends) this.#take(this.#partialBytes > 0 ? this.#partial : bytes, length)
    })
  }

  #append(bytes: Uint8Array, length: number): void {
    if (length > this.#partial.length) {
      const grown = new Uint8Array(Math.min(2 * length, this.#options.messageBytesMax))
      grown.set(this.#partial.subarray(0, this.#partialBytes))
      this.#partial = grown
    }
    this.#partial.set(bytes, this.#partialBytes)
    this.#partialBytes = length
  }

  #take(bytes: Uint8Array, length: number): void {
    const text = decodeUtf8(bytes, 0, length)
    this.#partial = noBytes
    this.#partialBytes = 0
    if (text === undefined) throw malformed('a message is not UTF-8')
    this.#texts.push(text)
    this.#textsLength += text.length + textObjectBytes
    if (!this.#running) this.#run()
  }

  pause(): void {
    if (this.#state === flowing) this.#state = paused
  }

  resume(): void {
    if (this.#state !== paused) return
    this.#state = flowing
    if (!this.#running) this.#guarded(() => this.#run())
  }

  close(): void {
    this.#state = closed
    this.#partial = noBytes
    this.#partialBytes = 0
    this.#texts = []
    this.#textsLength = 0
    this.#next = null
    this.#replies.end()
  }

  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.close()
      throw error
    }
  }

  #run(): void {
    this.#running = true
    try {
      while (this.#state === flowing) {
        this.#next ??= this.#read()
        if (this.#next === null) return
        if (!this.#connectSent && this.#next.op !== 'connect') {
          // It may take a while until the answer is there; the operation waits for it.
          this.#begin()
          continue
        }
        const operation = this.#next
        this.#next = null
        this.#perform(operation)
      }
    } finally {
      this.#running = false
    }
  }

  /** The next operation that can be understood; null: no more has come. */
  #read(): Operation | null {
    for (let text = this.#texts.shift(); text !== undefined; text = this.#texts.shift()) {
      this.#textsLength -= text.length + textObjectBytes
      const value = parsed(text)
      const op = Object.hasOwn(value, 'op') ? value['op'] : undefined
      const schema = typeof op === 'string' ? operationSchemas.get(op) : undefined
      const fault = schema === undefined ? 'op is none of those there are' : faultOf(schema, value)
      if (fault === undefined) return value as unknown as Operation
      // Whoever is misunderstood here would go on as somebody else.
      if (op === 'connect') this.#refuseConnect(idOf(value['id']), fault)
      // A stranger gets no answers: he has to be a client first, as with an operation that is understood.
      if (!this.#connectSent) {
        this.#texts.unshift(text)
        this.#textsLength += text.length + textObjectBytes
        this.#begin()
        if (this.#state !== flowing) return null
        continue
      }
      this.#replies.refuse(idOf(value['id']), ReasonCode.protocolError, fault)
    }
    return null
  }

  #begin(): void {
    this.#connectSent = true
    this.#sink.onConnect(connectPacketOf(connectByTicket({ op: 'connect' }, this.#sink.peer.ticket)))
  }

  #perform(operation: Operation): void {
    try {
      this.#dispatch(operation)
    } catch (error) {
      if (!(error instanceof RequestFault)) throw error
      const id = 'id' in operation ? idOf(operation.id) : null
      if (operation.op === 'connect') this.#refuseConnect(id, error.message)
      this.#replies.refuse(id, error.reasonCode, error.message)
    }
  }

  #refuseConnect(id: RequestId | null, fault: string): never {
    if (!this.#connectSent) this.#requests.connectId = id
    throw new ProtocolError(ReasonCode.protocolError, fault)
  }

  #dispatch(operation: Operation): void {
    const sink = this.#sink
    switch (operation.op) {
      case 'connect': {
        if (this.#connectSent) throw new ProtocolError(ReasonCode.protocolError, 'connect comes first, and once')
        const packet = connectPacketOf(connectByTicket(operation, sink.peer.ticket))
        this.#connectSent = true
        this.#requests.connectAsked = true
        this.#requests.connectId = operation.id ?? null
        sink.payloadForm = operation.payload ?? 'utf8'
        if (operation.token !== undefined) sink.peer = { ...sink.peer, bearer: operation.token }
        sink.onConnect(packet)
        return
      }
      case 'subscribe': {
        const { filters } = operation
        this.#checkFilters(filters)
        const userProperties = [...shapedBy(operation), ...startingAt(operation)]
        const properties = { ...identifiedBy(operation), ...(userProperties.length > 0 && { userProperties }) }
        const packet = subscribePacketOf(filters, properties)
        sink.onSubscribe({ ...packet, packetId: this.#requests.begin(operation.id) })
        return
      }
      case 'unsubscribe': {
        const { filters: topicFilters } = operation
        this.#checkFilters(topicFilters)
        for (const filter of topicFilters) checkFilter(filter)
        sink.onUnsubscribe({ packetId: this.#requests.begin(operation.id), topicFilters, properties: {} })
        return
      }
      case 'publish': {
        const { id, qos = 0 } = operation
        const frame = this.#frameOf(operation, () => this.#requests.begin(id))
        if (qos === 0) this.#publishQos0(frame, id)
        else this.#guardedPublish(frame)
        return
      }
      case 'ack':
        sink.onAck(operation.packet, operation.reason ?? 0, reasonsOf(operation))
        return
      case 'consume':
        sink.onSubscribe({
          ...consumePacketOf(operation),
          packetId: this.#requests.begin(operation.id, 'consuming'),
        })
        return
      case 'settle':
        this.#guardedPublish(this.#frameOf(verdictOf(operation), () => this.#requests.begin(operation.id, 'settled')))
        return
      case 'request':
        this.#request(operation)
        return
      case 'ping':
        this.#requests.pings.push(operation.id ?? null)
        sink.onPingreq()
        return
      case 'disconnect':
        sink.onDisconnect({ reasonCode: operation.sendWill === true ? 0x04 : 0, properties: {} })
        return
      default:
        operation satisfies never
    }
  }

  #frameOf(operation: PublishOperation, newPacketId: () => number): PublishFrame {
    return publishFrameOf(operation, this.#options.packetBytesMax, newPacketId)
  }

  /** Answered by what comes back, and by its acknowledgement only where that says no. */
  #request({ op: _, id, timeoutMs = requestTimeoutMs, ...message }: RequestOperation): void {
    const { giveUp, responseTopic, correlationData } = this.#replies.awaitAnswer(id, timeoutMs)
    const own = { responseTopic, correlationData: Buffer.from(correlationData).toString('base64') }
    const properties = { ...message.properties, ...own }
    try {
      const asked = { ...message, op: 'publish', properties } as const
      const frame = this.#frameOf(asked, () => this.#requests.begin(id, null))
      const reasonCode = frame.qos === 0 ? this.#publish(frame) : this.#guardedPublish(frame)
      if (reasonCode === ReasonCode.success) return
      giveUp()
      // What was refused at QoS 1 is said by its acknowledgement.
      if (reasonCode < 0x80) this.#replies.refuse(id, reasonCode, 'nobody is subscribed to this topic')
      else if (frame.qos === 0) this.#replies.refuse(id, reasonCode, refusalOf(reasonCode))
    } catch (error) {
      giveUp()
      throw error
    }
  }

  #checkFilters({ length }: { length: number }): void {
    const { filtersMax } = this.#options
    if (length > filtersMax) throw new RequestFault(ReasonCode.quotaExceeded, `at most ${filtersMax} filters at once`)
  }

  /** MQTT does not answer it; here whoever gave an id is told. */
  #publishQos0(frame: PublishFrame, id: RequestId | undefined): void {
    const reasonCode = this.#publish(frame)
    if (reasonCode >= 0x80) this.#replies.refuse(id ?? null, reasonCode, refusalOf(reasonCode))
    else if (id !== undefined) this.#replies.reply(publishedText(id, reasonCode === ReasonCode.success))
  }

  #guardedPublish(frame: PublishFrame): number {
    try {
      return this.#publish(frame)
    } catch (error) {
      if (error instanceof RequestFault) this.#requests.end(frame.packetId)
      throw error
    }
  }

  /** What the core finds wrong with a message before it does anything with it is no reason to end the connection. */
  #publish(frame: PublishFrame): number {
    try {
      return this.#sink.onPublish(frame)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      throw new RequestFault(error.reasonCode, error.message)
    }
  }
}

function refusalOf(reasonCode: number): string {
  return reasonCode === ReasonCode.notAuthorized ? 'not authorized' : 'refused: there is no room, or it came too fast'
}

/** @throws ProtocolError for what is no JSON object */
function parsed(text: string): Record<string, unknown> {
  if (depthOf(text) > operationDepthMax) throw malformed(`a message nests deeper than ${operationDepthMax} levels`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed('a message is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('a message is no object')
  return value as Record<string, unknown>
}

function idOf(id: unknown): RequestId | null {
  if (typeof id === 'string') return id.length <= 100 ? id : null
  return Number.isSafeInteger(id) ? (id as number) : null
}
