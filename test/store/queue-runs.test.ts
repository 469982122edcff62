/** How SQLite keeps queues: as rows that people can read, that go with the last message, and whose damage is found. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import { checkStore } from '../../src/store/check.ts'
import { quarantineStore } from '../../src/store/quarantine.ts'
import { migrate, migrations } from '../../src/store/sqlite-schema.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { DamageReport } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { nothing } from './process.ts'

let dataDir: string
let path: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-runs-'))
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

async function committed(...writes: ((records: BatchRecords) => void)[]): Promise<void> {
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  for (const write of writes) await store.commit(batch(write), 'fsync')
  await store.close()
}

function queryAll(sql: string): unknown[] {
  const database = new Database(path, { readonly: true })
  try {
    return database.prepare(sql).all()
  } finally {
    database.close()
  }
}

function change(sql: string): void {
  const database = new Database(path)
  try {
    database.exec(sql)
  } finally {
    database.close()
  }
}

const text = (value: string) => new TextEncoder().encode(value)

function example(records: BatchRecords): void {
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

describe('the view of queued messages', () => {
  it('has a row for each message, whether its body lies with it or is shared', async () => {
    await committed(example)
    expect(queryAll("SELECT * FROM v_queued WHERE client_id = 'client-1' ORDER BY position")).toMatchObject([
      {
        position: 65_534,
        packet_id: 65_535,
        topic: 'own "é"',
        qos: 1,
        retain: 0,
        publisher: 'sensor',
        published_at: '2023-11-14T22:13:20.001Z',
        expires_at: null,
        shared_filter: '$share/g/a',
        subscription_identifiers: '7 8',
        payload_bytes: 3,
        payload_text: 'né',
        payload: Buffer.from('né'),
      },
      {
        position: 65_535,
        packet_id: 1,
        topic: 'both',
        retain: 1,
        publisher: 'p',
        expires_at: '2027-01-15T08:00:00.000Z',
        shared_filter: null,
        subscription_identifiers: null,
        payload_text: 'x',
      },
      { position: 65_536, packet_id: 2, payload_bytes: 0, payload_text: '', payload: Buffer.alloc(0) },
      { position: 65_537, payload_text: 'last' },
    ])
  })

  it('and that of sessions leave out what was taken', async () => {
    await committed(example, (records) => {
      records.dequeue(1, 65_534)
      records.dequeue(1, 65_535)
    })
    expect(queryAll("SELECT position FROM v_queued WHERE client_id = 'client-1' ORDER BY 1")).toEqual([
      { position: 65_536 },
      { position: 65_537 },
    ])
    expect(queryAll('SELECT client_id, queued_messages, queued_bytes FROM v_sessions ORDER BY 1')).toEqual([
      { client_id: 'client-1', queued_messages: 2, queued_bytes: 4 },
      { client_id: 'client-2', queued_messages: 1, queued_bytes: 1 },
    ])
    expect(checkStore(dataDir).counts.queued).toBe(3)
  })
})

it('no row is left of a queue that was drained', async () => {
  await committed(
    (records) => {
      records.sessionPut(session(1))
      for (let position = 1; position <= 600; position++) {
        records.enqueueMessage(reference(1, position, 0), message(0))
      }
      records.messagePut(message(1), 1)
      records.enqueue(reference(1, 601, 1))
    },
    (records) => {
      for (let position = 1; position <= 300; position++) records.dequeue(1, position)
    },
    (records) => {
      for (let position = 301; position <= 601; position++) records.dequeue(1, position)
    },
  )
  for (const table of ['queue_run', 'queue_taken', 'message']) {
    expect(queryAll(`SELECT * FROM ${table}`), table).toEqual([])
  }
})

it('a long run of messages is few rows', async () => {
  await committed((records) => {
    records.sessionPut(session(1))
    for (let position = 1; position <= 1024; position++) records.enqueueMessage(reference(1, position, 0), message(0))
  })
  expect(queryAll('SELECT messages FROM queue_run')).toEqual(Array(4).fill({ messages: 256 }))
})

it('a database of the first version keeps its queues', async () => {
  const database = new Database(path)
  migrate(database, path, migrations.slice(0, 1))
  database.exec(`
    INSERT INTO session VALUES (1, 'client-1', 5, 60, NULL, 0, '');
    INSERT INTO message VALUES (1, 2, 't', 1, 5, NULL, 'p', NULL, x'0102'), (2, 1, 't', 1, 5, NULL, 'p', NULL, x'');
    INSERT INTO queue VALUES (1, 7, 1, 1, 0, 2, NULL, NULL), (1, 9, 1, 2, 1, 2, '$share/g/t', '3 4'), (1, 12, 2, 1, 0, 0, NULL, NULL)`)
  database.close()
  const store = new SqliteInlineStore({ dataDir })
  const { queues } = await open(store)
  expect(queues).toEqual([{ session: 1, messages: 3, bytes: 4, firstPosition: 7, lastPosition: 12 }])
  const page = await store.readQueue(1, 0, 10, 1e9)
  expect(page.entries.map((entry) => entry.reference)).toEqual([
    reference(1, 7, 1),
    reference(1, 9, 1, { qos: 2, retain: true, sharedFilter: '$share/g/t', subscriptionIdentifiers: [3, 4] }),
    reference(1, 12, 2),
  ])
  await store.close()
  expect(checkStore(dataDir).disagreements).toEqual({
    orphanedMessages: 0,
    missingMessages: 0,
    wrongCounts: 0,
    rowsWithoutSession: 0,
  })
})

it('a database of the second version, as 0.1 left it, keeps all it has', async () => {
  writeFileSync(path, gunzipSync(readFileSync(join(import.meta.dirname, 'files/version-2.db.gz'))))
  const store = new SqliteInlineStore({ dataDir })
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
  expect(checkStore(dataDir)).toMatchObject({ schemaVersion: 5, findings: [], disagreements: { missingMessages: 0 } })
})

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
    await committed(example)
    change(`UPDATE queue_run SET ${damage}, entries_checksum = NULL, bodies_checksum = NULL WHERE session = 1`)
    expect(checkStore(dataDir).findings.join()).toContain(finding)
    const report = quarantineStore(dataDir)
    expect(report.lost.join()).toMatch(/^\d queued messages: run \d in the queue of session 1/)
    expect(report.kept).toMatchObject({ sessions: 2, queued: 1 })
    expect(checkStore(dataDir)).toMatchObject({ findings: [], counts: { queued: 1 } })
  })

  const flips: [string, string, string][] = [
    ['a digit of its entries', `entries = replace(entries, '65536', '65556')`, 'does not match its entries'],
    ['a byte of a body', `bodies = CAST(replace(CAST(bodies AS TEXT), 'last', 'lest') AS BLOB)`, 'its messages'],
    ['the session', 'session = 3', 'does not match its entries'],
  ]

  /** A store that says what it sets aside. */
  async function opened() {
    const damages: DamageReport[] = []
    const store = new SqliteInlineStore({ dataDir, onDamage: (report) => damages.push(report) })
    const { queues } = await open(store)
    return { store, damages, queues }
  }

  it.each(flips)(
    'with a change to %s, which SQLite does not see, is found by its checksum',
    async (_, damage, found) => {
      await committed(example)
      change(`UPDATE queue_run SET ${damage} WHERE session = 1`)
      expect(checkStore(dataDir).findings.join()).toContain(found)
      const { store, damages } = await opened()
      for (const owner of [1, 3]) expect((await store.readQueue(owner, 0, 10, 1e9)).entries).toEqual([])
      expect(damages).toMatchObject([{ messages: 4, finding: expect.stringContaining(found) }])
      await store.close()
    },
  )

  it('is set aside alone when it is read: its session goes on behind it, others do not notice, and it is said once', async () => {
    await committed(
      example,
      (records) => records.enqueueMessage(reference(1, 65_538, 0), message(0)),
      (records) => records.enqueueMessage(reference(2, 7, 0), message(0)),
    )
    change(`UPDATE queue_run SET ${flips[1]![1]} WHERE first_position = 65534`)
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
    const database = queryAll('SELECT session FROM set_aside')
    expect(database).toEqual([{ session: 1 }])
  })

  it('is set aside when something is taken from it or moved, and the batch is committed', async () => {
    for (const flip of flips.slice(0, 2)) {
      await committed(example)
      change(`UPDATE queue_run SET ${flip[1]} WHERE session = 1`)
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
      rmSync(path)
    }
  })

  it('whose marks were changed is set aside', async () => {
    await committed(example, (records) => records.dequeue(1, 65_534))
    change(`UPDATE queue_taken SET mask = '1100'`)
    const { store, damages } = await opened()
    await store.commit(
      batch((records) => records.dequeue(1, 65_537)),
      'fsync',
    )
    expect(damages).toMatchObject([{ finding: expect.stringContaining('2 marks, and 1 are counted') }])
    await store.close()
  })

  it('is not counted at the start', async () => {
    await committed(example, (records) => records.dequeue(1, 65_534))
    change(`UPDATE queue_run SET entries = 'x' WHERE session = 1`)
    const { store, damages, queues } = await opened()
    expect(queues.map((queue) => queue.session)).toEqual([2])
    expect(damages).toMatchObject([{ session: 1, messages: 4 }])
    await store.close()
  })

  it.each([0, 1e9])(
    'on a page that is broken costs what lies on it, and no start (looked at whole: up to %i)',
    async (wholeCheckBytesMax) => {
      await committed((records) => {
        for (let owner = 1; owner <= 300; owner++) {
          records.sessionPut(session(owner))
          records.enqueueMessage(reference(owner, 1, 0), message(0, { payload: new Uint8Array(300) }))
        }
      })
      const pages = queryAll(`SELECT pageno FROM dbstat WHERE name = 'queue_run' AND pagetype = 'leaf' ORDER BY pageno`)
      const { pageno } = pages[Math.floor(pages.length / 2)] as { pageno: number }
      const file = readFileSync(path)
      file.set([0x77, 0xff, 0xff, 0xff, 0xff, 0xff], (pageno - 1) * 8192)
      writeFileSync(path, file)
      for (const isFirst of [true, false]) {
        const damages: DamageReport[] = []
        const store = new SqliteInlineStore({ dataDir, wholeCheckBytesMax, onDamage: (report) => damages.push(report) })
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
      expect(checkStore(dataDir).findings.length).toBeGreaterThan(0)
    },
  )
})

it('an entry whose body is missing is passed over, counted by the check, and taken out by the repair', async () => {
  await committed(example)
  change('DELETE FROM message')
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  const page = await store.readQueue(1, 0, 10, 1e9)
  expect(page.entries.map((entry) => entry.reference.position)).toEqual([65_534, 65_536, 65_537])
  await store.close()
  expect(checkStore(dataDir, { repair: true }).disagreements.missingMessages).toBe(1)
  expect(checkStore(dataDir)).toMatchObject({ disagreements: { missingMessages: 0 }, counts: { queued: 3 } })
})

it('marks of a run that is gone are removed by the repair in a quarantine', async () => {
  await committed(example, (records) => records.dequeue(1, 65_534))
  change('DELETE FROM queue_run WHERE session = 1')
  quarantineStore(dataDir)
  expect(queryAll('SELECT * FROM queue_taken')).toEqual([])
  expect(checkStore(dataDir)).toMatchObject({ findings: [], counts: { queued: 1 } })
})
