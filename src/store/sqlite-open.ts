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
import { checkLog } from './log-check.ts'
import { writeLogOrigin } from './log-origin.ts'
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
    if (isSmall) collectOrphans(database)
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

function quickCheck(database: Database.Database, path: string, dataDir: string): void {
  const findings = database.pragma('quick_check(3)') as { quick_check: string }[]
  const faults = findings.map((row) => row.quick_check).filter((finding) => finding !== 'ok')
  if (faults.length > 0) {
    throw new StoreError('corrupt', `${path} is damaged: ${faults.join('; ')}. ${remedy(dataDir)}`)
  }
}

/** On return all that can be read is on the disk, and the log begins anew. */
function forceLog(database: Database.Database, path: string, dataDir: string): void {
  if (fileBytes(`${path}-wal`) > 0) {
    database.pragma(`busy_timeout = ${readerTimeoutMs}`)
    const [{ busy }] = database.pragma('wal_checkpoint(TRUNCATE)') as [{ busy: number }]
    // A reader needs the log as it is. So the log itself is written once more.
    if (busy === 1) rewrite(`${path}-wal`)
  }
  writeLogOrigin(path, dataDir, true)
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
