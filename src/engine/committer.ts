/**
 * The journal's other end: gathers the records of turns into batches, and hands the store one batch at a time. While one is
 * under way the next gathers, so that batches grow with the load and the cost per message falls.
 *
 * Elision: a reference that its recipient acknowledged before its batch was handed over is not written, and a message body
 * whose references all went is not written either. Under load, online durable traffic hardly touches the disk. The records
 * are therefore kept as they came, and packed only when the batch is handed over. The core does not know of this.
 *
 * A batch that turns out empty is committed at once. A failed commit is fatal: nothing is acknowledged any more.
 */
import type { Delivery } from '../core/delivery-queue.ts'
import type { Journal } from '../core/journal.ts'
import { type Message, messageBytes } from '../core/message.ts'
import type { Session } from '../core/session.ts'
import type { Subscription } from '../core/subscriptions.ts'
import type { PendingWill } from '../core/will.ts'
import { BatchWriter } from '../store/batch.ts'
import type { Durability, QueuePage, Store } from '../store/store.ts'
import type { Commits } from './engine.ts'

export interface CommitterEvents {
  /** `committed` has moved on. */
  onCommit(): void
  onPage(page: QueuePage): void
  /** Nothing can be made safe any more. */
  onFatal(error: Error): void
}

/** The record that may still be elided; all others are functions that write themselves when the batch is packed. */
interface PendingReference {
  session: Session
  position: number
  delivery: Delivery
  message: Message
  elided: boolean
}

const nothing = (): void => {}

type Pending = PendingReference | ((writer: BatchWriter) => void)

export class Committer implements Journal, Commits {
  readonly durable: boolean
  ticket = 1
  committed = 0
  appended = 0
  readonly #store: Store
  readonly #events: CommitterEvents
  readonly #pendingBytesMax: number
  readonly #durability: Durability
  readonly #writer = new BatchWriter()
  #pending: Pending[] = []
  readonly #retained = new Map<string, number>()
  #pendingBytes = 0
  #flyingBytes = 0
  #flying = false
  #failed = false
  #pages: { session: Session; fromPosition: number }[] = []
  nextMessageId = 1
  elidedReferences = 0
  batches = 0
  #idle: (() => void)[] = []

  constructor(store: Store, events: CommitterEvents, options: { pendingBytesMax: number; durability: Durability }) {
    this.durable = store.durable
    this.#store = store
    this.#events = events
    this.#pendingBytesMax = options.pendingBytesMax
    this.#durability = options.durability
  }

  get backlogged(): boolean {
    return this.#pendingBytes + this.#flyingBytes > this.#pendingBytesMax
  }

