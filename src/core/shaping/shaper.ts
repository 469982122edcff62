/**
 * Where the route of a shaped subscription ends: a destination of its own before its session, so that a subscription that is not shaped
 * pays nothing. What its wishes leave out is counted as shaped, which is no drop: it was asked for.
 *
 * Wishes apply in this order: `where`, `sample`, `maxPerSecond`; with `latest`, what is too fast, or finds the client's output full, is
 * kept: the latest message of each topic, which leaves in the order in which topics began to wait. What is kept is bounded in topics and in bytes, and
 * counts with what waits in outputs; beyond that the topic that waits longest is dropped, as with any slow consumer.
 *
 * A shaped subscription sends at QoS 0, since what is left out can't be acknowledged; one that has a `where` alone, at the QoS that it was given. It belongs
 * to the connection that made it and ends with that.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import { sendPublication, sendQos0 } from '../publish/send.ts'
import type { Session } from '../session/session.ts'
import type { Destination } from '../subscriptions/destination.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import type { ContentFilter } from './content-filters.ts'
import type { Wishes } from './wishes.ts'

/** What one subscription keeps: topics, and bytes; the second while all outputs together have more than they may. */
export const latestTopicsMax = 10_000
export const latestBytesMax = 4 * 1024 * 1024
const fairBytes = 64 * 1024
/** Of one client. */
export const shapedSubscriptionsMax = 100
/** How soon it is looked again whether a full output has room. */
const roomAgainMs = 100
const messagesPerTurnMax = 500

interface Kept {
  readonly message: Message
  readonly retain: boolean
}

export class Shaper implements Destination {
  readonly durable = false
  readonly ownPolicy = false
  readonly load = 0
  matchNumber = 0
  matchSlot = 0
  readonly session: Session
  readonly subscription: Subscription
  readonly where: ContentFilter | null
  readonly #broker: Broker
  readonly #wishes: Wishes
  /** Whether more than `where` is wanted. */
  readonly #thins: boolean
  readonly #kept = new Map<string, Kept>()
  #bytes = 0
  #seen = 0
  #tokens: number
  #filledAt: number
  readonly #again: Deadline

  constructor(broker: Broker, session: Session, filter: string, wishes: Wishes, where: ContentFilter | null) {
    const { sample, maxPerSecond, latest } = wishes
    this.#broker = broker
    this.session = session
    this.subscription = new Subscription(this, filter)
    this.where = where
    this.#wishes = wishes
    this.#thins = latest || sample > 1 || maxPerSecond < Infinity
    this.#tokens = Math.max(1, maxPerSecond)
    this.#filledAt = broker.now
    this.#again = new Deadline((now) => this.#pump(now))
  }

  get name(): string {
    return this.session.clientId
  }

  get online(): boolean {
    return this.session.online
  }

  get ready(): boolean {
    return this.session.ready
  }

  /** What is not thinned out waits in the session's queue, and is refused where that has no room. */
  get stored(): boolean {
    return !this.#thins && this.session.stored
  }

  get hasRoom(): boolean {
    return this.#thins || this.session.hasRoom
  }

  get refuses(): boolean {
    return !this.#thins && this.session.refuses
  }

  /** What it may be granted of the QoS that was asked for. */
  qosOf(asked: Qos): Qos {
    return this.#thins ? 0 : asked
  }

  mayReceive(topic: string, qos: Qos, retain: boolean, group: string | null): boolean {
    return this.session.mayReceive(topic, qos, retain, group)
  }

