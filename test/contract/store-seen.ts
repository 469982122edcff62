/** The part of the store's contract that is about what queues have seen: ids of messages, and how far publishers have counted. */
import { describe, expect, it } from 'vitest'
import type { StoreEnvironment } from './store-bodies.ts'
import { storeUnderTest } from './store-under-test.ts'

const orders = { namespace: '', log: '$queue/orders' }
const elsewhere = { namespace: 'ä', log: '$queue/orders' }

const id = (name: string, at: number, of = orders) => ({ ...of, id: name, at, lane: 7, position: at % 100 })

export function describeSeen(name: string, factory: () => StoreEnvironment): void {
  describe(`what queues have seen on ${name}`, () => {
    const { commit, restarted } = storeUnderTest(factory)

    it('is kept by namespace and queue, and told from the oldest on', async () => {
      await commit((records) => {
        records.seenPut(id('b', 2))
        records.seenPut(id('ü"\u0001', 1))
        records.seenPut(id('a', 3, elsewhere))
        records.seenPut(id('again', 4))
        records.seenPut({ ...id('again', 5), lane: 8 })
        records.countedPut({ ...orders, publisher: 'pümp', sequence: Number.MAX_SAFE_INTEGER, at: 9 })
        records.countedPut({ ...orders, publisher: 'first', sequence: 1, at: 8 })
        records.countedPut({ ...orders, publisher: 'first', sequence: 2, at: 8 })
      })
      const { seen, counted, order } = await restarted()
      expect(seen).toEqual([id('ü"\u0001', 1), id('b', 2), { ...id('again', 5), lane: 8 }, id('a', 3, elsewhere)])
      expect(counted).toEqual([
        { ...orders, publisher: 'first', sequence: 2, at: 8 },
        { ...orders, publisher: 'pümp', sequence: Number.MAX_SAFE_INTEGER, at: 9 },
      ])
      expect(order).toEqual(['seen', 'counted'])
    })

    it('is forgotten one by one, and by time', async () => {
      await commit((records) => {
        for (let at = 1; at <= 5; at++) records.seenPut(id(`${at}`, at))
        records.seenPut(id('1', 1, elsewhere))
        for (const publisher of ['a', 'b']) records.countedPut({ ...orders, publisher, sequence: 1, at: 1 })
      })
      await commit((records) => {
        records.seenForget(orders, 2)
        records.seenDelete(orders, '4')
        records.seenDelete(orders, 'none')
        records.countedDelete(orders, 'a')
        records.countedDelete(elsewhere, 'b')
      })
      const { seen, counted } = await restarted()
      expect(seen).toEqual([id('3', 3), id('5', 5), id('1', 1, elsewhere)])
      expect(counted.map(({ publisher }) => publisher)).toEqual(['b'])
    })
  })
}
