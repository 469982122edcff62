/**
 * A queue that clients work on together: each message is done by one of them. It captures what is published to its filter, as one
 * more destination of those routes, and what is published to `$queue/<name>`.
 *
 *             publish                a consumer has room
 *     limits ────────> ready ──────────────────────────> leased ── done ──> gone
 *                        ^  ^                             │  │
 *                    due │  └── given back ───────────────┘  ├── failed too often, rejected ──> dead letter
 *                     waiting <───────── failed ─────────────┘
 *
 * Its messages lie in one log for each priority (`lane.ts`). Who gets which is in `dispatch.ts`, what ends a lease in `verdict.ts`.
 * Only what has no final verdict is kept; what the store has of it is the messages and their failures, never a lease.
 */

import { userProperty } from '../../mqtt/user-property.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import type { Link } from '../ports/link.ts'
import type { QueueTotals } from '../ports/queues.ts'
import type { Message } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import { type Ahead, type Destination, nothingAhead } from '../subscriptions/destination.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { queuePrefix } from './address.ts'
import type { Consumer } from './consumer.ts'
import { deadLetter } from './dead-letter.ts'
import { dedupes, priorityDefault, priorityMax, type QueueDefinition } from './definition.ts'
import { Dispatch } from './dispatch.ts'
import { Lane } from './lane.ts'
import type { Past, QueuedMessage } from './queued-message.ts'
import { SeenMessages } from './seen.ts'

/** So many may a queue be over its limit while a page is read that says which go for them. */
const overdraftMessagesMax = 1000
/** A full queue is searched for expired messages no more often. */
const searchIntervalMs = 1000

export class Queue implements Destination {
  readonly name: string
  readonly namespace: Namespace
  definition: QueueDefinition
  /** What it knows of what came before; null: it takes everything in. */
  seen: SeenMessages | null = null
  /** False: the store has messages of it, and nobody declares it any more. */
  declared = true
  /** Somebody purges it, or gives its messages back. */
  isSwept = false
  /** Which captures for it; null: none does. */
  subscription: Subscription | null = null
  readonly consumers = new Set<Consumer>()
  /** By priority. */
  readonly lanes: (Lane | null)[] = new Array<Lane | null>(priorityMax + 1).fill(null)
  readonly dispatch: Dispatch
  readonly totals: QueueTotals = {
    enqueued: 0,
    settled: 0,
    retried: 0,
    returned: 0,
    deadLettered: 0,
    redriven: 0,
    purged: 0,
    dropped: 0,
    refused: 0,
    duplicates: 0,
    forgotten: 0,
    timedOut: 0,
    stalled: 0,
  }
  /** Everything without a final verdict. */
  count = 0
  leased = 0
  waiting = 0
  bytes = 0
  matchNumber = 0
  matchSlot = 0
  readonly ownPolicy = true
  readonly online = true
  readonly ready = true
  readonly durable = true
  readonly load = 0
  readonly #broker: Broker
  #overdraft = 0
  #searchedAt = 0

  constructor(broker: Broker, namespace: Namespace, name: string, definition: QueueDefinition) {
    this.#broker = broker
    this.namespace = namespace
    this.name = name
    this.definition = definition
    this.dispatch = new Dispatch(broker, this)
    this.define(definition)
  }

