/**
 * What the core records, turn by turn: gathered here until the committer hands it over.
 *
 * Elision: a reference that its recipient acknowledged before its turn was handed over is not written, and a message body whose
 * references all went is not written either. Under load, online durable traffic so hardly touches the disk. The core does not
 * know of this.
 */

import { type DelayedMessage, delayedBytes, storedDelayed } from '../core/delayed/delayed-message.ts'
import type { Lane } from '../core/logs/lane.ts'
import type { QueuedMessage } from '../core/logs/queued-message.ts'
import type { Counted } from '../core/logs/seen.ts'
import type { Segment } from '../core/logs/segments.ts'
import type { Stream } from '../core/logs/stream.ts'
import type { Journal, LogOwner, QueuePlace, SentMark, StreamCursor } from '../core/ports/journal.ts'
import type { DelayedQuery, RecoveredDelayedPage, RecoveredId, SeenOf } from '../core/ports/recovered.ts'
import { type Message, messageBytes } from '../core/publish/message.ts'
import { type Delivery, DeliveryState } from '../core/session/delivery.ts'
import { storedSession } from '../core/session/recovery.ts'
import type { Session } from '../core/session/session.ts'
import type { PendingWill } from '../core/session/will.ts'
import type { Subscription } from '../core/subscriptions/subscription-index.ts'
import { nextRetainedVersion } from '../store/batch.ts'
import { BatchPacker, storedReference } from './batch-packer.ts'
import type { Clock } from './clock.ts'
import { type DelayedRead, type PageRequest, type PendingReference, recordBytes, TurnRecords } from './turn-records.ts'

const nothing = (): void => {}

export abstract class TurnJournal implements Journal {
  readonly durable: boolean
  ticket = 1
  abstract readonly committed: number
  appended = 0
  /** Of the latest retained change. */
  retainedVersion = 0
  elidedReferences = 0
  protected readonly packer = new BatchPacker()
  protected current = new TurnRecords(1)
  /** Ended and not handed over, oldest first. */
  protected sealed: TurnRecords[] = []
  protected pendingBytes = 0
  /** Every turn up to this one is committed or on its way. */
  protected handedOver = 0
  /** In the order of their tickets: a page is read behind everything that was appended before it was asked for. */
  protected pages: PageRequest[] = []
  protected delayedReads: DelayedRead[] = []
  protected readonly time: Clock
  readonly #retained = new Map<string, number>()
  /** What the records of the moment ask for. */
  #level: number

  constructor(durable: boolean, time: Clock, level: number) {
    this.durable = durable
    this.time = time
    this.#level = level
  }

  requireDurability(durability: number): number {
    const before = this.#level
    this.#level = durability
    return before
  }

