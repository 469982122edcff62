/** Streams: taken in in order, read from wherever a reader wants, at its own pace. */
import { describe, expect, it } from 'vitest'
import { payloads, property } from './queue-world.ts'
import { acknowledge, declaredStream, fill, offsets, read, streamOf, streamWorld } from './stream-world.ts'
import type { Device } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 100 } }

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index))

describe('a reader of a stream', () => {
  it('gets what comes from now on, on its topic, with offset and time behind what its publisher said', () => {
    const world = streamWorld()
    fill(world, 1, 3)
    const reader = world.connected('r')
    expect(read(reader, '$stream/meters')).toEqual({ code: 1, reason: '', publishes: [] })
    const publisher = world.connected('p')
    publisher.publish('meters/7', 'now', { qos: 2, properties: { userProperties: [['unit', 'mm']] } })
    publisher.acknowledge('pubrel', 1)
    const [got] = reader.takePublishes()
    expect(got).toMatchObject({ topic: 'meters/7', payload: 'now', qos: 1, retain: false, dup: false })
    expect(got!.properties.userProperties).toEqual([
      ['unit', 'mm'],
      ['stream-offset', '3'],
      ['ts', String(world.now * 1000)],
    ])
  })

  it.each([
    ['earliest', 0],
    ['first', 0],
    ['last', 9],
    ['offset:4', 4],
    ['-5s', 5],
    ['1700000006000000', 6],
    ['2023-11-14T22:13:28Z', 8],
  ])('begins where it says: %s', (start, first) => {
    const world = streamWorld()
    const publisher = world.connected('p')
    for (let n = 0; n < 10; n++) {
      world.now = 1_700_000_000_000 + n * 1000
      fill(world, n, n, publisher)
    }
    world.now = 1_700_000_010_000
    const { code, publishes } = read(world.connected('r'), '$stream/meters', start)
    expect(code).toBe(1)
    expect(offsets(publishes)).toEqual(numbers(first, 9).map(Number))
    expect(payloads(publishes)).toEqual(numbers(first, 9))
  })

  it('begins where a stream says for those who do not, and of 3.1.1 where its filter says', () => {
    const world = streamWorld({ startAt: 'earliest' })
    fill(world, 0, 4)
    expect(payloads(read(world.connected('a'), '$stream/meters').publishes)).toEqual(numbers(0, 4))
    const old = world.connected('b', { version: 4 })
    const { publishes } = read(old, '$stream/meters@offset:2')
    expect(payloads(publishes)).toEqual(numbers(2, 4))
    expect(publishes[0]!.properties).toEqual({})
  })

  it('gets only the topics that it asks for', () => {
    const world = streamWorld()
    fill(world, 0, 20)
    const reader = world.connected('r')
    expect(payloads(read(reader, '$stream/meters/meters/1', 'earliest').publishes)).toEqual([
      '1',
      '4',
      '7',
      '10',
      '13',
      '16',
      '19',
    ])
    expect(payloads(read(reader, '$stream/meters/+/2', 'offset:15').publishes)).toEqual(['17', '20'])
    expect(payloads(read(reader, '$stream/meters/other/#', 'earliest').publishes)).toEqual([])
  })

  it('is sent no more than its window, and the rest as it acknowledges', () => {
    const world = streamWorld()
    fill(world, 0, 99)
    const reader = world.connected('r', { properties: { receiveMaximum: 7 } })
    const { publishes } = read(reader, '$stream/meters', 'earliest')
    expect(payloads(publishes)).toEqual(numbers(0, 6))
    acknowledge(reader, publishes.slice(0, 2))
    expect(payloads(reader.takePublishes())).toEqual(['7', '8'])
    acknowledge(reader, publishes.slice(2))
    expect(reader.drain()).toEqual(numbers(9, 99))
  })

  it('at QoS 0 gets what its connection takes', () => {
    const world = streamWorld()
    fill(world, 0, 999)
    const reader = world.connected('r')
    reader.link.full = true
    expect(read(reader, '$stream/meters', 'earliest', 0)).toMatchObject({ code: 0, publishes: [] })
    reader.link.full = false
    reader.client.pump()
    world.turn()
    expect(payloads(reader.takePublishes())).toEqual(numbers(0, 999))
  })

  it('that refuses a message gets the next one', () => {
    const world = streamWorld()
    fill(world, 0, 2)
    const reader = world.connected('r', { properties: { receiveMaximum: 1 } })
    const [first] = read(reader, '$stream/meters', 'earliest').publishes
    reader.acknowledge('puback', first!.packetId, 0x80)
    expect(reader.drain()).toEqual(['1', '2'])
  })

  it('is told how many messages were gone before their turn', () => {
    const world = streamWorld({ retention: { ageMs: 0, bytesMax: 0, messagesMax: 256 } })
    const reader = world.connected('r', { properties: { receiveMaximum: 1 } })
    fill(world, 0, 0)
    const [first] = read(reader, '$stream/meters', 'earliest').publishes
    fill(world, 1, 1023)
    acknowledge(reader, [first!])
    const [next] = reader.takePublishes()
    expect([next!.payload, property(next!, 'stream-gap')]).toEqual(['768', '767'])
    acknowledge(reader, [next!])
    const [after] = reader.takePublishes()
    expect([after!.payload, property(after!, 'stream-gap')]).toEqual(['769', undefined])
    expect(streamOf(world).totals).toMatchObject({ gaps: 1, missed: 767, trimmed: 768 })
  })

  it('by two subscriptions gets a message by each, with its identifier', () => {
    const world = streamWorld()
    fill(world, 0, 0)
    const reader = world.connected('r')
    const subscribe = (filter: string, identifier: number) =>
      reader.subscribe(
        filter,
        1,
        {},
        { subscriptionIdentifiers: [identifier], userProperties: [['stream-offset', 'first']] },
      )
    subscribe('$stream/meters', 5)
    subscribe('$stream/meters/#', 6)
    expect(reader.takePublishes().map(({ properties }) => properties.subscriptionIdentifiers)).toEqual([[5], [6]])
    reader.unsubscribe('$stream/meters')
    fill(world, 1, 1)
    expect(reader.takePublishes().map(({ properties }) => properties.subscriptionIdentifiers)).toEqual([[6]])
  })

  it('is not sent what has expired meanwhile', () => {
    const world = streamWorld()
    const publisher = world.connected('p')
    publisher.publish('meters/1', 'short', { qos: 1, expiry: 5 })
    publisher.publish('meters/1', 'long', { qos: 1, expiry: 500 })
    world.advance(10_000)
    const { publishes } = read(world.connected('r'), '$stream/meters', 'earliest')
    expect(publishes).toMatchObject([{ payload: 'long', properties: { messageExpiryInterval: 490 } }])
  })
})

