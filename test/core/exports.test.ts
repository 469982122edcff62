/** What a namespace exports to another: only that, below its prefix, to be read; and as safe as it was. */
import { describe, expect, it } from 'vitest'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { World } from './world.ts'

const rule = { from: 'plant', to: 'default', filter: 'line/#', prefix: 'plant/' }
const options = { namespaces: { plant: {}, lab: {} }, exports: [rule] }

const seen = (device: { takePublishes(): { topic: string; payload: string }[] }) =>
  device.takePublishes().map(({ topic, payload }) => `${topic} ${payload}`)

describe('an export', () => {
  it('brings what its filter matches below its prefix, and nothing else, and nothing back', () => {
    const world = new World(options)
    const here = world.connected('h')
    const there = world.connected('t', {}, 'plant')
    for (const device of [here, there]) device.subscribe('#', 2).take()
    there.publish('line/1', 'a', { qos: 1 })
    there.publish('secret', 'b')
    here.publish('line/1', 'c')
    expect(seen(here)).toEqual(['plant/line/1 a', 'line/1 c'])
    expect(seen(there)).toEqual(['line/1 a', 'secret b'])
  })

  it('brings a message once though several of its filters match, and on to a third namespace', () => {
    const more = [rule, { ...rule, filter: '#' }, { from: 'default', to: 'lab', filter: '#', prefix: 'all/' }]
    const world = new World({ ...options, exports: more })
    const here = world.connected('h').subscribe('#')
    const lab = world.connected('l', {}, 'lab').subscribe('#')
    world.connected('t', {}, 'plant').publish('line/1', 'a')
    expect(seen(here)).toEqual(['plant/line/1 a'])
    expect(seen(lab)).toEqual(['all/plant/line/1 a'])
  })

  it('is read only where it goes: PUBLISH and will below its prefix are refused', () => {
    const world = new World(options)
    const here = world.connected('h')
    here.publish('plant/line/1', 'forged', { qos: 1 })
    expect(here.take()).toMatchObject([{ type: 'puback', reasonCode: 0x87 }])
    const none = { properties: {}, forwardProperties: new Uint8Array(0) }
    const will = { topic: 'plant/x', payload: encodeUtf8('w'), qos: 0 as const, retain: false, ...none }
    expect(world.device().connect({ clientId: 'w', will }).take()).toMatchObject([{ reasonCode: 0x87 }])
    const there = world.connected('t', {}, 'plant')
    there.publish('plant/line/1', 'mine', { qos: 1 })
    expect(there.take()).toMatchObject([{ reasonCode: 0x10 }])
  })

  it('leaves out what would have a longer topic there than MQTT carries, and counts it', () => {
    const world = new World(options)
    const here = world.connected('h').subscribe('#')
    here.take()
    const there = world.connected('t', {}, 'plant')
    there.publish(`line/${'x'.repeat(65_530)}`, 'long', { qos: 1, retain: true })
    expect(there.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    expect(seen(here)).toEqual([])
    expect(world.broker.counters.messagesDropped.get('export_refused')).toBe(1)
  })

  it('brings retained messages, their end, and after a restart those that are there', async () => {
    const before = new DurableWorld(undefined, undefined, undefined, {}, { exports: [rule] })
    const publisher = await before.ready('p', {}, 'plant')
    publisher.publish('line/1', 'one', { retain: true })
    publisher.publish('line/2', 'two', { retain: true })
    publisher.publish('line/2', '', { retain: true })
    await before.settle()
    const topics = ({ broker }: DurableWorld) =>
      ['plant/line/1', 'plant/line/2', 'line/1'].filter((topic) => broker.defaultNamespace.retained.get(topic) !== null)
    expect(topics(before)).toEqual(['plant/line/1'])
    expect(topics(await before.restart(undefined, {}))).toEqual([])
    const world = await before.restart()
    expect(topics(world)).toEqual(['plant/line/1'])
    const reader = await world.ready('r', lasting)
    reader.subscribe('plant/#', 1)
    await world.settle()
    expect(reader.takePublishes()).toMatchObject([{ topic: 'plant/line/1', payload: 'one', retain: true }])
  })

  it('hides what was retained below its prefix before it, until it ends', async () => {
    const before = new DurableWorld()
    const publisher = await before.ready('p')
    publisher.publish('plant/line/9', 'older', { retain: true, qos: 1 })
    await before.settle()
    const isThere = ({ broker }: DurableWorld) => broker.defaultNamespace.retained.get('plant/line/9') !== null
    const during = await before.restart(undefined, { ...options })
    expect(isThere(during)).toBe(false)
    expect(isThere(await during.restart(undefined, {}))).toBe(true)
  })

  it('holds the acknowledgement of its publisher until what it brought is stored', async () => {
    const world = new DurableWorld(undefined, undefined, undefined, {}, { exports: [rule] })
    const reader = await world.ready('r', lasting)
    reader.subscribe('plant/#', 1)
    await world.settle()
    reader.drop()
    const publisher = await world.ready('p', {}, 'plant')
    publisher.publish('line/1', 'kept', { qos: 1 })
    world.turn()
    expect(publisher.take()).toEqual([])
    await world.settle()
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    const next = await world.restart()
    const back = next.device().connect({ clientId: 'r', ...lasting })
    await next.settle()
    expect(seen(back)).toEqual(['plant/line/1 kept'])
  })

  it('is refused to its publisher where a queue there is full and the policy is to reject', () => {
    const world = new World({ ...options, sessionQueueFull: 'reject', sessionQueueMessagesMax: 1 })
    world.connected('r', lasting).subscribe('plant/#', 1).drop()
    const publisher = world.connected('p', {}, 'plant')
    for (const payload of ['a', 'b']) publisher.publish('line/1', payload, { qos: 1 })
    expect(publisher.take()).toMatchObject([{ reasonCode: 0 }, { reasonCode: 0x97 }])
  })

  it('that can not be taken where it goes is counted there', () => {
    const world = new World({ ...options, topicLevelsMax: 2 })
    const publisher = world.connected('p', {}, 'plant')
    publisher.publish('line/1', 'x', { qos: 1 })
    expect(publisher.take()).toMatchObject([{ reasonCode: 0 }])
    expect(world.broker.counters.messagesDropped.get('export_refused')).toBe(1)
  })

  it('is no subscription of a client: it counts for no quota', () => {
    const world = new World({ ...options, namespaces: { plant: { subscriptionsMax: 1 } } })
    expect(world.broker.namespace('plant').gauges().subscriptions).toBe(0)
    expect(world.connected('p', {}, 'plant').subscribe('t').take()).toMatchObject([{ reasonCodes: [0] }])
  })
})
