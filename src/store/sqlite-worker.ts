/**
 * The thread that owns the SQLite database: calls come in order, each answered once, by its number.
 *
 * Buffers are transferred both ways. Errors cross as plain fields, since structured cloning loses an error's class.
 */
import { flushCompileCache } from 'node:module'
import { type MessagePort, parentPort } from 'node:worker_threads'
import { giveBackWhenIdle } from '../process/idle-heap.ts'
import { isFull, retryMs } from './disk-room.ts'
import type { QueueQuery } from './records/queue-reader.ts'
import { type RecoveryChunk, RecoveryPacker, transferable } from './recovery-chunk.ts'
import { SqliteDatabase, type SqliteOptions } from './sqlite-database.ts'
import { SqliteUpkeep } from './sqlite-upkeep.ts'
import {
  type DamageReport,
  type DelayedPage,
  type DelayedQuery,
  type Durability,
  type RecoveredNumbers,
  StoreError,
  type StoreStatistics,
} from './store.ts'

export type StoreCall =
  | { call: number; method: 'open'; options: SqliteOptions }
  | { call: number; method: 'commit'; batch: ArrayBuffer; durability: Durability }
  | { call: number; method: 'readQueue'; query: QueueQuery }
  | { call: number; method: 'readDelayed'; query: DelayedQuery }
  | { call: number; method: 'statistics' }
  | { call: number; method: 'close' }

export interface CrossedError {
  name: string
  message: string
  /** Of a `StoreError`. */
  kind?: StoreError['kind']
  stack?: string
}

/** By `StoreCall.method`. */
export type StoreResult =
  | RecoveredNumbers
  | { packed: ArrayBuffer; more: boolean }
  | DelayedPage
  | StoreStatistics
  | undefined

/** A recovery chunk precedes the answer to `open`; a failure belongs to no call. */
export type StoreAnswer =
  | { call: number; result: StoreResult }
  | { call: number; error: CrossedError }
  | { recovered: RecoveryChunk }
  | { failure: CrossedError }
  | { full: boolean }
  | { damage: DamageReport }

class StoreThread {
  readonly #port: MessagePort
  #database: SqliteDatabase | undefined
  #upkeep: SqliteUpkeep | undefined
  /** The first is a commit that met a full disk. */
  readonly #held: StoreCall[] = []

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', (request: StoreCall) => this.#answer(request))
  }

  /** Calls are served in order: behind a commit that waits for room on the disk, all wait but those that only look. */
  #answer(request: StoreCall): void {
    const overtakes = request.method === 'statistics' || request.method === 'close'
    if (this.#held.length > 0 && !overtakes) this.#held.push(request)
    else if (!this.#answered(request)) this.#hold(request)
  }

  #hold(request: StoreCall): void {
    this.#held.unshift(request)
    setTimeout(() => this.#resume(), retryMs)
  }

  #resume(): void {
    for (let request = this.#held.shift(); request !== undefined; request = this.#held.shift()) {
      if (this.#answered(request)) continue
      this.#hold(request)
      return
    }
  }

  /** False if it has to be tried again. */
  #answered(request: StoreCall): boolean {
    try {
      const result = this.#serve(request)
      const transfer = result !== undefined && 'packed' in result ? [result.packed] : []
      this.#send({ call: request.call, result }, transfer)
    } catch (error) {
      if (request.method === 'commit' && isFull(error)) return false
      this.#send({ call: request.call, error: crossed(error) })
    }
    if (request.method === 'commit') this.#upkeep?.touched()
    if (request.method === 'close') this.#port.close()
    return true
  }

  #serve(request: StoreCall): StoreResult {
    switch (request.method) {
      case 'open':
        return this.#open(request.options)
      case 'commit':
        this.#opened().commit(request.batch, request.durability)
        return undefined
      case 'readQueue':
        return this.#opened().readQueue(request.query)
      case 'readDelayed':
        return this.#opened().readDelayed(request.query)
      case 'statistics':
        return this.#opened().statistics()
      case 'close':
        // Whoever waits for them is told when the thread ends.
        this.#held.length = 0
        this.#upkeep?.stop()
        this.#database?.close()
        return undefined
    }
  }

  #open(options: SqliteOptions): RecoveredNumbers {
    const database = new SqliteDatabase(options, {
      onFull: (full) => this.#send({ full }),
      onDamage: (damage) => this.#send({ damage }),
    })
    this.#database = database
    this.#upkeep = new SqliteUpkeep(database, (error) => this.#send({ failure: crossed(error) }))
    const packer = new RecoveryPacker((recovered) => this.#send({ recovered }, transferable(recovered)))
    const numbers = database.recover(packer)
    packer.end()
    this.#upkeep.touched()
    // As in the main thread (`cli/start.ts`).
    flushCompileCache()
    return numbers
  }

  #opened(): SqliteDatabase {
    if (this.#database === undefined) throw new Error('the store is not open')
    return this.#database
  }

  #send(answer: StoreAnswer, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(answer, transfer)
  }
}

function crossed(error: unknown): CrossedError {
  const { name, message, stack } = error as Error
  return {
    name,
    message,
    ...(error instanceof StoreError && { kind: error.kind }),
    ...(stack !== undefined && { stack }),
  }
}

if (parentPort !== null) {
  giveBackWhenIdle()
  new StoreThread(parentPort)
}
