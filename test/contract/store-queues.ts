/** The part of the store's contract that is about queues: messages that lie with their only reference, and how they go. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import type { QueuePage, Store } from '../../src/store/store.ts'
import { batch, message, reference } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { open, plain } from './survived.ts'

/** More than a store may put together, in messages and in bytes. */
const longQueue = 700

export function describeQueues(name: string, factory: () => StoreEnvironment): void {
  describe(`queues on ${name}`, () => {
    let environment: StoreEnvironment
    let store: Store

    beforeEach(async () => {
      environment = factory()
      store = environment.start()
      await open(store)
    })

    afterEach(async () => {
      await store.close()
      environment.dispose()
    })

    const commit = (write: (records: BatchRecords) => void) => store.commit(batch(write), 'fsync')

    async function restarted() {
      await store.close()
      store = environment.start()
      return (await open(store)).queues
    }

    async function positions(owner: number, from = 0, messagesMax = 1000): Promise<number[]> {
      const page = await store.readQueue(owner, from, messagesMax, 1e9)
      return page.entries.map((entry) => entry.reference.position)
    }

    it('give back every field of a message that lies with its reference', async () => {
      const entries = [
        { over: {}, referenceOver: {} },
        {
          over: { topic: 'a "quoted"\\ tópic/漢\u{1f600}', publisher: 'ü"\n', qos: 2 as const, expiresAt: 5e12 },
          referenceOver: {
            qos: 2 as const,
            retain: true,
            sharedFilter: '$share/g"/ä',
            subscriptionIdentifiers: [1, 2],
          },
        },
        { over: { payload: new Uint8Array(0), properties: new Uint8Array(0), qos: 0 as const }, referenceOver: {} },
        { over: { payload: new Uint8Array(300_000).fill(7), publisher: '' }, referenceOver: { qos: 0 as const } },
        { over: { properties: new Uint8Array(0) }, referenceOver: { subscriptionIdentifiers: [268_435_455] } },
      ].map(({ over, referenceOver }, index) => ({
        reference: reference(1, 100 + index * 2, 0, referenceOver),
        message: message(0, over),
      }))
      await commit((records) => {
        for (const entry of entries) records.enqueueMessage(entry.reference, entry.message)
      })
      await restarted()
      expect(contentOf(await store.readQueue(1, 0, 100, 1e9))).toEqual(entries)
    })

    it('keep messages of their own and named ones in the order of their positions', async () => {
      await commit((records) => {
        records.messagePut(message(5), 2)
        records.enqueueMessage(reference(1, 1, 0), message(0))
        records.enqueue(reference(1, 2, 5))
        records.enqueue(reference(2, 1, 5))
        records.enqueueMessage(reference(2, 2, 0), message(0))
        records.enqueueMessage(reference(1, 3, 0), message(0))
      })
      const ids = async (owner: number) =>
        (await store.readQueue(owner, 0, 10, 1e9)).entries.map((entry) => entry.message.id)
      expect(await ids(1)).toEqual([0, 5, 0])
      expect(await ids(2)).toEqual([5, 0])
    })

    it('are counted without what was taken, from either end and within, over restarts', async () => {
      await commit((records) => {
        for (let position = 1; position <= longQueue; position++) {
          records.enqueueMessage(reference(1, position, 0), message(0, { payload: new Uint8Array(position % 7) }))
        }
      })
      const left = new Set(Array.from({ length: longQueue }, (_, index) => index + 1))
      for (const taken of [
        [1, 2, 3],
        [longQueue, longQueue - 1],
        [300, 5],
        [4, 6, longQueue - 2, 299],
      ]) {
        await commit((records) => {
          for (const position of taken) records.dequeue(1, position)
        })
        for (const position of taken) left.delete(position)
        const waiting = [...left]
        expect(await restarted()).toEqual([
          {
            session: 1,
            messages: waiting.length,
            bytes: waiting.reduce((bytes, position) => bytes + (position % 7), 0),
            firstPosition: waiting[0],
            lastPosition: waiting.at(-1),
          },
        ])
        expect(await positions(1)).toEqual(waiting)
        expect(await positions(1, 298, 3)).toEqual(waiting.filter((position) => position >= 298).slice(0, 3))
      }
    })

    it('go on behind what was taken from their end', async () => {
      await commit((records) => {
        for (let position = 1; position <= 10; position++) records.enqueueMessage(reference(1, position, 0), message(0))
      })
      await commit((records) => {
        for (const position of [8, 9, 10]) records.dequeue(1, position)
      })
      await commit((records) => {
        for (const position of [8, 9]) records.enqueueMessage(reference(1, position, 0), message(0, { topic: 'new' }))
      })
      await commit((records) => {
        records.dequeue(1, 7)
        records.dequeue(1, 9)
      })
      expect(await positions(1)).toEqual([1, 2, 3, 4, 5, 6, 8])
      const last = (await store.readQueue(1, 8, 1, 1e9)).entries[0]!
      expect(last.message.topic).toBe('new')
    })

    it('are gone when all is taken, in any order and within the batch that put it there', async () => {
      await commit((records) => {
        for (let position = 1; position <= longQueue; position++) {
          records.enqueueMessage(reference(1, position, 0), message(0))
          records.enqueueMessage(reference(2, position, 0), message(0))
          if (position % 3 === 0) records.dequeue(2, position)
        }
      })
      await commit((records) => {
        for (let position = longQueue; position >= 1; position--) records.dequeue(1, position)
        for (let position = 1; position <= longQueue; position++) if (position % 3 !== 0) records.dequeue(2, position)
      })
      expect(await positions(1)).toEqual([])
      expect(await restarted()).toEqual([])
    })

    it('take no harm from a position that is not there or was taken', async () => {
      await commit((records) => {
        for (const position of [10, 12]) records.enqueueMessage(reference(1, position, 0), message(0))
      })
      for (let times = 0; times < 2; times++) {
        await commit((records) => {
          for (const position of [9, 10, 11, 13]) records.dequeue(1, position)
          records.dequeue(2, 10)
        })
        expect(await positions(1)).toEqual([12])
      }
    })

    it('keep the position of a message of their own that is released [MQTT-4.3.3-5], until it is complete', async () => {
      await commit((records) => {
        records.enqueueMessage(reference(1, 1, 0, { qos: 2 }), message(0))
        records.enqueueMessage(reference(1, 2, 0, { qos: 2 }), message(0))
      })
      await commit((records) => records.release(1, 1))
      await store.close()
      store = environment.start()
      const survived = await open(store)
      expect(survived.released).toEqual([[1, 1]])
      expect(await positions(1)).toEqual([2])
      await commit((records) => records.complete(1, 1))
      await store.close()
      store = environment.start()
      expect((await open(store)).released).toEqual([])
    })

    it('end with their session, also what the same batch put there', async () => {
      await commit((records) => {
        records.enqueueMessage(reference(1, 1, 0), message(0))
        records.enqueueMessage(reference(2, 1, 0), message(0))
      })
      await commit((records) => {
        records.messagePut(message(3), 2)
        records.enqueue(reference(1, 2, 3))
        records.enqueue(reference(2, 2, 3))
        records.dequeue(1, 1)
        records.sessionDelete(1)
      })
      expect(await positions(1)).toEqual([])
      expect(await positions(2)).toEqual([1, 2])
      expect((await restarted()).map((queue) => queue.session)).toEqual([2])
    })

    it('refuse a position twice', async () => {
      const twice = commit((records) => {
        records.enqueueMessage(reference(1, 4, 0), message(0))
        records.enqueueMessage(reference(1, 4, 0), message(0))
      })
      await expect(twice).rejects.toThrow('position 4')
    })
  })
}

function contentOf(page: QueuePage) {
  return page.entries.map(({ reference, message }) => ({
    reference,
    message: { ...message, payload: plain(message.payload), properties: plain(message.properties) },
  }))
}
