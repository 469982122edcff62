/** What is read of the queues: at start their heads, and their content page by page. */
import type { Database, Statement } from 'better-sqlite3'
import { DamagedRowError, type Recovery, type StoredMessage, type StoredReference } from '../store.ts'
import { messageColumns, messageOfRow } from './message.ts'
import {
  checkBodies,
  messageIdOf,
  messageOf,
  parseEntries,
  payloadBytesOf,
  positionOf,
  type RunEntry,
  referenceOf,
} from './queue-run.ts'
import { rowsOf } from './table.ts'

interface CountedQueue {
  messages: number
  bytes: number
  firstPosition: number
  lastPosition: number
}

/** Reads the runs' heads, not their bodies; only where something was taken are the entries looked at. */
export function recoverQueues(database: Database, recovery: Recovery): void {
  type RunRow = [session: number, first: number, last: number, messages: number, payloadBytes: number]
  type TakenRow = [
    entries: string | null,
    checksum: number | null,
    mask: string | null,
    messages: number,
    payloadBytes: number,
  ]
  const counted = `
    SELECT r.session, r.first_position, r.last_position, r.messages, r.payload_bytes,
      iif(t.run IS NULL, NULL, r.entries), r.entries_checksum, t.mask, coalesce(t.messages, 0), coalesce(t.payload_bytes, 0)
    FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id
    WHERE r.session NOT IN (SELECT number FROM ended_session)`
  const queues = new Map<number, CountedQueue>()
  for (const row of rowsOf<[...RunRow, ...TakenRow]>(database, counted)) {
    const [session, first, last, messages, bytes, entries, checksum, mask, takenMessages, takenBytes] = row
    const [firstPosition, lastPosition] =
      entries === null ? [first, last] : waitingRange(parseEntries(session, entries, checksum), mask!)
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
function waitingRange(entries: readonly RunEntry[], mask: string): [first: number, last: number] {
  const [first, last] = [entries[mask.indexOf('0')], entries[mask.lastIndexOf('0')]]
  if (first === undefined || last === undefined) throw new DamagedRowError('a run of a queue has no entry that waits')
  return [positionOf(first), positionOf(last)]
}

export class QueueReader {
  readonly #runs: Statement
  readonly #sharedRuns: Statement
  readonly #message: Statement

  constructor(database: Database) {
    const runs = (and: string) =>
      database
        .prepare(
          `SELECT r.entries, r.entries_checksum, t.mask, r.bodies, r.bodies_checksum
          FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id
          WHERE r.session = ? AND r.first_position >= coalesce(
            (SELECT max(first_position) FROM queue_run WHERE session = ? AND first_position <= ?), 0) ${and}
          ORDER BY r.first_position`,
        )
        .raw()
    this.#runs = runs('')
    this.#sharedRuns = runs('AND instr(r.entries, ?) > 0')
    this.#message = database.prepare(`SELECT ${messageColumns} FROM message m WHERE m.id = ?`).raw()
  }

  /**
   * Hands over a page's entries in order, of all or of one shared filter; returns whether more follow. The statement is
   * stepped: nothing is read ahead.
   */
  read(query: QueueQuery, onEntry: (reference: StoredReference, message: StoredMessage) => void): boolean {
    type RunRow = [string, entriesChecksum: number | null, mask: string | null, Uint8Array | null, number | null]
    const { session, fromPosition, messagesMax, bytesMax, sharedFilter } = query
    let messages = 0
    let bytes = 0
    const limit = Math.max(1, messagesMax)
    const rows =
      sharedFilter === undefined
        ? this.#runs.iterate(session, session, fromPosition)
        : this.#sharedRuns.iterate(session, session, fromPosition, JSON.stringify(sharedFilter))
    for (const row of rows as IterableIterator<RunRow>) {
      const [text, entriesChecksum, mask, bodies, bodiesChecksum] = row
      const entries = parseEntries(session, text, entriesChecksum)
      checkBodies(bodies, bodiesChecksum)
      for (const [index, entry] of entries.entries()) {
        if (positionOf(entry) < fromPosition || mask?.[index] === '1') continue
        const reference = referenceOf(session, entry)
        if (sharedFilter !== undefined && reference.sharedFilter !== sharedFilter) continue
        const message = this.#messageOf(entry, bodies)
        // Nothing that can be delivered: `check-store` counts it and repairs it.
        if (message === undefined) continue
        bytes += payloadBytesOf(entry)
        if (messages > 0 && (messages >= limit || bytes > bytesMax)) return true
        messages++
        onEntry(reference, message)
      }
    }
    return false
  }

  #messageOf(entry: RunEntry, bodies: Uint8Array | null): StoredMessage | undefined {
    const id = messageIdOf(entry)
    if (id === 0) return messageOf(entry, bodies)
    const row = this.#message.get(id) as readonly unknown[] | undefined
    return row === undefined ? undefined : messageOfRow(row, 0)
  }
}

export interface QueueQuery {
  session: number
  fromPosition: number
  messagesMax: number
  bytesMax: number
  sharedFilter?: string | undefined
}