describe('a session that outlives its connection', () => {
  const back = (device: Device): Device => device.connect({ clientId: 'r', ...lasting })

  it('gets again what it had not acknowledged when it comes back in time, with DUP, and then goes on', () => {
    const world = streamWorld()
    const reader = world.connected('r', { ...lasting, properties: { ...lasting.properties, receiveMaximum: 3 } })
    fill(world, 0, 9)
    const { publishes } = read(reader, '$stream/meters', 'earliest')
    acknowledge(reader, publishes.slice(0, 1))
    reader.drop()
    const again = back(world.device())
    const got = again.takePublishes()
    expect(got.slice(0, 3).map(({ payload, dup, packetId }) => [payload, dup, packetId])).toEqual([
      ['1', true, publishes[1]!.packetId],
      ['2', true, publishes[2]!.packetId],
      ['3', true, expect.any(Number)],
    ])
    acknowledge(again, got)
    expect([...payloads(got), ...again.drain()]).toEqual(numbers(1, 9))
  })

  it('begins behind what it acknowledged when it comes back late', () => {
    const world = streamWorld()
    const reader = world.connected('r', lasting)
    fill(world, 0, 9)
    const { publishes } = read(reader, '$stream/meters', 'earliest')
    acknowledge(reader, publishes.slice(0, 4))
    reader.drop()
    world.advance(20_000)
    expect(world.broker.budgets.queueBytes.used).toBe(held(world))
    fill(world, 10, 12)
    const again = back(world.device())
    const got = again.takePublishes()
    expect(got.every(({ dup }) => !dup)).toBe(true)
    acknowledge(again, got)
    expect([...payloads(got), ...again.drain()]).toEqual(numbers(4, 12))
  })

  it('that says goodbye begins there too, without a grace', () => {
    const world = streamWorld()
    const reader = world.connected('r', lasting)
    fill(world, 0, 4)
    const { publishes } = read(reader, '$stream/meters', 'earliest')
    acknowledge(reader, publishes.slice(0, 2))
    reader.disconnect()
    expect(streamOf(world).readers.size).toBe(1)
    const again = back(world.device())
    const got = again.takePublishes()
    expect(got.map(({ payload, dup }) => [payload, dup])).toEqual([
      ['2', false],
      ['3', false],
      ['4', false],
    ])
  })

  it('that subscribes again stays where it is, and goes elsewhere with stream-seek', () => {
    const world = streamWorld()
    const reader = world.connected('r', lasting)
    fill(world, 0, 4)
    acknowledge(reader, read(reader, '$stream/meters', 'offset:2').publishes)
    expect(read(reader, '$stream/meters', 'earliest').publishes).toEqual([])
    expect(payloads(read(reader, '$stream/meters', 'earliest', 1, 'stream-seek').publishes)).toEqual(numbers(0, 4))
  })

  it('that ends leaves nothing behind', () => {
    const world = streamWorld()
    const reader = world.connected('r', lasting)
    fill(world, 0, 4)
    read(reader, '$stream/meters', 'earliest')
    reader.drop()
    world.advance(200_000)
    expect(streamOf(world).readers.size).toBe(0)
    expect(world.broker.defaultNamespace.gauges().subscriptions).toBe(0)
    expect(world.broker.budgets.queueBytes.used).toBe(held(world))
  })
})

