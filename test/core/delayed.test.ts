/** Messages to `$delayed/<n>/<topic>`: published when they are due, refused where that can't be, taken back by name. */
import { describe, expect, it } from 'vitest'
import type { Grant } from '../../src/core/ports/authority.ts'
import { type Device, World } from './world.ts'

const named = (id: string) => ({ properties: { userProperties: [['schedule-id', id]] as [string, string][] } })
const seen = (device: Device) => device.takePublishes().map(({ topic, payload }) => `${topic} ${payload}`)

describe('a delayed message', () => {
  it('is published to its topic when its seconds have passed, and not before', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('#', 1)
    reader.take()
    const writer = world.connected('w')
    writer.publish('$delayed/10/plant/1', 'later', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    world.advance(9_999)
    expect(seen(reader)).toEqual([])
    world.advance(1)
    expect(seen(reader)).toEqual(['plant/1 later'])
    expect(world.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
    expect(world.broker.counters).toMatchObject({ delayedAccepted: 1, delayedPublished: 1 })
  })

  it('keeps its QoS, its properties and RETAIN, and expires so long after it was due', () => {
    const world = new World()
    const writer = world.connected('w')
    const userProperties: [string, string][] = [
      ['a', '1'],
      ['a', '2'],
    ]
    writer.publish('$delayed/60/plant/1', 'later', {
      ...{ qos: 2, retain: true, expiry: 30 },
      properties: { contentType: 'text', userProperties },
    })
    world.advance(60_000)
    const early = world.connected('early').subscribe('plant/1', 2)
    const [delivered] = early.takePublishes()
    expect(delivered).toMatchObject({ qos: 2, retain: true, payload: 'later' })
    expect(delivered!.properties).toEqual({ contentType: 'text', userProperties, messageExpiryInterval: 30 })
    world.advance(30_000)
    const late = world.connected('late').subscribe('plant/1', 2)
    expect(late.takePublishes()).toEqual([])
  })

  it('comes in the order of due times, and of publishing where they are the same', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('t')
    reader.take()
    const writer = world.connected('w')
    for (const [seconds, payload] of [
      [20, 'c'],
      [10, 'a'],
      [20, 'd'],
      [10, 'b'],
    ]) {
      writer.publish(`$delayed/${seconds}/t`, String(payload))
    }
    world.advance(30_000)
    expect(seen(reader)).toEqual(['t a', 't b', 't c', 't d'])
  })

  it('with a date is due when the clock of the system says so, also after that was set', () => {
    const world = new World()
    const { broker } = world
    broker.setWallOffset(5_000)
    const reader = world.connected('r').subscribe('t')
    reader.take()
    const writer = world.connected('w')
    const date = (world.now + 5_000) / 1000 + 100
    writer.publish(`$delayed/${date}/t`, 'date')
    writer.publish('$delayed/100/t', 'seconds')
    world.advance(50_000)
    broker.setWallOffset(-35_000)
    world.advance(50_000)
    expect(seen(reader)).toEqual(['t seconds'])
    world.advance(39_999)
    expect(seen(reader)).toEqual([])
    world.advance(1)
    expect(seen(reader)).toEqual(['t date'])
    writer.publish(`$delayed/${date + 500}/t`, 'forward')
    broker.setWallOffset(600_000)
    world.advance(0)
    expect(seen(reader)).toEqual(['t forward'])
  })

  it('with a date that has passed is published at once', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('t')
    reader.take()
    world.connected('w').publish('$delayed/1600000000/t', 'past')
    world.advance(0)
    expect(seen(reader)).toEqual(['t past'])
  })

  it.each([
    '$delayed',
    '$delayed/',
    '$delayed/10',
    '$delayed/10/',
    '$delayed/ten/t',
    '$delayed/-1/t',
    '$delayed/1.5/t',
    '$delayed//t',
    '$delayed/999999999999/t',
    '$delayed/10/$delayed/10/t',
    '$delayed/10/$delayed/cancel/x',
    '$delayed/cancel/',
    '$delayed/10/$SYS/broker/x',
  ])('%s is refused and counted: 0x90 for 5.0, the end of the connection for 3.1.1', (topic) => {
    const world = new World()
    const writer = world.connected('w')
    writer.publish(topic, 'x', { qos: 1 })
    const reason = topic.includes('$SYS') ? 0x87 : 0x90
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: reason }])
    expect([...world.broker.counters.publishesRefused.counts.values()]).toEqual([1])
    expect(world.broker.gauges().delayedMessages).toBe(0)
    if (reason === 0x87) return
    const old = world.connected('o', { version: 4 })
    old.publish(topic, 'x', { qos: 1 })
    expect(old.take()).toEqual([])
    expect(old.client.ended).toBe(true)
  })

  it('needs the right to publish to its own topic, when it is published and again when it is due', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('#')
    reader.take()
    const writer = world.connected('w')
    const only = (topic: string): Grant => ({
      mayPublish: (asked) => asked === topic,
      maySubscribe: () => true,
      mayReceive: () => true,
    })
    writer.client.regrant(only('open'))
    writer.publish('$delayed/10/closed', 'x', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x87 }])
    writer.publish('$delayed/10/open', 'x', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    writer.client.regrant(only('other'))
    world.advance(10_000)
    expect(seen(reader)).toEqual([])
    expect(world.broker.counters.messagesDropped.get('not_authorized')).toBe(2)
  })

  it.each(['$delayed/#', '$delayed/10/t', '$share/g/$delayed/#'])('has no subscribers: %s is refused', (filter) => {
    const reader = new World().connected('r').subscribe(filter, 1)
    expect(reader.take()).toMatchObject([{ type: 'suback', reasonCodes: [0x8f] }])
  })

  it('is not sent to its own publisher where that wants none of its own', () => {
    const world = new World()
    const device = world.connected('w').subscribe('t', 0, { noLocal: true })
    device.publish('$delayed/1/t', 'x')
    world.advance(1_000)
    expect(device.takePublishes()).toEqual([])
  })

  it('beyond the limits is refused and counted, and has room again when others are gone', () => {
    const world = new World({ delayedMessagesMax: 2, namespaces: { plant: { delayedBytesMax: 1_000 } } })
    const writer = world.connected('w')
    const answer = (device: Device, topic: string, payload = 'x') => {
      device.publish(topic, payload, { qos: 1 })
      return device.take().map((packet) => (packet.type === 'puback' ? packet.reasonCode : packet.type))
    }
    expect(answer(writer, '$delayed/10/t')).toEqual([0])
    expect(answer(writer, '$delayed/20/t')).toEqual([0])
    expect(answer(writer, '$delayed/20/t')).toEqual([0x97])
    expect(world.broker.budgets.delayedMessages.refused).toBe(1)
    const old = world.connected('o', { version: 4 })
    expect(answer(old, '$delayed/20/t')).toEqual([])
    expect(old.client.ended).toBe(true)
    world.advance(10_000)
    expect(answer(writer, '$delayed/20/t')).toEqual([0])
    world.advance(20_000)
    const tenant = world.connected('t', {}, 'plant')
    expect(answer(tenant, '$delayed/20/t', 'x'.repeat(600))).toEqual([0x97])
    expect(answer(tenant, '$delayed/20/t')).toEqual([0])
    expect(world.broker.namespace('plant').gauges()).toMatchObject({ delayedMessages: 1, refusals: 1 })
  })

  it('may be a will, which is delayed from when it would have been published', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('t')
    reader.take()
    const will = { payload: Buffer.from('gone'), qos: 0 as const, retain: false, properties: {} }
    const forwardProperties = new Uint8Array(0)
    world.connected('w', { will: { ...will, topic: '$delayed/5/t', forwardProperties } }).drop()
    world.advance(4_999)
    expect(seen(reader)).toEqual([])
    world.advance(1)
    expect(seen(reader)).toEqual(['t gone'])
    const malformed = world.device()
    malformed.connect({ clientId: 'm', will: { ...will, topic: '$delayed/x/t', forwardProperties } })
    expect(malformed.take()).toMatchObject([{ type: 'connack', reasonCode: 0x90 }])
  })
})

