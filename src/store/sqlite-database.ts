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
 * A failed commit is final: the store refuses all later ones, since what they build on is missing. But for a full disk: such a commit
 * leaves nothing and may be tried again (`disk-room.ts`).
 *
 * Checkpoints. SQLite's own would run inside the commit that crosses a threshold. Here the owner calls `upkeep` when
 * nothing waits; the log is folded into the database when it exceeds `walCheckpointBytes`, and is then written from its start again, so
 * it stays near that size while no reader holds an old state (a backup does, for as long as it copies).
 *
 * What is checked at open: the files (`sqlite-files.ts`), the log (`log-check.ts`), the schema's version, every row that is loaded, and the whole database with
 * `quick_check` as long as it's no larger than `wholeCheckBytesMax` (bodies that nothing names are then deleted too). The bodies of a larger one are checked when they are read, and by
 * `mqtide check-store`.
 */
import type Database from 'better-sqlite3'
import { BatchWriter } from './batch.ts'
import { readBatch } from './batch-reader.ts'
import { DiskRoom, diskFreeBytes, isFull } from './disk-room.ts'
import { writeLogOrigin } from './log-origin.ts'
import { DamagedRuns } from './records/damaged-runs.ts'
import { ParsedRuns } from './records/parsed-runs.ts'
import { type QueueQuery, QueueReader } from './records/queue-reader.ts'
import { packEntry } from './recovery-chunk.ts'
import { databasePath, fileBytes, lockDataDir, prepareDataDir, type StoreLock, storeError } from './sqlite-files.ts'
import { type OpeningOptions, openDatabase, pageBytes } from './sqlite-open.ts'
import { SqliteRecords } from './sqlite-records.ts'
import type {
  DamageReport,
  DelayedPage,
  DelayedQuery,
  Durability,
  RecoveredNumbers,
  Recovery,
  StoreStatistics,
} from './store.ts'

export interface SqliteEvents {
  /** The disk has become full, or has room again; commits wait as long as it takes. */
  onFull?: (full: boolean) => void
  /** Part of a queue is lost, everything else goes on. */
  onDamage?: (report: DamageReport) => void
}

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
  /** Room on the disk below which the store is full. Default 0. */
  diskFreeBytesMin?: number
  /** A file that is deleted when the disk is full, so that removals have room. Default 0: none. */
  ballastBytes?: number
  /** For tests: SQLite reports a full disk beyond this many pages of 8 KiB. */
  databasePagesMax?: number
}

const defaults = {
  cacheBytes: 8 * 1024 * 1024,
  walCheckpointBytes: 16 * 1024 * 1024,
  wholeCheckBytesMax: 64 * 1024 * 1024,
  busyTimeoutMs: 10_000,
  diskFreeBytesMin: 0,
  ballastBytes: 0,
}
/** Not at the start, when everything else wants the disk. */
const ballastDelayMs = 10_000
/** Unused pages of the database file that the next queue may need, 16 MiB, and how many are given back at a time. */
const unusedPagesKept = 2048
const pagesPerSlice = 256
const recordsPerOptimize = 1_000_000
/** The log is folded in early while the disk is full: written from its start again, it takes no more room for removals. */
const logBytesMaxWhenFull = 1024 * 1024

