/** The contract suite on each store. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readBatch } from '../../src/store/batch-reader.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { DelayedQuery, Durability, Recovery, Store } from '../../src/store/store.ts'
import { describeStore } from '../contract/store.ts'
import { recordingSink } from './records.ts'

describeStore('memory', () => {
  const store = new MemoryStore({ durable: true })
  return { start: () => store, dispose: () => {} }
})

/** What stands around another store gives it the batch after it has copied it: the inner one takes the buffer. */
class AroundStore implements Store {
  readonly durable = true
  readonly copies: ArrayBuffer[] = []
  readonly #inner: Store

  constructor(inner: Store) {
    this.#inner = inner
  }

  open(recovery: Recovery) {
    return this.#inner.open(recovery)
  }

  async commit(batch: ArrayBuffer, durability: Durability): Promise<void> {
    const copy = batch.slice(0)
    await Promise.all([
      this.#inner.commit(batch, durability),
      Promise.resolve(copy).then((one) => this.copies.push(one)),
    ])
  }

  readQueue(...query: Parameters<Store['readQueue']>) {
    return this.#inner.readQueue(...query)
  }

  readDelayed(query: DelayedQuery) {
    return this.#inner.readDelayed(query)
  }

  statistics() {
    return this.#inner.statistics()
  }

  /** What it copied is what was given: another store can be made of it. */
  async close(): Promise<void> {
    for (const copy of this.copies) readBatch(copy, recordingSink([]))
    await this.#inner.close()
  }
}

const inDirectory = (create: (dataDir: string) => Store) => () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-store-'))
  return { start: () => create(dataDir), dispose: () => rmSync(dataDir, { recursive: true }) }
}

describeStore(
  'sqlite',
  inDirectory((dataDir) => new SqliteInlineStore({ dataDir })),
)

describeStore(
  'sqlite-worker',
  inDirectory((dataDir) => new SqliteWorkerStore({ dataDir })),
)

describeStore(
  'a store around sqlite-worker',
  inDirectory((dataDir) => new AroundStore(new SqliteWorkerStore({ dataDir }))),
)
