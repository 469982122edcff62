/**
 * What every store does, run against each: `describeStore(name, factory)`.
 *
 * The factory gives an environment whose `start` returns a store that is not open yet, over the same data each time; a
 * test restarts by closing one and starting the next.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { batch, message, reference, session, subscription, will } from './example-records.ts'
import { describeBodies, type StoreEnvironment } from './store-bodies.ts'
import { describeDelayed } from './store-delayed.ts'
import { describeLogs } from './store-logs.ts'
import { describeMoves } from './store-moves.ts'
import { describeQueues } from './store-queues.ts'
import { describeRetained } from './store-retained.ts'
import { describeSeen } from './store-seen.ts'
import { describeStreams } from './store-streams.ts'
import { open, plain, type Survived } from './survived.ts'

export function describeStore(name: string, factory: () => StoreEnvironment): void {
  describe(`the store on ${name}`, () => {
    let environment: StoreEnvironment
    let store: Store

    beforeEach(async () => {
      environment = factory()
      store = environment.start()
    })

    afterEach(async () => {
      await store.close()
      environment.dispose()
    })

    async function restarted(): Promise<Survived> {
      await store.close()
      store = environment.start()
      return open(store)
    }

    async function positions(owner: number): Promise<number[]> {
      const page = await store.readQueue(owner, 0, 1000, 1e9)
      return page.entries.map((entry) => entry.reference.position)
    }

    it('is empty at first, and numbers start at 1', async () => {
      const survived = await open(store)
      expect(survived).toMatchObject({ sessions: [], subscriptions: [], retained: [], wills: [], queues: [] })
      expect(survived.numbers).toEqual({ nextSessionNumber: 1, nextMessageId: 1, retainedVersion: 0 })
      expect(await store.readQueue(1, 0, 10, 1000)).toEqual({ session: 1, entries: [], more: false })
    })

    it('gives back every field of everything that was committed', async () => {
      await open(store)
      const sessions = [
        session(1),
        session(2, { version: 3, expiresAt: Number.POSITIVE_INFINITY, connected: true, principal: '' }),
      ]
      const subscriptions = [
        subscription(1, '$share/grüppe/a/+'),
        subscription(1, 'a/#', { qos: 2, noLocal: true, retainAsPublished: false, retainHandling: 0, identifier: 0 }),
        subscription(2, 'a/#', { qos: 0, retainHandling: 1 }),
      ]
      const retained = message(8, { topic: 'r/漢', payload: new Uint8Array([0, 255, 128]), expiresAt: 5e12, qos: 2 })
      const wills = [
        will(1, { dueAt: 1_900_000_000_000, messageExpiryInterval: 7 }),
        will(2, { qos: 0, retain: false, properties: new Uint8Array(0) }),
      ]
      await store.commit(
        batch((records) => {
          for (const one of sessions) records.sessionPut(one)
          for (const one of subscriptions) records.subscriptionPut(one)
          for (const one of wills) records.willPut(one)
          records.messagePut(retained, 1)
          records.retainedPut('r/漢', 8, 8)
          records.incomingPut(1, 65_535)
          records.incomingPut(2, 1)
          records.messagePut(message(9), 1)
          records.enqueue(reference(2, 70_000, 9))
          records.release(1, 3)
          records.sent(2, 70_001)
        }),
        'fsync',
      )
      expect(await restarted()).toMatchObject({
        numbers: { nextSessionNumber: 3, nextMessageId: 10, retainedVersion: 8 },
        sessions,
        subscriptions,
        retained: [{ namespace: '', topic: 'r/漢', version: 8, message: retained }],
        wills,
        incoming: [
          [1, 65_535],
          [2, 1],
        ],
        released: [[1, 3]],
        sent: [[2, 70_001]],
        logs: [],
        attempts: [],
        queues: [{ session: 2, messages: 1, bytes: 9, firstPosition: 70_000, lastPosition: 70_000 }],
        order: ['session', 'subscription', 'retained', 'will', 'incoming', 'released', 'sent', 'queue'],
      })
    })

    it('replaces what is put again', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          records.sessionPut(session(1))
          records.subscriptionPut(subscription(1, 'a'))
          records.willPut(will(1))
          records.messagePut(message(1), 1)
          records.retainedPut('t', 1, 1)
        }),
        'fsync',
      )
      await store.commit(
        batch((records) => {
          records.sessionPut(session(1, { connected: true, expiryInterval: 9 }))
          records.subscriptionPut(subscription(1, 'a', { qos: 0 }))
          records.willPut(will(1, { topic: 'other' }))
          records.messagePut(message(2), 1)
          records.retainedPut('t', 2, 2)
        }),
        'fsync',
      )
      const survived = await restarted()
      expect(survived.sessions).toEqual([session(1, { connected: true, expiryInterval: 9 })])
      expect(survived.subscriptions).toEqual([subscription(1, 'a', { qos: 0 })])
      expect(survived.wills).toEqual([will(1, { topic: 'other' })])
      expect(survived.retained).toEqual([{ namespace: '', topic: 't', version: 2, message: message(2) }])
    })

    it('forgets what is deleted, and only that', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          for (const number of [1, 2]) {
            records.sessionPut(session(number))
            records.subscriptionPut(subscription(number, 'a'))
            records.subscriptionPut(subscription(number, 'b'))
            records.willPut(will(number))
            records.incomingPut(number, 7)
            records.incomingPut(number, 8)
          }
          for (const id of [1, 2]) {
            records.messagePut(message(id), 1)
            records.retainedPut(`t/${id}`, id, id)
          }
        }),
        'fsync',
      )
      await store.commit(
        batch((records) => {
          records.subscriptionDelete(1, 'a')
          records.willDelete(2)
          records.incomingDelete(1, 7)
          records.retainedDelete('t/1', 1e15)
          records.retainedDelete('never/was', 1e15)
        }),
        'fsync',
      )
      const survived = await restarted()
      expect(survived.subscriptions.map((one) => [one.session, one.topicFilter])).toEqual([
        [1, 'b'],
        [2, 'a'],
        [2, 'b'],
      ])
      expect(survived.wills.map((one) => one.session)).toEqual([1])
      expect(survived.incoming).toEqual([
        [1, 8],
        [2, 7],
        [2, 8],
      ])
      expect(survived.retained.map((one) => one.topic)).toEqual(['t/2'])
    })

    it('ends a session with all that is its own, and leaves the others theirs', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          for (const number of [1, 2]) {
            records.sessionPut(session(number))
            records.subscriptionPut(subscription(number, 'a'))
            records.willPut(will(number))
            records.incomingPut(number, 7)
            records.release(number, 4)
            records.sent(number, 5)
          }
          records.messagePut(message(1), 2)
          records.enqueue(reference(1, 5, 1))
          records.enqueue(reference(2, 6, 1))
        }),
        'fsync',
      )
      await store.commit(
        batch((records) => records.sessionDelete(1)),
        'fsync',
      )
      const survived = await restarted()
      expect(survived.sessions.map((one) => one.number)).toEqual([2])
      expect(survived.subscriptions.map((one) => one.session)).toEqual([2])
      expect(survived.wills.map((one) => one.session)).toEqual([2])
      expect(survived.incoming).toEqual([[2, 7]])
      expect(survived.released).toEqual([[2, 4]])
      expect(survived.sent).toEqual([[2, 5]])
      expect(survived.queues.map((one) => one.session)).toEqual([2])
      expect(await positions(1)).toEqual([])
      expect((await store.readQueue(2, 0, 10, 1e6)).entries[0]!.message.payload).toHaveLength(9)
    })

    it('never hands out a session number or message id again, even if all of them are gone', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          records.sessionPut(session(41))
          records.messagePut(message(2 ** 40), 1)
          records.retainedPut('t', 2 ** 40, 2 ** 40)
        }),
        'fsync',
      )
      await store.commit(
        batch((records) => {
          records.sessionDelete(41)
          records.retainedDelete('t', 1e15)
        }),
        'fsync',
      )
      expect((await restarted()).numbers).toEqual({
        nextSessionNumber: 42,
        nextMessageId: 2 ** 40 + 1,
        retainedVersion: 0,
      })
    })

    it('pages a queue in order, with every field, and says whether more follows', async () => {
      await open(store)
      const references = Array.from({ length: 25 }, (_, index) =>
        reference(3, 1 + index * 3, index + 1, {
          qos: index % 2 ? 1 : 2,
          retain: index % 3 === 0,
          sharedFilter: index % 5 === 0 ? '$share/g/ä' : '',
          subscriptionIdentifiers: index % 4 === 0 ? [1, 268_435_455] : [],
        }),
      )
      await store.commit(
        batch((records) => {
          for (const one of references) {
            records.messagePut(message(one.messageId), 1)
            records.enqueue(one)
          }
        }),
        'fsync',
      )
      const read = []
      for (let from = 0, more = true; more; ) {
        const page = await store.readQueue(3, from, 10, 1e6)
        expect(page.session).toBe(3)
        expect(page.entries.length).toBe(page.more ? 10 : 5)
        read.push(...page.entries)
        from = page.entries.at(-1)!.reference.position + 1
        more = page.more
      }
      expect(read.map((entry) => entry.reference)).toEqual(references)
      for (const entry of read) {
        const { payload, properties, ...rest } = entry.message
        expect({ ...rest, payload: plain(payload), properties: plain(properties) }).toEqual(
          message(entry.reference.messageId),
        )
      }
      expect(await positions(4)).toEqual([])
    })

    it('ends a page before its payloads exceed the bytes allowed, but never gives an empty one', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          for (const id of [1, 2, 3]) {
            records.messagePut(message(id, { payload: new Uint8Array(1000) }), 1)
            records.enqueue(reference(1, id, id))
          }
        }),
        'fsync',
      )
      const at = async (bytesMax: number) => {
        const page = await store.readQueue(1, 1, 100, bytesMax)
        return [page.entries.length, page.more]
      }
      expect(await at(1)).toEqual([1, true])
      expect(await at(1999)).toEqual([1, true])
      expect(await at(2000)).toEqual([2, true])
      expect(await at(3000)).toEqual([3, false])
    })

    it('sees every batch handed over before, without waiting for it', async () => {
      await open(store)
      const committed = store.commit(
        batch((records) => {
          records.messagePut(message(1), 1)
          records.enqueue(reference(1, 1, 1))
        }),
        'process',
      )
      const read = store.readQueue(1, 1, 10, 1000)
      expect((await read).entries).toHaveLength(1)
      await committed
    })

    it('keeps only the position of a released delivery [MQTT-4.3.3-5], until it is complete', async () => {
      await open(store)
      await store.commit(
        batch((records) => {
          for (const id of [1, 2]) {
            records.messagePut(message(id), 1)
            records.enqueue(reference(1, id, id, { qos: 2 }))
          }
        }),
        'fsync',
      )
      await store.commit(
        batch((records) => records.release(1, 1)),
        'fsync',
      )
      let survived = await restarted()
      expect(survived.released).toEqual([[1, 1]])
      expect(survived.queues).toEqual([{ session: 1, messages: 1, bytes: 9, firstPosition: 2, lastPosition: 2 }])
      expect(await positions(1)).toEqual([2])
      await store.commit(
        batch((records) => records.complete(1, 1)),
        'fsync',
      )
      survived = await restarted()
      expect(survived.released).toEqual([])
      expect(await positions(1)).toEqual([2])
    })

    it('applies a batch whole or not at all', async () => {
      await open(store)
      await store.commit(
        batch((records) => records.sessionPut(session(1))),
        'fsync',
      )
      const failing = batch((records) => {
        records.sessionPut(session(2))
        records.sessionDelete(1)
        records.enqueue(reference(1, 1, 999))
      })
      await expect(store.commit(failing, 'fsync')).rejects.toThrow('message 999')
      const survived = await restarted()
      expect(survived.sessions.map((one) => one.number)).toEqual([1])
      expect(survived.numbers.nextSessionNumber).toBe(2)
    })

    it('takes an empty batch', async () => {
      await open(store)
      await store.commit(new ArrayBuffer(0), 'fsync')
      await store.commit(new ArrayBuffer(0), 'none')
      expect((await restarted()).sessions).toEqual([])
    })

    it('keeps batches at every durability when it is closed in order', async () => {
      await open(store)
      const levels = ['none', 'fsync', 'none', 'process', 'fsync', 'none', 'none'] as const
      for (const [index, durability] of levels.entries()) {
        await store.commit(
          batch((records) => records.sessionPut(session(index + 1))),
          durability,
        )
      }
      expect((await restarted()).sessions.map((one) => one.number)).toEqual([1, 2, 3, 4, 5, 6, 7])
    })

    it('counts commits and records, and reports sizes', async () => {
      await open(store)
      const before = await store.statistics()
      await store.commit(
        batch((records) => {
          records.sessionPut(session(1))
          records.subscriptionPut(subscription(1, 'a'))
        }),
        'fsync',
      )
      const after = await store.statistics()
      expect([after.commits - before.commits, after.recordsWritten - before.recordsWritten]).toEqual([1, 2])
      expect(after.diskFreeBytes).toBeGreaterThan(0)
      expect(after.databaseBytes).toBeGreaterThanOrEqual(0)
      expect(after.walBytes).toBeGreaterThanOrEqual(0)
    })
  })

  describeBodies(name, factory)
  describeQueues(name, factory)
  describeMoves(name, factory)
  describeLogs(name, factory)
  describeStreams(name, factory)
  describeSeen(name, factory)
  describeRetained(name, factory)
  describeDelayed(name, factory)
}