/** `PRAGMA auto_vacuum`. */
const incrementalVacuum = 2

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
  readonly #parsed = new ParsedRuns()
  readonly #page = new BatchWriter()
  #synchronous: 'FULL' | 'NORMAL' = 'FULL'
  /** No commit since the log began anew was left to the system to write. */
  #allForced = true
  readonly #room: DiskRoom
  readonly #onFull: (full: boolean) => void
  readonly #openedAt = performance.now()
  readonly #canShrink: boolean
  /** Batches at `none` in the open transaction, in case a full disk takes it. */
  #deferred: ArrayBuffer[] = []
  #failure: Error | undefined
  #commits = 0
  #recordsWritten = 0
  #optimizeAtRecord = recordsPerOptimize

  /** Throws a `StoreError`. */
  constructor(options: SqliteOptions, { onFull = () => {}, onDamage = () => {} }: SqliteEvents = {}) {
    const { dataDir, cacheBytes, walCheckpointBytes, ...rest } = { ...defaults, ...options }
    this.#dataDir = dataDir
    this.path = databasePath(dataDir)
    this.#cacheBytes = cacheBytes
    this.#walCheckpointBytes = walCheckpointBytes
    prepareDataDir(dataDir)
    this.#onFull = onFull
    this.#room = new DiskRoom({ dataDir, freeBytesMin: rest.diskFreeBytesMin, ballastBytes: rest.ballastBytes })
    this.#lock = lockDataDir(dataDir)
    let database: Database.Database | undefined
    try {
      database = openWithRoom({ dataDir, ...rest }, this.#room)
      if (options.databasePagesMax !== undefined) database.pragma(`max_page_count = ${options.databasePagesMax}`)
      const damagedRuns = new DamagedRuns(database, onDamage)
      this.#records = new SqliteRecords(database, damagedRuns, this.#parsed)
      this.#queues = new QueueReader(database, damagedRuns, this.#parsed)
      this.#database = database
      this.#canShrink = database.pragma('auto_vacuum', { simple: true }) === incrementalVacuum
      this.#lookForRoom()
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

  /**
   * Applies one batch; on return it is as safe as `durability` says. Throws a `StoreError`: of kind `full` if it may be tried
   * again, with nothing between; any other is thrown again for each later call.
   */
  commit(batch: ArrayBuffer, durability: Durability): void {
    this.#written(() => this.#write(batch, durability))
    this.#commits++
    if (this.#room.wrote(batch.byteLength, performance.now())) this.#lookForRoom()
  }

  /** Does it once more after making room, if the disk is full. */
  #written(write: () => void): void {
    if (this.#failure !== undefined) throw this.#failure
    for (let isLast = false; ; isLast = true) {
      try {
        write()
        return
      } catch (error) {
        if (!isFull(error)) throw this.#fail(error)
        this.#rollback()
        this.#meetFull()
        if (isLast) throw storeError(error, this.path, this.#dataDir)
      }
    }
  }

  /** The disk is full: lets the ballast go, and the log begin anew where that is possible, which needs no room to be written. */
  #meetFull(inUpkeep = false): void {
    const before = this.#room.full
    this.#room.meetFull(inUpkeep)
    if (!before) this.#onFull(true)
    try {
      this.#database.pragma('wal_checkpoint(RESTART)')
    } catch (error) {
      if (!isFull(error)) throw this.#fail(error)
    }
  }

  #lookForRoom(): void {
    if (this.#room.look(this.#unusedBytes() - this.#growthBytes(), performance.now())) this.#onFull(this.#room.full)
  }

  #unusedBytes(): number {
    return (this.#database.pragma('freelist_count', { simple: true }) as number) * pageBytes
  }

  /** What the file has yet to grow by, once the log is folded into it. */
  #growthBytes(): number {
    const pages = this.#database.pragma('page_count', { simple: true }) as number
    return Math.max(0, pages * pageBytes - fileBytes(this.path))
  }

  #rollback(): void {
    this.#parsed.clear()
    if (this.#database.inTransaction) this.#database.exec('ROLLBACK')
  }

  #fail(error: unknown): Error {
    this.#rollback()
    this.#failure = storeError(error, this.path, this.#dataDir)
    return this.#failure
  }

  #write(batch: ArrayBuffer, durability: Durability): void {
    const deferred = durability === 'none'
    if (!deferred) this.#commitOpen()
    if (!this.#database.inTransaction) {
      this.#begin(durability === 'fsync' ? 'FULL' : 'NORMAL')
      for (const earlier of this.#deferred) this.#apply(earlier)
    }
    this.#recordsWritten += this.#apply(batch)
    if (deferred) this.#deferred.push(batch)
    else this.#database.exec('COMMIT')
  }

  #apply(batch: ArrayBuffer): number {
    this.#records.begin()
    const records = readBatch(batch, this.#records)
    this.#records.end()
    return records
  }

  /** Commits the batches at `none`, once more from the first on if a full disk took their transaction. */
  #commitOpen(): void {
    if (this.#deferred.length === 0) return
    if (!this.#database.inTransaction) {
      this.#begin('NORMAL')
      for (const batch of this.#deferred) this.#apply(batch)
    }
    this.#database.exec('COMMIT')
    this.#deferred = []
  }

  #begin(synchronous: 'FULL' | 'NORMAL'): void {
    if (synchronous === 'NORMAL' && this.#allForced) {
      writeLogOrigin(this.path, this.#dataDir, false)
      this.#allForced = false
    }
    this.#setSynchronous(synchronous)
    this.#database.exec('BEGIN IMMEDIATE')
  }

  /** SQLite ignores the change within a transaction. */
  #setSynchronous(synchronous: 'FULL' | 'NORMAL'): void {
    if (this.#synchronous !== synchronous) this.#database.pragma(`synchronous = ${synchronous}`)
    this.#synchronous = synchronous
  }

  get hasDeferred(): boolean {
    return this.#deferred.length > 0
  }

  /** Commits what batches at `none` left open. Throws like `commit`. */
  commitDeferred(): void {
    if (this.hasDeferred) this.#written(() => this.#commitOpen())
  }

  /**
   * Work that no acknowledgement waits for, one slice per call: an ended session's rows, what a stream was trimmed of, a checkpoint, space to be given back,
   * ballast. Returns whether more is left. Does nothing while a deferred transaction is open, and stops at a full disk.
   */
  upkeep(): boolean {
    if (this.#failure !== undefined || this.hasDeferred) return false
    try {
      const logBytesMax = this.#room.full ? logBytesMaxWhenFull : this.#walCheckpointBytes
      if (this.#logBytesUnfolded() >= logBytesMax) this.#database.pragma('wal_checkpoint(PASSIVE)')
      if (this.#recordsWritten >= this.#optimizeAtRecord) {
        this.#optimizeAtRecord = this.#recordsWritten + recordsPerOptimize
        this.#database.pragma('optimize')
      }
      if (this.#records.hasRemains) this.#collect()
      const shrinking = this.#giveBack()
      const growing = performance.now() - this.#openedAt >= ballastDelayMs && this.#room.addBallast(this.#growthBytes())
      this.#room.upkeepRefused = false
      return this.#records.hasRemains || shrinking || growing
    } catch (error) {
      if (!isFull(error)) throw this.#fail(error)
      this.#rollback()
      this.#meetFull(true)
      return false
    }
  }

  /** Cuts some unused pages from the end of the file where there are many; returns whether more are left. */
  #giveBack(): boolean {
    if (!this.#canShrink) return false
    const unused = this.#database.pragma('freelist_count', { simple: true }) as number
    const pages = this.#database.pragma('page_count', { simple: true }) as number
    if (unused < unusedPagesKept || unused < pages / 4) return false
    this.#setSynchronous('FULL')
    this.#database.pragma(`incremental_vacuum(${pagesPerSlice})`)
    return true
  }

  /** Forced, so that the log can be judged by its last transaction alone (`log-check.ts`). */
  #collect(): void {
    this.#begin('FULL')
    this.#records.begin()
    this.#records.collect()
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

  readDelayed(query: DelayedQuery): DelayedPage {
    return this.#guard(() => this.#records.readDelayed(query))
  }

  statistics(): StoreStatistics {
    return this.#guard(() => {
      // Nobody may commit anything, and so bring it about, while the store is full.
      if (this.#room.upkeepRefused) this.upkeep()
      this.#lookForRoom()
      return {
        commits: this.#commits,
        recordsWritten: this.#recordsWritten,
        databaseBytes: fileBytes(this.path),
        walBytes: fileBytes(`${this.path}-wal`),
        unusedBytes: this.#unusedBytes(),
        diskFreeBytes: diskFreeBytes(this.#dataDir),
        full: this.#room.full,
      }
    })
  }

  /** Commits what is open, folds the log into the database and frees the directory. */
  close(): void {
    try {
      if (this.#failure === undefined) {
        this.commitDeferred()
        this.#optimizeAtClose()
      }
    } finally {
      this.#database.close()
      this.#lock.release()
    }
  }

  #optimizeAtClose(): void {
    try {
      this.#database.pragma('optimize')
    } catch (error) {
      if (!isFull(error)) throw storeError(error, this.path, this.#dataDir)
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

/** A full disk costs the ballast, not the start. */
function openWithRoom(options: OpeningOptions, room: DiskRoom): Database.Database {
  try {
    return openDatabase(options)
  } catch (error) {
    if (!isFull(error) || !room.meetFull()) throw error
    return openDatabase(options)
  }
}
