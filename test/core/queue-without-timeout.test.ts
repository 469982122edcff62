import { expect, it } from 'vitest'
import { declareQueues } from '../../src/core/logs/queue-set.ts'
import { answer, declared, publishWith, queueOf, queueWorld, worker } from './queue-world.ts'

const weekMs = 7 * 86_400_000

it('a message stays with a connected worker for as long as it takes where ackTimeoutMs is 0, also since a reload', () => {
  const world = queueWorld({ ackTimeoutMs: 0 })
  const device = worker(world, 'a', {}, { keepAlive: 0 })
  expect(publishWith(world.connected('publisher', { keepAlive: 0 }), 'jobs/1', 'x')).toBe(0)
  const [job] = device.takePublishes()
  world.advance(weekMs)
  expect([queueOf(world).totals.timedOut, queueOf(world).leased]).toEqual([0, 1])
  declareQueues(world.broker, [declared('jobs', { ackTimeoutMs: 5000 })])
  answer(device, job!, 0)
  expect(publishWith(world.connected('another', { keepAlive: 0 }), 'jobs/1', 'y')).toBe(0)
  expect(device.takePublishes()).toHaveLength(1)
  declareQueues(world.broker, [declared('jobs', { ackTimeoutMs: 0 })])
  world.advance(weekMs)
  expect([queueOf(world).totals.timedOut, queueOf(world).leased]).toEqual([0, 1])
})
