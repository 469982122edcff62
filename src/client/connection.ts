/**
 * A program's connection to the gateway, over as many WebSockets as it takes.
 *
 * It stands until `close()`: when a WebSocket ends, the next is opened after a wait (back-off.ts), with the same client id, so
 * that the gateway resumes the session and sends what was missed at QoS 1. Subscriptions (subscriptions.ts) and what is to be
 * published (outbox.ts) belong to the connection, not to a WebSocket (link.ts).
 */
import { BackOff, type BackOffLimits } from './back-off.ts'
import { type ConsumeOptions, Consumer, type JobHandler } from './consumer.ts'
import { MqtideError } from './errors.ts'
import { Link, type LinkOptions, type SocketConstructor } from './link.ts'
import { madeUp } from './made-up.ts'
import { Message } from './message.ts'
import { Outbox, type OutboxLimits } from './outbox.ts'
import { onPageReturns } from './page-events.ts'
import { Requests } from './requests.ts'
import { type StreamCallback, type StreamOptions, StreamReader } from './stream-reader.ts'
import { type MessageCallback, type SubscribeOptions, Subscription } from './subscription.ts'
import { Subscriptions } from './subscriptions.ts'
import {
  type ConnectedFrame,
  type ConnectFrame,
  encodePayload,
  type Incoming,
  type MessageProperties,
  type Qos,
  socketUrl,
} from './wire.ts'

export type State =
  /** A WebSocket is being opened. */
  | 'connecting'
  | 'connected'
  /** The last attempt failed or the connection broke; the next attempt follows by itself. */
  | 'waiting'
  /** For good: `close()` was called, or the gateway refuses what would be the same the next time. */
  | 'closed'

export interface Events {
  state: (state: State, details: { resumed?: boolean; retryInMs?: number; error?: MqtideError }) => void
  error: (error: MqtideError) => void
}

type Secret = string | undefined

export interface ConnectOptions {
  /** A token, or what fetches one: asked before each attempt, so that it never runs out. */
  token?: string | (() => Secret | Promise<Secret>)
  /** In place of credentials: fetches a ticket of the gateway's, before each attempt. Where it gives none, there are no credentials. */
  ticket?: () => Secret | Promise<Secret>
  username?: string
  password?: string
  /** Under which the gateway keeps the session. Made up if not given; two programs must not share one. */
  clientId?: string
  /** How long the gateway keeps what is missed at QoS 1 while this program is away. 300 */
  sessionExpirySeconds?: number
  /** Messages at QoS 1 that the gateway sends ahead of their acknowledgement. 100 */
  inflightMessagesMax?: number
  backOff?: Partial<BackOffLimits>
  outbox?: Partial<OutboxLimits>
  /** From the opening of a WebSocket to the gateway's answer. 10,000 */
  connectTimeoutMs?: number
  /** How often the gateway is asked whether it is there. 30,000 */
  pingMs?: number
  /** How long its answer may take. 10,000 */
  answerMs?: number
  /** In place of the global one. */
  WebSocket?: SocketConstructor
}

export interface PublishOptions {
  /** 1: the promise resolves when the gateway has the message safely. 0: when it was handed to the network. 1 */
  qos?: Qos
  /** Keep it for subscribers that come later. */
  retain?: boolean
  /** Those of MQTT 5.0: content type, expiry, user properties. */
  properties?: MessageProperties
}

export interface RequestOptions extends PublishOptions {
  /** 10,000 */
  timeoutMs?: number
}

/** Publications at QoS 1 under way, ahead of their acknowledgement. */
const windowMax = 100
const outboxLimits = { messagesMax: 1000, bytesMax: 4 * 1024 * 1024, messageBytesMax: 256 * 1024 }
/** Timers of a tab in the background come once a minute: a gateway that hears nothing for less must not give it up. */
const keepAliveMinSeconds = 120

