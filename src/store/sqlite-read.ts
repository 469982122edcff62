/** What the store reads: everything but the queues' content at start, and a queue page by page. */
import type { Database, Statement } from 'better-sqlite3'
import type { ProtocolVersion, Qos } from '../mqtt/packet.ts'
import {
  messageIdOf,
  messageOf as ownMessageOf,
  parseEntries,
  payloadBytesOf,
  positionOf,
  type RunEntry,
  referenceOf,
} from './queue-run.ts'
import {
  DamagedRowError,
  type RecoveredNumbers,
  type Recovery,
  type StoredMessage,
  type StoredReference,
} from './store.ts'

const noBytes = new Uint8Array(0)

/** Hands over what survived, in the order that `Recovery` asks for. */
export function recover(database: Database, recovery: Recovery): RecoveredNumbers {
  recoverSessions(database, recovery)
  recoverRetained(database, recovery)
  recoverWills(database, recovery)
  for (const row of rows<[number, number]>(database, 'SELECT session, packet_id FROM incoming')) {
    recovery.onIncomingPacketId(row[0], row[1])
  }
  for (const row of rows<[number, number]>(database, 'SELECT session, position FROM released')) {
    recovery.onReleased(row[0], row[1])
  }
  recoverQueues(database, recovery)
  const numbers = database.prepare('SELECT next_session_number, next_message_id FROM counter').raw().get()
  const [nextSessionNumber, nextMessageId] = numbers as [number, number]
  return { nextSessionNumber, nextMessageId }
}

function recoverSessions(database: Database, recovery: Recovery): void {
  type SessionRow = [number, string, ProtocolVersion, number, number | null, number, string]
  const sessions = `
    SELECT number, client_id, protocol_version, expiry_interval, expires_at, connected, username FROM session`
  for (const row of rows<SessionRow>(database, sessions)) {
    recovery.onSession({
      number: row[0],
      clientId: row[1],
      version: row[2],
      expiryInterval: row[3],
      expiresAt: row[4] ?? Number.POSITIVE_INFINITY,
      connected: row[5] === 1,
      username: row[6],
    })
  }
  type SubscriptionRow = [number, string, Qos, number, number, 0 | 1 | 2, number]
  const subscriptions = `
    SELECT session, topic_filter, qos, no_local, retain_as_published, retain_handling, identifier FROM subscription`
  for (const row of rows<SubscriptionRow>(database, subscriptions)) {
    recovery.onSubscription({
      session: row[0],
      topicFilter: row[1],
      qos: row[2],
      noLocal: row[3] === 1,
      retainAsPublished: row[4] === 1,
      retainHandling: row[5],
      identifier: row[6],
    })
  }
}

type MessageRow = [number, string, Qos, number, number | null, string, Uint8Array | null, Uint8Array]
const messageColumns = 'm.id, m.topic, m.qos, m.published_at, m.expires_at, m.publisher, m.properties, m.payload'

function messageOf(row: readonly unknown[], at: number): StoredMessage {
  const [id, topic, qos, publishedAt, expiresAt, publisher, properties, payload] = row.slice(at) as MessageRow
  return {
    id,
    topic,
    payload,
    properties: properties ?? noBytes,
    qos,
    expiresAt: expiresAt ?? Number.POSITIVE_INFINITY,
    publisher,
    publishedAt,
  }
}

function recoverRetained(database: Database, recovery: Recovery): void {
  const retained = `SELECT r.topic, ${messageColumns} FROM retained r JOIN message m ON m.id = r.message_id`
  for (const row of rows<[string, ...MessageRow]>(database, retained)) {
    recovery.onRetained({ topic: row[0], message: messageOf(row, 1) })
  }
}

function recoverWills(database: Database, recovery: Recovery): void {
  type WillRow = [number, string, Uint8Array, Uint8Array | null, Qos, number, number, number, number | null]
  const wills = `
    SELECT session, topic, payload, properties, qos, retain, delay_interval, message_expiry_interval, due_at FROM will`
  for (const row of rows<WillRow>(database, wills)) {
    recovery.onWill({
      session: row[0],
      topic: row[1],
      payload: row[2],
      properties: row[3] ?? noBytes,
      qos: row[4],
      retain: row[5] === 1,
      delayInterval: row[6],
      messageExpiryInterval: row[7],
      dueAt: row[8] ?? Number.POSITIVE_INFINITY,
    })
  }
}

