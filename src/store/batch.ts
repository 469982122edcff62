/**
 * One group commit's records, packed into a single transferable buffer.
 *
 * Posting a Buffer to a worker clones its whole backing store; packing into one ArrayBuffer that is transferred costs one
 * copy of the bytes themselves. `BatchWriter` runs in the engine's thread, `readBatch` in the store's.
 *
 * A record is its kind (one byte) and its fields, see `packing.ts`. The same records carry what is read back: recovery
 * chunks and queue pages are batches in the other direction.
 */
import type { ProtocolVersion, Qos } from '../mqtt/packet.ts'
import { FieldReader, FieldWriter } from './packing.ts'
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
  enqueue(reference: StoredReference): void
  /** Acknowledged, expired, dropped or moved to another member: the reference goes, its body with the last reference. */
  dequeue(session: number, position: number): void
  /** PUBREC arrived: only the packet identifier at this position remains, until `dequeue`. */
  release(session: number, position: number): void
  incomingPut(session: number, packetId: number): void
  incomingDelete(session: number, packetId: number): void
  retainedPut(topic: string, messageId: number): void
  retainedDelete(topic: string): void
  willPut(will: StoredWill): void
  willDelete(session: number): void
}

const Kind = {
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
} as const

const retainFlag = 4
const sharedFlag = 8
const identifiersFlag = 16

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
    fields.uint8(message.qos)
    fields.number(message.expiresAt)
    fields.number(message.publishedAt)
    fields.text(message.topic)
    fields.text(message.publisher)
    fields.bytes(message.properties)
    fields.bytes(message.payload)
  }

  enqueue(reference: StoredReference): void {
    const identifiers = reference.subscriptionIdentifiers
    const shared = reference.sharedFilter !== ''
    const fields = this.#begin(Kind.enqueue)
    fields.number(reference.session)
    fields.number(reference.position)
    fields.number(reference.messageId)
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
      const references = readMessage(fields, message)
      sink.messagePut(message, references)
      break
    }
    case Kind.enqueue:
      readReference(fields, reference)
      sink.enqueue(reference)
      break
    case Kind.dequeue:
      sink.dequeue(fields.number(), fields.number())
      break
    case Kind.release:
      sink.release(fields.number(), fields.number())
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

/** Returns the number of references. */
function readMessage(fields: FieldReader, into: StoredMessage): number {
  into.id = fields.number()
  const references = fields.uint32()
  into.qos = fields.uint8() as Qos
  into.expiresAt = fields.number()
  into.publishedAt = fields.number()
  into.topic = fields.text()
  into.publisher = fields.text()
  into.properties = fields.bytes()
  into.payload = fields.bytes()
  return references
}

function readReference(fields: FieldReader, into: ReusedReference): void {
  into.session = fields.number()
  into.position = fields.number()
  into.messageId = fields.number()
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
