/** At which level each batch is committed: what its records' connections ask for, and never less. */
import { describe, expect, it } from 'vitest'
import type { Authority, Verdict } from '../../src/core/ports/authority.ts'
import type { Message } from '../../src/core/publish/message.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import type { Durability } from '../../src/store/store.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import type { Device } from './world.ts'

/** A connected client whose own records are committed. */
async function client(world: DurableWorld, clientId: string, level: Durability, options: object = {}): Promise<Device> {
  const device = world.device(5, level).connect({ clientId, ...options })
  await world.settle()
  device.take()
  return device
}

/** A world with a durable subscriber that is away. */
async function worldWithSubscriber(qos: 1 | 2 = 2): Promise<DurableWorld> {
  const world = new DurableWorld()
  const subscriber = await client(world, 's', 'fsync', lasting)
  subscriber.subscribe('t', qos).drop()
  await world.settle()
  return world
}

/** The levels of the batches that `act` causes. */
async function levelsOf(world: DurableWorld, act: () => void): Promise<Durability[]> {
  const before = world.store.levels.length
  act()
  await world.settle()
  return world.store.levels.slice(before)
}

function message(name: string): Message {
  const bytes = new Uint8Array(0)
  const common = { payload: bytes, forwardProperties: bytes, publisher: '', publishedAt: 0, expiresAt: Infinity }
  return { id: 0, references: 0, holders: 0, topic: encodeUtf8(name), name, qos: 1, ...common }
}

const levels = ['none', 'process', 'fsync'] as const

describe('a batch is committed', () => {
  it.each(levels)("at %s where all its records are of that listener's publishers", async (level) => {
    const world = await worldWithSubscriber()
    const publisher = await client(world, 'p', level)
    expect(await levelsOf(world, () => publisher.publish('t', 'x', { qos: 1 }))).toEqual([level])
    expect(await levelsOf(world, () => publisher.publish('t', 'x', { qos: 0, retain: true }))).toEqual([level])
  })

  it.each(levels)('at %s for what a client of that listener changes of its own', async (level) => {
    const world = new DurableWorld()
    const device = world.device(5, level)
    expect(await levelsOf(world, () => device.connect({ clientId: 'c', ...lasting }))).toEqual([level])
    expect(await levelsOf(world, () => device.subscribe('t', 1))).toEqual([level])
    expect(await levelsOf(world, () => device.publish('x', 'x', { qos: 2, packetId: 7 }))).toEqual([level])
    expect(await levelsOf(world, () => device.acknowledge('pubrel', 7))).toEqual([level])
    expect(await levelsOf(world, () => device.unsubscribe('t'))).toEqual([level])
    expect(await levelsOf(world, () => device.drop())).toEqual([level])
  })

  it.each([
    ['none', 'process', 'process'],
    ['process', 'fsync', 'fsync'],
    ['fsync', 'none', 'fsync'],
  ] as const)('with publishers at %s and %s within one turn, at %s', async (first, second, strictest) => {
    const world = await worldWithSubscriber()
    const publishers = [await client(world, 'p1', first), await client(world, 'p2', second)]
    const act = () => {
      for (const publisher of publishers) publisher.publish('t', 'x', { qos: 1 })
    }
    expect(await levelsOf(world, act)).toEqual([strictest])
  })

  it('of several turns, at the strictest of them', async () => {
    const world = await worldWithSubscriber()
    const lax = await client(world, 'lax', 'none')
    const strict = await client(world, 'strict', 'fsync')
    const before = world.store.levels.length
    for (const publisher of [lax, lax, strict, lax]) {
      publisher.publish('t', 'x', { qos: 1 })
      world.turn()
    }
    expect(world.store.levels.slice(before)).toEqual(['none'])
    await world.settle()
    expect(world.store.levels.slice(before)).toEqual(['none', 'fsync'])
  })

  it('at the global level for what no connection causes: the program, and time', async () => {
    const world = await worldWithSubscriber()
    const will = {
      topic: 't',
      payload: encodeUtf8('gone'),
      qos: 1,
      retain: false,
      forwardProperties: new Uint8Array(0),
    }
    const delayed = { ...will, properties: { willDelayInterval: 10 } } as const
    const device = await client(world, 'c', 'none', { ...lasting, will: delayed })
    expect(await levelsOf(world, () => device.drop())).toEqual(['none'])
    expect(await levelsOf(world, () => world.advance(10_000))).toEqual(['fsync'])
    expect(await levelsOf(world, () => world.broker.publish(message('t'), false))).toEqual(['fsync'])
  })

  it("at the level of a client that is silent for too long, with its will and its session's end", async () => {
    const world = await worldWithSubscriber()
    await client(world, 'c', 'process', { ...lasting, keepAlive: 10 })
    expect(await levelsOf(world, () => world.advance(15_000))).toEqual(['process'])
  })

  it('at the level of a client for what is sent to it after a commit', async () => {
    const world = new DurableWorld()
    const publisher = await client(world, 'p', 'fsync')
    publisher.publish('t', 'x', { qos: 1, retain: true })
    const subscriber = await client(world, 's', 'none', lasting)
    const levels = await levelsOf(world, () => subscriber.subscribe('t', 1))
    expect(subscriber.takePublishes()).toHaveLength(1)
    expect(levels).toEqual(['none', 'none'])
  })

  it("at the strictest of a connection and the one that it takes over: CONNACK stands for both's changes", async () => {
    const world = new DurableWorld()
    const will = { topic: 't', payload: new Uint8Array(1), qos: 1, retain: true, forwardProperties: new Uint8Array(0) }
    await client(world, 'c', 'none', { will: { ...will, properties: {} } })
    const second = world.device(5, 'fsync')
    expect(await levelsOf(world, () => second.connect({ clientId: 'c' }))).toEqual(['fsync'])
  })

  it("at the listener's level for a CONNECT that the authenticator answers later", async () => {
    let answer: (verdict: Verdict) => void = () => {}
    const authority: Authority = {
      authenticate: (_packet, _address, done) => (answer = done),
      beginExchange: () => null,
    }
    const world = new DurableWorld()
    Object.assign(world.broker, { authority })
    const device = world.device(5, 'none').connect({ clientId: 'c', ...lasting })
    expect(await levelsOf(world, () => answer({ reasonCode: 0 }))).toEqual(['none'])
    expect(device.take()).toMatchObject([{ type: 'connack' }])
  })
})

