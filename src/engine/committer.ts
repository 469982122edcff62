/**
 * The journal's other end: gathers each turn's records in a slice, and hands the store one batch of slices at a time. While a
 * batch is under way the next slices gather, so that batches grow with the load and the cost per message falls.
 *
 * Elision: a reference that its recipient acknowledged before its slice was handed over is not written, and a message body
 * whose references all went is not written either. So that this happens, a slice that holds nothing but references whose
 * recipients are connected waits up to `elisionWaitMs` for their acknowledgements; when the last has come, the slice is as
 * good as committed and its frames leave without any disk. Everything else is handed over at once. Under load, online durable
 * traffic hardly touches the disk. The core does not know of this.
 *
 * Slices are committed in order, each batch at the strictest level that a record in it asks for, so that `committed` means for
 * every slice: as safe as it has to be. A failed commit is fatal: nothing is acknowledged any more.
 */

import type { Journal, SentMark } from '../core/ports/journal.ts'
import { type Message, messageBytes } from '../core/publish/message.ts'
import { type Delivery, DeliveryState } from '../core/session/delivery-queue.ts'
import { recoveredSession } from '../core/session/recovery.ts'
import type { Session } from '../core/session/session.ts'
import type { PendingWill } from '../core/session/will.ts'
import type { Subscription } from '../core/subscriptions/subscription-index.ts'
import { nextRetainedVersion } from '../store/batch.ts'
import type { Durability, QueuePage, Store } from '../store/store.ts'
import { BatchPacker } from './batch-packer.ts'
import type { Clock } from './clock.ts'
import { durabilityLevels, levelOf } from './durability.ts'
import type { Commits } from './engine.ts'
import { type PendingReference, pageBytesMax, pageMessagesMax, recordBytes, Slice } from './slice.ts'

export interface CommitterEvents {
  /** `committed` has moved on. */
  onCommit(): void
  onPage(page: QueuePage): void
  /** Nothing can be made safe any more. */
  onFatal(error: Error): void
}

const nothing = (): void => {}

export interface CommitterOptions {
  pendingBytesMax: number
  /** What commits have to survive where nobody demands anything else. */
  durability: Durability
  clock: Clock
  /** How long acknowledgements of recipients that are connected are waited for, to save the write. Default 2 ms. */
  elisionWaitMs?: number
}

const elisionWaitMsDefault = 2

export class Committer implements Journal, Commits {
  readonly durable: boolean
  ticket = 1
  committed = 0
  appended = 0
  readonly #store: Store
  readonly #events: CommitterEvents
  readonly #pendingBytesMax: number
  readonly #packer = new BatchPacker()
  readonly #clock: Clock
  readonly #elisionWaitMs: number
  /** What the records of the moment ask for. */
  #level: number
  #current: Slice
  /** Sealed and not handed over, oldest first. */
  #sealed: Slice[] = []
  readonly #retained = new Map<string, number>()
  #pendingBytes = 0
  #cancelWait: (() => void) | null = null
  #flyingBytes = 0
  /** Every slice up to this ticket is committed or on its way. */
  #handedOver = 0
  #flying = false
  #failure: Error | null = null
  #pages: { session: Session; fromPosition: number; sharedFilter: string | undefined }[] = []
  #hurry = false
  /** Of the latest retained change. */
  retainedVersion = 0
  elidedReferences = 0
  batches = 0
  /** Whoever waits for a commit, by ticket. */
  #waiters: { ticket: number; resolve: () => void; reject: (error: Error) => void }[] = []

  constructor(store: Store, events: CommitterEvents, options: CommitterOptions) {
    this.#clock = options.clock
    this.#elisionWaitMs = options.elisionWaitMs ?? elisionWaitMsDefault
    this.#current = new Slice(1)
    this.durable = store.durable
    this.#store = store
    this.#events = events
    this.#pendingBytesMax = options.pendingBytesMax
    this.#level = levelOf(options.durability)
  }

  set nextMessageId(id: number) {
    this.#packer.nextMessageId = id
  }

  get failed(): boolean {
    return this.#failure !== null
  }

  get backlogged(): boolean {
    return this.#pendingBytes + this.#flyingBytes > this.#pendingBytesMax
  }

  demand(durability: number): number {
    const before = this.#level
    this.#level = durability
    return before
  }

  session(session: Session, expiresAt: number): void {
    session.recorded = true
    const stored = recoveredSession(session, expiresAt)
    this.#append(({ writer }) => writer.sessionPut(stored))
  }

  sessionEnd(session: Session): void {
    session.recorded = false
    session.stored = false
    this.#append(({ writer }) => writer.sessionDelete(session.number))
  }

