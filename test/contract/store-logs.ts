/** The part of the store's contract that is about queues' logs: their names, their messages, and what became of those. */
import { describe, expect, it } from 'vitest'
import { message, reference } from './example-records.ts'
import type { StoreEnvironment } from './store-bodies.ts'
import { storeUnderTest } from './store-under-test.ts'

const log = (number: number, name: string, over = {}) => ({
  number,
  namespace: '',
  name,
  priority: 4,
  filter: '',
  ...over,
})

export function describeLogs(name: string, factory: () => StoreEnvironment): void {
  describe(`logs of queues on ${name}`, () => {
    const under = storeUnderTest(factory)
    const { commit, restarted } = under

    it('keep their names, take numbers of sessions, and are no queues of sessions', async () => {
      const logs = [
        log(5, 'orders', { filter: 'shop/+/örders' }),
        log(6, 'orders', { priority: 9 }),
        log(7, 'orders', { namespace: 'ä' }),
      ]
      await commit((records) => {
        for (const one of logs) records.logPut(one)
        records.sent(3, 9)
      })
      const survived = await restarted()
      expect(survived.logs).toEqual(logs)
      expect(survived.sent).toEqual([[3, 9]])
      expect(survived.numbers.nextSessionNumber).toBe(8)
    })

    it('keep what became of a message so far until that is deleted', async () => {
      const attempts = [
        { log: 5, position: 1, failed: 2, returned: 1, dueAt: 1_700_000_000_000, reason: 'kaputt ü' },
        { log: 5, position: 2, failed: 0, returned: 3, dueAt: 0, reason: '' },
      ]
      await commit((records) => {
        records.logPut(log(5, 'orders'))
        for (const one of attempts) records.attemptPut({ ...one, failed: 9 })
      })
      await commit((records) => {
        for (const one of attempts) records.attemptPut(one)
        records.attemptDelete(5, 3)
      })
      expect((await restarted()).attempts).toEqual(attempts)
      await commit((records) => records.attemptDelete(5, 1))
      expect((await restarted()).attempts).toEqual(attempts.slice(1))
    })

    it('give a message to another log at once, with what is said of it there', async () => {
      await commit((records) => {
        records.logPut(log(5, 'orders'))
        records.logPut(log(6, 'orders.dead'))
        records.enqueueMessage(reference(5, 1, 0), message(0))
        records.messagePut(message(3), 1)
        records.enqueue(reference(5, 2, 3))
      })
      await commit((records) => {
        records.move(5, 2, reference(6, 0, 0, { sharedFilter: '{"reason":"attempts"}' }))
        records.move(5, 1, reference(6, 1, 0))
      })
      const survived = await restarted()
      expect(survived.queues.map(({ session, messages }) => [session, messages])).toEqual([[6, 2]])
      const { entries } = await under.store.readQueue(6, 0, 10, 1e9)
      expect(
        entries.map((entry) => [entry.reference.position, entry.message.topic, entry.reference.sharedFilter]),
      ).toEqual([
        [0, message(3).topic, '{"reason":"attempts"}'],
        [1, message(0).topic, reference(6, 1, 0).sharedFilter],
      ])
    })
  })
}
