/** The part of the store's contract that is about message bodies: one for all who name it, and only while somebody does. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Store } from '../../src/store/store.ts'
import { batch, message, reference } from './example-records.ts'
import { open } from './survived.ts'

export interface StoreEnvironment {
  start(): Store
  /** After the last store was closed. */
  dispose(): void
}

/** A message's body stays exactly as long as something names it. */
export function describeBodies(name: string, factory: () => StoreEnvironment): void {
  describe(`message bodies on ${name}`, () => {
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

    const commit = (write: Parameters<typeof batch>[0]) => store.commit(batch(write), 'fsync')
    /** Whether the body is there, seen as a client would: something can still name it. */
    const isThere = (id: number, owner: number) =>
      commit((records) => {
        records.enqueue(reference(owner, 1, id))
      }).then(
        () => true,
        () => false,
      )

    it('survive until the last of several references is dequeued', async () => {
      await commit((records) => {
        records.messagePut(message(1), 3)
        for (const owner of [1, 2, 3]) records.enqueue(reference(owner, 10, 1))
      })
      await commit((records) => {
        records.dequeue(1, 10)
        records.dequeue(3, 10)
      })
      expect((await store.readQueue(2, 0, 10, 1e6)).entries[0]!.message.topic).toBe('plant/1/temperature')
      await commit((records) => records.dequeue(2, 10))
      expect(await isThere(1, 9)).toBe(false)
    })

    it('move with their reference to another session, in whichever order the records come', async () => {
      await commit((records) => {
        for (const id of [1, 2]) {
          records.messagePut(message(id), 1)
          records.enqueue(reference(1, id, id))
        }
      })
      await commit((records) => {
        records.dequeue(1, 1)
        records.enqueue(reference(2, 1, 1))
        records.enqueue(reference(2, 2, 2))
        records.sessionDelete(1)
      })
      expect((await store.readQueue(2, 0, 10, 1e6)).entries.map((entry) => entry.message.id)).toEqual([1, 2])
      await commit((records) => {
        records.dequeue(2, 1)
        records.dequeue(2, 2)
      })
      expect(await isThere(2, 9)).toBe(false)
    })

    it('are shared by a retained message and queues', async () => {
      await commit((records) => {
        records.messagePut(message(1), 2)
        records.enqueue(reference(1, 1, 1))
        records.retainedPut('t', 1, 1)
      })
      await commit((records) => records.dequeue(1, 1))
      await commit((records) => records.enqueue(reference(2, 1, 1)))
      await commit((records) => {
        records.retainedDelete('t', 1e15)
        records.dequeue(2, 1)
      })
      expect(await isThere(1, 9)).toBe(false)
    })

    it('go when a retained message is replaced, within one batch too', async () => {
      await commit((records) => {
        for (const id of [1, 2, 3]) {
          records.messagePut(message(id), 1)
          records.retainedPut('t', id, id)
        }
      })
      expect(await isThere(3, 9)).toBe(true)
      expect(await isThere(2, 9)).toBe(false)
    })

    it.each([0, 1, 2, 5])('are counted right although %i references of 2 were announced', async (announced) => {
      await commit((records) => {
        records.messagePut(message(1), announced)
        records.messagePut(message(2), announced)
        records.enqueue(reference(1, 1, 1))
        records.enqueue(reference(1, 2, 2))
        records.enqueue(reference(2, 1, 1))
        records.enqueue(reference(2, 2, 2))
      })
      await commit((records) => {
        records.dequeue(1, 1)
        records.dequeue(1, 2)
      })
      expect((await store.readQueue(2, 0, 10, 1e6)).entries.map((entry) => entry.message.id)).toEqual([1, 2])
      await commit((records) => {
        records.dequeue(2, 1)
        records.dequeue(2, 2)
      })
      expect(await isThere(1, 9)).toBe(false)
    })

    it('that nothing names are not kept', async () => {
      await commit((records) => {
        records.messagePut(message(1), 0)
        records.messagePut(message(2), 1)
        records.enqueue(reference(1, 7, 2))
        records.dequeue(1, 7)
      })
      expect(await isThere(2, 9)).toBe(false)
    })

    it('of a long queue go with their session, a slice at a time', async () => {
      await commit((records) => {
        for (let id = 1; id <= 3500; id++) {
          records.messagePut(message(id), id % 10 === 0 ? 2 : 1)
          records.enqueue(reference(1, id, id))
          if (id % 10 === 0) records.enqueue(reference(2, id, id))
        }
      })
      await commit((records) => records.sessionDelete(1))
      await store.close()
      store = environment.start()
      const survived = await open(store)
      expect(survived.queues.map((queue) => [queue.session, queue.messages])).toEqual([[2, 350]])
      const page = await store.readQueue(2, 0, 1000, 1e9)
      expect(page.entries.map((entry) => entry.message.id)).toEqual(
        page.entries.map((entry) => entry.reference.position),
      )
      expect(page.entries).toHaveLength(350)
    })
  })
}