  subscription(session: Session, subscription: Subscription): void {
    const { filter: topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifiers } = subscription
    const identifier = identifiers[0] ?? 0
    const stored = { session: session.number, topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifier }
    this.#append(({ writer }) => writer.subscriptionPut(stored))
  }

  unsubscription(session: Session, filter: string): void {
    this.#append(({ writer }) => writer.subscriptionDelete(session.number, filter))
  }

  enqueue(session: Session, position: number, delivery: Delivery): void {
    const message = delivery.message!
    const slice = this.#current
    delivery.ticket = this.ticket
    delivery.record = slice.records.length
    message.references++
    this.appended++
    this.#grow(messageBytes(message) + recordBytes)
    slice.live++
    if (session.link === null) slice.urgent = true
    else if (delivery.qos === 2) {
      // Not even sent before its commit, which has to survive what its recipient's frames wait for: should it be lost after
      // it was sent, its packet identifier would go to another message, which the recipient then takes for this one.
      slice.urgent = true
      slice.raise(session.link.durability)
    }
    slice.records.push({ session, position, delivery, message, elided: false })
  }

  dequeue(session: Session, position: number, delivery: Delivery | null): void {
    if (delivery !== null && delivery.record >= 0 && delivery.ticket > this.#handedOver) {
      const slice =
        delivery.ticket === this.ticket ? this.#current : this.#sealed[delivery.ticket - this.#sealed[0]!.ticket]!
      const record = slice.records[delivery.record] as PendingReference
      record.elided = true
      record.message.references--
      slice.live--
      this.elidedReferences++
      return
    }
    const { number } = session
    const released = delivery?.state === DeliveryState.released
    // Nobody waits for a removal.
    this.#append(
      ({ writer }) => (released ? writer.complete(number, position) : writer.dequeue(number, position)),
      false,
    )
  }

  release(session: Session, position: number, delivery: Delivery): void {
    // The reference of this very batch stays: what follows needs its packet identifier.
    delivery.record = -1
    delivery.ticket = this.ticket
    const { number } = session
    this.#append(({ writer }) => writer.release(number, position))
  }

  incoming(session: Session, packetId: number): void {
    this.#append(({ writer }) => writer.incomingPut(session.number, packetId))
  }

  incomingEnd(session: Session, packetId: number): void {
    this.#append(({ writer }) => writer.incomingDelete(session.number, packetId))
  }

  /** Of several changes of one topic within a batch only the last is written. */
  retain(topic: string, message: Message | null): void {
    const earlier = this.#retained.get(topic)
    if (earlier !== undefined) this.#current.records[earlier] = nothing
    this.#retained.set(topic, this.#current.records.length)
    const version = nextRetainedVersion(this.retainedVersion, this.#clock.now())
    this.retainedVersion = version
    if (message === null) {
      this.#append(({ writer }) => writer.retainedDelete(topic, version))
      return
    }
    this.#grow(messageBytes(message))
    message.references++
    this.#append((packer) => {
      packer.body(message)
      packer.writer.retainedPut(topic, message.id, version)
    })
  }

  will(session: Session, pending: PendingWill): void {
    const { topic, payload, forwardProperties: properties, qos, retain, properties: all } = pending.will
    const delayInterval = all.willDelayInterval ?? 0
    const messageExpiryInterval = all.messageExpiryInterval ?? -1
    const dueAt = pending.deadline?.at ?? Infinity
    const will = { session: session.number, topic, payload, properties, qos, retain, delayInterval }
    this.#append(({ writer }) => writer.willPut({ ...will, messageExpiryInterval, dueAt }))
  }

  willEnd(session: Session): void {
    if (session.recorded) this.#append(({ writer }) => writer.willDelete(session.number))
  }

  sent(session: Session, position: number, delivery: Delivery | null): void {
    if (delivery !== null && delivery.record >= 0 && delivery.ticket > this.#handedOver) return
    const end = position + 1
    session.queue.marked = Math.max(session.queue.marked, end)
    if (delivery === null) {
      this.#current.urgent = true
      if (session.link !== null) this.#current.raise(session.link.durability)
    }
    const { mark, number } = session
    if (mark !== null && mark.ticket === this.ticket) {
      mark.end = Math.max(mark.end, end)
      return
    }
    const own: SentMark = { ticket: this.ticket, end }
    session.mark = own
    this.#append(({ writer }) => writer.sent(number, own.end), false)
  }

  /** What the clock has reached, for the next process. */
  clock(time: number, wallOffset: number): void {
    this.#append(({ writer }) => writer.clock(time, wallOffset))
  }

  requestPage(session: Session, fromPosition: number, sharedFilter?: string): void {
    this.#pages.push({ session, fromPosition, sharedFilter })
  }

  endTurn(): void {
    this.#seal()
    this.#advance()
  }

  /** Resolves when everything appended so far is committed, whatever is appended meanwhile; rejects when it can't be. */
  async settled(): Promise<void> {
    this.#hurry = true
    this.endTurn()
    const ticket = this.ticket - 1
    if (this.committed >= ticket) return
    if (this.#failure !== null) throw this.#failure
    await new Promise<void>((resolve, reject) => this.#waiters.push({ ticket, resolve, reject }))
  }

  #append(write: (packer: BatchPacker) => void, urgent = true): void {
    this.appended++
    this.#grow(recordBytes)
    const slice = this.#current
    slice.live++
    if (urgent) slice.urgent = true
    slice.records.push(write)
  }

  #grow(bytes: number): void {
    this.#pendingBytes += bytes
    this.#current.bytes += bytes
    this.#current.raise(this.#level)
  }

  #seal(): void {
    if (this.#current.records.length === 0) return
    this.#current.sealedAt = this.#clock.now()
    this.#sealed.push(this.#current)
    this.#retained.clear()
    this.ticket++
    this.#current = new Slice(this.ticket)
  }

  /** Commits what needs no disk, and hands over what has to go and waits no longer. */
  #advance(): void {
    if (this.#flying || this.#failure !== null) return
    if (this.#pages.length > 0) {
      // A page is read behind everything that was appended before it was asked for.
      this.#seal()
      this.#hurry = true
    }
    const before = this.committed
    while (this.#sealed.length > 0 && this.#sealed[0]!.live === 0) {
      const slice = this.#sealed.shift()!
      this.#pendingBytes -= slice.bytes
      this.#handedOver = slice.ticket
      this.committed = slice.ticket
    }
    const due = this.#due()
    if (due > 0) this.#handOver(this.#sealed.splice(0, due))
    this.#readPages()
    if (this.committed > before) this.#onMoved()
    this.#arm()
  }

  #onMoved(): void {
    this.#events.onCommit()
    while (this.#waiters.length > 0 && this.#waiters[0]!.ticket <= this.committed) this.#waiters.shift()!.resolve()
  }

  /** How many slices from the oldest on are to be handed over now. */
  #due(): number {
    const sealed = this.#sealed
    if (this.#hurry) {
      this.#hurry = false
      return sealed.length
    }
    const now = this.#clock.now()
    let due = sealed.length
    while (due > 0 && this.#mayWait(sealed[due - 1]!, now)) due--
    return due
  }

  /** A slice that was sealed in the future does not wait: the clock was set back. */
  #mayWait({ urgent, sealedAt }: Slice, now: number): boolean {
    return !urgent && sealedAt > now - this.#elisionWaitMs && sealedAt <= now
  }

  #arm(): void {
    if (this.#cancelWait !== null || this.#flying || this.#sealed.length === 0) return
    this.#cancelWait = this.#clock.after(this.#elisionWaitMs, () => {
      this.#cancelWait = null
      this.#advance()
    })
  }

  #handOver(slices: readonly Slice[]): void {
    const packer = this.#packer
    let bytes = 0
    let level = 0
    for (const slice of slices) {
      bytes += slice.bytes
      level = Math.max(level, slice.level)
    }
    this.#pendingBytes -= bytes
    this.#flyingBytes = bytes
    this.#handedOver = slices[slices.length - 1]!.ticket
    this.#flying = true
    this.batches++
    try {
      for (const slice of slices) {
        for (const record of slice.records) {
          if (typeof record === 'function') record(packer)
          else if (!record.elided) packer.reference(record)
        }
      }
      this.#store.commit(packer.take(), durabilityLevels[level]!).then(
        () => this.#onCommitted(),
        (error: unknown) => this.fail(error),
      )
    } catch (error) {
      this.fail(error)
    }
  }

  #onCommitted(): void {
    this.#flying = false
    this.#flyingBytes = 0
    this.committed = this.#handedOver
    this.#onMoved()
    this.#advance()
  }

  /** Nothing more is handed over. */
  fail(cause: unknown): void {
    if (this.#failure !== null) return
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#failure = error
    this.#events.onFatal(error)
    for (const { reject } of this.#waiters.splice(0)) reject(error)
  }

  #readPages(): void {
    const pages = this.#pages
    if (pages.length === 0) return
    this.#pages = []
    for (const { session, fromPosition, sharedFilter } of pages) {
      this.#store.readQueue(session.number, fromPosition, pageMessagesMax, pageBytesMax, sharedFilter).then(
        (page) => this.#events.onPage(page),
        (error: unknown) => this.fail(error),
      )
    }
  }
}
