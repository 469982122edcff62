/** What happens at each limit of the core: chosen, counted, and never a loss of what was acknowledged. */
import { describe, expect, it } from 'vitest'
import { encodeDisconnect, encodeProperties, encodeSubscribe, encodeUnsubscribe } from '../../src/mqtt/encoder.ts'
import { PacketType, type Will } from '../../src/mqtt/packet.ts'
import { ProtocolError } from '../../src/mqtt/protocol-error.ts'
import { encodePublish } from '../../src/mqtt/publish.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { type Device, World } from './world.ts'

function willTo(topic: string): Will {
  return {
    topic,
    payload: new Uint8Array(0),
    qos: 0,
    retain: false,
    properties: {},
    forwardProperties: new Uint8Array(0),
  }
}

const plainPublish = {
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  expiryIntervalSeconds: -1,
  subscriptionIdentifiers: [],
  topicAlias: 0,
  omitTopic: false,
} as const

function away(world: World, clientId = 's'): void {
  world.connected(clientId, lasting).subscribe('t', 1).drop()
}

function returned(world: World, clientId = 's'): Device {
  return world.device().connect({ clientId, ...lasting })
}

describe('a full session queue', () => {
  it('drop-oldest lets the oldest go that was never sent', () => {
    const world = new World({ sessionQueueMessagesMax: 3 })
    away(world)
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(publisher.take().map((one) => one.type)).toEqual(new Array(5).fill('puback'))
    expect(returned(world).drain()).toEqual(['2', '3', '4'])
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(2)
  })

  it('drop-oldest never drops what was sent before', () => {
    const world = new World({ sessionQueueMessagesMax: 2, inflightMessagesMax: 2 })
    const first = world.connected('s', lasting)
    first.subscribe('t', 1).take()
    const publisher = world.connected('p')
    publisher.publish('t', 'sent', { qos: 1 })
    first.drop()
    for (const payload of ['a', 'b', 'c']) publisher.publish('t', payload, { qos: 1 })
    expect(returned(world).drain()).toEqual(['sent', 'c'])
  })

  it('drop-newest keeps what waits', () => {
    const world = new World({ sessionQueueMessagesMax: 3, sessionQueueFull: 'drop-newest' })
    away(world)
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(returned(world).drain()).toEqual(['0', '1', '2'])
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(2)
  })

  it('reject: nobody gets the message, a 5.0 publisher is told 0x97 and a 3.x publisher is not acknowledged', () => {
    const world = new World({ sessionQueueMessagesMax: 1, sessionQueueFull: 'reject' })
    away(world)
    const online = world.connected('online')
    online.subscribe('t', 1).take()
    const publisher = world.connected('p')
    publisher.publish('t', 'fits', { qos: 1 })
    publisher.publish('t', 'too much', { qos: 1, retain: true })
    publisher.publish('t', 'too much', { qos: 2, packetId: 7 })
    expect(publisher.take()).toMatchObject([
      { type: 'puback', reasonCode: 0 },
      { type: 'puback', reasonCode: 0x97 },
      { type: 'pubrec', packetId: 7, reasonCode: 0x97 },
    ])
    const old = world.connected('old', { version: 4 })
    old.publish('t', 'too much', { qos: 1 })
    expect(old.take()).toEqual([])
    expect(old.link.closed).toBeDefined()
    expect(online.takePublishes().map((one) => one.payload)).toEqual(['fits'])
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
    expect(returned(world).drain()).toEqual(['fits'])
  })

  it('bytes count as well as messages', () => {
    const world = new World({ sessionQueueBytesMax: 250 })
    away(world)
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', `${i}`.repeat(100), { qos: 1 })
    expect(
      returned(world)
        .drain()
        .map((payload) => payload[0]),
    ).toEqual(['2', '3', '4'])
  })
})

