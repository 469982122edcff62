/**
 * A consumer: one session's subscription to a queue, and what of the queue is with it.
 *
 * Its connection is the lease: nothing of what is with it goes to another while the connection lives, unless a verdict takes too
 * long. That time runs for the oldest message only and from when it became the oldest, because a client acknowledges in the order
 * in which it was sent messages [MQTT-4.6.0-2], so that a slow one holds back the verdicts of those behind it.
 */
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import type { Delivery } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import type { Lease } from './lease.ts'
import { LeaseList } from './lease-list.ts'
import type { Queue } from './queue.ts'
import { connectionLost, onTooLate } from './verdict.ts'

export class Consumer extends Subscription {
  readonly queue: Queue
  readonly session: Session
  /** What it asked for, if it did. */
  prefetch = Infinity
  /** A PUBACK only says that the message arrived. */
  explicit = false
  /** What is with it, oldest first. */
  readonly leases = new LeaseList()
  /** It may have room: the queue asks it. */
  isCandidate = false
  /** Its verdict on this came too late: until it is acknowledged, it gets nothing more. */
  owes: Delivery | null = null
  /** It gets nothing more until it has nothing: the next message has to be worked on alone. */
  isDraining = false
  /** Its client has said that it leaves. */
  isLeaving = false
  /** When the first of its leases became the oldest. */
  oldestSince = 0
  readonly #broker: Broker
  readonly #timeout: Deadline
  readonly #pause: Deadline
  readonly #grace: Deadline

  constructor(broker: Broker, queue: Queue, session: Session, filter: string) {
    super(session, filter)
    this.#broker = broker
    this.queue = queue
    this.session = session
    this.#timeout = new Deadline((now) => this.#onTimeout(now))
    this.#pause = new Deadline(() => this.#offer())
    this.#grace = new Deadline(() => connectionLost(broker, this))
  }

  #offer(): void {
    this.queue.offer(this)
    this.queue.pump()
  }

  /** How many it may have at a time. */
  get leasesMax(): number {
    return Math.min(this.queue.definition.prefetchMax, this.prefetch)
  }

  get isPaused(): boolean {
    return this.#pause.index >= 0 || this.owes !== null
  }

  /** Whether a message may be written to it now. */
  get hasRoom(): boolean {
    if (this.leases.size >= this.leasesMax || this.isPaused || this.isDraining || this.isLeaving) return false
    const { link, client, queue, window } = this.session
    if (link === null || client === null || link.full || !client.mayDeliver) return false
    return queue.drained && window.open(client.inflightMax)
  }

  add(lease: Lease): void {
    if (this.leases.size === 0) this.#watch()
    this.leases.add(lease)
  }

  remove(lease: Lease): void {
    const wasOldest = this.leases.first === lease
    this.leases.delete(lease)
    if (wasOldest && this.leases.size > 0) this.#watch()
    if (this.leases.size === 0) this.isDraining = false
  }

  /** The oldest has its whole time from here on. */
  #watch(): void {
    this.oldestSince = this.#broker.now
    if (this.#timeout.index < 0) this.#arm()
  }

  /** A verdict takes longer, and that is known. */
  prolong(): void {
    this.#watch()
  }

  /** Moved only when it fires: with each verdict another one is the oldest. */
  #arm(): void {
    this.#broker.deadlines.set(this.#timeout, this.#tooLateAt)
  }

  /** Infinity: it may take for ever. */
  get #tooLateAt(): number {
    const { ackTimeoutMs } = this.queue.definition
    return ackTimeoutMs === 0 ? Infinity : this.oldestSince + ackTimeoutMs
  }

  #onTimeout(now: number): void {
    const oldest = this.leases.first
    if (oldest === null) return
    if (this.#tooLateAt > now) this.#arm()
    else onTooLate(this.#broker, this, oldest)
  }

  pauseFor(ms: number): void {
    this.#broker.deadlines.set(this.#pause, this.#broker.now + ms)
  }

  /** Its connection broke, and its session lives on. */
  startGrace(): void {
    if (this.leases.size === 0) return
    this.#broker.deadlines.set(this.#grace, this.#broker.now + this.queue.definition.reconnectGraceMs)
  }

  /** It is back, and so is what was with it. */
  endGrace(): void {
    this.owes = null
    this.isLeaving = false
    this.#broker.deadlines.clear(this.#grace)
    if (this.leases.size > 0) this.#watch()
  }

  /** It consumes no more. What is with it has been seen to. */
  end(): void {
    for (const deadline of [this.#timeout, this.#pause, this.#grace]) this.#broker.deadlines.clear(deadline)
    this.queue.removeConsumer(this)
  }
}
