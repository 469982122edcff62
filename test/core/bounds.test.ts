/** What one packet may cost: steps and bytes in proportion to it, and what costs more in pieces. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Broker } from '../../src/core/broker.ts'
import { retainedStepsMax, workStepsMax } from '../../src/core/cost.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import { Session } from '../../src/core/session/session.ts'
import { Subscription } from '../../src/core/subscriptions/subscription-index.ts'
import { isValidTopicName, parseTopicFilter, topicMatchesFilter } from '../../src/mqtt/topic.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { type Device, World } from './world.ts'

/** Filters of so many levels, each `a` or `+`, which all match a/a/a/... */
function overlapping(levels: number): string[] {
  return Array.from({ length: 2 ** levels }, (_, bits) =>
    Array.from({ length: levels }, (_, level) => ((bits >> level) & 1 ? '+' : 'a')).join('/'),
  )
}

function subscribeAll(device: Device, filters: readonly string[], identifier = 0): void {
  const properties = identifier > 0 ? { subscriptionIdentifiers: [identifier] } : {}
  for (const filter of filters) device.subscribe(filter, 0, {}, properties)
  device.take()
}

describe('overlapping subscriptions', () => {
  it('of 32,768 filters that one topic matches become one delivery in as many steps', () => {
    const world = new World()
    const device = world.connected('s')
    subscribeAll(device, overlapping(15))
    const before = world.broker.cost.steps
    const topic = Array.from({ length: 15 }, () => 'a').join('/')
    world.connected('p').publish(topic, 'x')
    expect(device.takePublishes()).toHaveLength(1)
    expect(world.broker.cost.steps - before).toBeLessThan(3 * 32_768)
  })

  it('keep the highest QoS and all identifiers, and without No Local what is left for the publisher', () => {
    const world = new World()
    const device = world.connected('s')
    for (const [filter, qos, identifier] of [
      ['a/b', 0, 1],
      ['a/+', 2, 2],
      ['+/b', 1, 3],
    ] as const) {
      device.subscribe(filter, qos, { noLocal: filter === 'a/+' }, { subscriptionIdentifiers: [identifier] })
    }
    device.take()
    world.connected('p').publish('a/b', 'other', { qos: 2, packetId: 1 })
    const [one] = device.takePublishes()
    expect(one!.qos).toBe(2)
    expect([...one!.properties.subscriptionIdentifiers!].sort()).toEqual([1, 2, 3])
    for (const payload of ['own', 'again']) {
      device.publish('a/b', payload, { qos: 2 })
      const [own] = device.takePublishes()
      expect(own).toMatchObject({ qos: 1, payload, properties: { subscriptionIdentifiers: [1, 3] } })
    }
  })
})

const levels = fc.array(fc.constantFrom('', 'a', 'b', '+', '#', '$x'), { minLength: 1, maxLength: 5 })
const filters = levels.map((all) => all.join('/')).filter((filter) => parseTopicFilter(filter) !== undefined)
const topics = levels.map((all) => all.join('/')).filter(isValidTopicName)

describe('the subscription index', () => {
  it('finds what section 4.7 says, whatever came and went', () => {
    const property = fc.property(
      fc.uniqueArray(filters, { maxLength: 30 }),
      fc.array(fc.boolean(), { minLength: 30, maxLength: 30 }),
      fc.array(topics, { maxLength: 10 }),
      (all, removed, names) => {
        const broker = new Broker(defaultBrokerOptions)
        const { index } = broker.defaultNamespace
        const subscriptions = all.map(
          (filter, i) => new Subscription(new Session(i, `${i}`, 5, broker.defaultNamespace), filter),
        )
        for (const one of subscriptions) index.add(one, parseTopicFilter(one.filter)!)
        const live = subscriptions.filter((one, i) => {
          if (removed[i]) index.remove(one)
          return !removed[i]
        })
        for (const topic of names) {
          const found = index.match(topic).recipients.map((one) => one.filter)
          const expected = live.map((one) => one.filter).filter((filter) => topicMatchesFilter(filter, topic))
          expect(found.sort()).toEqual(expected.sort())
        }
        for (const one of live) index.remove(one)
        expect(index.count).toBe(0)
        expect(index.bytes).toBe(0)
      },
    )
    fc.assert(property)
  })

  it('holds a filter of 200 levels in about its own bytes', () => {
    const broker = new Broker(defaultBrokerOptions)
    const { index } = broker.defaultNamespace
    const deep = `${Array.from({ length: 198 }, () => 'a').join('/')}/+`
    for (let i = 0; i < 100; i++) {
      const filter = `${i}/${deep}`
      index.add(new Subscription(new Session(i, '', 5, broker.defaultNamespace), filter), parseTopicFilter(filter)!)
    }
    expect(index.bytes).toBeLessThan(100 * 3 * deep.length)
  })
})