  session(session: Session, expiresAt: number): void {
    session.recorded = true
    const stored = storedSession(session, expiresAt)
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

  /** Nobody else routes to this process. */
  interest(): void {}

  enqueue(owner: LogOwner, position: number, delivery: Delivery): void {
    const message = delivery.message!
    const turn = this.current
    delivery.ticket = this.ticket
    delivery.record = turn.records.length
    message.references++
    this.appended++
    this.#grow(messageBytes(message) + recordBytes)
    turn.live++
    if (owner.link === null) turn.urgent = true
    else if (delivery.qos === 2) {
      // Not even sent before its commit, which has to survive what its recipient's frames wait for: should it be lost after
      // it was sent, its packet identifier would go to another message, which the recipient then takes for this one.
      turn.urgent = true
      turn.raise(owner.link.durability)
    }
    turn.records.push({ owner, position, delivery, message, elided: false })
  }

  dequeue({ number }: LogOwner, position: number, delivery: Delivery | null): void {
    if (delivery !== null && delivery.record >= 0 && delivery.ticket > this.handedOver) {
      const turn =
        delivery.ticket === this.ticket ? this.current : this.sealed[delivery.ticket - this.sealed[0]!.ticket]!
      const record = turn.records[delivery.record] as PendingReference
      record.elided = true
      record.message.references--
      turn.live--
      this.elidedReferences++
      return
    }
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

  /** The old reference is written first, even if its turn is still being gathered: an acknowledgement may wait for it. */
  move(from: LogOwner, fromPosition: number, old: Delivery | null, to: QueuePlace): void {
    if (old !== null) old.record = -1
    to.delivery.ticket = this.ticket
    if (to.owner.link !== null) this.current.raise(to.owner.link.durability)
    const reference = storedReference(to, 0)
    this.#append(({ writer }) => writer.move(from.number, fromPosition, reference))
  }

  incoming(session: Session, packetId: number): void {
    this.#append(({ writer }) => writer.incomingPut(session.number, packetId))
  }

  incomingEnd(session: Session, packetId: number): void {
    this.#append(({ writer }) => writer.incomingDelete(session.number, packetId))
  }

  /** Of several changes of one topic within a batch only the last is written. */
  retain(namespace: string, topic: string, message: Message | null): void {
    // No topic has the character that divides the two.
    const place = namespace === '' ? topic : `${namespace}\0${topic}`
    const earlier = this.#retained.get(place)
    if (earlier !== undefined) this.current.records[earlier] = nothing
    this.#retained.set(place, this.current.records.length)
    const version = nextRetainedVersion(this.retainedVersion, this.time.now())
    this.retainedVersion = version
    if (message === null) {
      this.#append(({ writer }) => writer.retainedDelete(topic, version, namespace))
      return
    }
    this.#grow(messageBytes(message))
    message.references++
    this.#append((packer) => {
      packer.body(message)
      packer.writer.retainedPut(topic, message.id, version, namespace)
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
    if (delivery !== null && delivery.record >= 0 && delivery.ticket > this.handedOver) return
    const end = position + 1
    session.queue.marked = Math.max(session.queue.marked, end)
    if (delivery === null) {
      this.current.urgent = true
      if (session.link !== null) this.current.raise(session.link.durability)
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

  log({ number, priority, queue }: Lane): void {
    const { name, namespace, definition } = queue
    const log = { number, namespace: namespace.storedName, name, priority, filter: definition.filter ?? '' }
    this.#append(({ writer }) => writer.logPut(log))
  }

  /** Nobody waits for what is said of an attempt. */
  attempt(queued: QueuedMessage): void {
    const { lane, position, failed, returned, dueAt, reason } = queued
    queued.attempted = true
    const attempt = { log: lane.number, position, failed, returned, dueAt, reason }
    this.#append(({ writer }) => writer.attemptPut(attempt), false)
  }

  attemptEnd({ number }: Lane, position: number): void {
    this.#append(({ writer }) => writer.attemptDelete(number, position), false)
  }

  stream({ number, namespace, name, definition: { filter }, firstOffset }: Stream): void {
    const stream = { number, namespace: namespace.storedName, name, filter, firstOffset }
    this.#append(({ writer }) => writer.streamPut(stream))
  }

  segment({ number }: Stream, { firstOffset, firstAt, lastAt, messages, bytes }: Segment): void {
    const segment = { stream: number, firstOffset, firstAt, lastAt, messages, bytes }
    this.#append(({ writer }) => writer.segmentPut(segment), false)
  }

  trim({ number }: Stream, offset: number): void {
    this.#append(({ writer }) => writer.streamTrim(number, offset), false)
  }

  cursor({ number }: Stream, cursor: StreamCursor): void {
    this.#append(({ writer }) => writer.cursorPut({ stream: number, ...cursor }), false)
  }

  cursorEnd({ number }: Stream, session: number, name: string, filter: string): void {
    this.#append(({ writer }) => writer.cursorDelete({ stream: number, session, name, filter }), false)
  }

  seen(id: RecoveredId): void {
    this.#append(({ writer }) => writer.seenPut(id))
  }

  /** Nobody waits for what is forgotten. */
  seenEnd(of: SeenOf, id: string): void {
    this.#append(({ writer }) => writer.seenDelete(of, id), false)
  }

  seenForget(of: SeenOf, until: number): void {
    this.#append(({ writer }) => writer.seenForget(of, until), false)
  }

  counted(of: SeenOf, publisher: string, counted: Counted): void {
    this.#append(({ writer }) => {
      const { sequence, at } = counted
      writer.countedPut({ ...of, publisher, sequence, at })
    })
  }

  countedEnd(of: SeenOf, publisher: string): void {
    this.#append(({ writer }) => writer.countedDelete(of, publisher), false)
  }

  /** What the clock has reached, for the next process. */
  clock(time: number, wallOffset: number): void {
    this.#append(({ writer }) => writer.clock(time, wallOffset))
  }

  requestPage(owner: LogOwner, fromPosition: number, sharedFilter?: string): void {
    this.pages.push({ owner, fromPosition, sharedFilter, ticket: this.ticket })
  }

  delayed(delayed: DelayedMessage): void {
    this.#grow(delayedBytes(delayed))
    this.#append(({ writer }) => writer.delayedPut(storedDelayed(delayed)))
  }

  delayedEnd(id: number): void {
    this.#append(({ writer }) => writer.delayedDelete(id))
  }

  requestDelayed(query: DelayedQuery, use: (page: RecoveredDelayedPage) => void): void {
    this.delayedReads.push({ query, use, ticket: this.ticket })
  }

  #append(write: (packer: BatchPacker) => void, urgent = true): void {
    this.appended++
    this.#grow(recordBytes)
    const turn = this.current
    turn.live++
    if (urgent) turn.urgent = true
    turn.records.push(write)
  }

  #grow(bytes: number): void {
    this.pendingBytes += bytes
    this.current.bytes += bytes
    this.current.raise(this.#level)
  }

  /** Ends the turn's records, if there are any. */
  protected seal(): void {
    if (this.current.records.length === 0 && !this.current.hasLegs) return
    this.current.sealedAt = this.time.now()
    this.sealed.push(this.current)
    this.#retained.clear()
    this.ticket++
    this.current = new TurnRecords(this.ticket)
  }
}
