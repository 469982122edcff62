/** What a stream refuses, with which reason, and that it is counted. */
import { describe, expect, it } from 'vitest'
import { streamGroupsMax } from '../../src/core/logs/stream-definition.ts'
import type { Grant } from '../../src/core/ports/authority.ts'
import { DurableWorld, SlowStore } from './durable-world.ts'
import { begin, declaredStream, fill, read, streamOf, streamWorld } from './stream-world.ts'

const grantOf = (over: Partial<Grant>): Grant => ({
  mayPublish: () => true,
  maySubscribe: () => true,
  mayReceive: () => true,
  ...over,
})

describe('a subscription to a stream', () => {
  it.each([
    ['$stream/other', undefined, 0x8f, 'there is no stream other'],
    ['$stream/', undefined, 0x8f, 'there is no stream '],
    ['$share/g/$stream/other', undefined, 0x8f, 'there is no stream other'],
    ['$stream/meters/', undefined, 0x8f, ' is no topic filter'],
    ['$stream/meters', 'yesterday', 0x83, 'a stream is read from earliest, latest'],
    ['$stream/meters', '-1y', 0x83, 'a stream is read from earliest, latest'],
    ['$stream/meters@offset:x', undefined, 0x83, 'a stream is read from earliest, latest'],
    ['$stream/meters@', undefined, 0x83, 'a stream is read from earliest, latest'],
    [`$share/${'g'.repeat(201)}/$stream/meters`, undefined, 0x8f, 'the name of the group is too long'],
  ])('to %s from %s is refused, and says why', (filter, start, code, reason) => {
    const world = streamWorld()
    const refused = read(world.connected('r'), filter, start)
    expect(refused).toMatchObject({ code, reason: expect.stringContaining(reason), publishes: [] })
    expect(
      read(
        world.connected('old', { version: 4 }),
        filter.replace('meters', start === undefined ? 'meters' : 'meters@x'),
      ).code,
    ).toBe(0x80)
    expect(streamOf(world).readers.size).toBe(0)
    expect([...world.broker.counters.subscriptionsRefused.counts.values()].reduce((a, b) => a + b)).toBe(2)
  })

  it('that is refused with more words than its client accepts is answered by the code alone', () => {
    const small = streamWorld().connected('small', { properties: { maximumPacketSize: 20 } })
    expect(read(small, '$stream/other')).toMatchObject({ code: 0x8f, reason: '' })
  })

  it('with a wrong stream-seek is refused, and the reader stays where it is', () => {
    const world = streamWorld()
    fill(world, 0, 4)
    const reader = world.connected('r')
    read(reader, '$stream/meters', 'offset:3')
    expect(read(reader, '$stream/meters', 'nowhere', 1, 'stream-seek').code).toBe(0x83)
    expect([...streamOf(world).readers][0]!.walk.next).toBe(5)
  })

  it('at QoS 2 is granted 1', () => {
    const world = streamWorld()
    expect(read(world.connected('r'), '$stream/meters', 'first', 2).code).toBe(1)
  })

  it('is asked of the rules as consuming the stream, by the filter that it has or else by that of the stream', () => {
    const asked: unknown[] = []
    const world = streamWorld()
    const reader = world.connected('r')
    reader.client.grant = grantOf({
      mayConsume: (address, filter) => {
        asked.push([address, filter])
        return filter === 'meters/1'
      },
    })
    expect(read(reader, '$stream/meters')).toMatchObject({
      code: 0x87,
      reason: 'not authorized to read the stream meters',
    })
    expect(read(reader, '$share/g/$stream/meters/meters/1').code).toBe(1)
    expect(asked).toEqual([
      ['$stream/meters', 'meters/#'],
      ['$stream/meters', 'meters/1'],
    ])
    reader.client.regrant(grantOf({ maySubscribe: () => false }))
    world.turn()
    expect(streamOf(world).readers.size).toBe(0)
    expect(world.broker.counters.subscriptionsRevoked).toBe(1)
  })

  it('ends where the reader may not be a member of the group any more', () => {
    const world = streamWorld()
    const reader = world.connected('r')
    expect(read(reader, '$share/g/$stream/meters').code).toBe(1)
    expect(read(reader, '$stream/meters').code).toBe(1)
    reader.client.regrant(grantOf({ mayConsume: (_address, _filter, group) => group === null }))
    world.turn()
    expect([...streamOf(world).readers].map(({ consumerGroup }) => consumerGroup)).toEqual([null])
    expect(world.broker.counters.subscriptionsRevoked).toBe(1)
  })

  it('of one group too many is refused', () => {
    const world = streamWorld()
    const reader = world.connected('r')
    for (let n = 0; n < streamGroupsMax; n++) read(reader, `$share/g${n}/$stream/meters`)
    expect(read(reader, '$share/more/$stream/meters')).toMatchObject({
      code: 0x97,
      reason: `the stream meters has ${streamGroupsMax} groups`,
    })
    expect(read(reader, '$share/g7/$stream/meters').code).toBe(1)
  })
})

it('a message that the disk has no room for is refused to its publisher, and at QoS 0 counted', async () => {
  const world = new DurableWorld(new SlowStore(), 0, undefined, {}, { streams: [declaredStream('meters')] })
  const publisher = await world.ready('p', {})
  world.broker.storeFull = true
  publisher.publish('meters/1', 'x', { qos: 1 })
  publisher.publish('meters/1', 'y', { qos: 0 })
  await world.settle()
  expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0x97 }])
  expect(streamOf(world)).toMatchObject({ nextOffset: 0, totals: { refused: 1, appended: 0 } })
  expect(world.broker.counters.messagesDropped.counts.get('store_full')).toBe(1)
})

it('a reader that never acknowledges has its window of messages, and memory holds no more for it', async () => {
  const world = new DurableWorld(new SlowStore(), 0, undefined, {}, { streams: [declaredStream('meters')] })
  const reader = await world.ready('r', {})
  begin(reader, '$stream/meters')
  const publisher = await world.ready('p', {})
  for (let n = 0; n < 6000; n++) {
    publisher.publish('meters/1', 'x'.repeat(1000), { qos: 1 })
    if (n % 500 === 0) await world.settle()
  }
  await world.settle()
  expect(reader.takePublishes()).toHaveLength(10)
  expect(world.broker.budgets.queueBytes.used).toBeLessThan(3_000_000)
})
