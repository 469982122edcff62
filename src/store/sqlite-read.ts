/** What the store reads: everything but the queues' content at start, and a queue page by page. */
import type { Database, Statement } from 'better-sqlite3'
import type { ProtocolVersion, Qos } from '../mqtt/packet.ts'
import type { RecoveredNumbers, Recovery, StoredMessage, StoredReference } from './store.ts'

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
  // The rows of `queue` are small and lie in this order: a million take a fraction of a second.
  const counted = `
    SELECT session, count(*), sum(payload_bytes), min(position), max(position) FROM queue
    WHERE session NOT IN (SELECT number FROM ended_session) GROUP BY session`
  for (const row of rows<[number, number, number, number, number]>(database, counted)) recovery.onQueue(...row)
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

export class SqliteQueueReader {
  readonly #page: Statement

  constructor(database: Database) {
    this.#page = database
      .prepare(
        `SELECT q.position, q.message_id, q.qos, q.retain, q.payload_bytes, q.shared_filter, q.subscription_identifiers,
          ${messageColumns}
        FROM queue q CROSS JOIN message m ON m.id = q.message_id
        WHERE q.session = ? AND q.position >= ? ORDER BY q.position LIMIT ?`,
      )
      .raw()
  }

  /** Hands over a page's entries in order; returns whether more follow. The statement is stepped: nothing is read ahead. */
  read(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    onEntry: (reference: StoredReference, message: StoredMessage) => void,
  ): boolean {
    let messages = 0
    let bytes = 0
    const limit = Math.max(1, messagesMax)
    for (const row of this.#page.iterate(session, fromPosition, limit + 1) as IterableIterator<unknown[]>) {
      bytes += row[4] as number
      if (messages > 0 && (messages >= limit || bytes > bytesMax)) return true
      messages++
      onEntry(referenceOf(session, row), messageOf(row, 7))
    }
    return false
  }
}

function referenceOf(session: number, row: readonly unknown[]): StoredReference {
  const identifiers = row[6] as string | null
  return {
    session,
    position: row[0] as number,
    messageId: row[1] as number,
    qos: row[2] as Qos,
    retain: row[3] === 1,
    sharedFilter: (row[5] as string | null) ?? '',
    subscriptionIdentifiers: identifiers === null ? [] : identifiers.split(' ').map(Number),
  }
}
