/**
 * A namespace: a routing domain of its own. Its clients' sessions, its subscriptions and its retained messages are found here
 * and nowhere else, so that a message, a client id or a share group of one namespace means nothing in another.
 *
 * What a client may meet hangs on this object, and a client gets its namespace before its CONNACK; so nothing is asked by name
 * for a message. Budgets count over all namespaces together, and are kept here as each of them changes.
 */
import type { TopicFilter } from '../mqtt/topic.ts'
import { Budget, type Budgets, subscriptionObjectBytes } from './budgets.ts'
import type { Cost } from './cost.ts'
import type { NamespaceGauges, Traffic } from './counters.ts'
import type { DropLedger, DropLine } from './drop-ledger.ts'
import type { Queue } from './logs/queue.ts'
import type { Stream } from './logs/stream.ts'
import type { BrokerOptions, NamespaceQuotas } from './options.ts'
import type { Presence } from './presence.ts'
import type { Message } from './publish/message.ts'
import { namespaceBuckets, type PublishBucket, UserRates } from './publish/rate-buckets.ts'
import { RetainedMessages } from './retained/retained-messages.ts'
import { noRewrites } from './rewrite/rewrites.ts'
import type { QueueTotals } from './session/message-log.ts'
import type { Session } from './session/session.ts'
import { type Subscription, SubscriptionIndex } from './subscriptions/subscription-index.ts'

/** The name of the one that clients are in of which nothing else is said. */
export const defaultNamespaceName = 'default'

/** What namespaces have in common. */
export interface NamespaceSurroundings {
  readonly options: BrokerOptions
  readonly budgets: Budgets
  readonly cost: Cost
  readonly dropLedger: DropLedger
}

/** What one namespace may use, and uses: budgets as those over all clients, without limit where none is configured. */
export class Quotas {
  /** Clients that are connected. */
  readonly connections: Budget
  readonly sessions: Budget
  readonly subscriptions: Budget
  readonly retainedBytes: Budget
  readonly queuedBytes: Budget
  /** That wait until they are due. */
  readonly delayedMessages: Budget
  readonly delayedBytes: Budget

  constructor(quotas: NamespaceQuotas) {
    this.connections = new Budget(Infinity)
    this.sessions = new Budget(Infinity)
    this.subscriptions = new Budget(Infinity)
    this.retainedBytes = new Budget(Infinity)
    this.queuedBytes = new Budget(Infinity)
    this.delayedMessages = new Budget(Infinity)
    this.delayedBytes = new Budget(Infinity)
    this.change(quotas)
  }

  change(quotas: NamespaceQuotas): void {
    this.connections.max = quotas.connectionsMax ?? Infinity
    this.sessions.max = quotas.sessionsMax ?? Infinity
    this.subscriptions.max = quotas.subscriptionsMax ?? Infinity
    this.retainedBytes.max = quotas.retainedBytesMax ?? Infinity
    this.queuedBytes.max = quotas.queuedBytesMax ?? Infinity
    this.delayedMessages.max = quotas.delayedMessagesMax ?? Infinity
    this.delayedBytes.max = quotas.delayedBytesMax ?? Infinity
  }
}

export class Namespace {
  readonly name: string
  /** In the store the default one has none. */
  readonly storedName: string
  /** Whether clients may connect: the configuration names it. Else it is there only because of what the store has of it. */
  open: boolean
  readonly options: BrokerOptions
  readonly budgets: Budgets
  readonly quotas: Quotas
  readonly traffic: Traffic
  /** Messages that nobody's session in particular did not get. Kept by `drop`. */
  dropped = 0
  /** No client in particular. */
  readonly clientId = ''
  dropLine: DropLine | null = null
  readonly dropLedger: DropLedger
  readonly index: SubscriptionIndex
  /** By name. */
  readonly queues = new Map<string, Queue>()
  /** By name. */
  readonly streams = new Map<string, Stream>()
  /** What becomes of topics before anything is asked of them. */
  rewrites = noRewrites
  readonly retained: RetainedMessages
  readonly userRates = new UserRates()
  /** What its publishers share besides; empty: they may publish as fast as they can together. */
  publishBuckets: readonly PublishBucket[]
  /** Kept by the queues and windows of its sessions. */
  readonly queueTotals: QueueTotals = { waiting: 0, inflight: 0 }
  /** By client id. */
  readonly sessions = new Map<string, Session>()
  /** How many sessions each principal has. */
  readonly #owned = new Map<string, number>()
  /** Begins the hash of its topics, so that the same topics of many namespaces do not meet in the route cache. */
  readonly topicSeed: number
  /** Below these, what others export to it stands: to be read only. */
  readonly importPrefixes: string[] = []
  /** Null: nobody is told who is there. */
  presence: Presence | null = null
  /** Of the broker itself: what it exports, what queues take in. */
  #own = 0
  #consumers = 0
  #subscriptions = 0
  #subscriptionBytes = 0
  #retainedBytes = 0

  constructor(
    name: string,
    topicSeed: number,
    traffic: Traffic,
    { options, budgets, cost, dropLedger }: NamespaceSurroundings,
  ) {
    this.name = name
    this.traffic = traffic
    this.storedName = name === defaultNamespaceName ? '' : name
    this.open = name === defaultNamespaceName || Object.hasOwn(options.namespaces, name)
    this.topicSeed = topicSeed
    this.options = options
    this.budgets = budgets
    this.dropLedger = dropLedger
    const quotas = (this.open && options.namespaces[name]) || {}
    this.quotas = new Quotas(quotas)
    this.publishBuckets = namespaceBuckets([], quotas, 0)
    this.index = new SubscriptionIndex((group) => options.sharedGroups[group] ?? options.sharedStrategy, cost)
    this.retained = new RetainedMessages(cost)
  }