  accept(broker: Broker, publication: Publication, subscription: Subscription): void {
    const { session, where } = this
    const { client, link } = session
    if (client === null || link === null) return
    if (subscription.noLocal && publication.publisher === session) return
    if (where !== null && !broker.contentFilters.matches(where, publication)) {
      broker.counters.messagesShaped.add('where')
      return
    }
    if (!this.#thins) {
      session.accept(broker, publication, subscription)
      return
    }
    const { topicName } = publication
    const retain = publication.retain && subscription.retainAsPublished
    if (client.grant?.mayReceive(topicName, 0, retain, null, publication) === false) {
      drop(topicName, 'not_authorized', session)
      return
    }
    const { sample, latest } = this.#wishes
    if (this.#seen++ % sample !== 0) {
      broker.counters.messagesShaped.add('sample')
    } else if (latest && (this.#kept.size > 0 || link.full || !this.#takeToken(broker.now))) {
      this.#keep(publication)
    } else if (!latest && !this.#takeToken(broker.now)) {
      broker.counters.messagesShaped.add('rate')
    } else if (link.full && !link.empty) {
      drop(topicName, 'slow_consumer', session)
    } else {
      sendPublication(broker, client, subscription, 0, 0)
    }
  }

  /** Whether a message of this topic waits for its turn. */
  keeps(topic: string): boolean {
    return this.#kept.has(topic)
  }

  /** Retained messages of a new subscription come as they are, but for those that are not wanted. */
  wantsRetained(message: Message): boolean {
    if (this.where === null || this.#broker.contentFilters.matchesMessage(this.where, message)) return true
    this.#broker.counters.messagesShaped.add('where')
    return false
  }

  /** The subscription is over. */
  end(): void {
    const { deadlines, budgets, contentFilters } = this.#broker
    deadlines.clear(this.#again)
    budgets.outputBytes.used -= this.#bytes
    this.#bytes = 0
    this.#kept.clear()
    if (this.where !== null) contentFilters.release(this.where)
  }

  #keep({ message, retain, topicName }: Publication): void {
    const { budgets, counters, deadlines, now } = this.#broker
    const before = this.#kept.get(topicName)
    if (before !== undefined) {
      counters.messagesShaped.add('latest')
      this.#count(-messageBytes(before.message))
    }
    // A topic that waits keeps its place.
    this.#kept.set(topicName, { message, retain: retain && this.subscription.retainAsPublished })
    this.#count(messageBytes(message))
    const bytesMax = budgets.outputBytes.exceeded ? fairBytes : latestBytesMax
    while (this.#kept.size > latestTopicsMax || (this.#bytes > bytesMax && this.#kept.size > 1)) {
      drop(this.#shift()!.message.name, 'slow_consumer', this.session)
    }
    if (this.#again.index < 0) deadlines.set(this.#again, this.#nextLook(now))
  }

  #shift(): Kept | undefined {
    const [first] = this.#kept
    if (first === undefined) return undefined
    this.#kept.delete(first[0])
    this.#count(-messageBytes(first[1].message))
    return first[1]
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    this.#broker.budgets.outputBytes.used += bytes
  }

  #nextLook(now: number): number {
    if (this.session.link?.full === true) return now + roomAgainMs
    this.#fill(now)
    const owed = Math.max(0, 1 - this.#tokens)
    return now + Math.max(1, Math.ceil((owed / this.#wishes.maxPerSecond) * 1000))
  }

  #pump(now: number): void {
    const { client, link } = this.session
    if (client === null || link === null) return
    client.withDurability(() => {
      for (let sent = 0; this.#kept.size > 0; sent++) {
        if (sent === messagesPerTurnMax || link.full || !this.#takeToken(now)) {
          this.#broker.deadlines.set(this.#again, this.#nextLook(now))
          return
        }
        this.#send(this.#shift()!, now)
      }
    })
  }

  #send({ message, retain }: Kept, now: number): void {
    const { session } = this
    const client = session.client!
    this.#broker.cost.steps++
    if (message.expiresAt <= now) drop(message.name, 'expired', session)
    else if (client.grant?.mayReceive(message.name, 0, retain, null, { message }) === false) {
      drop(message.name, 'not_authorized', session)
    } else sendQos0(this.#broker, client, message, retain, this.subscription.identifiers)
  }

  #takeToken(now: number): boolean {
    if (this.#wishes.maxPerSecond === Infinity) return true
    this.#fill(now)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  #fill(now: number): void {
    const { maxPerSecond } = this.#wishes
    const elapsed = now - this.#filledAt
    if (elapsed <= 0 || maxPerSecond === Infinity) return
    this.#filledAt = now
    this.#tokens = Math.min(Math.max(1, maxPerSecond), this.#tokens + (elapsed * maxPerSecond) / 1000)
  }
}

/** The connection of a session is over: what it had shaped was asked for by that. */
export function endShaped(session: Session): void {
  if (session.shapers === null) return
  for (const shaper of [...session.shapers]) forgetShaped(session, shaper)
}

/** The subscription leaves its session and the index. */
export function forgetShaped(session: Session, shaper: Shaper): void {
  const { subscription } = shaper
  session.shapers?.delete(shaper)
  session.subscriptions.delete(subscription.filter)
  session.namespace.removeSubscription(subscription)
  shaper.end()
}