describe('a client that does not read', () => {
  it('loses QoS 0, counted, keeps QoS 1 in its queue, and gets it in order when it reads again', () => {
    const world = new World()
    const [slow, healthy] = [world.connected('slow'), world.connected('healthy')]
    for (const one of [slow, healthy]) one.subscribe('t', 1).take()
    slow.link.full = true
    slow.link.empty = false
    const publisher = world.connected('p')
    for (let i = 0; i < 100; i++) publisher.publish('t', String(i), { qos: i % 2 === 0 ? 0 : 1 })
    expect(healthy.drain()).toHaveLength(100)
    expect(slow.take()).toEqual([])
    expect(world.broker.counters.messagesDropped.get('slow_consumer')).toBe(50)
    slow.link.full = false
    slow.client.pump()
    expect(slow.drain()).toEqual(Array.from({ length: 50 }, (_, i) => String(2 * i + 1)))
  })

  it('takes retained messages at its own pace, all of them', () => {
    const world = new World({ inflightMessagesMax: 10 })
    const publisher = world.connected('p')
    for (let i = 0; i < 2000; i++) publisher.publish(`r/${i}`, String(i), { retain: true, qos: 1, packetId: 1 })
    const device = world.connected('s')
    device.subscribe('r/#', 1)
    expect(device.take().filter((one) => one.type === 'publish')).toHaveLength(10)
    for (let i = 1; i <= 10; i++) device.acknowledge('puback', i)
    expect(device.drain()).toHaveLength(1990)
  })

  it('[MQTT-3.10.4-2] gets no retained message of a filter any more after its UNSUBACK, but those of others', () => {
    const world = new World({ inflightMessagesMax: 10 })
    const publisher = world.connected('p')
    for (let i = 0; i < 200; i++) publisher.publish(`r/${i}`, String(i), { retain: true, qos: 1, packetId: 1 })
    publisher.publish('other', 'other', { retain: true, qos: 1, packetId: 1 })
    const device = world.connected('s')
    device.subscribe('r/#', 1).subscribe('other', 1)
    expect(device.takePublishes()).toHaveLength(10)
    device.unsubscribe('r/#')
    for (let i = 1; i <= 10; i++) device.acknowledge('puback', i)
    expect(device.drain()).toEqual(['other'])
  })

  it('gets retained messages again when it unsubscribes and subscribes while they come', () => {
    const world = new World({ inflightMessagesMax: 1 })
    const publisher = world.connected('p')
    for (const topic of ['r/1', 'r/2']) publisher.publish(topic, topic, { retain: true, qos: 1, packetId: 1 })
    const device = world.connected('s')
    device.subscribe('r/#', 1).unsubscribe('r/#').subscribe('r/#', 1)
    expect(device.drain()).toEqual(['r/1', 'r/1', 'r/2'])
  })
})

