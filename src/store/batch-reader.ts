/** Takes a packed batch apart again: what `BatchWriter` wrote, record by record. */
import { type BatchRecords, batchFormat } from './batch.ts'
import { FieldReader } from './packing.ts'
import { unpackDelayed } from './records/delayed.ts'
import { Kind } from './records/kind.ts'
import { unpackAttempt, unpackLog } from './records/log.ts'
import { emptyMessage, unpackBody } from './records/message.ts'
import { unpackMove } from './records/move.ts'
import { emptyReference, type ReusedReference, unpackEntry } from './records/queue-entry.ts'
import { unpackRetainedKey } from './records/retained.ts'
import { unpackCounted, unpackSeen, unpackSeenOf } from './records/seen.ts'
import { unpackSession } from './records/session.ts'
import { unpackCursor, unpackCursorKey, unpackSegment, unpackStream } from './records/stream.ts'
import { unpackSubscription } from './records/subscription.ts'
import { unpackWill } from './records/will.ts'
import type { StoredMessage } from './store.ts'

/**
 * Hands the batch's records to the sink, in order, and returns their number. Messages and references, the hot records, are one object each that is
 * filled again for every record: a sink that keeps them copies them. Payloads and properties are views into the batch.
 * Throws what the sink throws, and an error if the bytes are no batch.
 */
export function readBatch(batch: ArrayBuffer, sink: BatchRecords): number {
  const fields = new FieldReader(batch)
  if (!fields.ended) requireFormat(fields.uint8())
  const message = emptyMessage()
  const reference = emptyReference()
  let records = 0
  for (; !fields.ended; records++) readRecord(fields, sink, message, reference)
  return records
}

function requireFormat(format: number): void {
  if (format !== batchFormat) throw new Error(`not a batch: format ${format}, and this mqtide reads ${batchFormat}`)
}

function readRecord(fields: FieldReader, sink: BatchRecords, message: StoredMessage, reference: ReusedReference): void {
  const kind = fields.uint8()
  switch (kind) {
    case Kind.messagePut: {
      const id = fields.number()
      const references = fields.uint32()
      unpackBody(fields, id, message)
      sink.messagePut(message, references)
      break
    }
    case Kind.enqueue: {
      const messageId = fields.number()
      unpackEntry(fields, messageId, reference)
      sink.enqueue(reference)
      break
    }
    case Kind.enqueueMessage:
      unpackEntry(fields, 0, reference)
      unpackBody(fields, 0, message)
      sink.enqueueMessage(reference, message)
      break
    case Kind.dequeue:
      sink.dequeue(fields.number(), fields.number())
      break
    case Kind.release:
      sink.release(fields.number(), fields.number())
      break
    case Kind.complete:
      sink.complete(fields.number(), fields.number())
      break
    case Kind.incomingPut:
      sink.incomingPut(fields.number(), fields.uint32())
      break
    case Kind.incomingDelete:
      sink.incomingDelete(fields.number(), fields.uint32())
      break
    case Kind.sent:
      sink.sent(fields.number(), fields.number())
      break
    case Kind.move:
      unpackMove(fields, reference, (session, position, to) => sink.move(session, position, to))
      break
    default:
      readRareRecord(kind, fields, sink)
  }
}

function readRareRecord(kind: number, fields: FieldReader, sink: BatchRecords): void {
  switch (kind) {
    case Kind.clock:
      sink.clock(fields.number(), fields.number())
      break
    case Kind.sessionPut:
      sink.sessionPut(unpackSession(fields))
      break
    case Kind.sessionDelete:
      sink.sessionDelete(fields.number())
      break
    case Kind.subscriptionPut:
      sink.subscriptionPut(unpackSubscription(fields))
      break
    case Kind.subscriptionDelete:
      sink.subscriptionDelete(fields.number(), fields.text())
      break
    case Kind.retainedPut: {
      const { namespace, topic, version } = unpackRetainedKey(fields)
      sink.retainedPut(topic, fields.number(), version, namespace)
      break
    }
    case Kind.retainedDelete: {
      const { namespace, topic, version } = unpackRetainedKey(fields)
      sink.retainedDelete(topic, version, namespace)
      break
    }
    case Kind.willPut:
      sink.willPut(unpackWill(fields))
      break
    case Kind.willDelete:
      sink.willDelete(fields.number())
      break
    case Kind.logPut:
      sink.logPut(unpackLog(fields))
      break
    case Kind.attemptPut:
      sink.attemptPut(unpackAttempt(fields))
      break
    case Kind.attemptDelete:
      sink.attemptDelete(fields.number(), fields.number())
      break
    case Kind.delayedPut:
      sink.delayedPut(unpackDelayed(fields))
      break
    case Kind.delayedDelete:
      sink.delayedDelete(fields.number())
      break
    default:
      readStreamRecord(kind, fields, sink)
  }
}

function readStreamRecord(kind: number, fields: FieldReader, sink: BatchRecords): void {
  switch (kind) {
    case Kind.streamPut:
      sink.streamPut(unpackStream(fields))
      break
    case Kind.streamTrim:
      sink.streamTrim(fields.number(), fields.number())
      break
    case Kind.segmentPut:
      sink.segmentPut(unpackSegment(fields))
      break
    case Kind.cursorPut:
      sink.cursorPut(unpackCursor(fields))
      break
    case Kind.cursorDelete:
      sink.cursorDelete(unpackCursorKey(fields))
      break
    default:
      readSeenRecord(kind, fields, sink)
  }
}

function readSeenRecord(kind: number, fields: FieldReader, sink: BatchRecords): void {
  switch (kind) {
    case Kind.seenPut:
      sink.seenPut(unpackSeen(fields))
      break
    case Kind.seenDelete:
      sink.seenDelete(unpackSeenOf(fields), fields.text())
      break
    case Kind.seenForget:
      sink.seenForget(unpackSeenOf(fields), fields.number())
      break
    case Kind.countedPut:
      sink.countedPut(unpackCounted(fields))
      break
    case Kind.countedDelete:
      sink.countedDelete(unpackSeenOf(fields), fields.text())
      break
    default:
      throw new Error(`not a batch: record kind ${kind}`)
  }
}
