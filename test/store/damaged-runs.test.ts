/** Damage to what SQLite keeps of queues: it is found, costs one run, and is set aside or repaired. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkStore } from '../../src/store/check.ts'
import { quarantineStore } from '../../src/store/quarantine.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { DamageReport } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { exampleQueues, testDatabase } from './database.ts'
import { nothing } from './process.ts'

const database = testDatabase()

describe('a damaged run', () => {
  const damages: [string, string, string][] = [
    ['is no JSON', `entries = replace(entries, '[', '{')`, 'no JSON'],
    ['has no entries', `entries = '[]'`, 'no entries'],
    ['has an entry that is no array', `entries = '[7]'`, 'an entry'],
    ['has positions that do not grow', `entries = replace(entries, '65535', '65533')`, 'an entry'],
    ['has a QoS that does not exist', `entries = replace(entries, '[65537,1', '[65537,3')`, 'an entry'],
    ['has a body beyond its bodies', `bodies = substr(bodies, 1, 5)`, 'an entry'],
    ['says another number of messages than its entries', 'messages = 3', 'messages is 3'],
    ['says other bytes than its entries', 'payload_bytes = 1', 'payloadBytes is 1'],
  ]

  it.each(damages)('that %s is found, and set aside alone', async (_, damage, finding) => {
    await database.committed(exampleQueues)
    database.change(`UPDATE queue_run SET ${damage}, entries_checksum = NULL, bodies_checksum = NULL WHERE session = 1`)
    expect(checkStore(database.dataDir).findings.join()).toContain(finding)
    const report = quarantineStore(database.dataDir)
    expect(report.lost.join()).toMatch(/^\d queued messages: run \d in the queue of session 1/)
    expect(report.kept).toMatchObject({ sessions: 2, queued: 1 })
    expect(checkStore(database.dataDir)).toMatchObject({ findings: [], counts: { queued: 1 } })
  })

  const flips: [string, string, string][] = [
    ['a digit of its entries', `entries = replace(entries, '65536', '65556')`, 'does not match its entries'],
    ['a byte of a body', `bodies = CAST(replace(CAST(bodies AS TEXT), 'last', 'lest') AS BLOB)`, 'its messages'],
    ['the session', 'session = 3', 'does not match its entries'],
  ]

  /** A store that says what it sets aside. */
  async function opened() {
    const damages: DamageReport[] = []
    const store = new SqliteInlineStore({ dataDir: database.dataDir, onDamage: (report) => damages.push(report) })
    const { queues } = await open(store)
    return { store, damages, queues }
  }

  it.each(flips)(
    'with a change to %s, which SQLite does not see, is found by its checksum',
    async (_, damage, found) => {
      await database.committed(exampleQueues)
      database.change(`UPDATE queue_run SET ${damage} WHERE session = 1`)
      expect(checkStore(database.dataDir).findings.join()).toContain(found)
      const { store, damages } = await opened()
      for (const owner of [1, 3]) expect((await store.readQueue(owner, 0, 10, 1e9)).entries).toEqual([])
      expect(damages).toMatchObject([{ messages: 4, finding: expect.stringContaining(found) }])
      await store.close()
    },
  )

  it('is set aside alone when it is read: its session goes on behind it, others do not notice, and it is said once', async () => {
    await database.committed(
      exampleQueues,
      (records) => records.enqueueMessage(reference(1, 65_538, 0), message(0)),
      (records) => records.enqueueMessage(reference(2, 7, 0), message(0)),
    )
    database.change(`UPDATE queue_run SET ${flips[1]![1]} WHERE first_position = 65534`)
    for (const expected of [1, 0]) {
      const { store, damages, queues } = await opened()
      const page = await store.readQueue(1, 0, 10, 1e9)
      expect(page).toMatchObject({ entries: [{ reference: { position: 65_538 } }], more: false })
      expect((await store.readQueue(2, 0, 10, 1e9)).entries).toHaveLength(2)
      expect(damages).toHaveLength(expected)
      if (expected === 0)
        expect(queues.map((queue) => [queue.session, queue.messages])).toEqual([
          [1, 1],
          [2, 2],
        ])
      await store.commit(
        batch((records) => records.enqueueMessage(reference(1, 65_539 + damages.length, 0), message(0))),
        'fsync',
      )
      await store.commit(
        batch((records) => records.dequeue(1, 65_539 + damages.length)),
        'fsync',
      )
      await store.close()
    }
    const rows = database.queryAll('SELECT session FROM set_aside')
    expect(rows).toEqual([{ session: 1 }])
  })

  it('is set aside when something is taken from it or moved, and the batch is committed', async () => {
    for (const flip of flips.slice(0, 2)) {
      await database.committed(exampleQueues)
      database.change(`UPDATE queue_run SET ${flip[1]} WHERE session = 1`)
      const { store, damages } = await opened()
      const moved = batch((records) => {
        records.move(1, 65_537, reference(2, 9, 0))
        records.dequeue(1, 65_534)
        records.sessionPut(session(5))
      })
      await store.commit(moved, 'fsync')
      expect(damages).toMatchObject([{ session: 1, messages: 4, finding: expect.stringContaining(flip[2]) }])
      await store.commit(
        batch((records) => records.sessionDelete(1)),
        'fsync',
      )
      await store.close()
      const { store: again } = await opened()
      expect((await again.readQueue(2, 0, 10, 1e9)).entries).toHaveLength(1)
      await again.close()
      rmSync(database.path)
    }
  })

  it('whose marks were changed is set aside', async () => {
    await database.committed(exampleQueues, (records) => records.dequeue(1, 65_534))
    database.change(`UPDATE queue_taken SET mask = '1100'`)
    const { store, damages } = await opened()
    await store.commit(
      batch((records) => records.dequeue(1, 65_537)),
      'fsync',
    )
    expect(damages).toMatchObject([{ finding: expect.stringContaining('2 marks, and 1 are counted') }])
    await store.close()
  })

  it('is not counted at the start', async () => {
    await database.committed(exampleQueues, (records) => records.dequeue(1, 65_534))
    database.change(`UPDATE queue_run SET entries = 'x' WHERE session = 1`)
    const { store, damages, queues } = await opened()
    expect(queues.map((queue) => queue.session)).toEqual([2])
    expect(damages).toMatchObject([{ session: 1, messages: 4 }])
    await store.close()
  })

  it.each([0, 1e9])(
    'on a page that is broken costs what lies on it, and no start (looked at whole: up to %i)',
    async (wholeCheckBytesMax) => {
      await database.committed((records) => {
        for (let owner = 1; owner <= 300; owner++) {
          records.sessionPut(session(owner))
          records.enqueueMessage(reference(owner, 1, 0), message(0, { payload: new Uint8Array(300) }))
        }
      })
      const pages = database.queryAll(
        `SELECT pageno FROM dbstat WHERE name = 'queue_run' AND pagetype = 'leaf' ORDER BY pageno`,
      )
      const { pageno } = pages[Math.floor(pages.length / 2)] as { pageno: number }
      const file = readFileSync(database.path)
      file.set([0x77, 0xff, 0xff, 0xff, 0xff, 0xff], (pageno - 1) * 8192)
      writeFileSync(database.path, file)
      for (const isFirst of [true, false]) {
        const damages: DamageReport[] = []
        const store = new SqliteInlineStore({
          dataDir: database.dataDir,
          wholeCheckBytesMax,
          onDamage: (report) => damages.push(report),
        })
        const { sessions, queues } = await open(store)
        expect(sessions).toHaveLength(300)
        expect(queues.length).toBeGreaterThan(250)
        expect(queues.length).toBeLessThan(300)
        if (isFirst) expect(damages).toHaveLength(300 - queues.length)
        else expect(damages).toEqual([])
        for (const { session: owner } of queues) {
          expect((await store.readQueue(owner, 0, 10, 1e9)).entries.length).toBeGreaterThan(0)
        }
        const found = new Set(queues.map((queue) => queue.session))
        await store.commit(
          batch((records) => {
            for (let owner = 1; owner <= 300; owner++) if (!found.has(owner)) records.dequeue(owner, 1)
            records.enqueueMessage(reference(1, isFirst ? 2 : 3, 0), message(0))
          }),
          'fsync',
        )
        await store.close()
      }
      expect(checkStore(database.dataDir).findings.length).toBeGreaterThan(0)
    },
  )
})

it('an entry whose body is missing is passed over, counted by the check, and taken out by the repair', async () => {
  await database.committed(exampleQueues)
  database.change('DELETE FROM message')
  const store = new SqliteInlineStore({ dataDir: database.dataDir })
  await store.open(nothing)
  const page = await store.readQueue(1, 0, 10, 1e9)
  expect(page.entries.map((entry) => entry.reference.position)).toEqual([65_534, 65_536, 65_537])
  await store.close()
  expect(checkStore(database.dataDir, { repair: true }).disagreements.missingMessages).toBe(1)
  expect(checkStore(database.dataDir)).toMatchObject({ disagreements: { missingMessages: 0 }, counts: { queued: 3 } })
})

it('marks of a run that is gone are removed by the repair in a quarantine', async () => {
  await database.committed(exampleQueues, (records) => records.dequeue(1, 65_534))
  database.change('DELETE FROM queue_run WHERE session = 1')
  quarantineStore(database.dataDir)
  expect(database.queryAll('SELECT * FROM queue_taken')).toEqual([])
  expect(checkStore(database.dataDir)).toMatchObject({ findings: [], counts: { queued: 1 } })
})