describe('a QoS 2 delivery, which is not sent before its commit, asks for the level of its recipient', () => {
  it.each([
    ['none', 'fsync', 2, 'fsync'],
    ['none', 'process', 2, 'process'],
    ['fsync', 'none', 2, 'fsync'],
    ['none', 'fsync', 1, 'none'],
  ] as const)('publisher at %s, recipient at %s, QoS %i: %s', async (from, to, qos, level) => {
    const world = new DurableWorld()
    const subscriber = await client(world, 's', to, lasting)
    subscriber.subscribe('t', qos)
    const publisher = await client(world, 'p', from)
    expect(await levelsOf(world, () => publisher.publish('t', 'x', { qos: 2 }))).toEqual([level])
    expect(subscriber.takePublishes()).toHaveLength(1)
  })
})

it('after a power cut no message gets the packet identifier under which another was sent at QoS 2', async () => {
  const world = new DurableWorld()
  const subscriber = await client(world, 's', 'fsync', lasting)
  subscriber.subscribe('t', 2)
  const publisher = await client(world, 'p', 'none')
  publisher.publish('t', 'first', { qos: 2 })
  await world.settle()
  const [first] = subscriber.takePublishes()
  const after = await world.restart(await world.store.cut(world.store.safe('fsync')))
  const again = after.device(5, 'fsync').connect({ clientId: 's', ...lasting })
  const strict = await client(after, 'strict', 'fsync')
  strict.publish('t', 'second', { qos: 2 })
  await after.settle()
  const second = again.takePublishes().find(({ payload }) => payload === 'second')
  expect(second?.packetId).not.toBe(first?.packetId)
})

it('what is stored does not depend on the level', async () => {
  const batchesAt = async (level: Durability) => {
    const world = await worldWithSubscriber()
    const publisher = world.device(5, level).connect({ clientId: 'p', ...lasting })
    world.turn()
    publisher.subscribe('other', 1)
    publisher.publish('t', 'one', { qos: 1, retain: true })
    publisher.publish('t', 'two', { qos: 2, packetId: 9 })
    world.turn()
    publisher.acknowledge('pubrel', 9)
    world.turn()
    publisher.drop()
    await world.settle()
    return world.store.batches.map((batch) => Buffer.from(batch).toString('hex'))
  }
  expect(await batchesAt('none')).toEqual(await batchesAt('fsync'))
})

it('of two retained changes of one topic within a turn the level of the stricter stands', async () => {
  const world = new DurableWorld()
  const strict = await client(world, 'strict', 'fsync')
  const lax = await client(world, 'lax', 'none')
  const act = () => {
    strict.publish('t', 'a', { qos: 1, retain: true })
    lax.publish('t', 'b', { qos: 1, retain: true })
  }
  expect(await levelsOf(world, act)).toEqual(['fsync'])
})

it('a fault of our own while a connection is served leaves the level of others as it was', async () => {
  const world = await worldWithSubscriber()
  const device = await client(world, 'c', 'none')
  const { publication } = world.broker
  const begin = publication.beginFrame
  publication.beginFrame = () => {
    throw new Error('a bug')
  }
  expect(() => device.publish('t', 'x', { qos: 1 })).toThrow('a bug')
  publication.beginFrame = begin
  expect(await levelsOf(world, () => world.broker.publish(message('t'), false))).toEqual(['fsync'])
})
