/**
 * The sessions' queues as rows: appended to in runs (`queue-run.ts`), taken from entry by entry.
 *
 * Entries that are appended gather in one open run for each session and are written at the batch's end, or when the run is full.
 * A run's row is never rewritten. What is taken from it is marked in `queue_taken`, one character for each entry; once all are
 * taken, both rows go. A client that acknowledges in order so costs one small row per batch, and one deleted run per 256 messages.
 *
 * Positions of a session grow, so an entry that still waits lies in the last run that starts at or before its position.
 */
import type { Database, Statement } from 'better-sqlite3'
import { DamagedRowError, type StoredMessage, type StoredReference } from '../store.ts'
import { type DamagedRuns, isDamage, notSetAside } from './damaged-runs.ts'
import type { ParsedRuns } from './parsed-runs.ts'
import {
  checkBodies,
  messageIdOf,
  messageOf,
  OpenRun,
  parseEntries,
  payloadBytesOf,
  positionOf,
  QuotedTexts,
  type RunEntry,
} from './queue-run.ts'

/** Runs kept to be used again, with buffers of up to half a megabyte each. */
const spareRunsMax = 16

const waiting = 0x30
const taken = 0x31

/** A run that this batch takes from. */
interface LoadedRun {
  id: number
  entries: readonly RunEntry[]
  /** By entry: `taken` or `waiting`, the characters of `queue_taken.mask`. */
  mask: Uint8Array
  /** Where the last entry waited when it was loaded: beyond it, a younger run may have begun. */
  lastWaiting: number
  takenMessages: number
  takenBytes: number
  /** Read when an entry is moved. */
  bodies: Uint8Array | null | undefined
}

interface Slice {
  before: number
  messagesMax: number
}

type EntriesRow = [entries: string, checksum: number | null]
type TakenRow = [mask: string, messages: number, payloadBytes: number]

export class QueueRows {
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #damagedRuns: DamagedRuns
  readonly #parsed: ParsedRuns
  readonly #open = new Map<number, OpenRun>()
  readonly #spare: OpenRun[] = []
  /** By session, the run taken from last. */
  readonly #loaded = new Map<number, LoadedRun>()
  readonly #texts = new QuotedTexts()

  constructor(database: Database, damagedRuns: DamagedRuns, parsed: ParsedRuns) {
    this.#statements = prepareStatements(database)
    this.#damagedRuns = damagedRuns
    this.#parsed = parsed
  }

  /** Forgets what a failed batch left. */
  begin(): void {
    this.#open.clear()
    this.#loaded.clear()
    this.#texts.clear()
  }

  /** Writes what gathered. */
  end(): void {
    for (const run of this.#open.values()) this.#write(run)
    for (const run of this.#loaded.values()) this.#mark(run)
    this.begin()
  }

  append(reference: StoredReference, payloadBytes: number): void {
    const run = this.#openRun(reference.session)
    run.add(reference, payloadBytes, this.#texts)
    if (run.full) this.#close(run)
  }

  appendMessage(reference: StoredReference, message: StoredMessage): void {
    const run = this.#openRun(reference.session)
    run.addMessage(reference, message, this.#texts)
    if (run.full) this.#close(run)
  }

  /** Takes an entry if it waits; returns the id of its body in `message`, or 0 if there is none to let go of. */
  take(session: number, position: number): number {
    const entry = this.#takeEntry(session, position)
    return entry === undefined ? 0 : messageIdOf(entry)
  }

  /** Takes an entry if it waits and appends it, with the body that lies in its run, where `to` says. */
  move(session: number, position: number, to: StoredReference): void {
    const entry = this.#takeEntry(session, position)
    if (entry === undefined) return
    const messageId = messageIdOf(entry)
    if (messageId > 0) {
      this.append({ ...to, messageId }, payloadBytesOf(entry))
      return
    }
    const run = this.#loaded.get(session)!
    try {
      run.bodies ??= this.#bodiesOf(run)
      this.appendMessage(to, messageOf(entry, run.bodies))
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damagedRuns.setAside(run.id, session, error)
      this.#loaded.delete(session)
    }
  }

  #bodiesOf(run: LoadedRun): Uint8Array | null {
    const [bodies, checksum] = this.#statements.bodies.get(run.id) as [Uint8Array | null, number | null]
    checkBodies(bodies, checksum)
    return bodies
  }

  /** The run it lies in is the loaded one of its session. */
  #takeEntry(session: number, position: number): RunEntry | undefined {
    const open = this.#open.get(session)
    if (open !== undefined) this.#close(open)
    const run = this.#runWith(session, position)
    if (run === undefined) return undefined
    const index = indexOf(run.entries, position)
    if (index < 0 || run.mask[index] === taken) return undefined
    const entry = run.entries[index]!
    run.mask[index] = taken
    run.takenMessages++
    run.takenBytes += payloadBytesOf(entry)
    return entry
  }

  /**
   * Deletes runs with up to `messagesMax` entries (at least one run) that lie before a position, and calls back with each body's id;
   * returns whether any was left.
   */
  deleteSome(session: number, { before, messagesMax }: Slice, onMessageId: (id: number) => void): boolean {
    const open = this.#open.get(session)
    if (open !== undefined) this.#close(open)
    const loaded = this.#loaded.get(session)
    if (loaded !== undefined) this.#mark(loaded)
    this.#loaded.delete(session)
    for (let messages = 0; messages < messagesMax; ) {
      const id = this.#statements.first.get(session, before, before)
      if (id === undefined) return false
      const run = this.#load(id, session)
      if (run === undefined) continue
      for (const [index, entry] of run.entries.entries()) {
        if (run.mask[index] === waiting && messageIdOf(entry) !== 0) onMessageId(messageIdOf(entry))
      }
      messages += run.entries.length
      this.#delete(run)
    }
    return true
  }

  #openRun(session: number): OpenRun {
    let run = this.#open.get(session)
    if (run === undefined) {
      run = this.#spare.pop() ?? new OpenRun()
      run.reset(session)
      this.#open.set(session, run)
    }
    return run
  }

  #close(run: OpenRun): void {
    this.#open.delete(run.session)
    this.#write(run)
  }

