/** What waits to be told to hooks of the program is bounded, and what there is no room for is counted. */
import { expect, it, vi } from 'vitest'
import { type GatewayHooks, hookBytesMax, hookEventsMax, ProgramHooks } from '../../src/engine/hooks.ts'
import { World } from '../core/world.ts'

function hooksOf(given: GatewayHooks) {
  const world = new World()
  const log = { error: vi.fn() }
  return { world, log, hooks: new ProgramHooks(world.broker, [given], log) }
}

const told = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve))

it('so many events wait, and no more', async () => {
  const onDropped = vi.fn()
  const { world, hooks } = hooksOf({ onDropped })
  const { defaultNamespace: namespace } = world.broker
  for (let index = 0; index < hookEventsMax + 5; index++) hooks.dropped('expired', namespace, `topic ${index}`, 1)
  expect(onDropped).not.toHaveBeenCalled()
  expect(world.broker.counters.hookEventsLost).toBe(5)
  await told()
  expect(onDropped).toHaveBeenCalledTimes(hookEventsMax)
  hooks.dropped('expired', namespace, 'later', 1)
  await told()
  expect(onDropped).toHaveBeenLastCalledWith(expect.objectContaining({ topic: 'later', reason: 'expired', count: 1 }))
})

it('drops of the same kind that come together are told together', async () => {
  const onDropped = vi.fn()
  const { world, hooks } = hooksOf({ onDropped })
  const { defaultNamespace: namespace } = world.broker
  for (let index = 0; index < 3; index++) hooks.dropped('expired', namespace, 'a', 2)
  hooks.dropped('too_large', namespace, 'a', 1)
  await told()
  expect(onDropped.mock.calls.map(([{ reason, count }]) => [reason, count])).toEqual([
    ['expired', 6],
    ['too_large', 1],
  ])
})

it('messages that wait are bounded in bytes', async () => {
  const onDeliver = vi.fn()
  const { world, hooks } = hooksOf({ onDeliver })
  const device = world.connected('c')
  const payload = new Uint8Array(hookBytesMax / 2)
  const message = { topic: 'a', payload, qos: 0, retain: false, dup: false, properties: {} } as const
  for (let index = 0; index < 3; index++) hooks.delivered(message, device.client)
  await told()
  expect(onDeliver).toHaveBeenCalledTimes(1)
  expect(world.broker.counters.hookEventsLost).toBe(2)
})

it('a hook that throws is logged and counted, and the next event is told all the same', async () => {
  const onDropped = vi.fn().mockImplementationOnce(() => {
    throw new Error('no')
  })
  const { world, hooks, log } = hooksOf({ onDropped })
  for (const topic of ['a', 'b']) hooks.dropped('expired', world.broker.defaultNamespace, topic, 1)
  await told()
  expect(onDropped).toHaveBeenCalledTimes(2)
  expect(log.error).toHaveBeenCalledTimes(1)
  expect(world.broker.counters.hookErrors.get('onDropped')).toBe(1)
})