function rows<Row>(database: Database, sql: string): IterableIterator<Row> {
  return database.prepare(sql).raw().iterate() as IterableIterator<Row>
}

interface CountedQueue {
  messages: number
  bytes: number
  firstPosition: number
  lastPosition: number
}

/** Reads the runs' heads, not their bodies; only where something was taken are the entries looked at. */
function recoverQueues(database: Database, recovery: Recovery): void {
  type RunRow = [session: number, first: number, last: number, messages: number, payloadBytes: number]
  type TakenRow = [entries: string | null, mask: string | null, messages: number, payloadBytes: number]
  const counted = `
    SELECT r.session, r.first_position, r.last_position, r.messages, r.payload_bytes,
      iif(t.run IS NULL, NULL, r.entries), t.mask, coalesce(t.messages, 0), coalesce(t.payload_bytes, 0)
    FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id
    WHERE r.session NOT IN (SELECT number FROM ended_session)`
  const queues = new Map<number, CountedQueue>()
  for (const row of rows<[...RunRow, ...TakenRow]>(database, counted)) {
    const [session, first, last, messages, bytes, entries, mask, takenMessages, takenBytes] = row
    const [firstPosition, lastPosition] = entries === null ? [first, last] : waitingRange(entries, mask!)
    let queue = queues.get(session)
    if (queue === undefined) {
      queue = { messages: 0, bytes: 0, firstPosition, lastPosition }
      queues.set(session, queue)
    }
    queue.messages += messages - takenMessages
    queue.bytes += bytes - takenBytes
    queue.firstPosition = Math.min(queue.firstPosition, firstPosition)
    queue.lastPosition = Math.max(queue.lastPosition, lastPosition)
  }
  for (const [session, { messages, bytes, firstPosition, lastPosition }] of queues) {
    recovery.onQueue(session, messages, bytes, firstPosition, lastPosition)
  }
}

/** The positions of the first and the last entry that still waits: a run without any has no row. */
function waitingRange(text: string, mask: string): [first: number, last: number] {
  const entries = parseEntries(text)
  const [first, last] = [entries[mask.indexOf('0')], entries[mask.lastIndexOf('0')]]
  if (first === undefined || last === undefined) throw new DamagedRowError('a run of a queue has no entry that waits')
  return [positionOf(first), positionOf(last)]
}

export class SqliteQueueReader {
  readonly #runs: Statement
  readonly #message: Statement

  constructor(database: Database) {
    this.#runs = database
      .prepare(
        `SELECT r.entries, t.mask, r.bodies FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id
        WHERE r.session = ? AND r.first_position >= coalesce(
          (SELECT max(first_position) FROM queue_run WHERE session = ? AND first_position <= ?), 0)
        ORDER BY r.first_position`,
      )
      .raw()
    this.#message = database.prepare(`SELECT ${messageColumns} FROM message m WHERE m.id = ?`).raw()
  }

  /** Hands over a page's entries in order; returns whether more follow. The statement is stepped: nothing is read ahead. */
  read(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    onEntry: (reference: StoredReference, message: StoredMessage) => void,
  ): boolean {
    type RunRow = [entries: string, mask: string | null, bodies: Uint8Array | null]
    let messages = 0
    let bytes = 0
    const limit = Math.max(1, messagesMax)
    for (const row of this.#runs.iterate(session, session, fromPosition) as IterableIterator<RunRow>) {
      const [text, mask, bodies] = row
      for (const [index, entry] of parseEntries(text).entries()) {
        if (positionOf(entry) < fromPosition || mask?.[index] === '1') continue
        const message = this.#messageOf(entry, bodies)
        // Nothing that can be delivered: `check-store` counts it and repairs it.
        if (message === undefined) continue
        bytes += payloadBytesOf(entry)
        if (messages > 0 && (messages >= limit || bytes > bytesMax)) return true
        messages++
        onEntry(referenceOf(session, entry), message)
      }
    }
    return false
  }

  #messageOf(entry: RunEntry, bodies: Uint8Array | null): StoredMessage | undefined {
    const id = messageIdOf(entry)
    if (id === 0) return ownMessageOf(entry, bodies)
    const row = this.#message.get(id) as MessageRow | undefined
    return row === undefined ? undefined : messageOf(row, 0)
  }
}
