/**
 * aedes' broker: its methods, handlers and events over a gateway that opens no listeners. Streams come from the program (`handle`); each is
 * a connection of the engine like any other, with a `Gate` before it.
 */
import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { composeGateway, type GatewayParts } from '../compose.ts'
import { parseGatewayOptions } from '../config/schema.ts'
import type { Broker } from '../core/broker.ts'
import type { HookAnswer, Hooks, Incoming } from '../core/ports/hooks.ts'
import type { Message } from '../core/publish/message.ts'
import type { PublishOutcome } from '../core/publish/publish.ts'
import type { Session } from '../core/session/session.ts'
import { newMessage } from '../engine/own-message.ts'
import { Gateway } from '../gateway.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import { PacketType } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import { version } from '../observe/version.ts'
import { AedesClient, type AedesStream } from './client.ts'
import { type Deliver, Emitters } from './emitters.ts'
import { Gate } from './gate.ts'
import { defaultHandlers, type Handlers, systemPrefix } from './handlers.ts'
import { type AedesOptions, gatewayOptionsOf, handlersOf, type Limits, limitsOf, shownOptions } from './options.ts'
import {
  type AedesPublishPacket,
  bufferOf,
  bytesOf,
  type IncomingPublishPacket,
  Origin,
  type PublishPacket,
  packetOfMessage,
  type Subscription,
} from './packets.ts'

type Callback = (error?: Error | null) => void

interface MessageEmitter {
  on(topic: string, deliver: Deliver, done?: () => void): void
  removeListener(topic: string, deliver: Deliver, done?: () => void): void
  emit(packet: PublishPacket, done?: Callback): void
}

export class Aedes extends EventEmitter implements Handlers {
  readonly opts: AedesOptions
  readonly id: string
  /** By client id. */
  readonly clients: Record<string, AedesClient> = Object.create(null)
  readonly brokers: Record<string, number> = Object.create(null)
  connectedClients = 0
  closed = true
  readonly queueLimit: number
  readonly maxInflightInbound: number
  readonly connectTimeout: number
  readonly maxTopicLevels: number
  readonly keepaliveLimit: number
  readonly maxClientsIdLength: number
  preConnect: Handlers['preConnect']
  authenticate: Handlers['authenticate']
  authorizePublish: Handlers['authorizePublish']
  authorizeSubscribe: Handlers['authorizeSubscribe']
  authorizeForward: Handlers['authorizeForward']
  published: Handlers['published']
  /** The emitter that aedes has behind its own methods: here, those methods. */
  readonly mq: MessageEmitter = {
    on: (topic, deliver, done) => this.subscribe(topic, deliver, done),
    removeListener: (topic, deliver, done) => this.unsubscribe(topic, deliver, done),
    emit: (packet, done) => this.publish(packet, done),
  }
  /** What of aedes' persistence can be asked of the gateway's own store. */
  readonly persistence = {
    subscriptionsByClient: async ({ id }: { id: string }): Promise<Subscription[]> => {
      const session = this.#parts === null ? undefined : this.core.defaultNamespace.sessions.get(id)
      if (session?.durable !== true) return []
      const is5 = session.version === 5
      return [...session.subscriptions.values()].map(({ filter, qos, retainHandling, retainAsPublished, noLocal }) => ({
        ...{ topic: filter, qos, rh: is5 ? retainHandling : undefined, rap: is5 ? retainAsPublished : undefined },
        nl: is5 ? noLocal : undefined,
      }))
    },
  }
  /** @internal */
  readonly limits: Limits
  /** @internal */
  readonly origin: Origin
  readonly #emitters: Emitters
  #open: Promise<void> | null = null
  #parts: GatewayParts | null = null
  #gateway: Gateway | null = null
  #heartbeat: NodeJS.Timeout | undefined
  /** Streams that came before the store was open, and what else was asked then. */
  #early: (() => void)[] = []