/** What the stream itself has in memory. */
function held(world: ReturnType<typeof streamWorld>): number {
  return streamOf(world).segments.bytes + 400 * streamOf(world).segments.messages
}

describe('a consumer group', () => {
  it('shares out a stream: each message to one of its members, in turn', () => {
    const world = streamWorld()
    fill(world, 0, 0)
    const [a, b] = [world.connected('a'), world.connected('b', { version: 4 })]
    read(a, '$share/g/$stream/meters')
    read(b, '$share/g/$stream/meters')
    fill(world, 1, 6)
    expect(payloads(a.takePublishes())).toEqual(['1', '3', '5'])
    expect(payloads(b.takePublishes())).toEqual(['2', '4', '6'])
  })

  it('gives what a member had and did not acknowledge to others, before what is new', () => {
    const world = streamWorld()
    const [a, b] = [world.connected('a'), world.connected('b')]
    read(a, '$share/g/$stream/meters')
    read(b, '$share/g/$stream/meters')
    fill(world, 1, 6)
    const had = a.takePublishes()
    b.drain()
    acknowledge(a, had.slice(0, 1))
    a.drop()
    fill(world, 7, 7)
    expect(b.drain()).toEqual(['3', '5', '7'])
    const [group] = streamOf(world).groups.values()
    expect(group).toMatchObject({ cursor: 7, openCount: 0, settledAhead: 0 })
  })

  it('stays where it was when all its members have left', () => {
    const world = streamWorld()
    const a = world.connected('a')
    fill(world, 0, 9)
    const { publishes } = read(a, '$share/g/$stream/meters', 'earliest')
    acknowledge(a, [publishes[0]!, publishes[2]!])
    a.disconnect()
    expect([...streamOf(world).groups.values()][0]).toMatchObject({ cursor: 1, settledAhead: 1 })
    const b = world.connected('b')
    const got = read(b, '$share/g/$stream/meters', 'earliest').publishes
    expect(payloads(got)).toEqual(['1', ...numbers(3, 9)])
  })

  it('of another name or filter has a place of its own', () => {
    const world = streamWorld()
    fill(world, 0, 5)
    const a = world.connected('a')
    expect(read(a, '$share/g/$stream/meters', 'earliest').publishes).toHaveLength(6)
    expect(read(a, '$share/h/$stream/meters', 'earliest').publishes).toHaveLength(6)
    expect(payloads(read(a, '$share/g/$stream/meters/meters/1', 'earliest').publishes)).toEqual(['1', '4'])
    expect(streamOf(world).groups.size).toBe(3)
  })
})

describe('a stream', () => {
  it('has its own offsets, and takes in what other streams and subscribers get too', () => {
    const world = streamWorld({}, declaredStream('all', { filter: '#' }))
    const watcher = world.connected('w')
    watcher.subscribe('#', 0)
    world.connected('p').publish('other', 'x', { qos: 1 })
    fill(world, 0, 1)
    expect(payloads(watcher.takePublishes())).toEqual(['x', '0', '1'])
    expect(offsets(read(world.connected('r'), '$stream/all', 'earliest').publishes)).toEqual([0, 1, 2])
    expect(offsets(read(world.connected('s'), '$stream/meters', 'earliest').publishes)).toEqual([0, 1])
  })

  it('lets go of what is older than its retention says, also while nothing comes', () => {
    const world = streamWorld({ retention: { ageMs: 160_000, bytesMax: 0, messagesMax: 0 } })
    fill(world, 0, 0)
    world.advance(100_000)
    fill(world, 1, 1)
    world.advance(100_000)
    expect(streamOf(world)).toMatchObject({ firstOffset: 1, nextOffset: 2 })
    world.advance(100_000)
    expect(streamOf(world)).toMatchObject({ firstOffset: 2, nextOffset: 2 })
    expect(streamOf(world).segments.bytes).toBe(0)
    fill(world, 2, 2)
    expect(offsets(read(world.connected('r'), '$stream/meters', 'earliest').publishes)).toEqual([2])
  })

  it('lets go of whole segments as long as as many bytes are left', () => {
    const world = streamWorld({ retention: { ageMs: 0, bytesMax: 200_000, messagesMax: 0 } })
    const publisher = world.connected('p')
    for (let n = 0; n < 100; n++) publisher.publish('meters/1', 'x'.repeat(10_000), { qos: 1 })
    const { segments, firstOffset } = streamOf(world)
    expect(segments.bytes).toBeGreaterThanOrEqual(200_000)
    expect(segments.bytes).toBeLessThan(280_000)
    expect(firstOffset + segments.messages).toBe(100)
  })

  it('is nothing that can be published to', () => {
    const world = streamWorld()
    const publisher = world.connected('p')
    publisher.publish('$stream/meters/1', 'x', { qos: 1 })
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0x90 }])
    expect(streamOf(world).nextOffset).toBe(0)
  })
})
