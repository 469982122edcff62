/**
 * The SQLite database of one data directory: opened, checked, migrated, written one batch at a time, and read.
 *
 * Synchronous throughout, so it belongs into a thread of its own (`sqlite-store.ts`); tests and tools use it in theirs.
 *
 * Durability. The journal is a write-ahead log. A commit at `fsync` runs with `synchronous=FULL`: it returns after the log's
 * bytes are on the disk. A commit at `process` runs with `NORMAL`: the bytes are with the kernel, which survives the end of this process;
 * a power cut takes the newest commits and leaves an older, consistent state. A batch at `none` joins a transaction that stays open:
 * a crash takes what was not committed yet. It is committed before the next stricter batch, and by `commitDeferred`, which the owner calls
 * within `deferredCommitMs`. Whatever the level, batches become durable in the order of their commits: a stricter one covers all before it.
 *
 * A failed commit is final: the store refuses all later ones, since what they build on is missing.
 *
 * Checkpoints. SQLite's own would run inside the commit that crosses a threshold. Here the owner calls `upkeep` when
 * nothing waits; the log is folded into the database when it exceeds `walCheckpointBytes`, and is then written from its start again, so
 * it stays near that size while no reader holds an old state (a backup does, for as long as it copies).
 *
 * What is checked at open: the files (`sqlite-files.ts`), the log (`log-check.ts`), the schema's version, every row that is loaded, and the whole database with
 * `quick_check` as long as it's no larger than `wholeCheckBytesMax` (bodies that nothing names are then deleted too). The bodies of a larger one are checked when they are read, and by
 * `mqtide check-store`.
 */
import { statfsSync } from 'node:fs'
import type Database from 'better-sqlite3'
import { BatchWriter } from './batch.ts'
import { readBatch } from './batch-reader.ts'
import { writeLogOrigin } from './log-origin.ts'
import { type QueueQuery, QueueReader } from './records/queue-reader.ts'
import { packEntry } from './recovery-chunk.ts'
import { databasePath, fileBytes, lockDataDir, prepareDataDir, type StoreLock, storeError } from './sqlite-files.ts'
import { openDatabase, pageBytes } from './sqlite-open.ts'
import { SqliteRecords } from './sqlite-records.ts'
import { type Durability, type RecoveredNumbers, type Recovery, StoreError, type StoreStatistics } from './store.ts'

export interface SqliteOptions {
  dataDir: string
  /** Pages that SQLite keeps in memory. Default 8 MiB. */
  cacheBytes?: number
  /** The log's size at which it is folded into the database. Default 16 MiB. */
  walCheckpointBytes?: number
  /** Up to this size the whole database is checked at open. Default 64 MiB. */
  wholeCheckBytesMax?: number
  /** How long a program such as the `sqlite3` shell may hold a write transaction before a commit fails. Default 10 s. */
  busyTimeoutMs?: number
  /** For tests: SQLite reports a full disk beyond this many pages of 8 KiB. */
  databasePagesMax?: number
}

const defaults = {
  cacheBytes: 8 * 1024 * 1024,
  walCheckpointBytes: 16 * 1024 * 1024,
  wholeCheckBytesMax: 64 * 1024 * 1024,
  busyTimeoutMs: 10_000,
}
const recordsPerOptimize = 1_000_000

/** How long a batch committed at `none` may stay uncommitted. */
export const deferredCommitMs = 1000

export class SqliteDatabase {
  readonly path: string
  readonly #dataDir: string
  readonly #cacheBytes: number
  readonly #walCheckpointBytes: number
  readonly #lock: StoreLock
  readonly #database: Database.Database
  readonly #records: SqliteRecords
  readonly #queues: QueueReader
  readonly #page = new BatchWriter()
  #synchronous: 'FULL' | 'NORMAL' = 'FULL'
  /** No commit since the log began anew was left to the system to write. */
  #allForced = true
  #failure: Error | undefined
  #commits = 0
  #recordsWritten = 0
  #optimizeAtRecord = recordsPerOptimize

  /** Throws a `StoreError`. */
  constructor(options: SqliteOptions) {
    const { dataDir, cacheBytes, walCheckpointBytes, wholeCheckBytesMax, busyTimeoutMs } = { ...defaults, ...options }
    this.#dataDir = dataDir
    this.path = databasePath(dataDir)
    this.#cacheBytes = cacheBytes
    this.#walCheckpointBytes = walCheckpointBytes
    prepareDataDir(dataDir)
    this.#lock = lockDataDir(dataDir)
    let database: Database.Database | undefined
    try {
      database = openDatabase({ dataDir, wholeCheckBytesMax, busyTimeoutMs })
      if (options.databasePagesMax !== undefined) database.pragma(`max_page_count = ${options.databasePagesMax}`)
      this.#records = new SqliteRecords(database)
      this.#queues = new QueueReader(database)
      this.#database = database
    } catch (error) {
      database?.close()
      this.#lock.release()
      throw storeError(error, this.path, dataDir)
    }
  }