describe('retained messages for a subscription', () => {
  it('are those that section 4.7 says, though others come and go while they are taken', () => {
    const change = fc.record({ topic: topics, remove: fc.boolean() })
    const property = fc.property(
      fc.uniqueArray(topics, { maxLength: 30 }),
      filters,
      fc.array(change, { maxLength: 30 }),
      fc.integer({ min: 1, max: 3 }),
      (names, filter, changes, pace) => {
        const { broker } = new World()
        const message = (name: string) => ({ ...blank, name, topic: encodeUtf8(name) })
        for (const name of names) broker.defaultNamespace.retained.set(name, message(name))
        const scan = broker.defaultNamespace.retained.match(filter)
        const taken: string[] = []
        const touched = new Set<string>()
        const left = [...changes]
        while (!scan.done) {
          const next = scan.next(broker.cost.steps + pace)
          if (next !== null) taken.push(next.name)
          const change = left.shift()
          if (change === undefined) continue
          touched.add(change.topic)
          broker.defaultNamespace.retained.set(change.topic, change.remove ? null : message(change.topic))
        }
        const untouched = taken.filter((name) => !touched.has(name))
        expect(new Set(untouched).size).toBe(untouched.length)
        for (const name of taken) expect(topicMatchesFilter(filter, name)).toBe(true)
        const due = names.filter((name) => !touched.has(name) && topicMatchesFilter(filter, name))
        expect(taken).toEqual(expect.arrayContaining(due))
      },
    )
    const examples: [string[], string, [], number][] = [
      [['a', 'b'], '+', [], 1],
      [['a', 'b/a'], '+', [], 1],
    ]
    fc.assert(property, { numRuns: 500, examples })
  })

  it('are looked for in pieces, by nodes visited, though nothing matches', () => {
    const world = new World()
    const publisher = world.connected('p')
    for (let i = 0; i < 20_000; i++) publisher.publish(`a/${i}/b`, 'x', { retain: true })
    publisher.publish('a/b/c/x', 'found', { retain: true })
    const devices = Array.from({ length: 10 }, (_, i) => world.connected(`s${i}`))
    for (const device of devices) {
      const before = world.broker.cost.steps
      device.subscribe('+/+/+/x')
      expect(world.broker.cost.steps - before).toBeLessThan(retainedStepsMax + 300)
    }
    while (world.broker.turnWanted) {
      const before = world.broker.cost.steps
      world.broker.onTurn()
      expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax + retainedStepsMax + 300)
    }
    for (const device of devices) expect(device.takePublishes().map((one) => one.payload)).toEqual(['found'])
  })

  it('of 200 levels take about their own bytes', () => {
    const world = new World()
    const publisher = world.connected('p')
    const deep = Array.from({ length: 199 }, () => 'a').join('/')
    for (let i = 0; i < 100; i++) publisher.publish(`${i}/${deep}`, 'x', { retain: true })
    expect(world.broker.defaultNamespace.retained.memoryBytes).toBeLessThan(100 * (1000 + 3 * deep.length))
  })
})

const blank = {
  id: 0,
  payload: new Uint8Array(0),
  forwardProperties: new Uint8Array(0),
  qos: 0,
  expiresAt: Infinity,
  publisher: '',
  publishedAt: 0,
  references: 0,
  holders: 0,
} as const

