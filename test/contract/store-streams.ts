/** The part of the store's contract that is about streams: their names, messages, segments and cursors, and how their beginning goes. */
import { describe, expect, it } from 'vitest'
import type { StoredCursor, StoredSegment, StoredStream } from '../../src/store/store.ts'
import { message, reference, session } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { storeUnderTest } from './store-under-test.ts'

const stream = (number: number, name: string, over: Partial<StoredStream> = {}): StoredStream => ({
  number,
  namespace: '',
  name,
  filter: `${name}/#`,
  firstOffset: 0,
  ...over,
})

const segment = (owner: number, firstOffset: number, messages: number): StoredSegment => ({
  stream: owner,
  firstOffset,
  firstAt: 1_700_000_000_000 + firstOffset,
  lastAt: 1_700_000_000_500 + firstOffset,
  messages,
  bytes: 300 * messages,
})

const cursor = (owner: number, reader: number, position: number, over: Partial<StoredCursor> = {}): StoredCursor => ({
  stream: owner,
  session: reader,
  name: '',
  filter: '$stream/meters',
  position,
  notBefore: 0,
  open: '',
  ...over,
})

export function describeStreams(name: string, factory: () => StoreEnvironment): void {
  describe(`streams on ${name}`, () => {
    const under = storeUnderTest(factory)
    const { commit, restarted } = under

    async function positions(owner: number, from = 0): Promise<number[]> {
      const page = await under.store.readQueue(owner, from, 10_000, 1e9)
      return page.entries.map((entry) => entry.reference.position)
    }

    it('keep names, segments in order and cursors, take numbers of sessions, and come before they are counted', async () => {
      const streams = [stream(5, 'meters'), stream(6, 'meters', { namespace: 'ä', filter: 'ö/+/#' })]
      const cursors = [
        cursor(5, 0, 9, { name: 'gruppe "ü"', filter: 'meters/+', open: '5 0 1', notBefore: 1_700_000_000_000 }),
        cursor(5, 3, 7),
        cursor(6, 3, 1, { filter: '$stream/meters/x' }),
      ]
      await commit((records) => {
        records.sessionPut(session(3))
        for (const one of streams) records.streamPut(one)
        for (const at of [512, 0, 256]) records.segmentPut(segment(5, at, 256))
        for (const one of cursors) records.cursorPut(one)
        records.enqueueMessage(reference(5, 768, 0), message(0))
      })
      const survived = await restarted()
      expect(survived.streams).toEqual(streams)
      expect(survived.segments).toEqual([0, 256, 512].map((at) => segment(5, at, 256)))
      expect(survived.cursors).toEqual(cursors)
      expect(survived.numbers.nextSessionNumber).toBe(7)
      expect(survived.queues).toMatchObject([{ session: 5, messages: 1, firstPosition: 768, lastPosition: 768 }])
      const { order } = survived
      for (const one of ['subscription', 'stream', 'segment', 'cursor']) {
        if (order.includes(one)) expect(order.indexOf(one), one).toBeLessThan(order.indexOf('queue'))
      }
      expect(order.indexOf('stream')).toBeLessThan(order.indexOf('cursor'))
    })

    it('lose what is before an offset, bodies that others name excepted, and keep the offset', async () => {
      await commit((records) => {
        records.sessionPut(session(1))
        records.streamPut(stream(5, 'meters'))
        records.messagePut(message(1), 2)
        records.enqueue(reference(5, 0, 1))
        records.enqueue(reference(1, 1, 1))
        for (let at = 1; at < 1000; at++) records.enqueueMessage(reference(5, at, 0), message(0))
        for (let at = 0; at < 768; at += 256) records.segmentPut(segment(5, at, 256))
      })
      await commit((records) => records.streamTrim(5, 512))
      const after = await restarted()
      expect(after.streams).toMatchObject([{ firstOffset: 512 }])
      expect(after.segments).toEqual([segment(5, 512, 256)])
      const left = await positions(5, 512)
      expect(left).toEqual(Array.from({ length: 488 }, (_, index) => 512 + index))
      expect(await positions(1)).toEqual([1])
      await commit((records) => records.streamTrim(5, 100))
      await commit((records) => records.streamPut(stream(5, 'meters', { filter: 'other' })))
      expect((await restarted()).streams).toMatchObject([{ filter: 'other', firstOffset: 512 }])
    })

    it('are trimmed in the batch that fills them, and to the end', async () => {
      await commit((records) => {
        records.streamPut(stream(5, 'meters'))
        for (let at = 0; at < 300; at++) records.enqueueMessage(reference(5, at, 0), message(0))
        records.streamTrim(5, 300)
        for (let at = 300; at < 310; at++) records.enqueueMessage(reference(5, at, 0), message(0))
      })
      expect((await positions(5, 300)).length).toBe(10)
      await commit((records) => records.streamTrim(5, 310))
      const { queues, streams } = await restarted()
      expect(queues).toEqual([])
      expect(streams).toMatchObject([{ firstOffset: 310 }])
    })

    it('forget a cursor that is deleted, and those of a session that ends', async () => {
      await commit((records) => {
        for (const number of [1, 2]) records.sessionPut(session(number))
        records.streamPut(stream(5, 'meters'))
        for (const reader of [0, 1, 2]) records.cursorPut(cursor(5, reader, 1))
        records.cursorPut(cursor(5, 2, 4))
        records.cursorPut(cursor(5, 2, 9, { filter: '$stream/meters/x' }))
      })
      await commit((records) => {
        records.sessionDelete(1)
        records.cursorDelete(cursor(5, 2, 0, { filter: '$stream/meters/x' }))
      })
      expect((await restarted()).cursors).toEqual([cursor(5, 0, 1), cursor(5, 2, 4)])
    })
  })
}