  recover(recovery: Recovery): RecoveredNumbers {
    return this.#guard(() => {
      const numbers = this.#records.recover(recovery)
      this.#database.pragma(`cache_size = -${Math.ceil(this.#cacheBytes / 1024)}`)
      return numbers
    })
  }

  /** Applies one batch; on return it is as safe as `durability` says. Throws a `StoreError`, and again for each later call. */
  commit(batch: ArrayBuffer, durability: Durability): void {
    if (this.#failure !== undefined) throw this.#failure
    try {
      this.#write(batch, durability)
    } catch (error) {
      throw this.#fail(error)
    }
  }

  #fail(error: unknown): Error {
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK')
    this.#failure = storeError(error, this.path, this.#dataDir)
    return this.#failure
  }

  #write(batch: ArrayBuffer, durability: Durability): void {
    const deferred = durability === 'none'
    if (this.#database.inTransaction && !deferred) this.#database.exec('COMMIT')
    if (!this.#database.inTransaction) this.#begin(durability === 'fsync' ? 'FULL' : 'NORMAL')
    this.#records.begin()
    this.#recordsWritten += readBatch(batch, this.#records)
    this.#records.end()
    if (!deferred) this.#database.exec('COMMIT')
    this.#commits++
  }

  #begin(synchronous: 'FULL' | 'NORMAL'): void {
    if (synchronous === 'NORMAL' && this.#allForced) {
      writeLogOrigin(this.path, this.#dataDir, false)
      this.#allForced = false
    }
    // SQLite ignores the change within a transaction.
    if (this.#synchronous !== synchronous) this.#database.pragma(`synchronous = ${synchronous}`)
    this.#synchronous = synchronous
    this.#database.exec('BEGIN IMMEDIATE')
  }

  get hasDeferred(): boolean {
    return this.#database.inTransaction
  }

  /** Commits what batches at `none` left open. */
  commitDeferred(): void {
    if (!this.#database.inTransaction) return
    try {
      this.#database.exec('COMMIT')
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /**
   * Work that no acknowledgement waits for, one slice per call: an ended session's rows, or a checkpoint. Returns whether
   * more is left. Does nothing while a deferred transaction is open.
   */
  upkeep(): boolean {
    if (this.#failure !== undefined || this.#database.inTransaction) return false
    try {
      if (this.#logBytesUnfolded() >= this.#walCheckpointBytes) this.#database.pragma('wal_checkpoint(PASSIVE)')
      if (this.#recordsWritten >= this.#optimizeAtRecord) {
        this.#optimizeAtRecord = this.#recordsWritten + recordsPerOptimize
        this.#database.pragma('optimize')
      }
      if (this.#records.hasEnded) this.#collectEnded()
      return this.#records.hasEnded
    } catch (error) {
      throw this.#fail(error)
    }
  }

  /** Forced, so that the log can be judged by its last transaction alone (`log-check.ts`). */
  #collectEnded(): void {
    this.#begin('FULL')
    this.#records.begin()
    this.#records.collectEnded()
    this.#records.end()
    this.#database.exec('COMMIT')
  }

  #logBytesUnfolded(): number {
    const rows = this.#database.pragma('wal_checkpoint(NOOP)') as { log: number; checkpointed: number }[]
    return (rows[0]!.log - rows[0]!.checkpointed) * pageBytes
  }

  /** A packed page (`unpackPage` reads it) and whether more entries follow. */
  readQueue(query: QueueQuery) {
    return this.#guard(() => {
      const more = this.#queues.read(query, (reference, message) => packEntry(this.#page, reference, message))
      return { packed: this.#page.take(), more }
    })
  }

  statistics(): StoreStatistics {
    return this.#guard(() => {
      const disk = statfsSync(this.#dataDir)
      return {
        commits: this.#commits,
        recordsWritten: this.#recordsWritten,
        databaseBytes: fileBytes(this.path),
        walBytes: fileBytes(`${this.path}-wal`),
        diskFreeBytes: disk.bavail * disk.bsize,
      }
    })
  }

  /** Commits what is open, folds the log into the database and frees the directory. */
  close(): void {
    try {
      if (this.#failure === undefined) {
        this.commitDeferred()
        this.#guard(() => this.#database.pragma('optimize'))
      }
    } finally {
      this.#database.close()
      this.#lock.release()
    }
  }

  #guard<Result>(call: () => Result): Result {
    try {
      return call()
    } catch (error) {
      throw storeError(error, this.path, this.#dataDir)
    }
  }
}
