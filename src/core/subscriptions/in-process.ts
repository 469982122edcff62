/**
 * A subscriber inside this process: messages wait here until the program takes them.
 *
 * What waits is bounded in messages and in bytes; beyond either limit the oldest is dropped and counted, so that a program
 * that does not take them costs nothing but its own messages. Retained messages are not copied here: each is taken from where
 * it is retained when the program asks for it, before anything that was published since, and in a turn no more than
 * `retainedStepsMax` allow: the search may find nothing for long.
 */

import { ReasonCode } from '../../mqtt/reason-code.ts'
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { retainedStepsMax } from '../cost.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import type { RetainedScan } from '../retained/retained-scan.ts'
import { rewrittenFilter } from '../rewrite/entrance.ts'
import type { Destination } from './destination.ts'
import { dispatch, type SharedGroup } from './shared-group.ts'
import { Subscription } from './subscription-index.ts'

export const inProcessMessagesMax = 100_000
export const inProcessBytesMax = 64 * 1024 * 1024

export interface Taken {
  readonly message: Message
  readonly retain: boolean
  /** The share group it came for. */
  readonly group: SharedGroup | null
}

const ringSizeMin = 16

export class InProcessSubscriber implements Destination {
  readonly name: string
  readonly online = true
  readonly durable = false
  readonly stored = false
  readonly refuses = false
  readonly ownPolicy = false
  matchNumber = 0
  matchSlot = 0
  readonly #broker: Broker
  readonly #namespace: Namespace
  readonly #onMessage: () => void
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #retained: RetainedScan[] = []
  /** Of this turn, for retained messages; `pump` begins the next one. */
  #stepsLeft = retainedStepsMax
  #awaitsTurn = false
  #ring = new Array<Taken | null>(ringSizeMin).fill(null)
  #first = 0
  #count = 0
  #bytes = 0

  /** `onMessage`: one waits that was not there before. It may take it at once. */
  constructor(broker: Broker, onMessage: () => void, namespace = broker.defaultNamespace) {
    this.#broker = broker
    this.#namespace = namespace
    this.#onMessage = onMessage
    this.name = `in-process ${broker.nextInProcessNumber++}`
  }

  get ready(): boolean {
    return this.hasRoom
  }

  get hasRoom(): boolean {
    return this.#count < inProcessMessagesMax && this.#bytes < inProcessBytesMax
  }

  get load(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  mayReceive(): boolean {
    return true
  }

  /** Returns the reason why not; 0: subscribed. `wantsRetained`: also what is retained already. */
  subscribe(given: string, wantsRetained = true): number {
    const topicFilter = rewrittenFilter(this.#namespace, given)
    const parsed = parseTopicFilter(topicFilter)
    if (parsed === undefined || parsed.levels > this.#broker.options.topicLevelsMax) {
      return ReasonCode.topicFilterInvalid
    }
    if (this.#subscriptions.has(topicFilter)) return 0
    const namespace = this.#namespace
    const subscription = new Subscription(this, topicFilter)
    subscription.qos = 2
    subscription.retainAsPublished = true
    this.#subscriptions.set(topicFilter, subscription)
    namespace.addSubscription(subscription, parsed)
    if (wantsRetained && parsed.shared === undefined) this.#retained.push(namespace.retained.match(parsed.filter))
    return 0
  }

  accept(_broker: Broker, publication: Publication, subscription: Subscription): void {
    const { message } = publication
    const retain = publication.retain && subscription.retainAsPublished
    this.#push({ message, retain, group: subscription.group })
    while (this.#count > inProcessMessagesMax || (this.#bytes > inProcessBytesMax && this.#count > 1)) {
      drop(this.#shift()!.message.name, 'slow_consumer', this.#namespace)
    }
    this.#onMessage()
  }

  /** The next message; null: none is there, or only in a later turn, when `onMessage` tells. */
  take(): Taken | null {
    const { now } = this.#broker
    while (this.#retained.length > 0) {
      if (this.#stepsLeft <= 0) return null
      const message = this.#nextRetained(this.#retained[0]!)
      if (message !== null && message.expiresAt > now) return { message, retain: true, group: null }
    }
    for (let taken = this.#shift(); taken !== null; taken = this.#shift()) {
      if (taken.message.expiresAt > now) return taken
      drop(taken.message.name, 'expired', this.#namespace)
    }
    return null
  }

  #nextRetained(scan: RetainedScan): Message | null {
    const { cost } = this.#broker
    const { steps } = cost
    if (!this.#awaitsTurn) {
      this.#awaitsTurn = true
      this.#broker.awaitTurn(this)
    }
    const message = scan.next(steps + this.#stepsLeft)
    if (scan.done) this.#retained.shift()
    this.#stepsLeft -= Math.max(1, cost.steps - steps)
    return message
  }

  /** The next turn. */
  pump(): void {
    this.#awaitsTurn = false
    this.#stepsLeft = retainedStepsMax
    if (this.#retained.length > 0) this.#onMessage()
  }

  /** Leaves the index. Of what waits, that for a share group goes to another member; the rest may still be taken. */
  end(): void {
    const broker = this.#broker
    for (const subscription of this.#subscriptions.values()) this.#namespace.removeSubscription(subscription)
    this.#subscriptions.clear()
    this.#retained.length = 0
    for (let left = this.#count; left > 0; left--) {
      const taken = this.#shift()!
      if (taken.group === null) this.#push(taken)
      else dispatch(broker, this.#namespace, taken.group, taken.message, taken.retain)
    }
  }

  #push(taken: Taken): void {
    if (this.#count === this.#ring.length) this.#grow()
    this.#ring[(this.#first + this.#count++) & (this.#ring.length - 1)] = taken
    this.#bytes += messageBytes(taken.message)
  }

  #shift(): Taken | null {
    if (this.#count === 0) return null
    const taken = this.#ring[this.#first]!
    this.#ring[this.#first] = null
    this.#first = (this.#first + 1) & (this.#ring.length - 1)
    this.#count--
    this.#bytes -= messageBytes(taken.message)
    if (this.#count === 0 && this.#ring.length > 1024) this.#ring = new Array(ringSizeMin).fill(null)
    if (this.#count === 0) this.#first = 0
    return taken
  }

  #grow(): void {
    const ring = new Array<Taken | null>(this.#ring.length * 2).fill(null)
    for (let i = 0; i < this.#count; i++) ring[i] = this.#ring[(this.#first + i) & (this.#ring.length - 1)]!
    this.#ring = ring
    this.#first = 0
  }
}
