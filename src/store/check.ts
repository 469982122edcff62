/**
 * What `mqtide check-store` looks at: the file's structure, and whether the rows agree with each other.
 *
 * Also the repair of what disagrees: bodies that nothing names, references whose body is gone, counts that are off. None of
 * these can come from a crash (each batch is one transaction); they can from a damaged file or a fault of ours.
 */
import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { checkLog, checkLogUnlessInUse } from './log-check.ts'
import { DamagedRuns } from './records/damaged-runs.ts'
import { ParsedRuns } from './records/parsed-runs.ts'
import { QueueRows } from './records/queue-rows.ts'
import {
  checkBodies,
  messageIdOf,
  messageOf,
  parseEntries,
  payloadBytesOf,
  positionOf,
  type RunEntry,
  referenceOf,
} from './records/queue-run.ts'
import { rowsOf } from './records/table.ts'
import { tables } from './records/tables.ts'
import { checkFiles, databasePath, lockDataDir, storeError } from './sqlite-files.ts'
import { migrations } from './sqlite-schema.ts'
import { DamagedRowError, StoreError } from './store.ts'

export interface StoreCounts {
  sessions: number
  subscriptions: number
  retained: number
  /** For sessions, and in queues. */
  queued: number
  /** Messages of streams. */
  streamed: number
  messages: number
  wills: number
}

export interface Disagreements {
  /** Bodies that nothing names. */
  orphanedMessages: number
  /** Queue entries and retained topics whose body is missing. */
  missingMessages: number
  wrongCounts: number
  /** Subscriptions, queue entries, packet identifiers and wills of sessions, and of queues, that do not exist. */
  rowsWithoutSession: number
}

export interface StoreReport {
  path: string
  bytes: number
  schemaVersion: number
  /** What SQLite's integrity check found; empty if nothing. */
  findings: string[]
  counts: StoreCounts
  disagreements: Disagreements
  repaired: boolean
}

const findingsMax = 100

/** Reads only, also while the gateway runs; with `repair` the directory must be free. Throws a `StoreError` if it can't be opened. */
export function checkStore(dataDir: string, { repair = false } = {}): StoreReport {
  const path = databasePath(dataDir)
  checkFiles(dataDir)
  if (!existsSync(path)) throw new StoreError('io', `${path} does not exist.`)
  const lock = repair ? lockDataDir(dataDir) : undefined
  if (!repair) checkLogUnlessInUse(dataDir)
  let database: Database.Database | undefined
  try {
    if (repair) checkLog(dataDir)
    database = new Database(path, { fileMustExist: true })
    const schemaVersion = knownVersion(database, path)
    const findings = integrityFindings(database)
    // What an older version's tables say is looked at by its migration.
    const isCurrent = schemaVersion === migrations.length
    if (isCurrent && findings.length === 0) findings.push(...damagedRuns(database).map(({ finding }) => finding))
    const readable = isCurrent && findings.length === 0
    const disagreements = readable ? disagreementsOf(database) : noDisagreements
    const repairing = repair && readable && Object.values(disagreements).some((count) => count > 0)
    if (repairing) repairDisagreements(database)
    return {
      path,
      bytes: (database.pragma('page_count', { simple: true }) as number) * pageBytesOf(database),
      schemaVersion,
      findings,
      counts: countsOf(database),
      disagreements,
      repaired: repairing,
    }
  } catch (error) {
    throw storeError(error, path, dataDir)
  } finally {
    database?.close()
    lock?.release()
  }
}

function knownVersion(database: Database.Database, path: string): number {
  const version = database.pragma('user_version', { simple: true }) as number
  if (version <= migrations.length) return version
  throw new StoreError(
    'version',
    `${path} has schema version ${version}: check it with the newer mqtide that wrote it.`,
  )
}

/** Some damage ends the check itself; that is a finding too. */
function integrityFindings(database: Database.Database): string[] {
  try {
    const rows = database.pragma(`integrity_check(${findingsMax})`) as { integrity_check: string }[]
    return rows.map((row) => row.integrity_check).filter((finding) => finding !== 'ok')
  } catch (error) {
    if ((error as { code?: string }).code?.startsWith('SQLITE_CORRUPT')) return [(error as Error).message]
    throw error
  }
}

function pageBytesOf(database: Database.Database): number {
  return database.pragma('page_size', { simple: true }) as number
}

/** -1 where it can't be counted: in a damaged file, or one whose version has no such table. */
export function countsOf(database: Database.Database): StoreCounts {
  const count = (table: string): number => {
    try {
      return database.prepare(`SELECT count(*) FROM ${table}`).pluck().get() as number
    } catch {
      return -1
    }
  }
  return {
    sessions: count('session'),
    subscriptions: count('subscription'),
    retained: count('retained'),
    queued: countQueued(database),
    streamed: countStreamed(database),
    messages: count('message'),
    wills: count('will'),
  }
}

function countQueued(database: Database.Database): number {
  const waiting = `
    SELECT coalesce(sum(messages), 0) - (SELECT coalesce(sum(messages), 0) FROM queue_taken) FROM queue_run`
  try {
    return (database.prepare(waiting).pluck().get() as number) - Math.max(0, countStreamed(database))
  } catch {
    return -1
  }
}

function countStreamed(database: Database.Database): number {
  const kept = 'SELECT coalesce(sum(messages), 0) FROM queue_run WHERE session IN (SELECT number FROM stream)'
  try {
    return database.prepare(kept).pluck().get() as number
  } catch {
    return -1
  }
}