  /** It is so from here on. Its filter is the caller's. */
  define(definition: QueueDefinition): void {
    this.definition = definition
    const { dedupe } = definition
    if (this.seen !== null) this.seen.definition = dedupe
    else if (dedupes(dedupe)) {
      const of = { namespace: this.namespace.storedName, log: `${queuePrefix}${this.name}` }
      this.seen = new SeenMessages(this.#broker, of, dedupe, this.totals)
    }
    if (this.seen === null || dedupes(dedupe)) return
    this.seen.forgetAll()
    this.seen = null
  }

  get stored(): boolean {
    return this.#broker.journal.durable
  }

  /** Of a consumer that is connected; null: none is. */
  get link(): Link | null {
    for (const { session } of this.consumers) if (session.link !== null) return session.link
    return null
  }

  get refuses(): boolean {
    return this.definition.overflow === 'reject'
  }

  get hasRoom(): boolean {
    return this.hasRoomBehind(nothingAhead)
  }

  hasRoomBehind(ahead: Ahead): boolean {
    const { messagesMax, bytesMax } = this.definition
    const { queuedBytes } = this.namespace.quotas
    if (this.count + ahead.messages >= messagesMax || this.bytes + ahead.bytes >= bytesMax) return false
    if (queuedBytes.used + ahead.namespaceBytes >= queuedBytes.max) return false
    const { queueBytes } = this.namespace.budgets
    // What the store does not hold too has nowhere else to go.
    return this.stored || queueBytes.used + ahead.heldBytes < queueBytes.max
  }

  /** Whether others would go for a message, and what comes ahead of it would not have to be among them. */
  mayMakeRoomBehind({ messages, bytes }: Ahead): boolean {
    const { overflow, messagesMax, bytesMax } = this.definition
    if (overflow === 'reject' || messages >= messagesMax || bytes >= bytesMax) return false
    return this.#oldestReady() !== undefined || this.lanes.some((lane) => lane?.hasMoreStored === true)
  }

  mayReceive(): boolean {
    return true
  }

  accept(broker: Broker, publication: Publication): void {
    // Of what waited, or is a will, the number may have been overtaken by later ones.
    this.add(broker, publication.message, publication.frame !== null || broker.inBundle)
  }

  /** False: it is full, and the message was dropped. `counts`: its publisher sent it right now. */
  add(broker: Broker, message: Message, counts = false): boolean {
    const { seen } = this
    if (seen?.knows(message, counts)) {
      this.totals.duplicates++
      broker.cameBefore = true
      seen.repeat(message)
      return true
    }
    if (!this.hasRoom && !this.#makeRoom(broker) && !broker.inBundle) {
      this.totals.refused++
      drop(message.name, 'queue_full', this.namespace)
      return false
    }
    const { lane, position } = this.laneOf(broker, priorityOf(message)).append(broker, message, null)
    seen?.note(message, { lane: lane.number, position }, counts)
    this.dispatch.run()
    return true
  }

  /** A message that comes from another queue. Returns where it stands. */
  takeOver(broker: Broker, message: Message, past: Past): QueuedMessage {
    if (!this.hasRoom) this.#makeRoom(broker)
    const queued = this.laneOf(broker, priorityOf(message)).take(broker, message, past)
    this.seen?.noteAgain(message, { lane: queued.lane.number, position: queued.position })
    return queued
  }

  laneOf(broker: Broker, priority: number): Lane {
    let lane = this.lanes[priority]!
    if (lane === null) {
      lane = new Lane(this, priority, broker.nextSessionNumber++)
      this.addLane(broker, lane)
      if (this.stored) broker.journal.log(lane)
    }
    return lane
  }

  addLane(broker: Broker, lane: Lane): void {
    this.lanes[lane.priority] = lane
    broker.lanesByNumber.set(lane.number, lane)
  }

  /** What the lane holds has changed by so much. */
  change(lane: Lane, messages: number, bytes: number): void {
    lane.count += messages
    this.count += messages
    lane.bytes += bytes
    this.bytes += bytes
    this.namespace.quotas.queuedBytes.used += bytes
  }

  /** It may have room for a message. */
  offer(consumer: Consumer): void {
    this.dispatch.offer(consumer)
  }

  addConsumer(consumer: Consumer): void {
    this.consumers.add(consumer)
    this.dispatch.offer(consumer)
  }

  removeConsumer(consumer: Consumer): void {
    this.consumers.delete(consumer)
    this.dispatch.withdraw(consumer)
  }

  /** Something may be ready, or may have somebody who takes it. */
  pump(): void {
    this.dispatch.run()
  }

  /** The message waits for its next attempt, if the time has not come. */
  waitIfDue(broker: Broker, queued: QueuedMessage): boolean {
    if (queued.dueAt <= broker.now) return false
    queued.lane.noLongerFresh(queued)
    queued.stage = 'waiting'
    this.waiting++
    queued.deadline ??= new Deadline(() => {
      this.waiting--
      this.makeReady(queued)
      this.dispatch.run()
    })
    broker.deadlines.set(queued.deadline, queued.dueAt)
    return true
  }

  makeReady(queued: QueuedMessage): void {
    queued.stage = 'ready'
    queued.lane.comeBack(queued)
  }

  /** It has gone to where it goes, or nowhere: it is in this queue no more. Of its record the caller takes care. */
  forget(broker: Broker, queued: QueuedMessage): void {
    if (queued.stage === 'waiting') this.waiting--
    const { lane } = queued
    if (queued.attempted) broker.journal.attemptEnd(lane, queued.position)
    lane.forget(broker, queued)
    this.seen?.ended(queued.message, { lane: lane.number, position: queued.position })
    this.dispatch.release(queued)
  }

  /** The same, and from the store too. */
  remove(broker: Broker, queued: QueuedMessage): void {
    if (this.stored) broker.journal.dequeue(queued.lane, queued.position, queued)
    this.forget(broker, queued)
  }

  /** It is too late for a message that nobody has. */
  expire(broker: Broker, queued: QueuedMessage): void {
    if (deadLetter(broker, queued, 'expired', '')) return
    drop(queued.message.name, 'expired', this.namespace)
    this.totals.dropped++
    this.remove(broker, queued)
  }

  /** True: one more may be put into the queue now. */
  #makeRoom(broker: Broker): boolean {
    this.#expireSome(broker)
    const { overflow } = this.definition
    while (!this.hasRoom) {
      if (overflow === 'reject') return false
      const oldest = this.#oldestReady()
      if (oldest === undefined) return this.#overdraw(broker)
      this.#overdraft = 0
      if (overflow === 'dead-letter-oldest' && deadLetter(broker, oldest, 'overflow', '')) continue
      drop(oldest.message.name, 'queue_full', this.namespace)
      this.totals.dropped++
      this.remove(broker, oldest)
    }
    return true
  }

  /** Of the lowest priority. */
  #oldestReady(): QueuedMessage | undefined {
    for (const lane of this.lanes) {
      const first = lane?.first() ?? null
      if (first !== null) return first
    }
    return undefined
  }

  /** What may go is in the store only: it is asked for, and until it comes there is a little room. */
  #overdraw(broker: Broker): boolean {
    const lane = this.lanes.find((one) => one?.hasMoreStored)
    if (lane == null) return false
    lane.readAhead(broker)
    return this.#overdraft++ < overdraftMessagesMax
  }

  #expireSome(broker: Broker): void {
    const { now } = broker
    if (now < this.#searchedAt + searchIntervalMs) return
    this.#searchedAt = now
    const { messageTtlMs } = this.definition
    for (const lane of this.lanes) {
      for (const queued of lane?.messages.values() ?? []) {
        if (queued.lease === null && queued.expiryIn(messageTtlMs) <= now) this.expire(broker, queued)
      }
    }
  }
}

/** By the user property `priority`, 0 to 9. */
function priorityOf({ forwardProperties }: Message): number {
  const text = userProperty(forwardProperties, 'priority')
  return text !== undefined && /^[0-9]$/.test(text) ? Number(text) : priorityDefault
}
