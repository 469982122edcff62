/** How people see delayed messages in the database. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { expect, it, onTestFinished } from 'vitest'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { batch, message } from '../contract/example-records.ts'
import { nothing } from './process.ts'

it('the view of delayed messages has a row for each, with its due time and the clock that it is of', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'mqtide-delayed-'))
  onTestFinished(() => rmSync(dataDir, { recursive: true }))
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  const bare = message(0, { topic: 'lamp/off', payload: Buffer.from('0') })
  const common = { ...bare, namespace: '', principal: '', expirySeconds: -1, retain: false }
  const written = batch((records) => {
    records.delayedPut({ ...common, id: 7, clock: 'system', dueAt: 1_800_000_000_000, scheduleId: 'night' })
    records.delayedPut({ ...common, id: 8, clock: 'steady', dueAt: 1_700_000_000_001, scheduleId: '' })
  })
  await store.commit(written, 'fsync')
  await store.close()
  const database = new Database(join(dataDir, 'mqtide.db'), { readonly: true })
  onTestFinished(() => void database.close())
  const columns = 'id, topic, schedule_id, clock, due_at, payload_text'
  expect(database.prepare(`SELECT ${columns} FROM v_delayed ORDER BY id`).raw().all()).toEqual([
    [7, 'lamp/off', 'night', 'system', '2027-01-15T08:00:00.000Z', '0'],
    [8, 'lamp/off', null, 'steady', '2023-11-14T22:13:20.001Z', '0'],
  ])
})
