/**
 * A run: up to 256 messages that follow each other in one session's queue, in one row of the database.
 *
 * A row for each message costs SQLite several microseconds, and twice that with the body in a row of its own; a run costs a
 * fraction of one. What the row says of each message is JSON, so that SQL can take it apart (the view `queued_entry` in
 * `sqlite-schema.ts` names the same fields); the bodies that only this queue names lie one after the other in a blob. A body
 * that several sessions or a retained message name lies in the table `message`, and the entry has its id.
 *
 * An entry is an array, without the fields behind the last that it needs:
 *
 *     [position, qos, retain, payload bytes, message id, shared filter, subscription identifiers,
 *      topic, publisher's QoS, published at, expires at, publisher, properties bytes, offset]
 *
 * From `topic` on it is the message itself, present if the message id is 0. 0 stands for none or never. The properties lie at
 * the offset in the blob, the payload follows.
 *
 * Entries and blob have a checksum each, which is compared whenever they are read: SQLite sees damage to its own structure, not a
 * changed digit or payload. That of the entries begins with the session's number, so that a run can't pass for another
 * session's. Runs written by schema versions before 3 have none.
 */
import { crc32 } from 'node:zlib'
import type { Qos } from '../../mqtt/packet.ts'
import { DamagedRowError, type StoredMessage, type StoredReference } from '../store.ts'
import { noBytes } from './table.ts'

export const runMessagesMax = 256
/** A run is full with these bytes of bodies; a larger message is a run of its own. */
const runBodyBytesMax = 64 * 1024

/** Texts as JSON: those of a batch repeat. */
export class QuotedTexts {
  readonly #quoted = new Map<string, string>()

  of(text: string): string {
    const known = this.#quoted.get(text)
    if (known !== undefined) return known
    const quoted = JSON.stringify(text)
    this.#quoted.set(text, quoted)
    return quoted
  }

  clear(): void {
    this.#quoted.clear()
  }
}

export interface RunContent {
  entries: Uint8Array
  entriesChecksum: number
  bodies: Uint8Array | null
  bodiesChecksum: number | null
}

function entriesChecksumOf(session: number, entries: string | Uint8Array): number {
  return crc32(entries, session >>> 0)
}

/** A run being made. Positions must grow from entry to entry. Made to be used again: the buffers are the worker's largest. */
export class OpenRun {
  session = 0
  firstPosition = 0
  lastPosition = 0
  messages = 0
  /** Of all entries, also those whose body lies elsewhere. */
  payloadBytes = 0
  /** Entries whose body lies elsewhere. */
  references = 0
  readonly #entries = new Bytes()
  readonly #bodies = new Bytes()

  /** Empty again, for another session. */
  reset(session: number): void {
    this.session = session
    this.messages = 0
    this.payloadBytes = 0
    this.references = 0
    this.#entries.clear()
    this.#bodies.clear()
  }

  get full(): boolean {
    return this.messages >= runMessagesMax || this.#bodies.length >= runBodyBytesMax
  }

  /** A reference to a body in the table `message`. */
  add(reference: StoredReference, payloadBytes: number, texts: QuotedTexts): void {
    const separator = this.#count(reference.position, payloadBytes)
    this.references++
    const subscribed =
      reference.sharedFilter !== '' || reference.subscriptionIdentifiers.length > 0
        ? subscribedFor(reference, texts)
        : ''
    this.#entries.text(`${separator}${fieldsOf(reference)},${payloadBytes},${reference.messageId}${subscribed}]`)
  }

  /** A message that only this entry names. */
  addMessage(reference: StoredReference, message: StoredMessage, texts: QuotedTexts): void {
    const { payload, properties, publishedAt } = message
    const offset = this.#bodies.length
    const separator = this.#count(reference.position, payload.length)
    this.#bodies.bytes(properties)
    this.#bodies.bytes(payload)
    const expiresAt = message.expiresAt === Number.POSITIVE_INFINITY ? 0 : message.expiresAt
    this.#entries.text(
      `${separator}${fieldsOf(reference)},${payload.length},0${subscribedFor(reference, texts)},${texts.of(message.topic)}` +
        `,${message.qos},${publishedAt},${expiresAt},${texts.of(message.publisher)},${properties.length},${offset}]`,
    )
  }

  /** The row's content, once nothing more is added: the entries as UTF-8. Views that are void after `reset`. */
  end(): RunContent {
    this.#entries.text(']')
    const entries = this.#entries.view
    const entriesChecksum = entriesChecksumOf(this.session, entries)
    if (this.#bodies.length === 0) return { entries, entriesChecksum, bodies: null, bodiesChecksum: null }
    const bodies = this.#bodies.view
    return { entries, entriesChecksum, bodies, bodiesChecksum: crc32(bodies) }
  }

  /** Returns what stands before the entry. */
  #count(position: number, payloadBytes: number): string {
    const separator = this.messages === 0 ? '[' : ','
    if (this.messages === 0) this.firstPosition = position
    else if (position <= this.lastPosition) throw new Error(`position ${position} follows ${this.lastPosition}`)
    this.lastPosition = position
    this.messages++
    this.payloadBytes += payloadBytes
    return separator
  }
}

