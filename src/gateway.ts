/**
 * The library's public face: a gateway that listens, publishes, subscribes and closes. `compose.ts` puts it together.
 */

import type { ApiRole } from './auth/api-tokens.ts'
import type { Grant } from './auth/authenticator.ts'
import { guardedGrant } from './auth/guarded-grant.ts'
import type { BridgeView } from './bridges/view.ts'
import { composeGateway, type GatewayParts } from './compose.ts'
import { allMetrics } from './compose-declared.ts'
import { Reload } from './compose-reload.ts'
import { SysTopics } from './compose-sys.ts'
import type { ListenerKind } from './config/listeners.ts'
import { type GatewayConfig, type GatewayOptions, type LogLevel, parseGatewayOptions } from './config/schema.ts'
import type { Broker } from './core/broker.ts'
import { defaultNamespaceName, type Namespace } from './core/namespace.ts'
import {
  type ConsumedMessage,
  type ConsumeFilterOptions,
  checkedOptions,
  LocalConsumer,
  type MessageConsumer,
} from './engine/local-consumer.ts'
import { type Job, type JobConsumer, type JobVerdict, Queue } from './engine/local-queue.ts'
import { LocalSubscription, type ReceivedMessage } from './engine/local-subscription.ts'
import { publishAndSettle } from './engine/own-bundle.ts'
import { type OwnMessage, publishOwn } from './engine/own-message.ts'
import type { Address } from './listeners/listener.ts'
import type { ListenerChanges } from './listeners/listener-set.ts'
import type { Properties, Qos } from './mqtt/packet.ts'
import { ReasonCode } from './mqtt/reason-code.ts'
import { isValidTopicName } from './mqtt/topic.ts'
import { StoreError } from './store/store.ts'
import type { GatewayWorld } from './world.ts'

export type { ApiRole } from './auth/api-tokens.ts'
export type {
  AuthenticationExchange,
  AuthenticationGrant,
  AuthenticationMethod,
  AuthenticationRequest,
  AuthenticationResult,
  AuthenticationStep,
  Authenticator,
  ClientLimits,
  Grant,
} from './auth/authenticator.ts'
export type { BridgeView } from './bridges/view.ts'
export { ConfigError } from './config/config-error.ts'
export type { GatewayConfig, GatewayOptions } from './config/schema.ts'
export { BundleRefusedError } from './engine/bundle-refused-error.ts'
export type {
  ConnectedClient,
  DeliveredMessage,
  DroppedMessages,
  EndedSession,
  GatewayHooks,
  HookClient,
  PublishAnswer,
  PublishedMessage,
} from './engine/hooks.ts'
export type { ConsumedMessage, ConsumeFilterOptions, MessageConsumer } from './engine/local-consumer.ts'
export {
  type ConsumeOptions,
  Job,
  type JobVerdict,
  type NewJob,
  Queue,
  type QueueWorker,
  Reject,
} from './engine/local-queue.ts'
export type { ReceivedMessage } from './engine/local-subscription.ts'
export { type Address, ListenError } from './listeners/listener.ts'
export type { ListenerChanges } from './listeners/listener-set.ts'
export type { Properties, Qos } from './mqtt/packet.ts'
export { ReasonCode } from './mqtt/reason-code.ts'
export type { GatewayWorld, ReloadOutcome } from './world.ts'
export { StoreError }

export interface OutgoingMessage {
  topic: string
  /** Text is sent as UTF-8. */
  payload?: string | Uint8Array
  qos?: Qos
  retain?: boolean
  /** MQTT 5.0 properties of a PUBLISH; Message Expiry Interval is in seconds. */
  properties?: Properties
  /** Absent: the default one. */
  namespace?: string
}

export interface ListenerAddress extends Address {
  name: string
  kind: ListenerKind
}

/** Nothing is changed any more. */
export class ClosingError extends Error {
  override name = 'ClosingError'
  override message = 'the gateway is closing'
}

export class Gateway {
  readonly config: GatewayConfig
  readonly broker: Broker
  /** Where the first listener for MQTT over TCP is bound, and the first one for HTTP or WebSocket. */
  addresses: { mqtt?: Address; http?: Address } = {}
  /** Rejects when nothing can be made safe any more: the gateway has stopped acknowledging and must be ended. */
  readonly failed: Promise<never>
  readonly #parts: GatewayParts
  readonly #subscriptions = new Set<LocalSubscription>()
  readonly #sysTopics: SysTopics
  readonly #reload: Reload
  readonly #queueConsumers = new Set<JobConsumer>()
  #stopHistory: (() => void) | undefined
  #closed: Promise<void> | undefined
  #reloading: Promise<unknown> = Promise.resolve()

  /** @internal */
  constructor(parts: GatewayParts) {
    this.#parts = parts
    this.config = parts.config
    this.broker = parts.broker
    this.failed = parts.failure.happened
    this.#sysTopics = new SysTopics(parts)
    this.#reload = new Reload({ ...parts, sysTopics: this.#sysTopics })
  }

