/** What is known to have been sent: it keeps its place in a full queue, does not expire, and carries DUP; the rest is as new. */
import { describe, expect, it } from 'vitest'
import type { Qos } from '../../src/mqtt/packet.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import type { Device } from './world.ts'

async function back(world: DurableWorld, clientId = 's'): Promise<Device> {
  const device = world.device().connect({ clientId, ...lasting })
  await world.settle()
  return device
}

async function publisherOf(world: DurableWorld): Promise<Device> {
  return world.ready('p', {})
}

describe('after a restart', () => {
  it.each([1, 2] as const)('at QoS %i what was sent carries DUP, and what was not does not', async (qos) => {
    const world = new DurableWorld()
    const subscriber = (await world.ready('s')).subscribe('t', qos)
    await world.settle()
    const publisher = await publisherOf(world)
    for (let i = 0; i < 3; i++) publisher.publish('t', `sent ${i}`, { qos })
    await world.settle()
    expect(subscriber.takePublishes()).toHaveLength(3)
    subscriber.drop()
    for (let i = 0; i < 3; i++) publisher.publish('t', `kept ${i}`, { qos })
    await world.settle()
    const again = await back(await world.restart())
    expect(again.takePublishes().map(({ payload, dup }) => [payload, dup])).toEqual([
      ...[0, 1, 2].map((i) => [`sent ${i}`, true]),
      ...[0, 1, 2].map((i) => [`kept ${i}`, false]),
    ])
  })

  it('[MQTT-3.3.2-5] what expired and was never sent is not delivered, what was sent is [MQTT-4.3.3-7]', async () => {
    const world = new DurableWorld()
    const subscriber = (await world.ready('s')).subscribe('t', 2)
    await world.settle()
    const publisher = await publisherOf(world)
    publisher.publish('t', 'sent', { qos: 2, expiry: 10 })
    await world.settle()
    expect(subscriber.takePublishes()).toHaveLength(1)
    subscriber.drop()
    publisher.publish('t', 'late', { qos: 2, expiry: 10 })
    publisher.publish('t', 'fresh', { qos: 2, expiry: 1000 })
    await world.settle()
    world.now += 60_000
    const next = await world.restart()
    const again = await back(next)
    expect(again.takePublishes().map(({ payload }) => payload)).toEqual(['sent', 'fresh'])
    expect(next.broker.counters.messagesDropped.get('expired')).toBe(1)
  })

  it('a full queue does not let go of a QoS 2 delivery that was sent', async () => {
    const world = new DurableWorld()
    const subscriber = (await world.ready('s')).subscribe('t', 2)
    await world.settle()
    const publisher = await publisherOf(world)
    for (let i = 0; i < 3; i++) publisher.publish('t', `sent ${i}`, { qos: 2 })
    await world.settle()
    const sent = subscriber.takePublishes().map(({ packetId, payload }) => [packetId, payload])
    const next = await world.restart()
    next.broker.options.sessionQueueMessagesMax = 5
    const other = await publisherOf(next)
    for (let i = 0; i < 20; i++) other.publish('t', `new ${i}`, { qos: 2, packetId: i + 1 })
    await next.settle()
    const again = await back(next)
    const received = again.takePublishes().map(({ packetId, payload }) => [packetId, payload])
    expect(received.slice(0, 3)).toEqual(sent)
    expect(received.map(([, payload]) => payload).slice(3)).toEqual(['new 18', 'new 19'])
  })

  it('a full queue with holes drops its oldest, one for each that comes', async () => {
    const world = new DurableWorld()
    world.broker.options.sessionQueueMessagesMax = 5
    const stuck = (await world.ready('s')).subscribe('t', 1)
    await world.settle()
    const publisher = await publisherOf(world)
    for (let i = 0; i < 100; i++) publisher.publish('t', String(i), { qos: 1 })
    await world.settle()
    expect(stuck.takePublishes()).toHaveLength(10)
    const next = await world.restart()
    next.broker.options.sessionQueueMessagesMax = 15
    const other = await publisherOf(next)
    for (let i = 100; i < 103; i++) {
      other.publish('t', String(i), { qos: 1 })
      await next.settle()
    }
    const again = await back(next)
    const received: string[] = []
    for (let round = 0; round < 5; round++) {
      received.push(...again.drain())
      await next.settle()
    }
    const expected = [...Array.from({ length: 10 }, (_, i) => i), 98, 99, 100, 101, 102].map(String)
    expect(received).toEqual(expected)
    expect(next.broker.counters.messagesDropped.get('queue_full')).toBe(3)
    expect(next.broker.gauges()).toMatchObject({ queuedMessages: 0, queuedBytes: 0, inflightMessages: 0 })
  })
})

