/**
 * A namespace: a routing domain of its own. Its clients' sessions, its subscriptions and its retained messages are found here
 * and nowhere else, so that a message, a client id or a share group of one namespace means nothing in another.
 *
 * What a client may meet hangs on this object, and a client gets its namespace before its CONNACK; so nothing is asked by name
 * for a message. Budgets count over all namespaces together, and are kept here as each of them changes.
 */
import type { TopicFilter } from '../mqtt/topic.ts'
import { type Budgets, subscriptionObjectBytes } from './budgets.ts'
import type { Cost } from './cost.ts'
import type { BrokerOptions } from './options.ts'
import type { Message } from './publish/message.ts'
import { type PublishBucket, UserRates } from './publish/rate-buckets.ts'
import { RetainedMessages } from './retained/retained-messages.ts'
import type { Session } from './session/session.ts'
import { type Subscription, SubscriptionIndex } from './subscriptions/subscription-index.ts'

/** What namespaces have in common. */
export interface NamespaceSurroundings {
  readonly options: BrokerOptions
  readonly budgets: Budgets
  readonly cost: Cost
}

export class Namespace {
  /** Empty: the one that clients are in of which nothing else is said. */
  readonly name: string
  readonly options: BrokerOptions
  readonly budgets: Budgets
  readonly index: SubscriptionIndex
  readonly retained: RetainedMessages
  readonly userRates = new UserRates()
  /** What its publishers share besides; empty: they may publish as fast as they can together. */
  publishBuckets: readonly PublishBucket[] = []
  /** By client id. */
  readonly sessions = new Map<string, Session>()
  /** Begins the hash of its topics, so that the same topics of many namespaces do not meet in the route cache. */
  readonly topicSeed: number
  #subscriptions = 0
  #subscriptionBytes = 0
  #retainedBytes = 0

  constructor(name: string, topicSeed: number, { options, budgets, cost }: NamespaceSurroundings) {
    this.name = name
    this.topicSeed = topicSeed
    this.options = options
    this.budgets = budgets
    this.index = new SubscriptionIndex((group) => options.sharedGroups[group] ?? options.sharedStrategy, cost)
    this.retained = new RetainedMessages(cost)
  }

  addSession(session: Session): void {
    this.sessions.set(session.clientId, session)
    this.budgets.sessions.used++
  }

  /** Its client id may have a new session by now, which stays. */
  removeSession(session: Session): void {
    if (this.sessions.get(session.clientId) !== session) return
    this.sessions.delete(session.clientId)
    this.budgets.sessions.used--
  }

  addSubscription(subscription: Subscription, parsed: TopicFilter): void {
    this.index.add(subscription, parsed)
    this.#countSubscriptions()
  }

  removeSubscription(subscription: Subscription): void {
    this.index.remove(subscription)
    this.#countSubscriptions()
  }

  /** Sets a topic's retained message, or removes it (null). Returns what it replaces. */
  setRetained(topic: string, message: Message | null): Message | null {
    const previous = this.retained.set(topic, message)
    const { memoryBytes } = this.retained
    this.budgets.retainedBytes.used += memoryBytes - this.#retainedBytes
    this.#retainedBytes = memoryBytes
    return previous
  }

  #countSubscriptions(): void {
    const { index, budgets } = this
    const bytes = index.bytes + subscriptionObjectBytes * index.count
    budgets.subscriptions.used += index.count - this.#subscriptions
    budgets.subscriptionBytes.used += bytes - this.#subscriptionBytes
    this.#subscriptions = index.count
    this.#subscriptionBytes = bytes
  }
}