  /** Binds the listeners. Rejects with a ListenError when a port can't be had. */
  async listen(): Promise<void> {
    const { listeners, health, diskWatch } = this.#parts
    await listeners.set.bind()
    this.#noteAddresses()
    health.listeners = 'ok'
    this.#parts.clockKeeper?.start()
    this.#sysTopics.start()
    this.#parts.bridges.set.start()
    this.#stopHistory = this.#parts.history.start(Date.now)
    await diskWatch?.start()
  }

  #noteAddresses(): void {
    this.addresses = {}
    for (const { kind, host, port } of this.listeners) {
      if (kind !== 'unix') this.addresses[kind === 'tcp' || kind === 'tls' ? 'mqtt' : 'http'] ??= { host, port }
    }
  }

  /** The listeners that are bound, in the order of the configuration. */
  get listeners(): readonly ListenerAddress[] {
    return this.#parts.listeners.set.all.flatMap(({ settings: { name, kind }, address }) =>
      address === undefined ? [] : [{ name, kind, ...address }],
    )
  }

  /**
   * Publishes a message of the program's own. Resolves when it is as safe as a client's would be at its acknowledgement, with whether
   * anybody is to get it, rejects where a client would be refused, and with a RangeError for a topic that is no topic name or a namespace that is not configured.
   */
  async publish(outgoing: OutgoingMessage): Promise<boolean> {
    const outcome = await publishOwn(this.#parts, this.#own(outgoing))
    if (outcome === 'quota-exceeded')
      throw new Error(`${outgoing.topic}: refused, a queue or the store has no room (0x97)`)
    return outcome === 'delivered'
  }

  /**
   * Publishes messages and settles jobs together: all of it in one commit, or nothing. Resolves when that is done; rejects with a
   * `BundleRefusedError` that names the first which could not be taken.
   */
  async publishAll(
    messages: readonly OutgoingMessage[],
    { settle = [] }: { settle?: readonly (Job | JobVerdict)[] } = {},
  ): Promise<void> {
    await publishAndSettle(
      this.#parts,
      messages.map((one) => this.#own(one)),
      settle,
    )
  }

  /** @throws RangeError */
  #own({
    topic,
    payload = '',
    qos = 0,
    retain = false,
    properties = {},
    namespace: name,
  }: OutgoingMessage): OwnMessage {
    const namespace = this.#namespace(name)
    if (!isValidTopicName(topic)) throw new RangeError(`not a topic name: ${JSON.stringify(topic)}`)
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload.slice()
    return { topic, payload: bytes, qos, retain, properties, namespace }
  }

  /** Messages of matching topics, retained ones first, until the loop is left or the gateway closes. */
  subscribe(
    filter: string | readonly string[],
    { namespace: name }: { namespace?: string } = {},
  ): AsyncIterableIterator<ReceivedMessage> {
    const namespace = this.#namespace(name)
    const filters = typeof filter === 'string' ? [filter] : filter
    const subscription = this.#parts.engine.call(
      () => new LocalSubscription(this.#parts.engine, filters, (one) => this.#subscriptions.delete(one), namespace),
    )
    this.#subscriptions.add(subscription)
    return subscription
  }

  /**
   * Has a function take messages of matching topics, with a session that waits for the program while it is away. A message is done when the
   * function has called its `ack`; until then it is this consumer's, and comes again when it is started anew. Resolves when the
   * subscriptions are in force. Rejects with a RangeError for options that can't be, and where a client would be refused.
   */
  async consume(
    filter: string | readonly string[],
    options: ConsumeFilterOptions,
    handler: (message: ConsumedMessage) => unknown,
  ): Promise<MessageConsumer> {
    const { engine, committer, config, onHandlerError } = this.#parts
    const namespace = this.#namespace(options.namespace)
    const filters = typeof filter === 'string' ? [filter] : filter
    if (filters.length === 0) throw new RangeError('a consumer needs a topic filter')
    const checked = checkedOptions(options)
    const parts = { engine, committer, durability: config.durability, onError: onHandlerError }
    return await engine.call(() => new LocalConsumer(parts, namespace, filters, checked, handler)).started()
  }

  /** Bridges to other brokers, with their state and what waits for them. */
  get bridges(): BridgeView[] {
    return this.#parts.bridges.views()
  }

  /** A queue of the configuration, or one of dead letters. @throws RangeError where there is none of that name */
  queue(name: string, { namespace }: { namespace?: string } = {}): Queue {
    const queue = { namespace: this.#namespace(namespace).name, name }
    if (this.#parts.queues.state(queue)?.declared !== true) throw new RangeError(`no queue is called ${name}`)
    return new Queue(queue, this.#parts, this.#queueConsumers)
  }

  /** Ends a client's connection with a reason. Returns whether it was connected. */
  disconnectClient(
    clientId: string,
    {
      reasonCode = ReasonCode.administrativeAction,
      namespace,
      ...details
    }: { reasonCode?: number; reasonString?: string; serverReference?: string; namespace?: string } = {},
  ): boolean {
    const client = this.#namespace(namespace).sessions.get(clientId)?.client ?? null
    if (client === null) return false
    this.#parts.engine.run(() => client.disconnect(reasonCode, details))
    return true
  }

  /**
   * Gives a client another grant (null: it may do everything), also for what is subscribed and waits already. Returns whether it
   * was connected.
   */
  regrant(clientId: string, grant: Grant | null, { namespace }: { namespace?: string } = {}): boolean {
    const client = this.#namespace(namespace).sessions.get(clientId)?.client ?? null
    if (client === null) return false
    const guarded = grant === null ? null : guardedGrant(grant, this.#parts.onRuleError)
    this.#parts.engine.run(() => client.regrant(guarded))
    return true
  }

  /** To be called when the grants that a principal's clients were given answer otherwise than before. */
  grantsChanged(principal: string): void {
    this.#parts.engine.run(() => this.broker.grantsChanged(principal))
  }

  /**
   * Puts the users and rules of a configuration in force, with what their files hold now: for live connections, their
   * subscriptions and what waits for them at once. Whoever is no longer let in is disconnected.
   *
   * @throws AccessFileError where a file has a fault; nothing has changed then
   */
  reloadAccess(config: GatewayConfig): void {
    this.#reload.access(config)
  }

  /**
   * Puts the listeners, users and rules of another configuration in force, all or nothing. Listeners that it says nothing new of are not
   * touched; the clients of one that is gone, or elsewhere, are disconnected.
   *
   * @param options all of them, as `createGateway` takes them; what only a start can change stays as it is
   * @throws ConfigError, AccessFileError for users and rules and ListenError for addresses that can't be used, ClosingError; nothing has changed then
   */
  reload(options: GatewayOptions): Promise<ListenerChanges> {
    const reloaded = this.#reloading.then(() => this.#putInForce(parseGatewayOptions(options)))
    this.#reloading = reloaded.catch(() => {})
    return reloaded
  }

  async #putInForce(config: GatewayConfig): Promise<ListenerChanges> {
    // What is opened now would never be closed.
    if (this.#closed !== undefined) throw new ClosingError()
    const changes = await this.#reload.all(config)
    this.#noteAddresses()
    return changes
  }

  /** Puts the limits of a configuration in force that need no restart: at once, also for those that are connected. */
  reloadLimits(config: GatewayConfig): void {
    this.#reload.limits(config)
  }

  /** Looks whether files of certificates have changed, at once instead of within ten seconds. Connections stay. */
  reloadCertificates(): void {
    this.#reload.certificates()
  }

  /** Every counter and gauge by its name in /metrics. */
  metrics(): Record<string, number> {
    return allMetrics({ ...this.#parts, broker: this.broker })
  }

  /** Makes a token for the HTTP API, kept as a hash in the data folder, if there is one. Throws where the name is taken. */
  addApiToken(name: string, role: ApiRole, { namespace }: { namespace?: string } = {}): string {
    return this.#parts.apiTokens.add({ name, role, namespace }, new Date())
  }

  setLogLevel(level: LogLevel): void {
    this.#parts.log.level = level
  }

  /** Stops accepting, tells 5.0 clients (0x8B), commits, and closes the store. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    const { engine, store, listeners, health, diskWatch } = this.#parts
    await this.#reloading
    await this.#drain()
    this.#parts.bridges.set.stop()
    this.#sysTopics.stop()
    this.#stopHistory?.()
    this.#parts.clockKeeper?.stop()
    diskWatch?.stop()
    health.listeners = 'closed'
    const closing = listeners.set.close()
    for (const subscription of [...this.#subscriptions]) subscription.end()
    for (const consumer of [...this.#queueConsumers]) void consumer.return()
    await this.#settle()
    engine.run(() => {
      this.broker.shutDown()
      for (const connection of [...engine.connections]) connection.client.disconnect(ReasonCode.serverShuttingDown)
    })
    engine.endTurn()
    await this.#settle()
    await Promise.all([...closing, this.#parts.traces.close()])
    engine.stop()
    await store.close()
  }

  /** Balancers ask `/readyz` only now and then: until they have seen that we end, they send us clients. */
  async #drain(): Promise<void> {
    const { health, clock, config, failure } = this.#parts
    if (health.listeners !== 'ok') return
    health.listeners = 'draining'
    if (config.drainMs === 0) return
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const cancel = clock.after(config.drainMs, resolve)
    await Promise.race([over, failure.happened.catch(() => {})])
    cancel()
  }

  /** @throws RangeError for one that is not configured */
  #namespace(name = defaultNamespaceName): Namespace {
    const namespace = this.broker.namespaces.get(name)
    if (namespace?.open !== true) throw new RangeError(`no namespace is called ${name}`)
    return namespace
  }

  /** Commits what there is; a store that failed has said so already, and must not keep the rest from closing. */
  async #settle(): Promise<void> {
    const { committer, failure } = this.#parts
    if (failure.error === undefined) await committer.settled().catch(() => {})
  }
}

/** Opens the store and makes a gateway that does not listen yet. Rejects with a ConfigError or a StoreError. */
export async function createGateway(options: GatewayOptions = {}, world: GatewayWorld = {}): Promise<Gateway> {
  return new Gateway(await composeGateway(parseGatewayOptions(options), world))
}
