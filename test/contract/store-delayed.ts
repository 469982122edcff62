/** Messages that wait until they are due, in whatever store. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DelayedPage, DelayedQuery, Store, StoredDelayed } from '../../src/store/store.ts'
import { batch, delayed } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { open } from './survived.ts'

const all: DelayedQuery = {
  clock: 'steady',
  after: { dueAt: Number.NEGATIVE_INFINITY, id: 0 },
  untilDueAt: Number.POSITIVE_INFINITY,
  messagesMax: 100,
  bytesMax: 1e9,
}
const bare = { scheduleId: '', properties: new Uint8Array(0), expirySeconds: -1, retain: false } as const

export function describeDelayed(name: string, factory: () => StoreEnvironment): void {
  describe(`delayed messages on ${name}`, () => {
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

    const restart = async () => {
      await store.close()
      store = environment.start()
      return open(store)
    }
    const put = (...rows: StoredDelayed[]) =>
      store.commit(
        batch((records) => {
          for (const row of rows) records.delayedPut(row)
        }),
        'fsync',
      )
    const read = (query: Partial<DelayedQuery> = {}): Promise<DelayedPage> => store.readDelayed({ ...all, ...query })
    const ids = ({ entries }: DelayedPage): number[] => entries.map(({ id }) => id)

    it('gives back every field of a delayed message, also after a restart', async () => {
      const rows = [delayed(1), delayed(2, bare), delayed(3, { namespace: 'plant', dueAt: 1_900_000_000_000 })]
      await put(...rows)
      await restart()
      const { entries, more } = await read()
      expect(more).toBe(false)
      const plain = entries.map((entry) => ({
        ...entry,
        payload: new Uint8Array(entry.payload),
        properties: new Uint8Array(entry.properties),
      }))
      expect(plain).toEqual(rows)
    })

    it('pages delayed messages of one clock by due time and number, from a place on and until a time', async () => {
      const at = (id: number, dueAt: number, clock: StoredDelayed['clock'] = 'steady') => delayed(id, { dueAt, clock })
      await put(at(9, 100), at(2, 300), at(1, 300), at(4, 200, 'system'), at(5, 400), at(3, 200))
      expect(ids(await read())).toEqual([9, 3, 1, 2, 5])
      expect(ids(await read({ clock: 'system' }))).toEqual([4])
      expect(await read({ messagesMax: 2 })).toMatchObject({ more: true, entries: [{ id: 9 }, { id: 3 }] })
      expect(ids(await read({ after: { dueAt: 300, id: 1 } }))).toEqual([2, 5])
      expect(await read({ untilDueAt: 300, messagesMax: 4 })).toMatchObject({ more: false })
      expect(ids(await read({ untilDueAt: 300 }))).toEqual([9, 3, 1, 2])
      expect(await read({ bytesMax: 1 })).toMatchObject({ more: true, entries: [{ id: 9 }] })
    })

    it('gives a delayed message no more once it was deleted', async () => {
      await put(delayed(1), delayed(2))
      await store.commit(
        batch((records) => records.delayedDelete(1)),
        'fsync',
      )
      await restart()
      expect(ids(await read())).toEqual([2])
    })

    it('says at start how many there are, and what can be taken back by name', async () => {
      await put(
        delayed(1_782_579_200_000_000, { scheduleId: '' }),
        delayed(5, { namespace: 'plant', clock: 'system' }),
        delayed(6, { namespace: 'plant', clock: 'system', scheduleId: '' }),
      )
      const survived = await restart()
      const byClock = survived.delayed.sort((a, b) => (a.clock < b.clock ? -1 : 1))
      expect(byClock).toEqual([
        { namespace: '', clock: 'steady', messages: 1, bytes: 21, lastId: 1_782_579_200_000_000 },
        { namespace: 'plant', clock: 'system', messages: 2, bytes: 42, lastId: 6 },
      ])
      const name = { principal: 'user:ümlaut', publisher: 'sensor', scheduleId: 'lämp' }
      expect(survived.delayedNames).toEqual([{ id: 5, namespace: 'plant', clock: 'system', bytes: 21, ...name }])
    })
  })
}
