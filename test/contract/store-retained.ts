/** The part of the store's contract that is about retained messages: the newer version stays, whatever the order. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { BatchRecords } from '../../src/store/batch.ts'
import type { Store } from '../../src/store/store.ts'
import { batch, message } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { open } from './survived.ts'

export function describeRetained(name: string, factory: () => StoreEnvironment): void {
  describe(`retained messages on ${name}`, () => {
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

    async function retained() {
      await store.close()
      store = environment.start()
      const { retained, numbers } = await open(store)
      return { kept: retained.map((one) => [one.namespace, one.topic, one.version, one.message.id]), numbers }
    }

    it('are not replaced or removed by an older change, nor by the same one again', async () => {
      await commit((records) => {
        for (const [id, version] of [
          [1, 100],
          [2, 102],
          [3, 101],
          [4, 102],
        ] as const) {
          records.messagePut(message(id), 1)
          records.retainedPut('t', id, version)
        }
        records.retainedDelete('t', 101)
        records.retainedDelete('t', 102)
      })
      expect(await retained()).toMatchObject({ kept: [['', 't', 102, 2]], numbers: { retainedVersion: 102 } })
      await commit((records) => records.retainedDelete('t', 103))
      expect((await retained()).kept).toEqual([])
    })

    it('of two namespaces with one topic are two', async () => {
      await commit((records) => {
        records.messagePut(message(1), 1)
        records.retainedPut('t', 1, 1)
        records.messagePut(message(2), 1)
        records.retainedPut('t', 2, 2, 'tenant')
      })
      expect((await retained()).kept.sort()).toEqual([
        ['', 't', 1, 1],
        ['tenant', 't', 2, 2],
      ])
      await commit((records) => records.retainedDelete('t', 9, 'tenant'))
      expect((await retained()).kept).toEqual([['', 't', 1, 1]])
    })

    it('leave no body behind that an older change brought', async () => {
      await commit((records) => {
        records.messagePut(message(1), 1)
        records.retainedPut('t', 1, 5)
      })
      await commit((records) => {
        records.messagePut(message(2), 1)
        records.retainedPut('t', 2, 4)
      })
      const naming = commit((records) => records.retainedPut('other', 2, 6))
      await expect(naming).rejects.toThrow('message 2')
    })
  })
}
