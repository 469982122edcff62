/**
 * One group commit's records, packed into a single transferable buffer.
 *
 * Posting a Buffer to a worker clones its whole backing store; packing into one ArrayBuffer that is transferred costs one
 * copy of the bytes themselves. `BatchWriter` runs in the engine's thread, `readBatch` (`batch-reader.ts`) in the store's.
 *
 * A record is its kind (one byte) and its fields, see `packing.ts`. The same records carry what is read back: recovery
 * chunks and queue pages are batches in the other direction.
 */
import { FieldWriter } from './packing.ts'
import type { StoredMessage, StoredReference, StoredSession, StoredSubscription, StoredWill } from './store.ts'
/** What a batch may say, in the order of the turn. A sink applies the records in exactly that order. */
export interface BatchRecords {
  sessionPut(session: StoredSession): void
  /** Ends the session with its subscriptions, queue, packet identifiers and will. */
  sessionDelete(session: number): void
  subscriptionPut(subscription: StoredSubscription): void
  subscriptionDelete(session: number, topicFilter: string): void
  /**
   * Precedes the references and the retained change that name it, in the same batch. `references` is how many `enqueue` and
   * `retainedPut` of this batch name it: the store starts counting there, and corrects the count at the batch's end if other
   * records named it.
   */
  messagePut(message: StoredMessage, references: number): void
  /** Positions of a session grow from record to record. */
  enqueue(reference: StoredReference): void
  /** A message that only this reference names, whose body so lies with it: `messageId` and the message's `id` are 0. */
  enqueueMessage(reference: StoredReference, message: StoredMessage): void
  /** Acknowledged, expired, dropped or moved to another member: the reference goes, its body with the last reference. */
  dequeue(session: number, position: number): void
  /** PUBREC arrived: only the packet identifier at this position remains, until `complete`. */
  release(session: number, position: number): void
  /** PUBCOMP arrived: what `release` left goes. */
  complete(session: number, position: number): void
  incomingPut(session: number, packetId: number): void
  incomingDelete(session: number, packetId: number): void
  retainedPut(topic: string, messageId: number): void
  retainedDelete(topic: string): void
  willPut(will: StoredWill): void
  willDelete(session: number): void
}

/** For `batch-reader.ts`. */
export const Kind = {
  sessionPut: 1,
  sessionDelete: 2,
  subscriptionPut: 3,
  subscriptionDelete: 4,
  messagePut: 5,
  enqueue: 6,
  dequeue: 7,
  release: 8,
  incomingPut: 9,
  incomingDelete: 10,
  retainedPut: 11,
  retainedDelete: 12,
  willPut: 13,
  willDelete: 14,
  enqueueMessage: 15,
  complete: 16,
} as const

export const retainFlag = 4
export const sharedFlag = 8
export const identifiersFlag = 16

export class BatchWriter implements BatchRecords {
  readonly #fields = new FieldWriter()
  #records = 0

  get byteLength(): number {
    return this.#fields.byteLength
  }

  get records(): number {
    return this.#records
  }

  /** The batch, exactly sized; the writer is empty again. */
  take(): ArrayBuffer {
    this.#records = 0
    return this.#fields.take()
  }

  sessionPut(session: StoredSession): void {
    const fields = this.#begin(Kind.sessionPut)
    fields.number(session.number)
    fields.text(session.clientId)
    fields.uint8(session.version)
    fields.uint32(session.expiryInterval)
    fields.number(session.expiresAt)
    fields.uint8(session.connected ? 1 : 0)
    fields.text(session.username)
  }

  sessionDelete(session: number): void {
    this.#begin(Kind.sessionDelete).number(session)
  }

  subscriptionPut(subscription: StoredSubscription): void {
    const fields = this.#begin(Kind.subscriptionPut)
    fields.number(subscription.session)
    fields.text(subscription.topicFilter)
    fields.uint8(
      subscription.qos |
        (subscription.noLocal ? 4 : 0) |
        (subscription.retainAsPublished ? 8 : 0) |
        (subscription.retainHandling << 4),
    )
    fields.uint32(subscription.identifier)
  }

  subscriptionDelete(session: number, topicFilter: string): void {
    const fields = this.#begin(Kind.subscriptionDelete)
    fields.number(session)
    fields.text(topicFilter)
  }

  messagePut(message: StoredMessage, references: number): void {
    const fields = this.#begin(Kind.messagePut)
    fields.number(message.id)
    fields.uint32(references)
    this.#body(message)
  }

  enqueue(reference: StoredReference): void {
    const fields = this.#begin(Kind.enqueue)
    fields.number(reference.messageId)
    this.#entry(reference)
  }

  enqueueMessage(reference: StoredReference, message: StoredMessage): void {
    this.#begin(Kind.enqueueMessage)
    this.#entry(reference)
    this.#body(message)
  }

  #body(message: StoredMessage): void {
    const fields = this.#fields
    fields.uint8(message.qos)
    fields.number(message.expiresAt)
    fields.number(message.publishedAt)
    fields.text(message.topic)
    fields.text(message.publisher)
    fields.bytes(message.properties)
    fields.bytes(message.payload)
  }

  #entry(reference: StoredReference): void {
    const identifiers = reference.subscriptionIdentifiers
    const shared = reference.sharedFilter !== ''
    const fields = this.#fields
    fields.number(reference.session)
    fields.number(reference.position)
    fields.uint8(
      reference.qos |
        (reference.retain ? retainFlag : 0) |
        (shared ? sharedFlag : 0) |
        (identifiers.length > 0 ? identifiersFlag : 0),
    )
    if (shared) fields.text(reference.sharedFilter)
    if (identifiers.length === 0) return
    fields.uint32(identifiers.length)
    for (const identifier of identifiers) fields.uint32(identifier)
  }

  dequeue(session: number, position: number): void {
    const fields = this.#begin(Kind.dequeue)
    fields.number(session)
    fields.number(position)
  }

  release(session: number, position: number): void {
    const fields = this.#begin(Kind.release)
    fields.number(session)
    fields.number(position)
  }

  complete(session: number, position: number): void {
    const fields = this.#begin(Kind.complete)
    fields.number(session)
    fields.number(position)
  }

  incomingPut(session: number, packetId: number): void {
    const fields = this.#begin(Kind.incomingPut)
    fields.number(session)
    fields.uint32(packetId)
  }

  incomingDelete(session: number, packetId: number): void {
    const fields = this.#begin(Kind.incomingDelete)
    fields.number(session)
    fields.uint32(packetId)
  }

  retainedPut(topic: string, messageId: number): void {
    const fields = this.#begin(Kind.retainedPut)
    fields.text(topic)
    fields.number(messageId)
  }

  retainedDelete(topic: string): void {
    this.#begin(Kind.retainedDelete).text(topic)
  }

  willPut(will: StoredWill): void {
    const fields = this.#begin(Kind.willPut)
    fields.number(will.session)
    fields.text(will.topic)
    fields.bytes(will.payload)
    fields.bytes(will.properties)
    fields.uint8(will.qos | (will.retain ? retainFlag : 0))
    fields.number(will.delayInterval)
    fields.number(will.messageExpiryInterval)
    fields.number(will.dueAt)
  }

  willDelete(session: number): void {
    this.#begin(Kind.willDelete).number(session)
  }

  #begin(kind: number): FieldWriter {
    this.#records++
    this.#fields.uint8(kind)
    return this.#fields
  }
}
