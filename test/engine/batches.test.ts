/** What waits for the store is handed over in batches of a bounded size, in order, with everything that was asked for between. */
import { expect, it } from 'vitest'
import type { Session } from '../../src/core/session/session.ts'
import { Committer } from '../../src/engine/committer.ts'
import type { Store } from '../../src/store/store.ts'

const session = { number: 1 } as Session

/** A store that says what it is asked for, and answers a commit when told to. */
function scene(batchBytesMax: number) {
  const asked: string[] = []
  let commit = Promise.withResolvers<undefined>()
  const store = {
    durable: true,
    commit: () => {
      asked.push('batch')
      commit = Promise.withResolvers()
      return commit.promise
    },
    readQueue: async (_session: number, fromPosition: number) => {
      asked.push(`page ${fromPosition}`)
      return { session: 1, entries: [], more: false }
    },
  }
  const clock = { now: () => 0, after: () => () => {} }
  const events = {
    onCommit: () => {},
    onPage: () => {},
    onDelayedPage: () => {},
    onFatal: (error: Error) => {
      throw error
    },
  }
  const options = { pendingBytesMax: 1_000_000, durability: 'fsync', clock, batchBytesMax } as const
  const committer = new Committer(store as unknown as Store, events, options)
  return {
    asked,
    committer,
    turn() {
      committer.unsubscription(session, 'filter')
      committer.endTurn()
    },
    async finish() {
      commit.resolve(undefined)
      await new Promise(setImmediate)
    },
  }
}

it('turns beyond the bytes of a batch are in the next ones', async () => {
  const { asked, committer, turn, finish } = scene(150)
  for (let i = 0; i < 6; i++) turn()
  expect([asked.length, committer.committed]).toEqual([1, 0])
  await finish()
  expect([asked.length, committer.committed]).toEqual([2, 1])
  await finish()
  expect([asked.length, committer.committed]).toEqual([3, 3])
  await finish()
  await finish()
  expect([asked.length, committer.committed]).toEqual([4, 6])
  expect(committer.backlogged).toBe(false)
})

it('a turn that is larger than a batch is one', async () => {
  const { asked, committer, turn, finish } = scene(1)
  for (let i = 0; i < 3; i++) turn()
  for (let i = 0; i < 3; i++) await finish()
  expect(asked).toEqual(['batch', 'batch', 'batch'])
  expect(committer.committed).toBe(3)
})

it('a page is read behind all that was appended before it was asked for, however many batches that is', async () => {
  const { asked, committer, turn, finish } = scene(150)
  for (let i = 0; i < 5; i++) turn()
  committer.requestPage(session, 7)
  committer.endTurn()
  turn()
  turn()
  turn()
  committer.requestPage(session, 8)
  for (let i = 0; i < 6; i++) await finish()
  // Turns 1; 2 and 3; 4 and 5; 6 and 7; 8. Page 7 was asked for in the turn that became the sixth.
  expect(asked).toEqual(['batch', 'batch', 'batch', 'batch', 'page 7', 'batch', 'page 8'])
  expect(committer.committed).toBe(8)
})

it('whoever waits for all to settle waits for the last batch', async () => {
  const { asked, committer, turn, finish } = scene(150)
  for (let i = 0; i < 4; i++) turn()
  let settled = false
  const end = committer.settled().then(() => {
    settled = true
  })
  await finish()
  expect(settled).toBe(false)
  await finish()
  await finish()
  await end
  expect(asked).toHaveLength(3)
})
