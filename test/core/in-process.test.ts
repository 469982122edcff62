/** Subscribers inside the program: what waits for them, what they cost, and their share of a group. */
import { describe, expect, it } from 'vitest'
import { retainedStepsMax } from '../../src/core/cost.ts'
import {
  InProcessSubscriber,
  inProcessBytesMax,
  inProcessMessagesMax,
} from '../../src/core/subscriptions/in-process.ts'
import { lasting } from './durable-world.ts'
import { World } from './world.ts'

function subscriber(world: World, filter: string): InProcessSubscriber {
  const one = new InProcessSubscriber(world.broker, () => {})
  expect(one.subscribe(filter)).toBe(0)
  return one
}

function takeAll(one: InProcessSubscriber): string[] {
  const payloads: string[] = []
  for (let taken = one.take(); taken !== null; taken = one.take())
    payloads.push(Buffer.from(taken.message.payload).toString())
  return payloads
}

describe('a subscriber inside the program', () => {
  it('keeps so many messages and no more; the oldest go, counted', () => {
    const world = new World()
    const slow = subscriber(world, 't')
    const publisher = world.connected('p')
    for (let i = 0; i < inProcessMessagesMax + 5; i++) publisher.publish('t', String(i))
    expect(world.broker.counters.messagesDropped.get('slow_consumer')).toBe(5)
    expect(slow.load).toBe(inProcessMessagesMax)
    const taken = takeAll(slow)
    expect([taken[0], taken.length]).toEqual(['5', inProcessMessagesMax])
  })

  it('keeps so many bytes and no more', () => {
    const world = new World()
    const slow = subscriber(world, 't')
    const publisher = world.connected('p')
    for (let i = 0; i < 70; i++) publisher.publish('t', 'x'.repeat(1024 * 1024))
    expect(slow.bytes).toBeLessThanOrEqual(inProcessBytesMax)
    expect(world.broker.counters.messagesDropped.get('slow_consumer')).toBe(70 - slow.load)
    takeAll(slow)
    expect(slow.bytes).toBe(0)
  })

  it('gets retained messages as it asks for them, each as it is then, and none that has expired', () => {
    const world = new World()
    const publisher = world.connected('p')
    for (let i = 0; i < 3; i++) publisher.publish(`t/${i}`, 'old', { retain: true })
    const slow = subscriber(world, 't/#')
    expect(slow.load).toBe(0)
    publisher.publish('t/2', '', { retain: true })
    expect(takeAll(slow)).toEqual(['old', 'old', ''])
  })

  it('looks for retained messages over many turns, and gets them all before what was published since', () => {
    const world = new World()
    const { broker } = world
    const publisher = world.connected('p')
    for (let i = 0; i < 20_000; i++) publisher.publish(`a/${i}/x`, 'x', { retain: true })
    for (let i = 0; i < 3; i++) publisher.publish(`z/${i}/y`, `kept ${i}`, { retain: true })
    let told = 0
    const one = new InProcessSubscriber(broker, () => told++)
    one.subscribe('+/+/y')
    publisher.publish('z/4/y', 'live')
    const payloads: string[] = []
    let stepsMost = 0
    for (let turns = 0; turns < 20; turns++) {
      const { steps } = broker.cost
      payloads.push(...takeAll(one))
      stepsMost = Math.max(stepsMost, broker.cost.steps - steps)
      if (broker.turnWanted) broker.onTurn()
    }
    expect(payloads).toEqual(['kept 0', 'kept 1', 'kept 2', 'live'])
    expect(stepsMost).toBeLessThanOrEqual(retainedStepsMax + 10)
    expect(told).toBeGreaterThan(3)
  })

  it('does not get a message that expired while it waited', () => {
    const world = new World()
    const slow = subscriber(world, 't')
    world.connected('p').publish('t', 'x', { expiry: 1 })
    world.advance(2000)
    expect(takeAll(slow)).toEqual([])
    expect(world.broker.counters.messagesDropped.get('expired')).toBe(1)
  })

  it('is there for its share group while the other members are away', () => {
    const world = new World()
    world.connected('away', lasting).subscribe('$share/g/t', 1).drop()
    const inside = subscriber(world, '$share/g/t')
    const publisher = world.connected('p')
    for (let i = 0; i < 4; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(takeAll(inside)).toEqual(['0', '1', '2', '3'])
    expect(world.broker.gauges().queuedMessages).toBe(0)
  })

  it('leaves what it did not take to the other members of its group, and nothing else', () => {
    const world = new World()
    const inside = subscriber(world, '$share/g/t')
    expect(inside.subscribe('plain')).toBe(0)
    const publisher = world.connected('p')
    publisher.publish('t', 'shared', { qos: 1 })
    publisher.publish('plain', 'own', { qos: 1 })
    const other = world.connected('other', lasting).subscribe('$share/g/t', 1)
    other.take()
    inside.end()
    expect(other.drain()).toEqual(['shared'])
    expect(takeAll(inside)).toEqual(['own'])
    expect(world.broker.defaultNamespace.index.count).toBe(1)
  })
})
