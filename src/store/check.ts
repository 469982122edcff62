/**
 * What `mqtide check-store` looks at: the file's structure, and whether the rows agree with each other.
 *
 * Also the repair of what disagrees: bodies that nothing names, references whose body is gone, counts that are off. None of
 * these can come from a crash (each batch is one transaction); they can from a damaged file or a fault of ours.
 */
import { existsSync } from 'node:fs'
import Database from 'better-sqlite3'
import { checkFiles, databasePath, lockDataDir, storeError } from './sqlite-files.ts'
import { StoreError } from './store.ts'

export interface StoreCounts {
  sessions: number
  subscriptions: number
  retained: number
  queued: number
  messages: number
  wills: number
}

export interface Disagreements {
  /** Bodies that nothing names. */
  orphanedMessages: number
  /** Queue entries and retained topics whose body is missing. */
  missingMessages: number
  wrongCounts: number
  /** Subscriptions, queue entries, packet identifiers and wills of sessions that do not exist. */
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
  let database: Database.Database | undefined
  try {
    database = new Database(path, { fileMustExist: true })
    const findings = integrityFindings(database)
    const readable = findings.length === 0
    const disagreements = readable ? disagreementsOf(database) : noDisagreements
    const repairing = repair && readable && Object.values(disagreements).some((count) => count > 0)
    if (repairing) repairDisagreements(database)
    return {
      path,
      bytes: (database.pragma('page_count', { simple: true }) as number) * pageBytesOf(database),
      schemaVersion: database.pragma('user_version', { simple: true }) as number,
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

/** -1 where a damaged file can't be counted. */
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
    queued: count('queue'),
    messages: count('message'),
    wills: count('will'),
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
    SELECT message_id, count(*) FROM (SELECT message_id FROM queue UNION ALL SELECT message_id FROM retained)
    GROUP BY message_id)`
const knownSession = 'session IN (SELECT number FROM session UNION ALL SELECT number FROM ended_session)'
const sessionTables = ['subscription', 'queue', 'released', 'incoming', 'will']

/** Compares every reference with every body: reads the whole database. */
export function disagreementsOf(database: Database.Database): Disagreements {
  const count = (sql: string) => database.prepare(sql).pluck().get() as number
  return {
    orphanedMessages: count(`${named} SELECT count(*) FROM message WHERE id NOT IN (SELECT id FROM named)`),
    missingMessages: count(`${named} SELECT count(*) FROM named WHERE id NOT IN (SELECT id FROM message)`),
    wrongCounts: count(
      `${named} SELECT count(*) FROM named JOIN message USING (id) WHERE message.reference_count <> named.times`,
    ),
    rowsWithoutSession: sessionTables
      .map((table) => count(`SELECT count(*) FROM ${table} WHERE NOT ${knownSession}`))
      .reduce((sum, rows) => sum + rows, 0),
  }
}

/** Makes the rows agree, in one transaction: what can't be delivered any more goes, counts are counted anew. */
export function repairDisagreements(database: Database.Database): void {
  database.transaction(() => {
    for (const table of sessionTables) database.exec(`DELETE FROM ${table} WHERE NOT ${knownSession}`)
    database.exec('DELETE FROM queue WHERE message_id NOT IN (SELECT id FROM message)')
    database.exec('DELETE FROM retained WHERE message_id NOT IN (SELECT id FROM message)')
    collectOrphans(database)
    database.exec(`
      CREATE TEMP TABLE counted AS ${named} SELECT id, times FROM named;
      UPDATE message SET reference_count = counted.times FROM counted
        WHERE counted.id = message.id AND reference_count <> counted.times;
      DROP TABLE temp.counted`)
  })()
}

/** Deletes bodies that nothing names; returns how many. */
export function collectOrphans(database: Database.Database): number {
  const orphans = `${named} DELETE FROM message WHERE id NOT IN (SELECT id FROM named)`
  return database.prepare(orphans).run().changes
}
