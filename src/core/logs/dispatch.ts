/**
 * Which message of a queue goes to which consumer, and when: a message is bound to a consumer at the moment in which it is written
 * to its connection, so that a slow one holds up nothing but what it has.
 *
 * Messages go in the order of their priority, then of their coming; what came back has its old place. Candidates are consumers that
 * may have room: one that turns out to have none is left out until something happens that may have made room (`offer`).
 * Of one key only one message is worked on at a time where the definition orders by a key; those behind it are parked. A message that
 * was given back three times waits for a consumer that has nothing else.
 */

import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { sendLease } from '../publish/deliver.ts'
import { hashText } from '../subscriptions/shared-group.ts'
import { TokenBucket } from '../token-bucket.ts'
import type { Consumer } from './consumer.ts'
import { keyOf } from './key.ts'
import { Lease } from './lease.ts'
import { Parking } from './parking.ts'
import type { Queue } from './queue.ts'
import type { QueuedMessage } from './queued-message.ts'
import { fail, settle } from './verdict.ts'

/** Then others have their turn. */
const messagesPerTurnMax = 1000
/** A message that was given back so often is worked on alone. */
const returnsBeforeAlone = 3

export class Dispatch {
  readonly #broker: Broker
  readonly #queue: Queue
  readonly #candidates: Consumer[] = []
  #cursor = 0
  readonly #parking: Parking
  /** Told when something is ready that no consumer takes, and may be handed out. */
  readonly #watchers = new Set<() => void>()
  #bucket: TokenBucket | null = null
  readonly #nextToken = new Deadline(() => this.run())
  #running = false

  constructor(broker: Broker, queue: Queue) {
    this.#broker = broker
    this.#queue = queue
    this.#parking = new Parking(queue)
  }