const noDisagreements: Disagreements = {
  orphanedMessages: 0,
  missingMessages: 0,
  wrongCounts: 0,
  rowsWithoutSession: 0,
}

const named = `
  WITH named (id, times) AS (
    SELECT message_id, count(*) FROM (
      SELECT message_id FROM queued_entry WHERE message_references > 0 AND message_id <> 0
      UNION ALL SELECT message_id FROM retained)
    GROUP BY message_id)`
const knownSessions = `(SELECT number FROM session UNION ALL SELECT number FROM ended_session
  UNION ALL SELECT number FROM log WHERE name IS NOT NULL UNION ALL SELECT number FROM stream)`
/** What selects the rows that belong to no session, by table. */
const withoutSession = tables
  .filter(({ owner }) => owner !== undefined)
  .map(({ name, owner }) => `FROM ${name} WHERE ${owner} NOT IN ${knownSessions}`)

/** Compares every reference with every body: reads the whole database. */
export function disagreementsOf(database: Database.Database): Disagreements {
  const count = (sql: string) => database.prepare(sql).pluck().get() as number
  return {
    orphanedMessages: count(`${named} SELECT count(*) FROM message WHERE id NOT IN (SELECT id FROM named)`),
    missingMessages: count(`${named} SELECT count(*) FROM named WHERE id NOT IN (SELECT id FROM message)`),
    wrongCounts: count(
      `${named} SELECT count(*) FROM named JOIN message USING (id) WHERE message.reference_count <> named.times`,
    ),
    rowsWithoutSession: withoutSession
      .map((rows) => count(`SELECT count(*) ${rows}`))
      .reduce((sum, rows) => sum + rows, 0),
  }
}

/** Makes the rows agree, in one transaction: what can't be delivered any more goes, counts are counted anew. */
export function repairDisagreements(database: Database.Database): void {
  database.transaction(() => {
    for (const rows of withoutSession) database.exec(`DELETE ${rows}`)
    database.exec('DELETE FROM queue_taken WHERE run NOT IN (SELECT id FROM queue_run)')
    takeMissing(database)
    database.exec('DELETE FROM retained WHERE message_id NOT IN (SELECT id FROM message)')
    collectOrphans(database)
    database.exec(`
      CREATE TEMP TABLE counted AS ${named} SELECT id, times FROM named;
      UPDATE message SET reference_count = counted.times FROM counted
        WHERE counted.id = message.id AND reference_count <> counted.times;
      DROP TABLE temp.counted`)
  })()
}

/** Takes the entries whose body is gone from their queues. */
function takeMissing(database: Database.Database): void {
  const missing = `
    SELECT session, position FROM queued_entry
    WHERE message_references > 0 AND message_id <> 0 AND message_id NOT IN (SELECT id FROM message)`
  const queues = new QueueRows(database, new DamagedRuns(database, () => {}), new ParsedRuns())
  for (const [session, position] of database.prepare(missing).raw().all() as [number, number][]) {
    queues.take(session, position)
  }
  queues.end()
}

/** What is wrong with runs that SQLite can read, by run: see `queue-run.ts`. */
export function damagedRuns(database: Database.Database): { run: number; messages: number; finding: string }[] {
  type Head = [run: number, session: number, first: number, last: number, messages: number, number, number]
  type RunRow = [...Head, entries: string, number | null, bodies: Uint8Array | null, number | null]
  const damaged = []
  const sql = `
    SELECT id, session, first_position, last_position, messages, payload_bytes, message_references,
      entries, entries_checksum, bodies, bodies_checksum FROM queue_run`
  for (const row of rowsOf<RunRow>(database, sql)) {
    const [run, session, first, last, messages, payloadBytes, references, text, checksum, bodies, bodiesChecksum] = row
    try {
      const entries = parseEntries(session, text, checksum)
      checkRun({ session, first, last, messages, payloadBytes, references }, entries, bodies)
      checkBodies(bodies, bodiesChecksum)
    } catch (error) {
      if (!(error instanceof DamagedRowError)) throw error
      damaged.push({ run, messages, finding: `run ${run} in the queue of session ${session}: ${error.message}` })
    }
  }
  return damaged
}

interface RunHead {
  session: number
  first: number
  last: number
  messages: number
  payloadBytes: number
  references: number
}

function checkRun(head: RunHead, entries: readonly RunEntry[], bodies: Uint8Array | null): void {
  let payloadBytes = 0
  let references = 0
  for (const entry of entries) {
    referenceOf(head.session, entry)
    if (messageIdOf(entry) === 0) messageOf(entry, bodies)
    else references++
    payloadBytes += payloadBytesOf(entry)
  }
  const [first, last] = [positionOf(entries[0]!), positionOf(entries[entries.length - 1]!)]
  const found = { session: head.session, first, last, messages: entries.length, payloadBytes, references }
  for (const [name, value] of Object.entries(found)) {
    const said = head[name as keyof RunHead]
    if (said !== value) throw new DamagedRowError(`${name} is ${said}, its entries say ${value}`)
  }
}

/** Deletes bodies that nothing names; returns how many. */
export function collectOrphans(database: Database.Database): number {
  const orphans = `${named} DELETE FROM message WHERE id NOT IN (SELECT id FROM named)`
  return database.prepare(orphans).run().changes
}
