/** How SQLite keeps queues: as rows that people can read, and that go with the last message. */
import { describe, expect, it } from 'vitest'
import { checkStore } from '../../src/store/check.ts'
import { message, reference, session } from '../contract/example-records.ts'
import { exampleQueues, testDatabase } from './database.ts'

const database = testDatabase()

describe('the view of queued messages', () => {
  it('has a row for each message, whether its body lies with it or is shared', async () => {
    await database.committed(exampleQueues)
    expect(database.queryAll("SELECT * FROM v_queued WHERE client_id = 'client-1' ORDER BY position")).toMatchObject([
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
    await database.committed(exampleQueues, (records) => {
      records.dequeue(1, 65_534)
      records.dequeue(1, 65_535)
    })
    expect(database.queryAll("SELECT position FROM v_queued WHERE client_id = 'client-1' ORDER BY 1")).toEqual([
      { position: 65_536 },
      { position: 65_537 },
    ])
    expect(database.queryAll('SELECT client_id, queued_messages, queued_bytes FROM v_sessions ORDER BY 1')).toEqual([
      { client_id: 'client-1', queued_messages: 2, queued_bytes: 4 },
      { client_id: 'client-2', queued_messages: 1, queued_bytes: 1 },
    ])
    expect(checkStore(database.dataDir).counts.queued).toBe(3)
  })
})

it('no row is left of a queue that was drained', async () => {
  await database.committed(
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
    expect(database.queryAll(`SELECT * FROM ${table}`), table).toEqual([])
  }
})

it('a long run of messages is few rows', async () => {
  await database.committed((records) => {
    records.sessionPut(session(1))
    for (let position = 1; position <= 1024; position++) records.enqueueMessage(reference(1, position, 0), message(0))
  })
  expect(database.queryAll('SELECT messages FROM queue_run')).toEqual(Array(4).fill({ messages: 256 }))
})