describe('a schedule-id', () => {
  it('replaces what the same client sent under it', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('#')
    reader.take()
    const writer = world.connected('w')
    writer.publish('$delayed/10/t', 'first', named('lamp'))
    writer.publish('$delayed/20/t', 'second', named('lamp'))
    world.connected('other').publish('$delayed/10/t', 'of another', named('lamp'))
    expect(world.broker.gauges().delayedMessages).toBe(2)
    world.advance(30_000)
    expect(seen(reader)).toEqual(['t of another', 't second'])
    expect(world.broker.counters.delayedReplaced).toBe(1)
  })

  it('cancels what the same client sent under it, and nothing of others', () => {
    const world = new World()
    const reader = world.connected('r').subscribe('#')
    reader.take()
    const writer = world.connected('w')
    writer.publish('$delayed/10/t', 'x', named('a/b'))
    const other = world.connected('other')
    other.publish('$delayed/cancel/a/b', '', { qos: 1 })
    expect(other.take()).toMatchObject([{ type: 'puback', reasonCode: 0x10 }])
    writer.publish('$delayed/cancel/a/b', '', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    writer.publish('$delayed/cancel/a/b', '', { qos: 1 })
    expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x10 }])
    world.advance(20_000)
    expect(seen(reader)).toEqual([])
    expect(world.broker.gauges()).toMatchObject({ delayedMessages: 0, delayedBytes: 0 })
    expect(world.broker.counters.delayedCancelled).toBe(1)
  })

  it('that is empty or longer than 256 characters is refused', () => {
    const writer = new World().connected('w')
    for (const id of ['', 'x'.repeat(257)]) {
      writer.publish('$delayed/10/t', 'x', { qos: 1, ...named(id) })
      expect(writer.take()).toMatchObject([{ type: 'puback', reasonCode: 0x90 }])
    }
  })
})
