/**
 * One group commit's records, packed into a single transferable buffer.
 *
 * Posting a Buffer to a worker clones its whole backing store; packing into one ArrayBuffer that is transferred costs one
 * copy of the bytes themselves. `BatchWriter` runs in the engine's thread, `readBatch` (`batch-reader.ts`) in the store's.
 *
 * A batch begins with a byte that says its format. A record is its kind (one byte) and its fields, see `packing.ts`; each kind
 * has a file in `records/`. The same records carry what is read back: recovery chunks and queue pages are batches in the
 * other direction. Nothing at all is a batch without records.
 */
import { FieldWriter } from './packing.ts'
import { packDelayed } from './records/delayed.ts'
import { Kind } from './records/kind.ts'
import { packAttempt, packLog } from './records/log.ts'
import { packBody } from './records/message.ts'
import { packMove } from './records/move.ts'
import { packEntryFields } from './records/queue-entry.ts'
import { packRetainedKey } from './records/retained.ts'
import { packCounted, packSeen, packSeenOf } from './records/seen.ts'
import { packSession } from './records/session.ts'
import { type CursorKey, packCursor, packCursorKey, packSegment, packStream } from './records/stream.ts'
import { packSubscription } from './records/subscription.ts'
import { packWill } from './records/will.ts'
import type {
  SeenOf,
  StoredAttempt,
  StoredCursor,
  StoredDelayed,
  StoredId,
  StoredLog,
  StoredMessage,
  StoredReference,
  StoredSegment,
  StoredSequence,
  StoredSession,
  StoredStream,
  StoredSubscription,
  StoredWill,
} from './store.ts'
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
  /** Acknowledged, expired or dropped: the reference goes, its body with the last reference. */
  dequeue(session: number, position: number): void
  /** PUBREC arrived: only the packet identifier at this position remains, until `complete`. */
  release(session: number, position: number): void
  /** PUBCOMP arrived: what `release` left goes. */
  complete(session: number, position: number): void
  /**
   * The entry leaves its queue and joins the one that `to` names, at the position there, with the rest of what `to` says; its
   * body goes with it (`to.messageId` says nothing). Nothing happens if the entry is not there. Counts as an `enqueue` where
   * positions have to grow.
   */
  move(session: number, position: number, to: StoredReference): void
  /** Every position of the session's queue below this one was sent to its client. It never goes back. */
  sent(session: number, position: number): void
  /** What the engine's clock has reached, and by how much the system's is ahead of it. */
  clock(time: number, wallOffset: number): void
  incomingPut(session: number, packetId: number): void
  incomingDelete(session: number, packetId: number): void
  /**
   * Ignored if the topic retains a message of this version or a higher one. Without a namespace, the one that is not
   * named.
   */
  retainedPut(topic: string, messageId: number, version: number, namespace?: string): void
  /** Ignored if the topic retains a message of this version or a higher one. */
  retainedDelete(topic: string, version: number, namespace?: string): void
  willPut(will: StoredWill): void
  willDelete(session: number): void
  /** A queue's log, whose entries are `enqueue`d under its number. */
  logPut(log: StoredLog): void
  attemptPut(attempt: StoredAttempt): void
  attemptDelete(log: number, position: number): void
  delayedPut(delayed: StoredDelayed): void
  delayedDelete(id: number): void
  /** A stream, whose entries are `enqueue`d under its number. What it says of the first offset counts for a new one. */
  streamPut(stream: StoredStream): void
  /** Entries and segments before this offset go. */
  streamTrim(stream: number, offset: number): void
  segmentPut(segment: StoredSegment): void
  cursorPut(cursor: StoredCursor): void
  cursorDelete(cursor: CursorKey): void
  seenPut(id: StoredId): void
  seenDelete(of: SeenOf, id: string): void
  /** All ids of the queue that came at this time or before. */
  seenForget(of: SeenOf, until: number): void
  countedPut(sequence: StoredSequence): void
  countedDelete(of: SeenOf, publisher: string): void
}

/** A batch of another format is refused whole. */
export const batchFormat = 1