describe('a QoS 2 delivery', () => {
  it('leaves when it is known as sent: not before the commit that says so', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 2).drop()
    const publisher = await publisherOf(world)
    for (let i = 0; i < 3; i++) publisher.publish('t', String(i), { qos: 2 })
    await world.settle()
    const again = world.device().connect({ clientId: 's', ...lasting })
    // CONNACK's commit, then the page.
    while (world.broker.defaultNamespace.sessions.get('s')!.queue.marked === 0) {
      world.turn()
      await world.store.finish()
    }
    expect(again.takePublishes()).toEqual([])
    const dead = await world.restart()
    expect(dead.broker.defaultNamespace.sessions.get('s')!.queue.recoveredSent).toBe(0)
    await world.settle()
    expect(again.takePublishes().map(({ payload }) => payload)).toEqual(['0', '1', '2'])
    expect((await world.restart()).broker.defaultNamespace.sessions.get('s')!.queue.recoveredSent).toBe(3)
  })

  it('that was known as sent, was not sent and expired is gone from the store before anything newer leaves', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 2).drop()
    const publisher = await publisherOf(world)
    publisher.publish('t', 'first', { qos: 1 })
    publisher.publish('t', 'expires', { qos: 2, expiry: 5 })
    publisher.publish('t', 'stays', { qos: 1 })
    await world.settle()
    const { queue } = world.broker.defaultNamespace.sessions.get('s')!
    const gone = world.device().connect({ clientId: 's', ...lasting })
    while (queue.marked < 2) {
      world.turn()
      await world.store.finish()
    }
    gone.drop()
    await world.settle()
    expect(gone.takePublishes().map(({ payload }) => payload)).toEqual(['first'])
    const again = world
      .device()
      .connect({ clientId: 's', ...lasting, properties: { ...lasting.properties, receiveMaximum: 1 } })
    await world.settle()
    world.now += 10_000
    again.acknowledge('puback', again.takePublishes()[0]!.packetId)
    world.turn()
    expect(world.broker.counters.messagesDropped.get('expired')).toBe(1)
    expect(again.takePublishes()).toEqual([])
    await world.settle()
    expect(again.takePublishes().map(({ payload }) => payload)).toEqual(['stays'])
  })
})