  offer(consumer: Consumer): void {
    this.#parking.consumerHasRoom(consumer)
    if (consumer.isCandidate || !this.#queue.consumers.has(consumer)) return
    consumer.isCandidate = true
    this.#candidates.push(consumer)
  }

  withdraw(consumer: Consumer): void {
    const place = this.#candidates.indexOf(consumer)
    if (place >= 0) this.#leaveOut(place)
    this.#parking.consumerLeft(consumer)
  }

  /** The message is with nobody, and needs nobody any more. */
  release(queued: QueuedMessage): void {
    this.#parking.release(queued)
  }

  /** It waits for its next attempt: nothing of its key goes before it. */
  holdKey(queued: QueuedMessage): void {
    this.#parking.holdKey(queued, this.#queue.definition.orderBy)
  }

  /** Calls back once. */
  watch(notify: () => void): () => void {
    this.#watchers.add(notify)
    return () => this.#watchers.delete(notify)
  }

  /** In a turn that was asked for. */
  pump(): void {
    this.run()
  }

  /** Hands out what can be handed out. */
  run(): void {
    if (this.#running) return
    this.#running = true
    for (let left = messagesPerTurnMax; this.#handOutNext(); left--) {
      if (left > 0) continue
      this.#broker.awaitTurn(this)
      break
    }
    this.#running = false
    if (this.#watchers.size > 0 && this.#hasForTaker()) this.#notify()
  }

  #notify(): void {
    for (const notify of [...this.#watchers]) {
      this.#watchers.delete(notify)
      notify()
    }
  }

  /** Whether there was one, and somebody for it. */
  #handOutNext(): boolean {
    const alone = this.#parking.firstAlone()
    if (alone !== null && this.#handOutAlone(alone)) return true
    if (this.#candidates.length === 0) return false
    const queued = this.next()
    if (queued === null) return false
    if (!this.#mayHandOut()) return false
    const consumer = this.#choose(queued)
    if (consumer === null) {
      this.#bucket?.giveBack(1)
      return queued.stage === 'parked' && !this.#parking.isFull
    }
    this.#hand(consumer, queued)
    queued.lane.readAhead(this.#broker)
    return true
  }

  /** Leases the next message to a program; null: none is ready. */
  take(): QueuedMessage | null {
    const queued = this.#parking.firstAlone() ?? this.next()
    if (queued === null || !this.#mayHandOut()) return null
    if (queued.stage === 'parked') this.#parking.takeAlone()
    this.lease(queued, null)
    queued.lane.readAhead(this.#broker)
    return queued
  }

  /** Whether `take` would give one; else whoever is told would ask again at once, for ever. */
  #hasForTaker(): boolean {
    if (this.next() === null && this.#parking.firstAlone() === null) return false
    if (!this.#mayHandOut()) return false
    this.#bucket?.giveBack(1)
    return true
  }

  /** The message that is to be worked on next; null: there is none now. */
  next(): QueuedMessage | null {
    const { lanes } = this.#queue
    for (let priority = lanes.length - 1; priority >= 0; priority--) {
      const lane = lanes[priority]!
      if (lane === null) continue
      for (let queued = lane.first(); queued !== null; queued = lane.first()) {
        if (this.#isFree(queued)) return queued
        if (this.#parking.isFull) {
          this.#queue.totals.stalled++
          return null
        }
      }
      if (!lane.hasMoreStored) continue
      // What is in the store only comes before anything of a lower priority.
      lane.readAhead(this.#broker)
      return null
    }
    return null
  }

  /** Whether it may go to anybody who has room. Else it is put aside. */
  #isFree(queued: QueuedMessage): boolean {
    const { definition } = this.#queue
    if (queued.expiryIn(definition.messageTtlMs) <= this.#broker.now) {
      this.#queue.expire(this.#broker, queued)
      return false
    }
    if (!this.#parking.mayGo(queued, definition.orderBy)) return false
    if (queued.returned < returnsBeforeAlone) return true
    this.#parking.parkAlone(queued)
    return false
  }

  /** To a consumer that has nothing else; one is asked to come to that. */
  #handOutAlone(queued: QueuedMessage): boolean {
    let emptiest: Consumer | null = null
    for (const consumer of this.#queue.consumers) {
      if (consumer.isDraining) return false
      if (consumer.session.link === null) continue
      if (consumer.leases.size === 0 && consumer.hasRoom) {
        this.#parking.takeAlone()
        this.#hand(consumer, queued)
        consumer.isDraining = consumer.leases.size > 0
        return true
      }
      if (emptiest === null || consumer.leases.size < emptiest.leases.size) emptiest = consumer
    }
    if (emptiest !== null && emptiest.leases.size > 0) emptiest.isDraining = true
    return false
  }

  /** Within `dispatchPerSecondMax`. */
  #mayHandOut(): boolean {
    const { dispatchPerSecondMax: perSecond } = this.#queue.definition
    if (perSecond === 0) return true
    const { now, deadlines } = this.#broker
    const rate = { perSecond, burst: Math.max(1, perSecond) }
    if (this.#bucket === null) this.#bucket = new TokenBucket(rate, now)
    else this.#bucket.change(rate, now)
    const waitMs = this.#bucket.take(1, now)
    if (waitMs === 0) return true
    this.#bucket.giveBack(1)
    deadlines.set(this.#nextToken, now + Math.max(1, Math.ceil(waitMs)))
    return false
  }

  #choose(queued: QueuedMessage): Consumer | null {
    switch (this.#queue.definition.dispatch) {
      case 'round-robin':
        return this.#nextFrom(this.#cursor)
      case 'random':
        return this.#nextFrom(Math.floor(this.#broker.random() * this.#candidates.length))
      case 'least-inflight':
        return this.#leastLoaded()
      case 'hash-key':
        return this.#byKey(queued)
      default:
        return this.#queue.definition.dispatch satisfies never
    }
  }

  #nextFrom(start: number): Consumer | null {
    const candidates = this.#candidates
    this.#cursor = start
    while (candidates.length > 0) {
      if (this.#cursor >= candidates.length) this.#cursor = 0
      const consumer = candidates[this.#cursor]!
      if (consumer.hasRoom) {
        this.#cursor++
        return consumer
      }
      this.#leaveOut(this.#cursor)
    }
    return null
  }

  #leastLoaded(): Consumer | null {
    const candidates = this.#candidates
    let best: Consumer | null = null
    for (let place = candidates.length - 1; place >= 0; place--) {
      const consumer = candidates[place]!
      if (!consumer.hasRoom) this.#leaveOut(place)
      else if (best === null || consumer.leases.size < best.leases.size) best = consumer
    }
    return best
  }

  /** Rendezvous hashing: each consumer's weight is a hash of its name with the key. When one leaves or comes, only its own keys move. */
  #byKey(queued: QueuedMessage): Consumer | null {
    const key = keyOf(queued.message, this.#queue.definition.keyBy)
    let owner: Consumer | null = null
    let highest = -1
    for (const consumer of this.#queue.consumers) {
      if (consumer.session.link === null) continue
      const weight = hashText(`${consumer.session.clientId}\0${key}`)
      if (weight > highest) {
        owner = consumer
        highest = weight
      }
    }
    if (owner === null || owner.hasRoom) return owner
    this.#parking.parkFor(owner, queued)
    return null
  }

  /** Asked again when something has happened that may have made room. */
  #leaveOut(place: number): void {
    const candidates = this.#candidates
    candidates[place]!.isCandidate = false
    const last = candidates.pop()!
    if (place < candidates.length) candidates[place] = last
  }

  #hand(consumer: Consumer, queued: QueuedMessage): void {
    const broker = this.#broker
    broker.cost.steps++
    const lease = this.lease(queued, consumer)
    if (!sendLease(broker, consumer, lease)) fail(broker, queued, 'larger than its consumer takes')
    else if (consumer.qos === 0) settle(broker, queued)
  }

  /** The message is with somebody from here on; null: with a program that asked for it. */
  lease(queued: QueuedMessage, consumer: Consumer | null): Lease {
    queued.lane.noLongerFresh(queued)
    queued.stage = 'leased'
    this.#queue.leased++
    const lease = new Lease(queued, consumer, this.#broker.now)
    queued.lease = lease
    consumer?.add(lease)
    return lease
  }
}
