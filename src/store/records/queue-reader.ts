/** What is read of the queues: at start their heads, and their content page by page. */
import type { Database, Statement } from 'better-sqlite3'
import { sharePrefix } from '../../mqtt/topic.ts'
import { DamagedRowError, type Recovery, type StoredMessage, type StoredReference } from '../store.ts'
import { type DamagedRuns, isDamage, notSetAside } from './damaged-runs.ts'
import { messageColumns, messageOfRow } from './message.ts'
import type { ParsedRuns } from './parsed-runs.ts'
import { isAskedFor } from './queue-entry.ts'
import {
  checkBodies,
  messageIdOf,
  messageOf,
  parseEntries,
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

type HeadRow = [session: number, first: number, last: number, messages: number, payloadBytes: number]
type TakenRow = [
  entries: string | null,
  checksum: number | null,
  mask: string | null,
  messages: number,
  payloadBytes: number,
]
const heads = `
  SELECT r.session, r.first_position, r.last_position, r.messages, r.payload_bytes,
    iif(t.run IS NULL, NULL, r.entries), r.entries_checksum, t.mask, coalesce(t.messages, 0), coalesce(t.payload_bytes, 0)
  FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id`
const ofLivingSessions = 'session NOT IN (SELECT number FROM ended_session)'

/** Reads the runs' heads, not their bodies; only where something was taken are the entries looked at. */
export function recoverQueues(database: Database, recovery: Recovery, damagedRuns: DamagedRuns): void {
  let queues: Map<number, CountedQueue>
  try {
    queues = countedTogether(database)
  } catch (error) {
    if (!isDamage(error)) throw error
    queues = countedOneByOne(database, damagedRuns)
  }
  for (const [session, { messages, bytes, firstPosition, lastPosition }] of queues) {
    recovery.onQueue(session, messages, bytes, firstPosition, lastPosition)
  }
}

function countedTogether(database: Database): Map<number, CountedQueue> {
  const queues = new Map<number, CountedQueue>()
  const sql = `${heads} WHERE r.${ofLivingSessions} AND r.id ${notSetAside}`
  for (const row of rowsOf<[...HeadRow, ...TakenRow]>(database, sql)) count(row, queues)
  return queues
}

/** By the index, so that a run that can't be read costs itself only. */
function countedOneByOne(database: Database, damagedRuns: DamagedRuns): Map<number, CountedQueue> {
  const queues = new Map<number, CountedQueue>()
  const head = database.prepare(`${heads} WHERE r.id = ?`).raw()
  const runs = database
    .prepare(
      `SELECT id, session FROM queue_run INDEXED BY queue_run_position WHERE ${ofLivingSessions} AND id ${notSetAside}`,
    )
    .raw()
    .all() as [run: number, session: number][]
  for (const [run, session] of runs) {
    try {
      count(head.get(run) as [...HeadRow, ...TakenRow], queues)
    } catch (error) {
      if (!isDamage(error)) throw error
      damagedRuns.setAside(run, session, error)
    }
  }
  return queues
}

function count(row: [...HeadRow, ...TakenRow], queues: Map<number, CountedQueue>): void {
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

/** The positions of the first and the last entry that still waits: a run without any has no row. */
function waitingRange(entries: readonly RunEntry[], mask: string): [first: number, last: number] {
  const [first, last] = [entries[mask.indexOf('0')], entries[mask.lastIndexOf('0')]]
  if (first === undefined || last === undefined) throw new DamagedRowError('a run of a queue has no entry that waits')
  return [positionOf(first), positionOf(last)]
}

type RunRow = [string, entriesChecksum: number | null, mask: string | null, Uint8Array | null, number | null]

export class QueueReader {
  readonly #first: Statement
  readonly #next: Statement
  readonly #run: Statement
  readonly #message: Statement
  readonly #damagedRuns: DamagedRuns
  readonly #parsed: ParsedRuns

  constructor(database: Database, damagedRuns: DamagedRuns, parsed: ParsedRuns) {
    this.#damagedRuns = damagedRuns
    this.#parsed = parsed
    // The index alone says which run is next.
    this.#next = database
      .prepare(
        `SELECT id, first_position FROM queue_run INDEXED BY queue_run_position
        WHERE session = ? AND first_position >= ? AND id ${notSetAside} ORDER BY first_position LIMIT 1`,
      )
      .raw()
    this.#first = database
      .prepare(
        `SELECT max(first_position) FROM queue_run INDEXED BY queue_run_position
        WHERE session = ? AND first_position <= ? AND id ${notSetAside}`,
      )
      .pluck()
    this.#run = database
      .prepare(
        `SELECT r.entries, r.entries_checksum, t.mask, r.bodies, r.bodies_checksum
        FROM queue_run r LEFT JOIN queue_taken t ON t.run = r.id WHERE r.id = ?`,
      )
      .raw()
    this.#message = database.prepare(`SELECT ${messageColumns} FROM message m WHERE m.id = ?`).raw()
  }

  /**
   * Hands over a page's entries in order, of all or of one shared filter; returns whether more follow. Run by run: a run that
   * can't be read is set aside, and the page goes on behind it.
   */
  read(query: QueueQuery, onEntry: (reference: StoredReference, message: StoredMessage) => void): boolean {
    const { session, fromPosition } = query
    const page: OpenPage = { query, messages: 0, bytes: 0, onEntry }
    let position = (this.#first.get(session, fromPosition) as number | null) ?? 0
    for (;;) {
      const next = this.#next.get(session, position) as [run: number, firstPosition: number] | undefined
      if (next === undefined) return false
      position = next[1] + 1
      try {
        if (!this.#readRun(next[0], page)) return true
      } catch (error) {
        if (!isDamage(error)) throw error
        this.#damagedRuns.setAside(next[0], session, error)
      }
    }
  }

  /** Returns whether the page has room for more. All of the run is judged before any of it is handed over. */
  #readRun(run: number, page: OpenPage): boolean {
    const { session, fromPosition, messagesMax, bytesMax, sharedFilter } = page.query
    const [text, entriesChecksum, mask, bodies, bodiesChecksum] = this.#run.get(run) as RunRow
    if (sharedFilter !== undefined && !text.includes(quotedBeginning(sharedFilter))) return true
    const entries = this.#parsed.get(run) ?? parseEntries(session, text, entriesChecksum)
    checkBodies(bodies, bodiesChecksum)
    this.#parsed.keep(run, entries, text)
    const references: StoredReference[] = []
    const messages: StoredMessage[] = []
    for (let index = 0; index < entries.length; index++) {
      const entry = entries[index]!
      if (positionOf(entry) < fromPosition || mask?.[index] === '1') continue
      const reference = referenceOf(session, entry)
      if (!isAskedFor(reference, sharedFilter)) continue
      const message = this.#messageOf(session, entry, bodies)
      // Nothing that can be delivered: `check-store` counts it and repairs it.
      if (message === undefined) continue
      references.push(reference)
      messages.push(message)
    }
    for (let index = 0; index < references.length; index++) {
      const message = messages[index]!
      page.bytes += message.payload.length
      if (page.messages > 0 && (page.messages >= messagesMax || page.bytes > bytesMax)) return false
      page.messages++
      page.onEntry(references[index]!, message)
    }
    return true
  }

  #messageOf(session: number, entry: RunEntry, bodies: Uint8Array | null): StoredMessage | undefined {
    const id = messageIdOf(entry)
    if (id === 0) return messageOf(entry, bodies)
    try {
      const row = this.#message.get(id) as readonly unknown[] | undefined
      return row === undefined ? undefined : messageOfRow(row, 0)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damagedRuns.passOver(session, error)
      return undefined
    }
  }
}

/** As the entries' text has it. */
const quotedBeginning = (sharedFilter: string): string =>
  sharedFilter === sharePrefix ? JSON.stringify(sharePrefix).slice(0, -1) : JSON.stringify(sharedFilter)

export interface QueueQuery {
  session: number
  fromPosition: number
  messagesMax: number
  bytesMax: number
  sharedFilter?: string | undefined
}

interface OpenPage {
  query: QueueQuery
  messages: number
  bytes: number
  onEntry: (reference: StoredReference, message: StoredMessage) => void
}