describe('the route cache', () => {
  /** Bucket of a topic in a cache of 1,024 entries whose seed is known. */
  function bucketOf(topic: string): number {
    let hash = 0x811c9dc5
    for (const byte of encodeUtf8(topic)) hash = Math.imul(hash ^ byte, 0x01000193)
    return (hash ^ (hash >>> 15)) & 1023
  }

  it('compares a topic with a few others at most, though all were chosen to fall into one bucket', () => {
    const world = new World({ routeCacheEntriesMax: 1024 })
    const publisher = world.connected('p')
    for (let i = 0, found = 0; found < 100; i++) {
      if (bucketOf(`t/${i}`) !== 7) continue
      found++
      publisher.publish(`t/${i}`, 'x')
    }
    expect(world.broker.topics.size).toBe(8)
  })

  it('falls into other buckets with another seed', () => {
    const world = new World({ routeCacheEntriesMax: 1024 }, { hashSeed: 12345 })
    const publisher = world.connected('p')
    for (let i = 0, found = 0; found < 100; i++) {
      if (bucketOf(`t/${i}`) !== 7) continue
      found++
      publisher.publish(`t/${i}`, 'x')
    }
    expect(world.broker.topics.size).toBeGreaterThan(80)
  })

  it('stays within its bytes, which grow with the recipients, and routes stay right', () => {
    const routeCacheBytesMax = 100_000
    const world = new World({ routeCacheBytesMax })
    const devices = Array.from({ length: 300 }, (_, i) => world.connected(`s${i}`).subscribe('#'))
    const publisher = world.connected('p')
    for (let i = 0; i < 500; i++) {
      publisher.publish(`t/${i % 100}`, 'x')
      expect(world.broker.topics.bytes).toBeLessThanOrEqual(routeCacheBytesMax)
    }
    expect(world.broker.counters.routeCacheEvictions).toBeGreaterThan(0)
    for (const device of devices) expect(device.takePublishes()).toHaveLength(500)
    devices[0]!.unsubscribe('#').take()
    for (let i = 0; i < 100; i++) publisher.publish(`t/${i}`, 'x')
    expect(devices[0]!.take()).toEqual([])
  })

  it('keeps what is used again, and lets go what came once', () => {
    const world = new World({ routeCacheEntriesMax: 64 })
    const [hot, cold] = [world.connected('hot'), world.connected('cold')]
    for (let i = 0; i < 10_000; i++) {
      hot.publish('hot', 'x')
      cold.publish(`cold/${i}`, 'x')
    }
    expect(world.broker.counters.routeCacheMisses).toBeLessThan(10_000 + 100)
  })
})

describe('a session that ends', () => {
  it('with many subscriptions lets them go in pieces, and gets nothing meanwhile', () => {
    const world = new World()
    const device = world.connected('s', { properties: { sessionExpiryInterval: 100 } })
    for (let i = 0; i < 12_000; i++) device.subscribe(i % 2 === 0 ? `t/${i}` : `t/${i}/+`, 1)
    device.take()
    device.drop()
    const before = world.broker.cost.steps
    world.advance(100_000)
    expect(world.broker.defaultNamespace.sessions.size).toBe(0)
    expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax + 100)
    expect(world.broker.defaultNamespace.index.count).toBeGreaterThan(0)
    const publisher = world.connected('p')
    publisher.publish('t/11998', 'x', { qos: 1 })
    expect(world.broker.gauges().queuedMessages).toBe(0)
    while (world.broker.turnWanted) {
      const before = world.broker.cost.steps
      world.broker.onTurn()
      expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax)
    }
    expect(world.broker.defaultNamespace.index.count).toBe(0)
    expect(world.broker.defaultNamespace.index.bytes).toBe(0)
  })

  it('leaves 10,000 share groups in pieces, of which one has something to hand over', () => {
    const world = new World()
    const device = world.connected('s', { properties: { sessionExpiryInterval: 100 } })
    for (let i = 0; i < 10_000; i++) device.subscribe(`$share/g/t/${i}`, 1)
    device.take()
    device.drop()
    const publisher = world.connected('p')
    publisher.publish('t/9999', 'x', { qos: 1 })
    const other = world.connected('o', { properties: { sessionExpiryInterval: 1000 } }).subscribe('$share/g/t/9999', 1)
    other.take()
    const before = world.broker.cost.steps
    world.advance(100_000)
    expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax + 100)
    expect(other.takePublishes()).toMatchObject([{ payload: 'x' }])
    expect(world.broker.defaultNamespace.index.sharedCount).toBeGreaterThan(1)
    publisher.publish('t/9998', 'x', { qos: 1 })
    expect(world.broker.gauges().queuedMessages).toBe(0)
    while (world.broker.turnWanted) {
      const before = world.broker.cost.steps
      world.broker.onTurn()
      expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax)
    }
    expect(other.takePublishes()).toEqual([])
    expect(world.broker.defaultNamespace.index.sharedCount).toBe(1)
  })

  it('hands over in pieces what a long queue has, though most is not for the group', () => {
    const world = new World()
    const device = world.connected('s', { properties: { sessionExpiryInterval: 100 } }).subscribe('own', 1)
    device.subscribe('$share/g/t', 1).drop()
    const publisher = world.connected('p')
    for (let i = 0; i < 30_000; i++) publisher.publish('own', 'x', { qos: 1 })
    publisher.publish('t', 'shared', { qos: 1 })
    const other = world.connected('o').subscribe('$share/g/t', 1)
    other.take()
    const before = world.broker.cost.steps
    world.advance(100_000)
    expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax)
    expect(other.takePublishes()).toEqual([])
    while (world.broker.turnWanted) world.broker.onTurn()
    expect(other.drain()).toEqual(['shared'])
  })
})