  #write(run: OpenRun): void {
    const { session, firstPosition, lastPosition, messages, payloadBytes, references } = run
    const { entries, entriesChecksum, bodies, bodiesChecksum } = run.end()
    this.#statements.insert.run(
      session,
      firstPosition,
      lastPosition,
      messages,
      payloadBytes,
      references,
      entries,
      bodies,
      entriesChecksum,
      bodiesChecksum,
    )
    if (this.#spare.length < spareRunsMax) this.#spare.push(run)
  }

  #runWith(session: number, position: number): LoadedRun | undefined {
    const loaded = this.#loaded.get(session)
    if (loaded !== undefined) {
      if (position >= positionOf(loaded.entries[0]!) && position <= loaded.lastWaiting) return loaded
      this.#mark(loaded)
      this.#loaded.delete(session)
    }
    const run = this.#load(this.#statements.at.get(session, position), session)
    if (run !== undefined) this.#loaded.set(session, run)
    return run
  }

  /** A run that can't be read is set aside: none of its entries is there any more. */
  #load(id: unknown, session: number): LoadedRun | undefined {
    if (id === undefined) return undefined
    const run = id as number
    try {
      return loadedRun(run, this.#entriesOf(run, session), this.#statements.taken.get(run) as TakenRow | undefined)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#damagedRuns.setAside(run, session, error)
      return undefined
    }
  }

  #entriesOf(run: number, session: number): readonly RunEntry[] {
    const known = this.#parsed.get(run)
    if (known !== undefined) return known
    const [text, checksum] = this.#statements.entries.get(run) as EntriesRow
    const entries = parseEntries(session, text, checksum)
    this.#parsed.keep(run, entries, text)
    return entries
  }

  #mark(run: LoadedRun): void {
    if (run.takenMessages === run.entries.length) this.#delete(run)
    else if (run.takenMessages > 0) {
      this.#statements.takenPut.run(run.id, run.takenMessages, run.takenBytes, Buffer.from(run.mask).toString('latin1'))
    }
  }

  #delete({ id }: LoadedRun): void {
    this.#parsed.forget(id)
    this.#statements.delete.run(id)
    this.#statements.takenDelete.run(id)
  }
}

function loadedRun(id: number, entries: readonly RunEntry[], row: TakenRow | undefined): LoadedRun {
  const [mask, messages, payloadBytes] = row ?? [null, 0, 0]
  const marks = maskOf(mask, entries.length, messages)
  const last = entries[marks.lastIndexOf(waiting)]
  return {
    id,
    entries,
    mask: marks,
    lastWaiting: last === undefined ? -1 : positionOf(last),
    takenMessages: messages,
    takenBytes: payloadBytes,
    bodies: undefined,
  }
}

function maskOf(mask: string | null, entries: number, takenMessages: number): Uint8Array {
  if (mask === null) return new Uint8Array(entries).fill(waiting)
  if (mask.length !== entries) throw new DamagedRowError(`a run of ${entries} entries has ${mask.length} marks`)
  const marks = Buffer.from(mask, 'latin1')
  let found = 0
  for (const mark of marks) if (mark === taken) found++
  if (found !== takenMessages) throw new DamagedRowError(`a run has ${found} marks, and ${takenMessages} are counted`)
  return marks
}

/** -1 if there is no such entry. */
function indexOf(entries: readonly RunEntry[], position: number): number {
  let low = 0
  let high = entries.length - 1
  // Nearly always without gaps.
  const guess = position - positionOf(entries[0]!)
  if (guess <= high && positionOf(entries[guess]!) === position) return guess
  while (low <= high) {
    const middle = (low + high) >>> 1
    const at = positionOf(entries[middle]!)
    if (at === position) return middle
    if (at < position) low = middle + 1
    else high = middle - 1
  }
  return -1
}

function prepareStatements(database: Database) {
  const run = (sql: string): Statement => database.prepare(sql)
  const id = (where: string): Statement =>
    database
      .prepare(
        `SELECT id FROM queue_run INDEXED BY queue_run_position
        WHERE session = ? AND ${where} LIMIT 1`,
      )
      .pluck()
  return {
    insert: run(
      `INSERT INTO queue_run
        (session, first_position, last_position, messages, payload_bytes, message_references, entries, bodies,
          entries_checksum, bodies_checksum)
      VALUES (?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?)`,
    ),
    bodies: database.prepare('SELECT bodies, bodies_checksum FROM queue_run WHERE id = ?').raw(),
    at: id(`first_position <= ? AND id ${notSetAside} ORDER BY first_position DESC`),
    first: id(`first_position < ? AND last_position < ? AND id ${notSetAside} ORDER BY first_position`),
    entries: database.prepare('SELECT entries, entries_checksum FROM queue_run WHERE id = ?').raw(),
    taken: database.prepare('SELECT mask, messages, payload_bytes FROM queue_taken WHERE run = ?').raw(),
    delete: run('DELETE FROM queue_run WHERE id = ?'),
    takenPut: run('INSERT OR REPLACE INTO queue_taken VALUES (?, ?, ?, ?)'),
    takenDelete: run('DELETE FROM queue_taken WHERE run = ?'),
  }
}
