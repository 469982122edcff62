/**
 * From files to an open database, in an order that trusts nothing: what they look like, whether the log was damaged, the structure
 * of a small database; then what the log holds is forced into the database, and only then anything is changed.
 *
 * The log is forced because reading it proves nothing: after an fsync that failed, the kernel may hold in memory what the disk never
 * got, and forget that it should still write it. What is copied into the database is written once more, and its fsync tells the truth.
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import Database from 'better-sqlite3'
import { collectOrphans } from './check.ts'
import { isFull } from './disk-room.ts'
import { checkLog } from './log-check.ts'
import { writeLogOrigin } from './log-origin.ts'
import { isDamage } from './records/damaged-runs.ts'
import { finishReplacement } from './replacement.ts'
import { checkFiles, databasePath, fileBytes, makePrivateFile, remedy } from './sqlite-files.ts'
import { migrate } from './sqlite-schema.ts'
import { StoreError } from './store.ts'

export const pageBytes = 8192
/** The log file is cut back to this after it grew beyond, for example during a backup. */
const walBytesKeptMax = 64 * 1024 * 1024
/** While everything is read once from end to end, a large cache would only fill with what nobody asks for again. */
const openingCacheKib = 2048
/** A reader that holds an old state of the log is not waited for longer than this at the start. */
const readerTimeoutMs = 1000

export interface OpeningOptions {
  dataDir: string
  wholeCheckBytesMax: number
  busyTimeoutMs: number
}

/** The lock is held. Throws what SQLite throws, or a `StoreError`. */
export function openDatabase({ dataDir, wholeCheckBytesMax, busyTimeoutMs }: OpeningOptions): Database.Database {
  const path = databasePath(dataDir)
  finishReplacement(dataDir)
  checkFiles(dataDir)
  checkLog(dataDir)
  makePrivateFile(path)
  const database = new Database(path, { timeout: busyTimeoutMs })
  try {
    configure(database, fileBytes(path) === 0)
    const isSmall = fileBytes(path) + fileBytes(`${path}-wal`) <= wholeCheckBytesMax
    if (isSmall) quickCheck(database, path, dataDir)
    forceLog(database, path, dataDir)
    migrate(database, path)
    if (isSmall) collect(database)
    database.pragma(`busy_timeout = ${busyTimeoutMs}`)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function configure(database: Database.Database, isNew: boolean): void {
  database.pragma(`page_size = ${pageBytes}`)
  // Of a file that has it from the start, space can be given back when queues have drained.
  if (isNew) database.pragma('auto_vacuum = INCREMENTAL')
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.pragma('wal_autocheckpoint = 0')
  database.pragma(`journal_size_limit = ${walBytesKeptMax}`)
  database.pragma(`cache_size = -${openingCacheKib}`)
  database.pragma('temp_store = MEMORY')
  database.pragma('foreign_keys = OFF')
  database.pragma('analysis_limit = 400')
}

/**
 * What can't be read of the queues' runs is set aside when it is met, and costs its sessions only. Anything else that is broken
 * ends the start.
 */
function quickCheck(database: Database.Database, path: string, dataDir: string): void {
  if (findingsIn(database, '').length === 0) return
  const tables = database
    .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'queue_run'`)
    .pluck()
    .all() as string[]
  const faults = tables.flatMap((table) => findingsIn(database, `('${table}')`))
  faults.push(...unreachable(database))
  if (faults.length > 0) {
    throw new StoreError('corrupt', `${path} is damaged: ${faults.slice(0, 3).join('; ')}. ${remedy(dataDir)}`)
  }
}

/** Without the index of the runs nothing can be set aside, and without the way to the last of them nothing can be appended. */
function unreachable(database: Database.Database): string[] {
  if (database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'queue_run_position'`).get() === undefined) return []
  try {
    database.prepare('SELECT count(first_position) FROM queue_run INDEXED BY queue_run_position').get()
    database.prepare('SELECT max(id) FROM queue_run').get()
    return []
  } catch (error) {
    if (isDamage(error)) return [error.message]
    throw error
  }
}

/** Some damage ends the check itself; that is a finding too. */
function findingsIn(database: Database.Database, what: string): string[] {
  try {
    const findings = database.pragma(`quick_check${what}`) as { quick_check: string }[]
    return findings.map((row) => row.quick_check).filter((finding) => finding !== 'ok')
  } catch (error) {
    if (isDamage(error)) return [error.message]
    throw error
  }
}

/** On return all that can be read is on the disk, and the log begins anew. */
function forceLog(database: Database.Database, path: string, dataDir: string): void {
  if (fileBytes(`${path}-wal`) > 0) {
    database.pragma(`busy_timeout = ${readerTimeoutMs}`)
    // A reader needs the log as it is, or the database has no room to grow. So the log itself is written once more.
    if (!foldWhole(database)) rewrite(`${path}-wal`)
  }
  writeLogOrigin(path, dataDir, true)
}

/** Bodies that nothing names are garbage, no more: while a run can't be read they are left alone. */
function collect(database: Database.Database): void {
  try {
    collectOrphans(database)
  } catch (error) {
    if (!isDamage(error) && (error as Error).message !== 'malformed JSON') throw error
  }
}

/** Returns whether all of the log is in the database now. */
function foldWhole(database: Database.Database): boolean {
  try {
    const [{ busy }] = database.pragma('wal_checkpoint(TRUNCATE)') as [{ busy: number }]
    return busy === 0
  } catch (error) {
    if (isFull(error)) return false
    throw error
  }
}

/** Writes a file's bytes over themselves: none changes, and all are forced to the disk anew. */
function rewrite(path: string): void {
  const descriptor = openSync(path, 'r+')
  try {
    const chunk = Buffer.alloc(1024 * 1024)
    const { size } = fstatSync(descriptor)
    for (let at = 0; at < size; ) {
      const bytes = readSync(descriptor, chunk, 0, chunk.length, at)
      writeSync(descriptor, chunk, 0, bytes, at)
      at += bytes
    }
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
