/** Takes a packed batch apart again: what `BatchWriter` wrote, record by record. */
import type { ProtocolVersion, Qos } from '../mqtt/packet.ts'
import { type BatchRecords, identifiersFlag, Kind, retainFlag, sharedFlag } from './batch.ts'
import { FieldReader } from './packing.ts'
import type { StoredMessage, StoredReference, StoredSession, StoredSubscription, StoredWill } from './store.ts'

/**
 * Hands the batch's records to the sink, in order, and returns their number. Messages and references, the hot records, are one object each that is
 * filled again for every record: a sink that keeps them copies them. Payloads and properties are views into the batch.
 * Throws what the sink throws, and an error if the bytes are no batch.
 */
export function readBatch(batch: ArrayBuffer, sink: BatchRecords): number {
  const fields = new FieldReader(batch)
  const message = emptyMessage()
  const reference = emptyReference()
  let records = 0
  for (; !fields.ended; records++) readRecord(fields, sink, message, reference)
  return records
}

function readRecord(fields: FieldReader, sink: BatchRecords, message: StoredMessage, reference: ReusedReference): void {
  const kind = fields.uint8()
  switch (kind) {
    case Kind.messagePut: {
      const id = fields.number()
      const references = fields.uint32()
      readBody(fields, id, message)
      sink.messagePut(message, references)
      break
    }
    case Kind.enqueue: {
      const messageId = fields.number()
      readEntry(fields, messageId, reference)
      sink.enqueue(reference)
      break
    }
    case Kind.enqueueMessage:
      readEntry(fields, 0, reference)
      readBody(fields, 0, message)
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
    default:
      readRareRecord(kind, fields, sink)
  }
}

function readRareRecord(kind: number, fields: FieldReader, sink: BatchRecords): void {
  switch (kind) {
    case Kind.sessionPut:
      sink.sessionPut(readSession(fields))
      break
    case Kind.sessionDelete:
      sink.sessionDelete(fields.number())
      break
    case Kind.subscriptionPut:
      sink.subscriptionPut(readSubscription(fields))
      break
    case Kind.subscriptionDelete:
      sink.subscriptionDelete(fields.number(), fields.text())
      break
    case Kind.retainedPut:
      sink.retainedPut(fields.text(), fields.number())
      break
    case Kind.retainedDelete:
      sink.retainedDelete(fields.text())
      break
    case Kind.willPut:
      sink.willPut(readWill(fields))
      break
    case Kind.willDelete:
      sink.willDelete(fields.number())
      break
    default:
      throw new Error(`not a batch: record kind ${kind}`)
  }
}

type ReusedReference = { -readonly [Field in keyof StoredReference]: StoredReference[Field] }

const noBytes = new Uint8Array(0)
const noIdentifiers: readonly number[] = []

function emptyMessage(): StoredMessage {
  return {
    id: 0,
    topic: '',
    payload: noBytes,
    properties: noBytes,
    qos: 0,
    expiresAt: 0,
    publisher: '',
    publishedAt: 0,
  }
}

function emptyReference(): ReusedReference {
  return {
    session: 0,
    position: 0,
    messageId: 0,
    qos: 0,
    retain: false,
    sharedFilter: '',
    subscriptionIdentifiers: noIdentifiers,
  }
}

function readBody(fields: FieldReader, id: number, into: StoredMessage): void {
  into.id = id
  into.qos = fields.uint8() as Qos
  into.expiresAt = fields.number()
  into.publishedAt = fields.number()
  into.topic = fields.text()
  into.publisher = fields.text()
  into.properties = fields.bytes()
  into.payload = fields.bytes()
}

function readEntry(fields: FieldReader, messageId: number, into: ReusedReference): void {
  into.messageId = messageId
  into.session = fields.number()
  into.position = fields.number()
  const flags = fields.uint8()
  into.qos = (flags & 3) as Qos
  into.retain = (flags & retainFlag) !== 0
  into.sharedFilter = (flags & sharedFlag) !== 0 ? fields.text() : ''
  into.subscriptionIdentifiers =
    (flags & identifiersFlag) !== 0 ? Array.from({ length: fields.uint32() }, () => fields.uint32()) : noIdentifiers
}

function readSession(fields: FieldReader): StoredSession {
  return {
    number: fields.number(),
    clientId: fields.text(),
    version: fields.uint8() as ProtocolVersion,
    expiryInterval: fields.uint32(),
    expiresAt: fields.number(),
    connected: fields.uint8() === 1,
    username: fields.text(),
  }
}

function readSubscription(fields: FieldReader): StoredSubscription {
  const session = fields.number()
  const topicFilter = fields.text()
  const flags = fields.uint8()
  return {
    session,
    topicFilter,
    qos: (flags & 3) as Qos,
    noLocal: (flags & 4) !== 0,
    retainAsPublished: (flags & 8) !== 0,
    retainHandling: (flags >> 4) as 0 | 1 | 2,
    identifier: fields.uint32(),
  }
}

function readWill(fields: FieldReader): StoredWill {
  const session = fields.number()
  const topic = fields.text()
  const payload = fields.bytes()
  const properties = fields.bytes()
  const flags = fields.uint8()
  return {
    session,
    topic,
    payload,
    properties,
    qos: (flags & 3) as Qos,
    retain: (flags & retainFlag) !== 0,
    delayInterval: fields.number(),
    messageExpiryInterval: fields.number(),
    dueAt: fields.number(),
  }
}