describe('further limits', () => {
  it('one retained message too many is refused with 0x97; changing and deleting go on', () => {
    const world = new World({ retainedMessagesMax: 1 })
    const publisher = world.connected('p')
    publisher.publish('a', '1', { qos: 1, retain: true })
    publisher.publish('b', '1', { qos: 1, retain: true })
    publisher.publish('a', '2', { qos: 1, retain: true })
    const codes = publisher.take().map((one) => (one.type === 'puback' ? one.reasonCode : -1))
    expect(codes).toEqual([0x10, 0x97, 0x10])
    publisher.publish('a', '', { qos: 1, retain: true })
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
  })

  it('a QoS 0 message that can not be retained reaches those who are subscribed; at QoS 1 nobody gets it', () => {
    const world = new World({ retainedMessagesMax: 0 })
    const subscriber = world.connected('s').subscribe('t', 1)
    const publisher = world.connected('p')
    publisher.publish('t', 'zero', { retain: true })
    publisher.publish('t', 'one', { retain: true, qos: 1 })
    expect(subscriber.takePublishes().map((one) => one.payload)).toEqual(['zero'])
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0x97 }])
    expect(world.broker.counters.messagesDropped.get('retained_limit')).toBe(2)
  })

  it('one subscription too many is refused with 0x97, and one that exists may be changed', () => {
    const world = new World({ subscriptionsPerSessionMax: 1 })
    const device = world.connected('s')
    device.subscribe('a').subscribe('b').subscribe('a', 1)
    expect(device.take()).toMatchObject([{ reasonCodes: [0] }, { reasonCodes: [0x97] }, { reasonCodes: [1] }])
  })

  it('a topic of too many levels is refused, as a name with 0x90 and as a filter with 0x8F', () => {
    const world = new World({ topicLevelsMax: 3 })
    const device = world.connected('s')
    device.subscribe('a/b/c/d').subscribe('a/b/#')
    expect(device.take()).toMatchObject([{ reasonCodes: [0x8f] }, { reasonCodes: [0] }])
    device.publish('a/b/c', 'x')
    expect(device.takePublishes()).toHaveLength(1)
    device.publish('a/b/c/d', 'x')
    expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x90 }])
  })

  it('a client identifier that is too long is refused with 0x85, counted in bytes', () => {
    const world = new World({ clientIdBytesMax: 30 })
    for (const clientId of ['x'.repeat(31), 'ä'.repeat(16)]) {
      const device = world.device().connect({ clientId })
      expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x85 }])
    }
    for (const clientId of ['x'.repeat(30), 'ä'.repeat(15)]) world.connected(clientId)
    expect(world.broker.defaultNamespace.sessions.size).toBe(2)
  })

  it('a packet of too many filters or properties ends its connection with 0x97 before anything is made of it', () => {
    const world = new World({ filtersPerSubscribeMax: 100, propertiesPerPacketMax: 30 })
    const request = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
    const filters = Array.from({ length: 101 }, (_, i) => `t/${i}`)
    const subscribe = (topicFilters: string[]) => {
      const subscriptions = topicFilters.map((topicFilter) => ({ topicFilter, ...request }))
      return encodeSubscribe(5, { packetId: 1, subscriptions, properties: {} })
    }
    const unsubscribe = encodeUnsubscribe(5, { packetId: 1, topicFilters: filters, properties: {} })
    const userProperties = Array.from({ length: 31 }, () => ['', ''] as const)
    const parts = { topic: encodeUtf8('t'), payload: new Uint8Array(0) }
    const encoded = encodeProperties(PacketType.publish, { userProperties })
    const publish = encodePublish(5, { ...parts, forwardProperties: encoded }, plainPublish).bytes
    const packets = [subscribe(filters), unsubscribe, publish, encodeDisconnect(5, 0, { userProperties })]
    for (const [i, packet] of packets.entries()) {
      const device = world.connected(`c${i}`)
      device.send(packet)
      expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x97 }])
    }
    expect(world.broker.defaultNamespace.index.count).toBe(0)
    world.connected('c').send(subscribe(filters.slice(1)))
    expect(world.broker.defaultNamespace.index.count).toBe(100)
  })

  it('of a will only the bytes of its properties are kept, not an object for each', () => {
    const world = new World()
    const userProperties = Array.from({ length: 500 }, () => ['', ''] as const)
    const will = { ...willTo('t'), properties: { userProperties, willDelayInterval: 5, contentType: 'text' } }
    const device = world.connected('c', { will, properties: { sessionExpiryInterval: 10 } })
    expect(world.broker.defaultNamespace.sessions.get('c')!.will!.will.properties).toEqual({ willDelayInterval: 5 })
    const subscriber = world.connected('s').subscribe('t')
    subscriber.take()
    device.drop()
    world.advance(5000)
    expect(subscriber.takePublishes()).toMatchObject([{ properties: { userProperties, contentType: 'text' } }])
  })

  it('a will to a topic of too many levels is refused at CONNECT', () => {
    const world = new World({ topicLevelsMax: 3 })
    const device = world.device().connect({ clientId: 'c', will: willTo('1/2/3/4') })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x90 }])
    expect(world.broker.defaultNamespace.sessions.size).toBe(0)
    world.connected('c', { will: willTo('1/2/3') }).drop()
    expect(world.broker.counters.willsPublished).toBe(1)
  })

  it('a will that can not be published any more does not keep its session from ending', () => {
    const world = new World({ topicLevelsMax: 4 })
    const device = world.connected('c', { will: willTo('1/2/3/4') }).subscribe('t')
    const levels = world.broker.topics as unknown as { lookupName: () => never }
    levels.lookupName = () => {
      throw new ProtocolError(0x90, 'too many levels')
    }
    device.drop()
    expect(world.broker.defaultNamespace.sessions.size).toBe(0)
    expect(world.broker.defaultNamespace.index.count).toBe(0)
    expect(world.broker.counters.messagesDropped.get('will_refused')).toBe(1)
  })

  it('entries of a full route cache give way, and routes and aliases stay right', () => {
    const world = new World({ routeCacheEntriesMax: 16 })
    const subscriber = world.connected('s')
    subscriber.subscribe('t/#').take()
    const publisher = world.connected('p')
    for (let i = 0; i < 100; i++) publisher.publish(`t/${i % 40}`, '')
    expect(subscriber.takePublishes()).toHaveLength(100)
    expect(world.broker.topics.size).toBeLessThanOrEqual(16)
    subscriber.unsubscribe('t/#').take()
    for (let i = 0; i < 40; i++) publisher.publish(`t/${i}`, '')
    expect(subscriber.take()).toEqual([])
  })

  it('with the disk nearly full nothing is taken that would have to be stored, and everything else goes on', async () => {
    const world = new DurableWorld()
    ;(await world.ready('s')).subscribe('t', 1).drop()
    const online = await world.ready('online', {})
    online.subscribe('#', 1)
    await world.settle()
    online.take()
    const publisher = await world.ready('p', {})
    world.broker.storeFull = true
    publisher.publish('t', 'stored', { qos: 1 })
    publisher.publish('u', 'kept', { qos: 1, retain: true })
    publisher.publish('u', 'passing', { qos: 1 })
    const codes = publisher.take().map((one) => (one.type === 'puback' ? one.reasonCode : -1))
    expect(codes).toEqual([0x97, 0x97, 0])
    expect(online.takePublishes().map((one) => one.payload)).toEqual(['passing'])
    const late = world.device().connect({ clientId: 'late', ...lasting })
    expect(late.take()).toMatchObject([{ type: 'connack', reasonCode: 0x97 }])
    const known = world.device().connect({ clientId: 's', ...lasting })
    known.subscribe('more', 1)
    await world.settle()
    expect(known.take()).toMatchObject([
      { type: 'connack', reasonCode: 0 },
      { type: 'suback', reasonCodes: [0x97] },
    ])
  })

  it('with the disk full nothing is kept at QoS 0 either, no will is taken anew, and one that is due waits; deletions pass', async () => {
    const world = new DurableWorld()
    const online = await world.ready('online', {})
    online.subscribe('#', 1)
    const publisher = await world.ready('p', {})
    publisher.publish('old', 'x', { retain: true })
    const will = {
      topic: 'gone',
      payload: new TextEncoder().encode('will'),
      qos: 1 as const,
      retain: true,
      properties: {},
      forwardProperties: new Uint8Array(0),
    }
    const leaving = await world.ready('leaving', { ...lasting, will })
    await world.settle()
    online.take()
    publisher.take()
    world.broker.storeFull = true
    publisher.publish('new', 'passing', { retain: true })
    publisher.publish('old', '', { qos: 1, retain: true })
    await world.settle()
    expect(online.takePublishes().map((one) => one.payload)).toEqual(['passing', ''])
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    expect(world.broker.defaultNamespace.retained.count).toBe(0)
    expect(world.broker.counters.messagesDropped.get('store_full')).toBe(1)
    expect(world.device().connect({ clientId: 'w', will }).take()).toMatchObject([
      { type: 'connack', reasonCode: 0x97 },
    ])
    leaving.drop()
    const tick = async () => {
      world.now += 6000
      world.broker.advance(world.now)
      await world.settle()
    }
    await tick()
    expect(online.takePublishes()).toEqual([])
    world.broker.storeFull = false
    await tick()
    expect(online.takePublishes().map((one) => one.payload)).toEqual(['will'])
    expect(world.broker.defaultNamespace.retained.count).toBe(1)
  })
})
