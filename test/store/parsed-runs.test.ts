/** What was parsed of a run is used again, and never for another run that got its number. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import { unpackPage } from '../../src/store/recovery-chunk.ts'
import { SqliteDatabase } from '../../src/store/sqlite-database.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { nothing } from './process.ts'

let dataDir: string
let database: SqliteDatabase

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-parsed-'))
})

afterEach(() => {
  database.close()
  rmSync(dataDir, { recursive: true, force: true })
})

function open(databasePagesMax?: number): void {
  database = new SqliteDatabase({
    dataDir,
    diskFreeBytesMin: 0,
    ballastBytes: 0,
    ...(databasePagesMax && { databasePagesMax }),
  })
  database.recover(nothing)
  commit((records) => {
    records.sessionPut(session(1))
    records.sessionPut(session(2))
  })
}

function commit(write: (records: BatchRecords) => void, durability: 'fsync' | 'none' = 'fsync'): void {
  database.commit(batch(write), durability)
}

/** The topics that wait in a session's queue. */
function waiting(number: number): string[] {
  const query = { session: number, fromPosition: 0, messagesMax: 100, bytesMax: 1_000_000 }
  const { packed, more } = database.readQueue(query)
  return unpackPage(number, packed, more).entries.map(({ message: { topic } }) => topic)
}

const queued = (number: number, topics: readonly string[]) => (records: BatchRecords) => {
  for (const [position, topic] of topics.entries()) {
    records.enqueueMessage(reference(number, position, 0), message(0, { topic }))
  }
}

it('a run that gets the number of one that was taken to its end is read anew', () => {
  open()
  commit(queued(1, ['a', 'b']))
  expect(waiting(1)).toEqual(['a', 'b'])
  commit((records) => {
    records.dequeue(1, 0)
    records.dequeue(1, 1)
  })
  commit(queued(2, ['c', 'd', 'e']))
  expect(waiting(2)).toEqual(['c', 'd', 'e'])
  commit((records) => records.dequeue(2, 1))
  expect(waiting(2)).toEqual(['c', 'e'])
})

it('a run that was read in a transaction that a full disk took back is read anew', () => {
  open(60)
  // Read for the removal, in the transaction that stays open.
  commit((records) => {
    queued(1, ['a', 'b'])(records)
    records.dequeue(1, 0)
  }, 'none')
  const large = (records: BatchRecords) => {
    queued(2, ['c', 'd'])(records)
    records.dequeue(2, 0)
    const payload = new Uint8Array(60 * 8192)
    records.enqueueMessage(reference(2, 9, 0), message(0, { payload }))
  }
  expect(() => commit(large)).toThrow('full')
  commit((records) => {
    queued(2, ['x', 'y', 'z'])(records)
    records.dequeue(2, 1)
  })
  expect(waiting(1)).toEqual(['b'])
  expect(waiting(2)).toEqual(['x', 'z'])
})
