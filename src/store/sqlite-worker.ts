/**
 * The thread that owns the SQLite database: calls come in order, each answered once, by its number.
 *
 * Buffers are transferred both ways. Errors cross as plain fields, since structured cloning loses an error's class.
 */
import { flushCompileCache } from 'node:module'
import { type MessagePort, parentPort } from 'node:worker_threads'
import { giveBackWhenIdle } from '../process/idle-heap.ts'
import type { QueueQuery } from './records/queue-reader.ts'
import { type RecoveryChunk, RecoveryPacker } from './recovery-chunk.ts'
import { SqliteDatabase, type SqliteOptions } from './sqlite.ts'
import { SqliteUpkeep } from './sqlite-upkeep.ts'
import { type Durability, type RecoveredNumbers, StoreError, type StoreStatistics } from './store.ts'

export type StoreCall =
  | { call: number; method: 'open'; options: SqliteOptions }
  | { call: number; method: 'commit'; batch: ArrayBuffer; durability: Durability }
  | { call: number; method: 'readQueue'; query: QueueQuery }
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
export type StoreResult = RecoveredNumbers | { packed: ArrayBuffer; more: boolean } | StoreStatistics | undefined

/** A recovery chunk precedes the answer to `open`; a failure belongs to no call. */
export type StoreAnswer =
  | { call: number; result: StoreResult }
  | { call: number; error: CrossedError }
  | { recovered: RecoveryChunk }
  | { failure: CrossedError }

class StoreThread {
  readonly #port: MessagePort
  #database: SqliteDatabase | undefined
  #upkeep: SqliteUpkeep | undefined

  constructor(port: MessagePort) {
    this.#port = port
    port.on('message', (request: StoreCall) => this.#answer(request))
  }

  #answer(request: StoreCall): void {
    try {
      const result = this.#serve(request)
      const transfer = result !== undefined && 'packed' in result ? [result.packed] : []
      this.#send({ call: request.call, result }, transfer)
    } catch (error) {
      this.#send({ call: request.call, error: crossed(error) })
    }
    if (request.method === 'commit') this.#upkeep?.touched()
    if (request.method === 'close') this.#port.close()
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
      case 'statistics':
        return this.#opened().statistics()
      case 'close':
        this.#upkeep?.stop()
        this.#database?.close()
        return undefined
    }
  }

  #open(options: SqliteOptions): RecoveredNumbers {
    const database = new SqliteDatabase(options)
    this.#database = database
    this.#upkeep = new SqliteUpkeep(database, (error) => this.#send({ failure: crossed(error) }))
    const packer = new RecoveryPacker((recovered) =>
      this.#send({ recovered }, [recovered.kind === 'records' ? recovered.packed : recovered.numbers.buffer]),
    )
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
