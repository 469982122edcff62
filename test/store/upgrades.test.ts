/** Databases that earlier versions left: what they hold is there in the newest. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { expect, it } from 'vitest'
import { checkStore } from '../../src/store/check.ts'
import { migrate, migrations } from '../../src/store/sqlite-schema.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { batch, message, reference } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { testDatabase } from './database.ts'

const database = testDatabase()

it('a database of the first version keeps its queues', async () => {
  const old = new Database(database.path)
  migrate(old, database.path, migrations.slice(0, 1))
  old.exec(`
    INSERT INTO session VALUES (1, 'client-1', 5, 60, NULL, 0, '');
    INSERT INTO message VALUES (1, 2, 't', 1, 5, NULL, 'p', NULL, x'0102'), (2, 1, 't', 1, 5, NULL, 'p', NULL, x'');
    INSERT INTO queue VALUES (1, 7, 1, 1, 0, 2, NULL, NULL), (1, 9, 1, 2, 1, 2, '$share/g/t', '3 4'), (1, 12, 2, 1, 0, 0, NULL, NULL)`)
  old.close()
  const store = new SqliteInlineStore({ dataDir: database.dataDir })
  const { queues } = await open(store)
  expect(queues).toEqual([{ session: 1, messages: 3, bytes: 4, firstPosition: 7, lastPosition: 12 }])
  const page = await store.readQueue(1, 0, 10, 1e9)
  expect(page.entries.map((entry) => entry.reference)).toEqual([
    reference(1, 7, 1),
    reference(1, 9, 1, { qos: 2, retain: true, sharedFilter: '$share/g/t', subscriptionIdentifiers: [3, 4] }),
    reference(1, 12, 2),
  ])
  await store.close()
  expect(checkStore(database.dataDir).disagreements).toEqual({
    orphanedMessages: 0,
    missingMessages: 0,
    wrongCounts: 0,
    rowsWithoutSession: 0,
  })
})

it('a database of the second version, as 0.1 left it, keeps all it has', async () => {
  writeFileSync(database.path, gunzipSync(readFileSync(join(import.meta.dirname, 'files/version-2.db.gz'))))
  const store = new SqliteInlineStore({ dataDir: database.dataDir })
  const survived = await open(store)
  expect(survived).toMatchObject({
    numbers: { nextSessionNumber: 3, nextMessageId: 2, retainedVersion: 1_700_000_000_001 * 1024 },
    sessions: [
      { number: 1, clientId: 'client-1', username: 'ümlaut', namespace: '', principal: '' },
      { number: 2, version: 4, connected: true, namespace: '', principal: '' },
    ],
    subscriptions: [{ topicFilter: '$share/g/plant/#' }, { topicFilter: 'plant/+/temperature' }],
    retained: [{ namespace: '', topic: 'plant/1/temperature', version: 1_700_000_000_001 * 1024 }],
    wills: [{ session: 2 }],
    incoming: [[2, 7]],
    released: [[1, 20]],
    sent: [],
    queues: [
      { session: 1, messages: 281, firstPosition: 1, lastPosition: 300 },
      { session: 2, messages: 1, firstPosition: 70_000, lastPosition: 70_000 },
    ],
  })
  const page = await store.readQueue(1, 0, 1000, 1e9)
  const payloads = page.entries.map((entry) => Buffer.from(entry.message.payload).toString())
  const own = Array.from({ length: 280 }, (_, index) => `reading ${index + 21}`)
  expect(payloads).toEqual(['payload 1', ...own])
  await store.commit(
    batch((records) => {
      for (let position = 1; position <= 299; position++) records.dequeue(1, position)
      records.move(1, 300, reference(2, 70_001, 0))
    }),
    'fsync',
  )
  expect((await store.readQueue(2, 0, 10, 1e9)).entries).toHaveLength(2)
  await store.close()
  expect(checkStore(database.dataDir)).toMatchObject({
    schemaVersion: migrations.length,
    findings: [],
    disagreements: { missingMessages: 0 },
  })
})

it('a database of the fifth version keeps its queues, and takes streams in', async () => {
  const old = new Database(database.path)
  migrate(old, database.path, migrations.slice(0, 5))
  old.exec(`
    INSERT INTO session VALUES (1, 'client-1', 5, 60, NULL, 0, '', '', '');
    INSERT INTO message VALUES (1, 1, 'jobs/a', 1, 5, NULL, 'p', NULL, x'0102');
    INSERT INTO log (number, name, priority, filter) VALUES (2, 'jobs', 4, 'jobs/#');
    INSERT INTO log_attempt VALUES (2, 7, 1, 0, 0, 'kaputt');
    INSERT INTO queue_run (session, first_position, last_position, messages, payload_bytes, message_references, entries)
      VALUES (2, 7, 7, 1, 2, 1, '[[7,1,0,2,1]]');
    INSERT INTO delayed VALUES (9, '', 0, 5, NULL, '', '', 't', 1, 0, NULL, 5, NULL, x'03')`)
  old.close()
  const store = new SqliteInlineStore({ dataDir: database.dataDir })
  const survived = await open(store)
  expect(survived).toMatchObject({
    logs: [{ number: 2, name: 'jobs' }],
    attempts: [{ log: 2, position: 7, reason: 'kaputt' }],
    delayed: [{ messages: 1 }],
    queues: [{ session: 2, messages: 1 }],
    streams: [],
    segments: [],
    cursors: [],
  })
  await store.commit(
    batch((records) => {
      records.streamPut({ number: 3, namespace: '', name: 'jobs', filter: 'jobs/#', firstOffset: 0 })
      records.enqueueMessage(reference(3, 0, 0), message(0))
    }),
    'fsync',
  )
  await store.close()
  expect(database.queryAll('SELECT name, next_offset FROM v_streams')).toEqual([{ name: 'jobs', next_offset: 1 }])
  expect(checkStore(database.dataDir)).toMatchObject({
    schemaVersion: migrations.length,
    findings: [],
    disagreements: { missingMessages: 0, rowsWithoutSession: 0, wrongCounts: 0 },
  })
})
