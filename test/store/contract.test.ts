/** The contract suite on each store. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStore } from '../../src/store/memory.ts'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { Store } from '../../src/store/store.ts'
import { describeStore } from '../contract/store.ts'

describeStore('memory', () => {
  const store = new MemoryStore({ durable: true })
  return { start: () => store, dispose: () => {} }
})

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
