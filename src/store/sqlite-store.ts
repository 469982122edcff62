/**
 * The `Store` on SQLite: in a worker thread for the gateway, in the caller's thread for tools and tests.
 *
 * The worker serves calls in order; several may wait. If the thread ends by itself, everything pending and every later call
 * rejects with the same error: a commit that was pending may or may not be on disk, and nothing acknowledged it.
 */
import { Worker } from 'node:worker_threads'
import { isFull, retryMs } from './disk-room.ts'
import { type RecoveryChunk, unpackPage, unpackRecovery } from './recovery-chunk.ts'
import { SqliteDatabase, type SqliteEvents, type SqliteOptions } from './sqlite-database.ts'
import { SqliteUpkeep } from './sqlite-upkeep.ts'
import type { CrossedError, StoreAnswer, StoreCall, StoreResult } from './sqlite-worker.ts'
import {
  type DelayedPage,
  type DelayedQuery,
  type Durability,
  type QueuePage,
  type RecoveredNumbers,
  type Recovery,
  type Store,
  StoreError,
  type StoreStatistics,
} from './store.ts'

export interface SqliteStoreOptions extends SqliteOptions, SqliteEvents {
  /** Told when the store fails while no call waits for it: in a deferred commit, in its upkeep, or by its thread's end. */
  onFailure?: (error: Error) => void
}

/** The gateway's store. */
export function createSqliteStore(options: SqliteStoreOptions): Store {
  return new SqliteWorkerStore(options)
}

interface Pending {
  resolve: (result: StoreResult) => void
  reject: (error: Error) => void
}

/** A call before it has its number, kind by kind. */
type Unnumbered<Call> = Call extends StoreCall ? Omit<Call, 'call'> : never

/** V8's own limit lets the thread's garbage grow to 80 MB before it is looked at; with less than this it is copied too often. */
const youngGenerationMb = 24

/** How long the thread may take to end by itself. */
const endMsMax = 5_000

export class SqliteWorkerStore implements Store {
  readonly durable = true
  readonly #options: SqliteOptions
  readonly #onFailure: (error: Error) => void
  readonly #events: Required<SqliteEvents>
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  readonly #exited: Promise<void>
  #calls = 0
  #recovery: Recovery | undefined
  #failure: Error | undefined
  #closing = false