  constructor(options: AedesOptions = {}) {
    super()
    this.opts = options
    this.id = options.id ?? randomUUID()
    this.limits = limitsOf(options)
    this.keepaliveLimit = this.limits.keepaliveLimit
    this.maxClientsIdLength = this.limits.maxClientsIdLength
    const { queueLimit, maxInflightInbound, connectTimeout, maxTopicLevels } = shownOptions(options)
    this.queueLimit = queueLimit
    this.maxInflightInbound = maxInflightInbound
    this.connectTimeout = connectTimeout
    this.maxTopicLevels = maxTopicLevels
    this.origin = new Origin(this.id)
    this.#emitters = new Emitters(this)
    const handlers = handlersOf(options)
    this.preConnect = handlers.preConnect
    this.authenticate = handlers.authenticate
    this.authorizePublish = handlers.authorizePublish
    this.authorizeSubscribe = handlers.authorizeSubscribe
    this.authorizeForward = handlers.authorizeForward
    this.published = handlers.published
  }

  static async createBroker(options: AedesOptions = {}): Promise<Aedes> {
    const broker = new Aedes(options)
    await broker.listen()
    return broker
  }

  /** How many packets were numbered. */
  get counter(): number {
    return this.origin.count
  }

  get version(): string {
    return version
  }

  /** Opens the store; streams may be handed over before. Rejects where it can't be opened. */
  listen(): Promise<void> {
    this.#open ??= this.#begin()
    return this.#open
  }

  /** @internal The same for those who don't wait for it. */
  begin(): this {
    this.listen().catch((error: unknown) => this.emit('error', error))
    return this
  }