/** For whoever makes the changes. */
export { nextRetainedVersion } from './records/retained.ts'

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
    packSession(this.#begin(Kind.sessionPut), session)
  }

  sessionDelete(session: number): void {
    this.#begin(Kind.sessionDelete).number(session)
  }

  subscriptionPut(subscription: StoredSubscription): void {
    packSubscription(this.#begin(Kind.subscriptionPut), subscription)
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
    packBody(fields, message)
  }

  enqueue(reference: StoredReference): void {
    const fields = this.#begin(Kind.enqueue)
    fields.number(reference.messageId)
    packEntryFields(fields, reference)
  }

  enqueueMessage(reference: StoredReference, message: StoredMessage): void {
    const fields = this.#begin(Kind.enqueueMessage)
    packEntryFields(fields, reference)
    packBody(fields, message)
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

  move(session: number, position: number, to: StoredReference): void {
    packMove(this.#begin(Kind.move), session, position, to)
  }

  sent(session: number, position: number): void {
    const fields = this.#begin(Kind.sent)
    fields.number(session)
    fields.number(position)
  }

  clock(time: number, wallOffset: number): void {
    const fields = this.#begin(Kind.clock)
    fields.number(time)
    fields.number(wallOffset)
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

  retainedPut(topic: string, messageId: number, version: number, namespace = ''): void {
    const fields = this.#begin(Kind.retainedPut)
    packRetainedKey(fields, topic, version, namespace)
    fields.number(messageId)
  }

  retainedDelete(topic: string, version: number, namespace = ''): void {
    packRetainedKey(this.#begin(Kind.retainedDelete), topic, version, namespace)
  }

  willPut(will: StoredWill): void {
    packWill(this.#begin(Kind.willPut), will)
  }

  willDelete(session: number): void {
    this.#begin(Kind.willDelete).number(session)
  }

  logPut(log: StoredLog): void {
    packLog(this.#begin(Kind.logPut), log)
  }

  attemptPut(attempt: StoredAttempt): void {
    packAttempt(this.#begin(Kind.attemptPut), attempt)
  }

  attemptDelete(log: number, position: number): void {
    const fields = this.#begin(Kind.attemptDelete)
    fields.number(log)
    fields.number(position)
  }

  delayedPut(delayed: StoredDelayed): void {
    packDelayed(this.#begin(Kind.delayedPut), delayed)
  }

  delayedDelete(id: number): void {
    this.#begin(Kind.delayedDelete).number(id)
  }

  streamPut(stream: StoredStream): void {
    packStream(this.#begin(Kind.streamPut), stream)
  }

  streamTrim(stream: number, offset: number): void {
    const fields = this.#begin(Kind.streamTrim)
    fields.number(stream)
    fields.number(offset)
  }

  segmentPut(segment: StoredSegment): void {
    packSegment(this.#begin(Kind.segmentPut), segment)
  }

  cursorPut(cursor: StoredCursor): void {
    packCursor(this.#begin(Kind.cursorPut), cursor)
  }

  cursorDelete(cursor: CursorKey): void {
    packCursorKey(this.#begin(Kind.cursorDelete), cursor)
  }

  seenPut(id: StoredId): void {
    packSeen(this.#begin(Kind.seenPut), id)
  }

  seenDelete(of: SeenOf, id: string): void {
    const fields = this.#begin(Kind.seenDelete)
    packSeenOf(fields, of)
    fields.text(id)
  }

  seenForget(of: SeenOf, until: number): void {
    const fields = this.#begin(Kind.seenForget)
    packSeenOf(fields, of)
    fields.number(until)
  }

  countedPut(sequence: StoredSequence): void {
    packCounted(this.#begin(Kind.countedPut), sequence)
  }

  countedDelete(of: SeenOf, publisher: string): void {
    const fields = this.#begin(Kind.countedDelete)
    packSeenOf(fields, of)
    fields.text(publisher)
  }

  #begin(kind: number): FieldWriter {
    if (this.#records === 0) this.#fields.uint8(batchFormat)
    this.#records++
    this.#fields.uint8(kind)
    return this.#fields
  }
}
