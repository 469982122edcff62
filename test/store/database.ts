/** A data folder for each test of a file, and what lies in its database: written as the store does, and looked at as SQL does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { nothing } from './process.ts'

export class TestDatabase {
  dataDir = ''

  get path(): string {
    return join(this.dataDir, 'mqtide.db')
  }

  /** One batch for each, by a store that is closed again. */
  async committed(...writes: ((records: BatchRecords) => void)[]): Promise<void> {
    const store = new SqliteInlineStore({ dataDir: this.dataDir })
    await store.open(nothing)
    for (const write of writes) await store.commit(batch(write), 'fsync')
    await store.close()
  }

  queryAll(sql: string): unknown[] {
    const database = new Database(this.path, { readonly: true })
    try {
      return database.prepare(sql).all()
    } finally {
      database.close()
    }
  }

  change(sql: string): void {
    const database = new Database(this.path)
    try {
      database.exec(sql)
    } finally {
      database.close()
    }
  }
}

/** Anew for each test of the file that calls this. */
export function testDatabase(): TestDatabase {
  const database = new TestDatabase()
  beforeEach(() => {
    database.dataDir = mkdtempSync(join(tmpdir(), 'mqtide-runs-'))
  })
  afterEach(() => rmSync(database.dataDir, { recursive: true, force: true }))
  return database
}

export const text = (value: string) => new TextEncoder().encode(value)

/** Two sessions with queues: messages of their own, and one that both have. */
export function exampleQueues(records: BatchRecords): void {
  records.sessionPut(session(1))
  records.sessionPut(session(2))
  records.enqueueMessage(
    reference(1, 65_534, 0, { subscriptionIdentifiers: [7, 8], sharedFilter: '$share/g/a' }),
    message(0, { topic: 'own "é"', payload: text('né'), publishedAt: 1_700_000_000_001 }),
  )
  records.messagePut(message(9, { topic: 'both', payload: text('x'), expiresAt: 1_800_000_000_000, publisher: 'p' }), 2)
  records.enqueue(reference(1, 65_535, 9, { retain: true }))
  records.enqueue(reference(2, 1, 9))
  records.enqueueMessage(reference(1, 65_536, 0), message(0, { payload: text(''), properties: text('') }))
  records.enqueueMessage(reference(1, 65_537, 0), message(0, { payload: text('last') }))
}
