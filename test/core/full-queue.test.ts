/** A full queue whose greater part is in the store only lets the oldest go there, and what comes back is right. */
import { describe, expect, it } from 'vitest'
import { DurableWorld, lasting, receive } from './durable-world.ts'

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => String(from + i))

describe('a full queue of a stored session', () => {
  it('drops in the store while its client is connected and acknowledges nothing', async () => {
    const world = new DurableWorld()
    world.broker.options.sessionQueueMessagesMax = 8
    const stuck = (await world.ready('s')).subscribe('t', 1)
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 200; i++) {
      publisher.publish('t', String(i), { qos: 1 })
      if (i % 10 === 0) await world.settle()
    }
    await world.settle()
    stuck.drop()
    const again = world.device().connect({ clientId: 's', ...lasting })
    expect(await receive(world, again)).toEqual([...range(0, 10), ...range(192, 200)])
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
    expect((await world.restart()).broker.gauges().queuedMessages).toBe(0)
  })

  it('drops the oldest in the store, not what was sent, while its client is away', async () => {
    const world = new DurableWorld()
    world.broker.options.sessionQueueMessagesMax = 8
    const first = (await world.ready('s')).subscribe('t', 1)
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 3; i++) publisher.publish('t', String(i), { qos: 1 })
    await world.settle()
    first.drop()
    for (let i = 3; i < 50; i++) publisher.publish('t', String(i), { qos: 1 })
    await world.settle()
    const again = world.device().connect({ clientId: 's', ...lasting })
    expect(await receive(world, again)).toEqual([...range(0, 3), ...range(45, 50)])
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
  })

  it('counts bytes after a restart as before it, and what was never sent carries no DUP', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('long/topic/name', 1).drop()
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 3; i++) publisher.publish('long/topic/name', String(i), { qos: 1 })
    await world.settle()
    const next = await world.restart()
    const other = await next.ready('p', {})
    other.publish('long/topic/name', 'new', { qos: 1 })
    await next.settle()
    const again = next.device().connect({ clientId: 's', ...lasting })
    await next.settle()
    expect(again.takePublishes().map(({ payload, dup }) => [payload, dup])).toEqual([
      ['0', false],
      ['1', false],
      ['2', false],
      ['new', false],
    ])
    const { queue } = next.broker.defaultNamespace.sessions.get('s')!
    expect(queue.bytes).toBe(0)
    again.drop()
    expect(queue.bytes).toBe(4 * 'long/topic/name'.length + 3 + 'new'.length)
  })
})