  constructor({ onFailure = () => {}, onFull, onDamage, ...options }: SqliteStoreOptions) {
    this.#options = options
    this.#onFailure = onFailure
    this.#events = { onFull: onFull ?? (() => {}), onDamage: onDamage ?? (() => {}) }
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./sqlite-worker.${extension}`, import.meta.url), {
      name: 'mqtide-store',
      resourceLimits: { maxYoungGenerationSizeMb: youngGenerationMb },
    })
    this.#worker.on('message', (answer: StoreAnswer) => this.#onAnswer(answer))
    this.#worker.on('error', (error) => this.#onEnd(error as Error))
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#onEnd(new Error(`its thread ended with code ${code}`))
        resolve()
      })
    })
  }

  async open(recovery: Recovery): Promise<RecoveredNumbers> {
    this.#recovery = recovery
    const numbers = await this.#call({ method: 'open', options: this.#options })
    this.#recovery = undefined
    return numbers as RecoveredNumbers
  }

  async commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    await this.#call({ method: 'commit', batch, durability }, [batch])
  }

  async readQueue(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    sharedFilter?: string,
  ): Promise<QueuePage> {
    const query = { session, fromPosition, messagesMax, bytesMax, sharedFilter }
    const page = await this.#call({ method: 'readQueue', query })
    const { packed, more } = page as { packed: ArrayBuffer; more: boolean }
    return unpackPage(session, packed, more)
  }

  async readDelayed(query: DelayedQuery): Promise<DelayedPage> {
    return (await this.#call({ method: 'readDelayed', query })) as DelayedPage
  }

  async statistics(): Promise<StoreStatistics> {
    return (await this.#call({ method: 'statistics' })) as StoreStatistics
  }

  /** Ends the thread also where the database can't be closed cleanly, and then rejects. */
  async close(): Promise<void> {
    if (this.#closing) return
    if (this.#failure === undefined) {
      const closed = this.#call({ method: 'close' })
      this.#closing = true
      await closed.finally(() => this.#ended())
      return
    }
    this.#closing = true
    this.#worker.postMessage({ method: 'close', call: this.#calls++ } satisfies StoreCall)
    await this.#ended()
  }

  /**
   * The thread ends by itself once its port is closed. Only if it hangs is it terminated: in the middle of a call into SQLite
   * that can take the whole process with it.
   */
  async #ended(): Promise<void> {
    const timer = setTimeout(() => void this.#worker.terminate(), endMsMax)
    await this.#exited
    clearTimeout(timer)
  }

  #call(request: Unnumbered<StoreCall>, transfer: ArrayBuffer[] = []): Promise<StoreResult> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#closing) return Promise.reject(new Error('the store is closed'))
    const call = this.#calls++
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve, reject })
      this.#worker.postMessage({ ...request, call }, transfer)
    })
  }

  #onAnswer(answer: StoreAnswer): void {
    if ('recovered' in answer) {
      this.#onRecovered(answer.recovered)
      return
    }
    if ('full' in answer) {
      this.#events.onFull(answer.full)
      return
    }
    if ('damage' in answer) {
      this.#events.onDamage(answer.damage)
      return
    }
    if ('failure' in answer) {
      this.#fail(uncrossed(answer.failure))
      return
    }
    const pending = this.#pending.get(answer.call)
    this.#pending.delete(answer.call)
    if ('error' in answer) pending?.reject(uncrossed(answer.error))
    else pending?.resolve(answer.result)
  }

  /** A recovery that refuses what it's told ends the opening, not the process. */
  #onRecovered(chunk: RecoveryChunk): void {
    if (this.#recovery === undefined) return
    try {
      unpackRecovery(chunk, this.#recovery)
    } catch (error) {
      this.#recovery = undefined
      this.#fail(error as Error)
    }
  }

  #onEnd(cause: Error): void {
    if (this.#closing && this.#pending.size === 0) return
    const text = `the store ended: ${cause.message}. Nothing that was acknowledged is lost. Start mqtide again.`
    this.#fail(new StoreError('io', text, { cause }))
  }

  #fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    const waited = [...this.#pending.values()]
    this.#pending.clear()
    for (const { reject } of waited) reject(error)
    if (waited.length === 0) this.#onFailure(error)
  }
}

function uncrossed(crossed: CrossedError): Error {
  const error = crossed.kind !== undefined ? new StoreError(crossed.kind, crossed.message) : new Error(crossed.message)
  if (crossed.kind === undefined) error.name = crossed.name
  if (crossed.stack !== undefined) error.stack = crossed.stack
  return error
}

/** In the caller's thread: every call blocks it. */
export class SqliteInlineStore implements Store {
  readonly durable = true
  readonly #options: SqliteOptions
  readonly #onFailure: (error: Error) => void
  readonly #events: Required<SqliteEvents>
  /** A commit that waits for room on the disk; what is called later comes after it. */
  #stuck: Promise<void> | undefined
  #database: SqliteDatabase | undefined
  #upkeep: SqliteUpkeep | undefined

  constructor({ onFailure = () => {}, onFull, onDamage, ...options }: SqliteStoreOptions) {
    this.#options = options
    this.#onFailure = onFailure
    this.#events = { onFull: onFull ?? (() => {}), onDamage: onDamage ?? (() => {}) }
  }

  async open(recovery: Recovery): Promise<RecoveredNumbers> {
    this.#database = new SqliteDatabase(this.#options, this.#events)
    this.#upkeep = new SqliteUpkeep(this.#database, this.#onFailure)
    const numbers = this.#database.recover(recovery)
    this.#upkeep.touched()
    return numbers
  }

  async commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    if (this.#stuck !== undefined || !this.#committed(batch, durability)) {
      const turn = this.#commitAfter(this.#stuck, batch, durability)
      this.#stuck = turn
      await turn
      if (this.#stuck === turn) this.#stuck = undefined
    }
    this.#upkeep?.touched()
  }

  async #commitAfter(earlier: Promise<void> | undefined, batch: ArrayBuffer, durability: Durability): Promise<void> {
    await earlier
    while (!this.#committed(batch, durability)) await new Promise((resolve) => setTimeout(resolve, retryMs))
  }

  /** False if the disk is full. */
  #committed(batch: ArrayBuffer, durability: Durability): boolean {
    try {
      this.#opened().commit(batch, durability)
      return true
    } catch (error) {
      if (isFull(error)) return false
      throw error
    }
  }

  async readQueue(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    sharedFilter?: string,
  ): Promise<QueuePage> {
    const query = { session, fromPosition, messagesMax, bytesMax, sharedFilter }
    if (this.#stuck !== undefined) await this.#stuck
    const { packed, more } = this.#opened().readQueue(query)
    return unpackPage(session, packed, more)
  }

  async readDelayed(query: DelayedQuery): Promise<DelayedPage> {
    if (this.#stuck !== undefined) await this.#stuck
    return this.#opened().readDelayed(query)
  }

  async statistics(): Promise<StoreStatistics> {
    return this.#opened().statistics()
  }

  async close(): Promise<void> {
    this.#upkeep?.stop()
    const database = this.#database
    this.#database = undefined
    database?.close()
  }

  #opened(): SqliteDatabase {
    if (this.#database === undefined) throw new Error('the store is not open')
    return this.#database
  }
}
