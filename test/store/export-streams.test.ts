/** Streams in exports: their messages, segments and cursors are the same where they are imported. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { checkStore } from '../../src/store/check.ts'
import { sourceOf } from '../../src/store/export/sources.ts'
import { exportStore } from '../../src/store/export/store-export.ts'
import { importInto } from '../../src/store/export/store-import.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { testDatabase } from './database.ts'

const database = testDatabase()

it('an export has streams with what they hold and how far they were read', async () => {
  await database.committed((records) => {
    records.clock(1_700_000_000_000, 5000)
    records.sessionPut(session(1))
    records.streamPut({ number: 2, namespace: 'lab', name: 'meters', filter: 'meters/#', firstOffset: 7 })
    const times = { firstAt: 1_700_000_000_000, lastAt: 1_700_000_000_900 }
    records.segmentPut({ stream: 2, firstOffset: 0, ...times, messages: 256, bytes: 4000 })
    const common = { stream: 2, name: '', filter: '$stream/meters', notBefore: 0, open: '' }
    records.cursorPut({ ...common, session: 1, position: 9 })
    records.cursorPut({ ...common, session: 0, name: 'g', filter: '', position: 8, notBefore: 5, open: '4 0 1' })
    for (let at = 7; at < 300; at++) records.enqueueMessage(reference(2, at, 0), message(0))
  })
  const file = join(database.dataDir, 'export.jsonl')
  const order = { from: { dataDir: database.dataDir }, file, overwrite: true, namespaces: undefined }
  exportStore({ ...order, gatewayVersion: '9.9.9' })
  expect(readFileSync(file, 'utf8')).toContain('"firstAt":"2023-11-14T22:13:25.000Z"')
  const other = join(database.dataDir, 'other')
  const { counts } = importInto(
    { dataDir: other, file, into: undefined, dryRun: false },
    sourceOf({ ownedByUsers: false }),
  )
  expect(counts).toMatchObject({ streams: 1, queued: 293 })
  const contentOf = async (dataDir: string) => {
    const store = new SqliteInlineStore({ dataDir })
    const { streams, segments, cursors, queues } = await open(store)
    const { entries } = await store.readQueue(2, 0, 1000, 1e9)
    await store.close()
    return { streams, segments, cursors, queues, offsets: entries.map((entry) => entry.reference.position) }
  }
  const imported = await contentOf(other)
  const lead = 5000
  const before = await contentOf(database.dataDir)
  expect(imported).toEqual({
    ...before,
    segments: before.segments.map((one) => ({ ...one, firstAt: one.firstAt + lead, lastAt: one.lastAt + lead })),
    cursors: before.cursors.map((one) => (one.notBefore === 0 ? one : { ...one, notBefore: one.notBefore + lead })),
  })
  expect(checkStore(other)).toMatchObject({
    findings: [],
    counts: { queued: 0, streamed: 293 },
    disagreements: { rowsWithoutSession: 0 },
  })
})
