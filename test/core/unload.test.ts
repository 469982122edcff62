/** A stored session whose client has left: what it had in memory is in the store alone, and comes back as it was. */
import { describe, expect, it } from 'vitest'
import { DurableWorld, lasting } from './durable-world.ts'
import type { Device } from './world.ts'

const body = (text: string) => `${text} ${'x'.repeat(1000)}`
const words = (device: Device) =>
  device.takePublishes().map(({ payload, packetId, dup }) => [payload.split(' ')[0], packetId, dup])

async function scene(sent: number, qos: 1 | 2 = 1) {
  const world = new DurableWorld()
  const subscriber = (await world.ready('s')).subscribe('t', qos)
  await world.settle()
  const publisher = await world.ready('p', {})
  for (let i = 0; i < sent; i++) publisher.publish('t', body(`m${i}`), { qos })
  await world.settle()
  const session = world.broker.defaultNamespace.sessions.get('s')!
  return { world, subscriber, publisher, session, held: () => world.broker.budgets.queueBytes.used }
}

async function back(world: DurableWorld): Promise<Device> {
  const device = world.device().connect({ clientId: 's', ...lasting })
  await world.settle()
  return device
}

describe('a session whose client leaves', () => {
  it.each([1, 2] as const)('keeps nothing in memory, and at QoS %i is sent all again, in order', async (qos) => {
    const { world, subscriber, publisher, session, held } = await scene(13, qos)
    expect(words(subscriber)).toHaveLength(10)
    expect(held()).toBeGreaterThan(10_000)
    subscriber.drop()
    await world.settle()
    expect(held()).toBe(0)
    expect(session.queue).toMatchObject({ resident: 0, residentBytes: 0, waiting: 13, slots: 0 })
    publisher.publish('t', body('later'), { qos })
    await world.settle()
    const again = await back(world)
    expect(words(again)).toEqual(Array.from({ length: 10 }, (_, i) => [`m${i}`, i + 1, true]))
    if (qos === 2) return
    for (let i = 0; i < 10; i++) again.acknowledge('puback', i + 1)
    await world.settle()
    expect(words(again)).toEqual([
      ['m10', 11, false],
      ['m11', 12, false],
      ['m12', 13, false],
      ['later', 14, false],
    ])
    for (let i = 10; i < 14; i++) again.acknowledge('puback', i + 1)
    await world.settle()
    expect(session.queue).toMatchObject({ waiting: 0, bytes: 0, residentBytes: 0 })
    expect(held()).toBe(0)
  })

  it('keeps it until it is committed, and altogether if the client is back by then', async () => {
    const { world, subscriber, session, held } = await scene(6)
    const before = held()
    subscriber.drop()
    expect(held()).toBe(before)
    const again = world.device().connect({ clientId: 's', ...lasting })
    await world.settle()
    expect(session.queue.resident + session.window.inflight).toBe(6)
    expect(words(again)).toHaveLength(6)
    expect(held()).toBe(before)
  })

  it('has holes where something was acknowledged, and releases what was released', async () => {
    const { world, subscriber, session } = await scene(8, 2)
    subscriber.take()
    subscriber.acknowledge('pubrec', 2)
    subscriber.acknowledge('pubrec', 4)
    await world.settle()
    subscriber.acknowledge('pubcomp', 4)
    await world.settle()
    subscriber.drop()
    await world.settle()
    expect(session.queue.resident).toBe(0)
    const again = await back(world)
    const seen = again.take().map((packet) => [packet.type, 'packetId' in packet ? packet.packetId : 0])
    expect(seen).toEqual([
      ['connack', 0],
      ['publish', 1],
      ['pubrel', 2],
      ...[3, 5, 6, 7, 8].map((id) => ['publish', id]),
    ])
    for (const id of [1, 3, 5, 6, 7, 8]) again.acknowledge('pubrec', id)
    await world.settle()
    for (const id of [1, 2, 3, 5, 6, 7, 8]) again.acknowledge('pubcomp', id)
    await world.settle()
    expect(session.queue).toMatchObject({ waiting: 0, bytes: 0, base: session.queue.nextPosition })
  })

  it('does not forget what was sent: a full queue keeps it, and it does not expire', async () => {
    const { world, subscriber, publisher, session } = await scene(10)
    subscriber.take()
    subscriber.drop()
    await world.settle()
    Object.assign(world.broker.options, { sessionQueueMessagesMax: 12 })
    for (let i = 0; i < 4; i++) publisher.publish('t', body(`later${i}`), { qos: 1 })
    await world.settle()
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(2)
    expect(session.queue.waiting).toBe(12)
    const again = await back(world)
    for (let i = 0; i < 10; i++) again.acknowledge('puback', i + 1)
    await world.settle()
    const got = words(again)
    expect(got.slice(0, 10).every(([, , dup]) => dup)).toBe(true)
    expect(got.slice(10).map(([word]) => word)).toEqual(['later2', 'later3'])
  })

  it('keeps a few small messages, for a client that is back in a moment', async () => {
    const world = new DurableWorld()
    const subscriber = (await world.ready('s')).subscribe('t', 1)
    await world.settle()
    const publisher = await world.ready('p', {})
    for (let i = 0; i < 3; i++) publisher.publish('t', `m${i}`, { qos: 1 })
    await world.settle()
    subscriber.drop()
    await world.settle()
    expect(world.broker.defaultNamespace.sessions.get('s')!.queue.resident).toBe(3)
    Object.assign(world.broker.budgets.queueBytes, { max: 1000 })
    const again = await back(world)
    expect(words(again)).toHaveLength(3)
    again.drop()
    await world.settle()
    expect(world.broker.defaultNamespace.sessions.get('s')!.queue.resident).toBe(0)
  })

  it('hands over to its share group first, and then keeps nothing of the rest', async () => {
    const { world, subscriber, publisher, session, held } = await scene(6)
    subscriber.subscribe('$share/g/u', 1)
    await world.settle()
    for (let i = 0; i < 3; i++) publisher.publish('u', body(`u${i}`), { qos: 1 })
    await world.settle()
    const other = (await world.ready('o')).subscribe('$share/g/u', 1)
    await world.settle()
    other.take()
    subscriber.drop()
    await world.settle()
    expect(words(other).map(([word]) => word)).toEqual(['u0', 'u1', 'u2'])
    for (let i = 0; i < 3; i++) other.acknowledge('puback', i + 1)
    await world.settle()
    expect(session.queue).toMatchObject({ waiting: 6, resident: 0 })
    expect(held()).toBe(0)
  })
})