describe('the room in a queue', () => {
  async function stuckWith(policy: 'drop-oldest' | 'drop-newest', qos: Qos) {
    const world = new DurableWorld()
    Object.assign(world.broker.options, { sessionQueueMessagesMax: 3, sessionQueueFull: policy })
    const subscriber = (await world.ready('s')).subscribe('t', qos)
    await world.settle()
    return { world, subscriber, publisher: await publisherOf(world) }
  }

  it('is not taken by what is in flight', async () => {
    const { world, publisher } = await stuckWith('drop-newest', 1)
    Object.assign(world.broker.options, { sessionQueueMessagesMax: 100, sessionQueueBytesMax: 1000 })
    for (let i = 0; i < 10; i++) publisher.publish('t', 'x'.repeat(99), { qos: 1 })
    const { queue, window } = world.broker.defaultNamespace.sessions.get('s')!
    expect([window.inflight, queue.bytes]).toEqual([10, 0])
    for (let i = 0; i < 10; i++) publisher.publish('t', 'y'.repeat(99), { qos: 1 })
    expect([queue.waiting, queue.bytes]).toEqual([10, 1000])
    publisher.publish('t', 'z', { qos: 1 })
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(1)
  })

  it('is made by what a PUBREL stands before: the oldest message goes, not the newest', async () => {
    const { world, subscriber, publisher } = await stuckWith('drop-oldest', 2)
    publisher.publish('t', 'released', { qos: 2 })
    await world.settle()
    subscriber.acknowledge('pubrec', subscriber.takePublishes()[0]!.packetId)
    await world.settle()
    subscriber.drop()
    await world.settle()
    const next = await world.restart()
    next.broker.options.sessionQueueMessagesMax = 3
    const other = await publisherOf(next)
    for (let i = 0; i < 5; i++) other.publish('t', String(i), { qos: 2, packetId: i + 1 })
    await next.settle()
    const again = await back(next)
    expect(again.take().map((one) => (one.type === 'publish' ? one.payload : one.type))).toEqual([
      'connack',
      'pubrel',
      '2',
      '3',
      '4',
    ])
  })

  it.each(['connected', 'away'])('is given back by messages that expired while the client is %s', async (where) => {
    const { world, subscriber, publisher } = await stuckWith('drop-newest', 1)
    subscriber.link.full = true
    if (where === 'away') subscriber.drop()
    for (let i = 0; i < 3; i++) publisher.publish('t', `old ${i}`, { qos: 1, expiry: 5 })
    await world.settle()
    world.now += 10_000
    for (let i = 0; i < 4; i++) {
      publisher.publish('t', `new ${i}`, { qos: 1 })
      await world.settle()
    }
    const { counters } = world.broker
    const { sessions } = world.broker.defaultNamespace
    expect(counters.messagesDropped.get('expired')).toBe(3)
    expect(sessions.get('s')!.queue.waiting).toBe(3)
  })
})

describe('a full queue in which some messages expire', () => {
  it.each([1, 5])('drops or delivers every other message, and counts each once; %i come at a time', async (atATime) => {
    const world = new DurableWorld()
    world.broker.options.sessionQueueMessagesMax = 30
    ;(await world.ready('s')).subscribe('t', 1).drop()
    await world.settle()
    const publisher = await publisherOf(world)
    for (let i = 0; i < 30; i++) publisher.publish('t', String(i), { qos: 1, expiry: i % 7 === 3 ? 5 : 1000 + i })
    await world.settle()
    const next = await world.restart()
    next.broker.options.sessionQueueMessagesMax = 25
    const other = await publisherOf(next)
    for (let i = 30; i < 120; i++) {
      other.publish('t', String(i), { qos: 1, expiry: i % 5 === 0 ? 1 : 1000 })
      // The page that is asked for by one comes after the others.
      next.turn()
      if (i % atATime > 0) continue
      next.advance(1500)
      await next.settle()
    }
    const { counters } = next.broker
    const again = await back(next)
    const received: string[] = []
    for (let round = 0; round < 10; round++) {
      received.push(...again.drain())
      await next.settle()
    }
    const gone = counters.messagesDropped.get('queue_full') + counters.messagesDropped.get('expired')
    expect(received.length + gone).toBe(120)
    expect(received).toEqual([...received].sort((a, b) => Number(a) - Number(b)))
    expect(received.length).toBeGreaterThan(20)
    expect((await next.restart()).broker.gauges().queuedMessages).toBe(0)
  })
})

describe('a fault in the deliveries of one client', () => {
  it('does not keep those of the others from going on after a commit', () => {
    const { broker } = new DurableWorld()
    const pumped: string[] = []
    const faulty = {
      pump: () => {
        throw new Error('a fault of our own')
      },
    }
    broker.awaitCommit(faulty)
    broker.awaitCommit({ pump: () => pumped.push('other') })
    expect(() => broker.onCommit()).toThrow('a fault of our own')
    broker.onCommit()
    expect(pumped).toEqual(['other'])
  })
})
