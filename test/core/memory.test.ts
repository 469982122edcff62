/** What goes away leaves nothing behind: memory does not grow with what was, only with what is. */
import { describe, expect, it } from 'vitest'
import { DurableWorld } from './durable-world.ts'
import { World } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

describe('what goes away leaves nothing behind', () => {
  it('a retained message with an expiry that is replaced or removed leaves no deadline', () => {
    const world = new World()
    const publisher = world.connected('p')
    const before = world.broker.deadlines.size
    for (let i = 0; i < 100; i++) publisher.publish('t', String(i), { retain: true, expiry: 3600 })
    expect(world.broker.deadlines.size).toBe(before + 1)
    publisher.publish('t', '', { retain: true })
    expect(world.broker.deadlines.size).toBe(before)
    publisher.publish('t', 'x', { retain: true, expiry: 10 })
    world.advance(10_000)
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
    expect(world.broker.deadlines.size).toBe(before)
  })

  it('nor after a restart', async () => {
    const world = new DurableWorld()
    ;(await world.ready('p', {})).publish('t', 'x', { retain: true, expiry: 3600 })
    await world.settle()
    const next = await world.restart()
    const publisher = await next.ready('p', {})
    publisher.publish('t', 'x', { retain: true, expiry: 3600 })
    expect(next.broker.deadlines.size).toBe(1)
    publisher.publish('t', '', { retain: true })
    expect(next.broker.deadlines.size).toBe(0)
  })

  it.each([0, 5])('positions of dropped messages, with %i in flight when the client left', (inflight) => {
    const count = inflight === 0 ? 10_000 : 300_000
    const world = new World({ sessionQueueMessagesMax: 20, inflightMessagesMax: Math.max(1, inflight) })
    const subscriber = world.connected('s', lasting).subscribe('t', 1)
    const publisher = world.connected('p')
    for (let i = 0; i < inflight; i++) publisher.publish('t', `flying ${i}`, { qos: 1 })
    subscriber.drop()
    for (let i = 0; i < count; i++) publisher.publish('t', String(i), { qos: 1, packetId: 1 })
    const { queue } = world.broker.defaultNamespace.sessions.get('s')!
    expect(queue.waiting).toBe(20)
    expect(queue.slots).toBeLessThanOrEqual(inflight === 0 ? 64 : 262_144)
    const again = world.device().connect({ clientId: 's', ...lasting })
    const flying = Array.from({ length: inflight }, (_, i) => `flying ${i}`)
    const waiting = Array.from({ length: 20 - inflight }, (_, i) => String(count - 20 + inflight + i))
    expect(again.drain()).toEqual([...flying, ...waiting])
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
  })

  it('positions of messages dropped while the client reads and acknowledges nothing', () => {
    const world = new World({ sessionQueueMessagesMax: 20, inflightMessagesMax: 5 })
    const subscriber = world.connected('s').subscribe('t', 1)
    const publisher = world.connected('p')
    for (let i = 0; i < 300_000; i++) publisher.publish('t', String(i), { qos: 1, packetId: 1 })
    expect(world.broker.defaultNamespace.sessions.get('s')!.queue.slots).toBeLessThanOrEqual(262_144)
    const last = Array.from({ length: 20 }, (_, i) => String(299_980 + i))
    expect(subscriber.drain()).toEqual(['0', '1', '2', '3', '4', ...last])
    expect(world.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
    expect(world.broker.counters.unknownAcknowledgements).toBe(0)
  })

  it('the queue of an ended session, though the route of a topic that nobody publishes to still names it', () => {
    const world = new World()
    world.connected('s', lasting).subscribe('t/#', 1).drop()
    const publisher = world.connected('p')
    for (let i = 0; i < 1000; i++) publisher.publish('t/1', 'x', { qos: 1 })
    const { queue } = world.broker.defaultNamespace.sessions.get('s')!
    world.advance(3_600_000)
    expect(world.broker.defaultNamespace.sessions.has('s')).toBe(false)
    expect(queue.slots).toBe(0)
    expect(queue).toMatchObject({ waiting: 0, bytes: 0 })
  })
})