  session(session: Session, expiresAt: number): void {
    session.recorded = true
    const { number, clientId, version, expiryInterval, username } = session
    const connected = session.client !== null
    this.#append((writer) =>
      writer.sessionPut({ number, clientId, version, expiryInterval, expiresAt, connected, username }),
    )
  }

  sessionEnd(session: Session): void {
    session.recorded = false
    session.stored = false
    this.#append((writer) => writer.sessionDelete(session.number))
  }

  subscription(session: Session, subscription: Subscription): void {
    const { filter: topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifiers } = subscription
    const identifier = identifiers[0] ?? 0
    const stored = { session: session.number, topicFilter, qos, noLocal, retainAsPublished, retainHandling, identifier }
    this.#append((writer) => writer.subscriptionPut(stored))
  }

  unsubscription(session: Session, filter: string): void {
    this.#append((writer) => writer.subscriptionDelete(session.number, filter))
  }

  enqueue(session: Session, position: number, delivery: Delivery): void {
    const message = delivery.message!
    delivery.ticket = this.ticket
    message.references++
    this.appended++
    this.#pendingBytes += messageBytes(message)
    this.#pending.push({ session, position, delivery, message, elided: false })
    delivery.record = this.#pending.length - 1
  }

  dequeue(session: Session, position: number, delivery: Delivery | null): void {
    if (delivery?.ticket === this.ticket && delivery.record >= 0) {
      const record = this.#pending[delivery.record] as PendingReference
      record.elided = true
      record.message.references--
      this.elidedReferences++
      return
    }
    const { number } = session
    this.#append((writer) => writer.dequeue(number, position))
  }

  release(session: Session, position: number, delivery: Delivery): void {
    // The reference of this very batch stays: what follows needs its packet identifier.
    delivery.record = -1
    delivery.ticket = this.ticket
    const { number } = session
    this.#append((writer) => writer.release(number, position))
  }

  incoming(session: Session, packetId: number): void {
    this.#append((writer) => writer.incomingPut(session.number, packetId))
  }

  incomingEnd(session: Session, packetId: number): void {
    this.#append((writer) => writer.incomingDelete(session.number, packetId))
  }

  /** Of several changes of one topic within a batch only the last is written. */
  retain(topic: string, message: Message | null): void {
    const earlier = this.#retained.get(topic)
    if (earlier !== undefined) this.#pending[earlier] = nothing
    this.#retained.set(topic, this.#pending.length)
    if (message === null) {
      this.#append((writer) => writer.retainedDelete(topic))
      return
    }
    this.#pendingBytes += messageBytes(message)
    this.#append((writer) => {
      this.#body(writer, message)
      writer.retainedPut(topic, message.id)
    })
  }

  will(session: Session, pending: PendingWill): void {
    const { topic, payload, forwardProperties: properties, qos, retain, properties: all } = pending.will
    const delayInterval = all.willDelayInterval ?? 0
    const messageExpiryInterval = all.messageExpiryInterval ?? -1
    const dueAt = pending.deadline?.at ?? Infinity
    const will = { session: session.number, topic, payload, properties, qos, retain, delayInterval }
    this.#append((writer) => writer.willPut({ ...will, messageExpiryInterval, dueAt }))
  }

  willEnd(session: Session): void {
    if (session.recorded) this.#append((writer) => writer.willDelete(session.number))
  }

  requestPage(session: Session, fromPosition: number): void {
    this.#pages.push({ session, fromPosition })
  }

  endTurn(): void {
    if (this.#flying || this.#failed) return
    if (this.#pending.length > 0) this.#handOver()
    // Asked behind the batch, so that it sees what the batch wrote.
    this.#readPages()
  }

  /** Resolves when everything appended so far is committed. */
  async settled(): Promise<void> {
    this.endTurn()
    if (this.#flying || this.#pending.length > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #append(write: (writer: BatchWriter) => void): void {
    this.appended++
    this.#pendingBytes += 64
    this.#pending.push(write)
  }

  #handOver(): void {
    const writer = this.#writer
    for (const record of this.#pending) {
      if (typeof record === 'function') record(writer)
      else if (!record.elided) this.#reference(writer, record)
    }
    this.#pending = []
    this.#retained.clear()
    this.#flyingBytes = this.#pendingBytes
    this.#pendingBytes = 0
    const ticket = this.ticket++
    if (writer.records === 0) {
      this.#flyingBytes = 0
      this.#commit(ticket)
      return
    }
    this.#flying = true
    this.batches++
    this.#store.commit(writer.take(), this.#durability).then(
      () => {
        this.#flying = false
        this.#flyingBytes = 0
        this.#commit(ticket)
      },
      (error: unknown) => {
        this.#failed = true
        this.#events.onFatal(error instanceof Error ? error : new Error(String(error)))
      },
    )
  }

  #commit(ticket: number): void {
    this.committed = ticket
    this.#events.onCommit()
    this.endTurn()
    if (this.#flying || this.#pending.length > 0) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  #reference(writer: BatchWriter, { session, position, delivery, message }: PendingReference): void {
    this.#body(writer, message)
    writer.enqueue({
      session: session.number,
      position,
      messageId: message.id,
      qos: delivery.qos,
      retain: delivery.retain,
      sharedFilter: delivery.group?.filter ?? '',
      subscriptionIdentifiers: delivery.identifiers,
    })
  }

  /** The body goes before its first reference. */
  #body(writer: BatchWriter, message: Message): void {
    if (message.id !== 0) return
    message.id = this.nextMessageId++
    const { id, name: topic, payload, forwardProperties: properties, qos, expiresAt, publisher, publishedAt } = message
    const body = { id, topic, payload, properties, qos, expiresAt, publisher, publishedAt }
    writer.messagePut(body, Math.max(1, message.references))
  }

  #readPages(): void {
    const pages = this.#pages
    if (pages.length === 0) return
    this.#pages = []
    for (const { session, fromPosition } of pages) {
      this.#store.readQueue(session.number, fromPosition, pageMessagesMax, pageBytesMax).then(
        (page) => this.#events.onPage(page),
        (error: unknown) => this.#events.onFatal(error instanceof Error ? error : new Error(String(error))),
      )
    }
  }
}

const pageMessagesMax = 1000
const pageBytesMax = 1024 * 1024