export class Connection {
  readonly clientId: string
  readonly #options: ConnectOptions
  readonly #link: LinkOptions
  readonly #backOff: BackOff
  readonly #outbox: Outbox
  readonly #subscriptions: Subscriptions
  readonly #requests: Requests
  /** Consumers of queues and readers of streams, which have connections of their own. */
  readonly #others = new Set<Consumer | StreamReader>()
  readonly #listeners: { [Name in keyof Events]: Set<Events[Name]> } = { state: new Set(), error: new Set() }
  readonly #stopLooking: () => void
  #state: State = 'connecting'
  #error: MqtideError | undefined
  #current: Link | undefined
  #retry: ReturnType<typeof setTimeout> | undefined
  #lastId = 0
  /** Counts attempts, so that a token that comes late is not used for a later one. */
  #attempt = 0

  /** @internal */
  constructor(url: string | URL | undefined, options: ConnectOptions) {
    this.#options = options
    this.clientId = options.clientId ?? `web-${madeUp()}`
    this.#link = {
      url: socketUrl(url),
      WebSocket: options.WebSocket ?? (globalThis as { WebSocket?: SocketConstructor }).WebSocket!,
      connectTimeoutMs: options.connectTimeoutMs ?? 10_000,
      pingMs: options.pingMs ?? 30_000,
      answerMs: options.answerMs ?? 10_000,
    }
    const nextId = () => ++this.#lastId
    this.#backOff = new BackOff({ firstMs: 1000, mostMs: 30_000, ...options.backOff })
    this.#outbox = new Outbox({ ...outboxLimits, ...options.outbox }, nextId)
    this.#subscriptions = new Subscriptions(nextId, (error) => this.#emit('error', error))
    this.#requests = new Requests(this)
    this.#stopLooking = onPageReturns(() => this.#look())
    this.#connect()
  }

  get state(): State {
    return this.#state
  }

  /** Why it is not connected, as far as that is known. */
  get error(): MqtideError | undefined {
    return this.#error
  }

  /** Messages that are not yet sent (QoS 0) or acknowledged (QoS 1). */
  get outboxSize(): number {
    return this.#outbox.size
  }

  /** Returns how to stop listening. */
  on<Name extends keyof Events>(name: Name, listener: Events[Name]): () => void {
    this.#listeners[name].add(listener)
    return () => void this.#listeners[name].delete(listener)
  }

  /** Resolves when it is connected, now or later; rejects when it is closed before. */
  connected(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.#state === 'connected') resolve()
        else if (this.#state === 'closed') reject(this.#error)
        else return
        stop()
      }
      const stop = this.on('state', look)
      look()
    })
  }

  /** Messages go to the callback, or without one to whoever iterates: `for await (const message of subscribe('a/#'))`. */
  subscribe(filter: string, callback: MessageCallback, options?: SubscribeOptions): Subscription
  subscribe(filter: string, options?: SubscribeOptions): Subscription
  subscribe(filter: string, first?: MessageCallback | SubscribeOptions, second?: SubscribeOptions): Subscription {
    const callback = typeof first === 'function' ? first : undefined
    const options = (typeof first === 'function' ? second : first) ?? {}
    const subscription = new Subscription(filter, options, callback, (ended) => this.#subscriptions.remove(ended))
    if (this.#state === 'closed') subscription.end(this.#error!)
    else this.#subscriptions.add(subscription)
    return subscription
  }

  /**
   * A text and bytes go as they are, anything else as JSON. While there is no connection it waits in the outbox; rejects with
   * `outbox-full` where that is full, and with `refused` where the gateway says no.
   */
  async publish(topic: string, payload: unknown, options: PublishOptions = {}): Promise<void> {
    await this.publishWith(topic, payload, options, {})
  }

  /** @internal */
  async publishWith(
    topic: string,
    payload: unknown,
    { qos = 1, retain = false, properties }: PublishOptions,
    own: MessageProperties,
  ): Promise<void> {
    if (this.#state === 'closed') throw this.#error!
    await this.#outbox.add({
      op: 'publish',
      topic,
      qos,
      ...encodePayload(payload),
      ...(retain ? { retain } : {}),
      ...(properties || Object.keys(own).length > 0 ? { properties: { ...properties, ...own } } : {}),
    })
  }

  /** Publishes with a response topic of our own and resolves with the first answer. */
  request(topic: string, payload: unknown, options: RequestOptions = {}): Promise<Message> {
    return this.#requests.request(topic, payload, options)
  }

  /** Answers a request: publishes to where its sender wants it. */
  async respond(request: Message, payload: unknown, options: PublishOptions = {}): Promise<void> {
    const { responseTopic, correlationData } = request.properties
    if (responseTopic === undefined) throw new TypeError(`the message on ${request.topic} asks for no answer`)
    await this.publishWith(responseTopic, payload, options, correlationData === undefined ? {} : { correlationData })
  }

  /**
   * Works on a queue: the handler's job is done when it returns or its promise resolves, and failed when it throws or rejects (see
   * JobError). Over a connection of its own.
   */
  consume(queue: string, handler: JobHandler, { prefetch = 1 }: ConsumeOptions = {}): Consumer {
    return this.#beside(queue, { inflightMessagesMax: prefetch }, (own) => new Consumer(own, queue, handler))
  }

  /**
   * Reads a stream from a place on, each message once and in order, also over lost connections: to the callback, or without one to whoever
   * iterates. Over a connection of its own.
   */
  stream(stream: string, options?: StreamOptions, callback?: StreamCallback): StreamReader {
    return this.#beside(stream, {}, (own) => new StreamReader(own, stream, options ?? {}, callback))
  }

  /** Something of this program's that stands over a connection of its own, until that or this one is closed. */
  #beside<Other extends Consumer | StreamReader>(
    name: string,
    options: ConnectOptions,
    begin: (own: Connection) => Other,
  ): Other {
    const clientId = `${this.clientId}-${name}-${madeUp().slice(0, 8)}`
    const own = new Connection(this.#link.url, { ...this.#options, clientId, ...options })
    own.on('error', (error) => this.#emit('error', error))
    const other = begin(own)
    own.on('state', (state) => state === 'closed' && this.#others.delete(other))
    this.#others.add(other)
    if (this.#state === 'closed') void other.close()
    return other
  }

  /**
   * Ends it for good, with its subscriptions at the gateway. If it is connected, what waits in the outbox has `flushMs` to be
   * acknowledged; what has not left then is rejected. Consumers end their jobs first.
   */
  async close({ flushMs = 1000 }: { flushMs?: number } = {}): Promise<void> {
    await Promise.all([...this.#others].map((other) => other.close()))
    if (flushMs > 0 && this.#state === 'connected' && this.#outbox.size > 0) await this.#outbox.flushed(flushMs)
    this.#finish(new MqtideError('closed', 'the connection was closed by close()'))
  }

  #connect(): void {
    this.#setState('connecting', {})
    const attempt = ++this.#attempt
    Promise.all([this.#connectFrame(), this.#ticketUrl()]).then(
      ([frame, url]) => {
        if (attempt === this.#attempt && this.#state === 'connecting') this.#open(frame, url)
      },
      (cause: unknown) => {
        const error = new MqtideError('unreachable', `no token or ticket: ${String(cause)}`, { cause })
        if (attempt === this.#attempt && this.#state === 'connecting') this.#wait(error)
      },
    )
  }

  async #connectFrame(): Promise<ConnectFrame> {
    const { token: given, username, password, sessionExpirySeconds = 300, inflightMessagesMax = 100 } = this.#options
    const token = typeof given === 'function' ? await given() : given
    return {
      op: 'connect',
      id: ++this.#lastId,
      clientId: this.clientId,
      clean: false,
      sessionExpirySeconds,
      keepAliveSeconds: Math.max(keepAliveMinSeconds, Math.ceil((this.#link.pingMs * 4) / 1000)),
      inflightMessagesMax,
      ...(token === undefined ? {} : { token }),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
    }
  }

  /** For one attempt: a ticket is used up by it. */
  async #ticketUrl(): Promise<string> {
    const ticket = await this.#options.ticket?.()
    const url = new URL(this.#link.url)
    if (ticket !== undefined) url.searchParams.set('ticket', ticket)
    return url.href
  }

  #open(frame: ConnectFrame, url: string): void {
    let link: Link | undefined
    try {
      link = this.#current = new Link(
        frame,
        { ...this.#link, url },
        {
          onConnected: (connected) => this.#onConnected(connected),
          onFrame: (incoming) => this.#onFrame(link!, incoming),
          onEnd: (error) => this.#onEnd(error),
        },
      )
    } catch (cause) {
      // A URL that the browser forbids, such as ws: from a page over https:, or no WebSocket at all: never better.
      this.#finish(new MqtideError('refused', `no WebSocket to ${this.#link.url}: ${String(cause)}`, { cause }))
    }
  }

  #onConnected({ sessionPresent }: ConnectedFrame): void {
    const link = this.#current!
    this.#backOff.onConnected(Date.now())
    this.#error = undefined
    // Before anybody is told, so that what a listener subscribes is asked for once.
    this.#subscriptions.onConnected(link, sessionPresent)
    this.#outbox.onConnected(link, windowMax)
    this.#setState('connected', { resumed: sessionPresent })
  }

  #onFrame(link: Link, frame: Incoming): void {
    if (frame.op === 'message') {
      const handled = this.#subscriptions.onMessage(new Message(frame))
      if (frame.packet === undefined) return
      const { packet } = frame
      // Over its own WebSocket: the next one's packets have numbers of their own, and a message not acknowledged comes again.
      if (handled) void handled.then(() => link.send({ op: 'ack', packet }))
      else link.send({ op: 'ack', packet })
    } else if (frame.op === 'published') this.#outbox.onAnswer(frame.id, frame.reason)
    else if (frame.op === 'subscribed') this.#subscriptions.onGranted(frame.id, frame.granted)
    else if (frame.op === 'unsubscribed') this.#subscriptions.onUnsubscribed(frame.id)
    else if (frame.op === 'error' && frame.id !== null) {
      const { id, reason, message } = frame
      if (!this.#outbox.onAnswer(id, reason, message)) this.#subscriptions.onRefused(id, reason, message)
    }
  }

  #onEnd(error: MqtideError): void {
    if (error.reason === 0x95) this.#outbox.onTooLong(error)
    this.#detach()
    // With a function for tokens or tickets the next one may do.
    const { token, ticket } = this.#options
    const renewable = typeof (ticket ?? token) === 'function' && (error.reason === 0x86 || error.reason === 0x87)
    if (error.code === 'refused' && !renewable) this.#finish(error)
    else this.#wait(error)
  }

  #wait(error: MqtideError): void {
    this.#error = error
    const retryInMs = this.#backOff.next(Date.now())
    this.#retry = setTimeout(() => this.#connect(), retryInMs)
    this.#setState('waiting', { error, retryInMs })
  }

  /** Something happened to the page or the machine: what stands is doubted, what waits is tried. */
  #look(): void {
    if (this.#state === 'connected') this.#current?.probe()
    else if (this.#state === 'waiting') {
      clearTimeout(this.#retry)
      this.#connect()
    }
  }

  #finish(error: MqtideError): void {
    if (this.#state === 'closed') return
    clearTimeout(this.#retry)
    this.#stopLooking()
    const wasConnected = this.#state === 'connected'
    this.#error = error
    this.#state = 'closed'
    // While it can be said: the session stays for its time, and shall gather nothing.
    this.#subscriptions.close(error)
    if (wasConnected) this.#current?.send({ op: 'disconnect' })
    this.#current?.close()
    this.#detach()
    this.#outbox.close(error)
    for (const listener of [...this.#listeners.state]) listener('closed', { error })
    if (error.code !== 'closed') this.#emit('error', error)
  }

  #detach(): void {
    this.#current = undefined
    this.#subscriptions.onDisconnected()
    this.#outbox.onDisconnected()
  }

  #setState(state: State, details: Parameters<Events['state']>[1]): void {
    if (state === this.#state) return
    this.#state = state
    for (const listener of [...this.#listeners.state]) listener(state, details)
  }

  #emit(name: 'error', error: MqtideError): void {
    for (const listener of [...this.#listeners[name]]) listener(error)
  }
}