  /** For lines of the log about its clients: nothing where there may be no other. */
  get logged(): { namespace?: string } {
    return this.storedName === '' ? {} : { namespace: this.name }
  }

  /** Who bears what is dropped where no session is concerned. */
  get namespace(): this {
    return this
  }

  addSession(session: Session): void {
    this.sessions.set(session.clientId, session)
    this.budgets.sessions.used++
    this.quotas.sessions.used++
    this.#countOwned(session.principal, 1)
  }

  /** Sessions of a principal. */
  sessionsOf(principal: string): number {
    return this.#owned.get(principal) ?? 0
  }

  /** The session belongs to this principal from now on. */
  adopt(session: Session, principal: string): void {
    this.#countOwned(session.principal, -1)
    session.principal = principal
    this.#countOwned(principal, 1)
  }

  #countOwned(principal: string, by: 1 | -1): void {
    if (principal === '') return
    const count = this.sessionsOf(principal) + by
    if (count > 0) this.#owned.set(principal, count)
    else this.#owned.delete(principal)
  }

  /** Its client id may have a new session by now, which stays. */
  removeSession(session: Session): void {
    if (this.sessions.get(session.clientId) !== session) return
    this.sessions.delete(session.clientId)
    this.budgets.sessions.used--
    this.quotas.sessions.used--
    this.#countOwned(session.principal, -1)
  }

  addSubscription(subscription: Subscription, parsed: TopicFilter): void {
    this.index.add(subscription, parsed)
    this.#countSubscriptions()
  }

  /** It is no subscription of a client's: it does not count. */
  addOwn(subscription: Subscription, parsed: TopicFilter): void {
    this.#own++
    this.addSubscription(subscription, parsed)
  }

  removeOwn(subscription: Subscription): void {
    this.#own--
    this.removeSubscription(subscription)
  }

  /** A subscription to a queue or a stream, which is not in the index, came or went. */
  countConsumer(by: 1 | -1): void {
    this.#consumers += by
    this.#countSubscriptions()
  }

  /** Only the server publishes there, and nothing of it is stored. */
  isReadOnly(topic: string): boolean {
    if (topic.charCodeAt(0) === 0x24 && topic.startsWith('$SYS/')) return !isBridgeState(topic)
    return this.isImported(topic)
  }

  /** It is another namespace's, which exports it to this one, or says who is there. */
  isImported(topic: string): boolean {
    if (this.presence !== null && topic.startsWith(this.presence.prefix)) return true
    return this.importPrefixes.some((prefix) => topic.startsWith(prefix))
  }

  removeSubscription(subscription: Subscription): void {
    this.index.remove(subscription)
    this.#countSubscriptions()
  }

  /** Clients may be in it, and these quotas hold from here on; what is there beyond a lower one stays. */
  openWith(quotas: NamespaceQuotas, now: number): void {
    this.open = true
    this.quotas.change(quotas)
    this.publishBuckets = namespaceBuckets(this.publishBuckets, quotas, now)
  }

  /** Sets a topic's retained message, or removes it (null). Returns what it replaces. */
  setRetained(topic: string, message: Message | null): Message | null {
    const previous = this.retained.set(topic, message)
    const { memoryBytes } = this.retained
    const bytes = memoryBytes - this.#retainedBytes
    this.budgets.retainedBytes.used += bytes
    if (!this.isReadOnly(topic)) this.quotas.retainedBytes.used += bytes
    this.#retainedBytes = memoryBytes
    return previous
  }

  gauges(): NamespaceGauges {
    const { index, retained, quotas, sessions } = this
    const refusals = Object.values(quotas).reduce((sum, { refused }: Budget) => sum + refused, 0)
    return {
      connections: quotas.connections.used,
      sessions: sessions.size,
      subscriptions: index.count - this.#own + this.#consumers,
      sharedSubscriptions: index.sharedCount,
      retainedMessages: retained.count,
      retainedBytes: retained.bytes,
      queuedMessages: this.queueTotals.waiting,
      queuedBytes: quotas.queuedBytes.used,
      delayedMessages: quotas.delayedMessages.used,
      delayedBytes: quotas.delayedBytes.used,
      inflightMessages: this.queueTotals.inflight,
      refusals,
    }
  }

  #countSubscriptions(): void {
    const { index, budgets } = this
    const count = index.count - this.#own + this.#consumers
    const bytes = index.bytes + subscriptionObjectBytes * count
    budgets.subscriptions.used += count - this.#subscriptions
    budgets.subscriptionBytes.used += bytes - this.#subscriptionBytes
    this.quotas.subscriptions.used = count
    this.#subscriptions = count
    this.#subscriptionBytes = bytes
  }
}

/** Where the bridges of other brokers say, retained and by their will, whether they are connected, as Mosquitto's do. */
function isBridgeState(topic: string): boolean {
  const levels = topic.split('/')
  return levels.length === 5 && topic.startsWith('$SYS/broker/connection/') && levels[4] === 'state'
}