const bytesAtStart = 256
/** What one long message has blown up beyond this is given back. */
const bytesKeptMax = 256 * 1024

/** A buffer that grows. */
class Bytes {
  #buffer: Buffer = Buffer.allocUnsafeSlow(bytesAtStart)
  length = 0

  get view(): Uint8Array {
    return this.#buffer.subarray(0, this.length)
  }

  text(text: string): void {
    this.#reserve(text.length * 3)
    this.length += this.#buffer.write(text, this.length)
  }

  bytes(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.length)
    this.length += bytes.length
  }

  clear(): void {
    this.length = 0
    if (this.#buffer.length > bytesKeptMax) this.#buffer = Buffer.allocUnsafeSlow(bytesAtStart)
  }

  #reserve(bytes: number): void {
    if (this.length + bytes <= this.#buffer.length) return
    const old = this.#buffer
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(old.length * 2, this.length + bytes))
    this.#buffer.set(old.subarray(0, this.length))
  }
}

function fieldsOf({ position, qos, retain }: StoredReference): string {
  return `[${position},${qos},${retain ? 1 : 0}`
}

function subscribedFor({ sharedFilter, subscriptionIdentifiers }: StoredReference, texts: QuotedTexts): string {
  const shared = sharedFilter === '' ? '0' : texts.of(sharedFilter)
  const identifiers = subscriptionIdentifiers.length === 0 ? '0' : `"${subscriptionIdentifiers.join(' ')}"`
  return `,${shared},${identifiers}`
}

export type RunEntry = readonly unknown[]

/** Throws a `DamagedRowError` if the text is not what was written. A run without a checksum is judged by its looks. */
export function parseEntries(session: number, text: string, checksum: number | null): readonly RunEntry[] {
  if (checksum !== null && entriesChecksumOf(session, text) !== checksum) {
    throw new DamagedRowError(`the checksum of a run in the queue of session ${session} does not match its entries`)
  }
  const entries = parseJson(text)
  if (!Array.isArray(entries) || entries.length === 0) throw new DamagedRowError('a run of a queue has no entries')
  let last = -1
  for (const entry of entries) {
    if (!Array.isArray(entry) || !isWhole(entry[3]) || !isWhole(entry[4])) throw damaged(entry)
    if (!isWhole(entry[0]) || entry[0] <= last) throw damaged(entry)
    last = entry[0]
  }
  return entries
}

/** Throws a `DamagedRowError` if the bodies are not what was written. */
export function checkBodies(bodies: Uint8Array | null, checksum: number | null): void {
  if (checksum === null || (bodies !== null && crc32(bodies) === checksum)) return
  throw new DamagedRowError('the checksum of a run of a queue does not match its messages')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new DamagedRowError(`a run of a queue is no JSON: ${(cause as Error).message}`, { cause })
  }
}

export const positionOf = (entry: RunEntry): number => entry[0] as number
export const payloadBytesOf = (entry: RunEntry): number => entry[3] as number
/** 0: the body lies in the run. */
export const messageIdOf = (entry: RunEntry): number => entry[4] as number

/** Throws a `DamagedRowError` if it can't be. */
export function referenceOf(session: number, entry: RunEntry): StoredReference {
  const position = entry[0]
  const qos = entry[1]
  const retain = entry[2]
  const messageId = entry[4]
  const sharedFilter = entry[5]
  const identifiers = entry[6]
  if (!isQos(qos)) throw damaged(entry)
  return {
    session,
    position: position as number,
    messageId: messageId as number,
    qos,
    retain: retain === 1,
    sharedFilter: typeof sharedFilter === 'string' ? sharedFilter : '',
    subscriptionIdentifiers: typeof identifiers === 'string' ? identifiers.split(' ').map(Number) : [],
  }
}

/** The message of an entry whose message id is 0; its bytes are views into `bodies`. Throws a `DamagedRowError` if it can't be. */
export function messageOf(entry: RunEntry, bodies: Uint8Array | null): StoredMessage {
  const topic = entry[7]
  const qos = entry[8]
  const publishedAt = entry[9]
  const expiresAt = entry[10]
  const publisher = entry[11]
  const propertiesBytes = entry[12]
  const offset = entry[13]
  if (typeof topic !== 'string' || typeof publisher !== 'string' || !isQos(qos)) throw damaged(entry)
  if (!isWhole(publishedAt) || !isWhole(expiresAt) || !isWhole(propertiesBytes) || !isWhole(offset))
    throw damaged(entry)
  const payloadAt = offset + propertiesBytes
  const end = payloadAt + payloadBytesOf(entry)
  const bytes = bodies ?? noBytes
  if (end > bytes.length) throw damaged(entry)
  return {
    id: 0,
    topic,
    payload: bytes.subarray(payloadAt, end),
    properties: bytes.subarray(offset, payloadAt),
    qos,
    expiresAt: expiresAt === 0 ? Number.POSITIVE_INFINITY : expiresAt,
    publisher,
    publishedAt,
  }
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isQos(value: unknown): value is Qos {
  return value === 0 || value === 1 || value === 2
}

function damaged(entry: unknown): Error {
  return new DamagedRowError(`an entry of a queue says ${JSON.stringify(entry)?.slice(0, 200)}`)
}