  /** Serves a client on a stream of whatever kind. */
  readonly handle = (stream: Duplex, request?: IncomingMessage): AedesClient => {
    const client = new AedesClient(this, stream as AedesStream, request)
    this.#whenOpen(({ engine, config }) => {
      if (!client.closed) new Gate(this, client, engine, config.durability)
    })
    return client
  }

  publish(packet: PublishPacket, client?: AedesClient | null | Callback, done?: Callback): void {
    const callback = (typeof client === 'function' ? client : done) ?? (() => {})
    const from = typeof client === 'function' ? null : (client ?? null)
    let message: Message
    try {
      message = this.messageOf(packet)
    } catch (error) {
      callback(error as Error)
      return
    }
    this.#whenOpen(({ engine, committer }) => {
      const retain = packet.retain ?? false
      const { appended } = committer
      let outcome: PublishOutcome
      try {
        outcome = engine.call(() => this.core.publish(message, retain))
      } catch (error) {
        // It has too many levels, for instance, or the broker is closing.
        callback(error as Error)
        return
      }
      if (outcome === 'quota-exceeded' || outcome === 'malformed-address') {
        callback(new Error(`${packet.topic}: refused`))
        return
      }
      const told = packetOfMessage(message, { qos: message.qos, retain }, this.origin)
      const safe = committer.appended === appended ? Promise.resolve() : committer.settled()
      safe.then(() => this.#notePublished(told, from, callback), callback)
    })
  }

  /** Calls a function for messages of matching topics; retained ones are none of them. */
  subscribe(topic: string, deliver: Deliver, done: Callback = () => {}): void {
    this.#whenOpen(({ engine }) => {
      try {
        this.#emitters.add(engine, topic, deliver)
      } catch (error) {
        done(error as Error)
        return
      }
      setImmediate(done)
    })
  }

  unsubscribe(topic: string, deliver: Deliver, done: () => void = () => {}): void {
    this.#whenOpen(({ engine }) => {
      this.#emitters.remove(engine, topic, deliver)
      setImmediate(done)
    })
  }

  close(callback: () => void = () => {}): void {
    if (this.closed && this.#open === null) {
      callback()
      return
    }
    void this.#close().then(callback)
  }

  /** @internal */
  get core(): Broker {
    return this.#parts!.broker
  }

  /** @internal Whether somebody wants to know of each message that a client publishes. */
  get isCurious(): boolean {
    return this.published !== defaultHandlers.published || this.listenerCount('publish') > 0
  }

  /** @internal An event, when whatever is under way is over. */
  tell(event: string, ...details: unknown[]): void {
    queueMicrotask(() => this.emit(event, ...details))
  }

  /** @internal What happens, as messages of the broker's own. */
  announce(what: string, payload: string): void {
    queueMicrotask(() => {
      if (!this.closed) this.publish({ topic: `${systemPrefix}${this.id}/${what}`, payload })
    })
  }

  /** @internal A handler threw that nobody waits for. */
  failed(handler: string, error: unknown): void {
    this.#parts?.log.error({ err: error, reason: handler }, 'a handler of the program failed: that is a no')
  }

  /** @internal */
  register(client: AedesClient): void {
    this.clients[client.id!] = client
    this.connectedClients++
    this.tell('client', client)
    this.announce('new/clients', client.id!)
  }

  /** @internal */
  unregister(client: AedesClient): void {
    if (this.clients[client.id!] === client) delete this.clients[client.id!]
    this.connectedClients--
    const filters = Object.keys(client.subscriptions)
    if (client.clean && filters.length > 0) this.tell('unsubscribe', filters, client)
    this.tell('clientDisconnect', client)
    this.announce('disconnect/clients', client.id!)
  }

  /** @internal */
  notePublished({ length: _length, ...sent }: IncomingPublishPacket, client: AedesClient | null): void {
    if (!this.isCurious) return
    const packet = { ...sent, ...(client?.id != null && { clientId: client.id }), ...this.origin.next }
    queueMicrotask(() => this.#notePublished(packet, client, (error) => error && client?.fail(error)))
  }

  /** @internal */
  sessionOf({ id }: AedesClient): Session | undefined {
    return this.core.defaultNamespace.sessions.get(id ?? '')
  }

  /** @internal @throws RangeError */
  messageOf({ topic, payload, qos = 0, properties = {} }: PublishPacket): Message {
    if (!isValidTopicName(topic)) throw new RangeError(`not a topic name: ${JSON.stringify(topic)}`)
    const { messageExpiryInterval, topicAlias: _alias, subscriptionIdentifiers: _ids, ...forwarded } = properties
    const publishedAt = this.#parts?.clock.now() ?? 0
    return newMessage({
      name: topic,
      payload: bytesOf(payload).slice(),
      forwardProperties: encodeProperties(PacketType.publish, forwarded),
      qos,
      expiresAt: messageExpiryInterval === undefined ? Infinity : publishedAt + messageExpiryInterval * 1000,
      publishedAt,
    })
  }

  #notePublished(packet: AedesPublishPacket, client: AedesClient | null, callback: Callback): void {
    this.published(packet, client, callback)
    this.emit('publish', packet, client)
  }

  async #begin(): Promise<void> {
    const parts = await composeGateway(parseGatewayOptions(gatewayOptionsOf(this.opts)), {})
    this.#parts = parts
    this.#gateway = new Gateway(parts)
    parts.broker.hook(willHook(this), false)
    parts.clockKeeper?.start()
    await parts.diskWatch?.start()
    this.closed = false
    for (const action of this.#early.splice(0)) action()
    this.announce('birth', this.id)
    this.#heartbeat = setInterval(() => this.announce('heartbeat', this.id), this.limits.heartbeatInterval)
    this.#heartbeat.unref()
  }

  async #close(): Promise<void> {
    await this.#open?.catch(() => {})
    if (this.closed) return
    this.closed = true
    clearInterval(this.#heartbeat)
    this.#emitters.end(this.#parts!.engine)
    const clients = Object.values(this.clients)
    const gone = clients.map((client) => new Promise<void>((resolve) => client.close(resolve)))
    await this.#gateway!.close()
    await Promise.all(gone)
    this.emit('closed')
  }

  #whenOpen(action: (parts: GatewayParts) => void): void {
    const parts = this.#parts
    if (parts !== null) action(parts)
    else this.#early.push(() => action(this.#parts!))
  }
}

/** A will is authorized when it is due. An answer that comes late is still one: it is published then. */
function willHook(aedes: Aedes): Hooks {
  return {
    connected() {},
    sessionEnded() {},
    incoming(session: Session, { message, retain }: Incoming): HookAnswer {
      const client = aedes.clients[session.clientId] ?? null
      const packet = packetOfMessage(message, { qos: message.qos, retain }, aedes.origin)
      let answer: HookAnswer | undefined
      let isLate = false
      try {
        aedes.authorizePublish(client, packet, (error) => {
          answer = error ? ReasonCode.notAuthorized : null
          if (!isLate || error) return
          aedes.publish({ ...packet, payload: bufferOf(packet.payload) }, client)
        })
      } catch (error) {
        aedes.failed('authorizePublish', error)
      }
      isLate = true
      if (answer === null) aedes.notePublished(packet, client)
      return answer === undefined ? ReasonCode.notAuthorized : answer
    },
  }
}
