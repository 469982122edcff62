/** The part of the store's contract that is about handing over: how far a queue was sent, and entries that change queues. */
import { describe, expect, it } from 'vitest'
import { message, reference, session } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { storeUnderTest } from './store-under-test.ts'
import { plain } from './survived.ts'

const group = '$share/g/a'
const text = (content: string) => new TextEncoder().encode(content)

export function describeMoves(name: string, factory: () => StoreEnvironment): void {
  describe(`hand-over on ${name}`, () => {
    const under = storeUnderTest(factory)
    const { commit, restarted } = under

    async function content(owner: number, sharedFilter?: string) {
      const page = await under.store.readQueue(owner, 0, 1000, 1e9, sharedFilter)
      return page.entries.map(({ reference: { position }, message: { payload } }) => [
        position,
        new TextDecoder().decode(payload),
      ])
    }

    it('moves an entry whose message lies with it, with every field of the message and those it is given', async () => {
      const moved = message(0, { topic: 'ü', payload: text('body'), expiresAt: 5e12, publisher: 'p', qos: 2 })
      await commit((records) => {
        records.enqueueMessage(reference(1, 1, 0), message(0))
        records.enqueueMessage(reference(1, 2, 0, { sharedFilter: group }), moved)
        records.enqueueMessage(reference(1, 3, 0), message(0))
      })
      const to = reference(2, 70_000, 0, { qos: 2, retain: true, sharedFilter: group, subscriptionIdentifiers: [7] })
      await commit((records) => records.move(1, 2, to))
      await restarted()
      expect((await content(1)).map(([position]) => position)).toEqual([1, 3])
      const { entries } = await under.store.readQueue(2, 0, 10, 1e9)
      expect(
        entries.map((one) => ({
          reference: one.reference,
          message: {
            ...one.message,
            payload: plain(one.message.payload),
            properties: plain(one.message.properties),
          },
        })),
      ).toEqual([{ reference: to, message: moved }])
    })

    it('moves an entry whose body others name too, and keeps the body until the last of them goes', async () => {
      await commit((records) => {
        records.messagePut(message(1, { payload: text('shared') }), 2)
        records.enqueue(reference(1, 1, 1))
        records.enqueue(reference(2, 1, 1))
      })
      await commit((records) => records.move(1, 1, reference(3, 1, 0)))
      await commit((records) => records.dequeue(2, 1))
      expect(await content(3)).toEqual([[1, 'shared']])
      await commit((records) => records.dequeue(3, 1))
      await expect(commit((records) => records.enqueue(reference(9, 1, 1)))).rejects.toThrow('message 1')
    })

    it('moves what the same batch put there, and what was moved, and ends the queue it came from', async () => {
      await commit((records) => {
        records.sessionPut(session(1))
        records.enqueueMessage(reference(1, 1, 0), message(0, { payload: text('a') }))
        records.messagePut(message(4, { payload: text('b') }), 1)
        records.enqueue(reference(1, 2, 4))
        records.move(1, 1, reference(2, 1, 0))
        records.move(1, 2, reference(2, 2, 0))
        records.move(2, 2, reference(3, 1, 0))
        records.sessionDelete(1)
      })
      await restarted()
      expect(await content(2)).toEqual([[1, 'a']])
      expect(await content(3)).toEqual([[1, 'b']])
    })

    it('moves a long queue entry by entry, its own queue going on', async () => {
      const entries = Array.from({ length: 600 }, (_, index) => index + 1)
      await commit((records) => {
        for (const n of entries) records.enqueueMessage(reference(1, n, 0), message(0, { payload: text(`${n}`) }))
      })
      await commit((records) => {
        for (const n of entries) {
          records.enqueueMessage(reference(1, 600 + n, 0), message(0, { payload: text('new') }))
          records.move(1, n, reference(2, n, 0))
        }
      })
      const { queues } = await restarted()
      expect(queues).toEqual([
        { session: 1, messages: 600, bytes: 1800, firstPosition: 601, lastPosition: 1200 },
        { session: 2, messages: 600, bytes: 1692, firstPosition: 1, lastPosition: 600 },
      ])
      expect(await content(2)).toEqual(entries.map((n) => [n, `${n}`]))
    })

    it('moves nothing that is not there, or was released', async () => {
      await commit((records) => {
        records.enqueueMessage(reference(1, 1, 0, { qos: 2 }), message(0))
        records.enqueueMessage(reference(1, 2, 0), message(0))
        records.release(1, 1)
        records.dequeue(1, 2)
      })
      await commit((records) => {
        for (const position of [1, 2, 3]) records.move(1, position, reference(2, position, 0))
        records.move(8, 1, reference(2, 4, 0))
      })
      const survived = await restarted()
      expect(survived.queues).toEqual([])
      expect(survived.released).toEqual([[1, 1]])
    })

    it('pages a queue by one shared filter alone, or by all of them', async () => {
      const filters = [group, '$share/"ü"/a', '']
      await commit((records) => {
        for (let n = 1; n <= 900; n++) {
          const sharedFilter = n <= 300 ? '' : filters[n % 3]!
          records.enqueueMessage(reference(1, n, 0, { sharedFilter }), message(0, { payload: text(`${n}`) }))
        }
      })
      expect((await content(1, group)).length).toBe(200)
      expect((await content(1, '$share/"ü"/a')).slice(0, 2)).toEqual([
        [301, '301'],
        [304, '304'],
      ])
      const page = await under.store.readQueue(1, 500, 3, 1e9, group)
      expect(page.entries.map((entry) => entry.reference.position)).toEqual([501, 504, 507])
      expect(page.more).toBe(true)
      expect(await content(1, '$share/nobody/a')).toEqual([])
      expect((await content(1, '$share/')).length).toBe(400)
    })

    it('remembers the clock, the last one, and hands it over before everything else', async () => {
      await commit((records) => {
        records.clock(1_800_000_000_000, -3_600_000)
        records.clock(1_800_000_000_001, 7)
      })
      const survived = await restarted()
      expect(survived.clock).toEqual([1_800_000_000_001, 7])
      expect(survived.order[0]).toBe('clock')
    })

    it('remembers how far each queue was sent, never less, until its session ends', async () => {
      await commit((records) => {
        records.sessionPut(session(1))
        records.sessionPut(session(2))
        records.sent(1, 10)
        records.sent(2, 5)
      })
      await commit((records) => {
        records.sent(1, 7)
        records.sent(2, 6)
        records.sessionPut(session(1, { connected: true }))
      })
      expect((await restarted()).sent).toEqual([
        [1, 10],
        [2, 6],
      ])
      await commit((records) => records.sessionDelete(1))
      expect((await restarted()).sent).toEqual([[2, 6]])
    })
  })
}
