/** Streams on a durable store: nothing is read before its commit, what is behind comes page by page, and places survive the process. */
import { describe, expect, it } from 'vitest'
import type { StreamDefinition } from '../../src/core/logs/stream-definition.ts'
import { DurableWorld, lasting, receive, SlowStore } from './durable-world.ts'
import { payloads, property } from './queue-world.ts'
import { acknowledge, begin, declaredStream, offsets, read, streamOf } from './stream-world.ts'
import type { Device } from './world.ts'

const worldOf = (over: Partial<StreamDefinition> = {}): DurableWorld =>
  new DurableWorld(new SlowStore(), 0, undefined, {}, { streams: [declaredStream('meters', over)] })

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index))

async function publish(world: DurableWorld, from: number, to: number): Promise<void> {
  const publisher = await world.ready(`publisher-${from}`, {})
  for (let n = from; n <= to; n++) {
    publisher.publish(`meters/${n % 3}`, String(n), { qos: 1 })
    // No more unanswered than it may have.
    if (n % 500 === 0) await world.settle()
  }
  await world.settle()
  publisher.disconnect()
}

async function reader(world: DurableWorld, filter: string, start?: string, options: object = lasting): Promise<Device> {
  const device = await world.ready('r', options)
  begin(device, filter, start)
  return device
}

/** What is in memory of streams goes: it is read from the store again. */
function forgetTail(world: DurableWorld): void {
  world.broker.budgets.queueBytes.max = 0
  streamOf(world).run()
  world.broker.budgets.queueBytes.max = Infinity
  expect(streamOf(world).memory.tailStart).toBe(streamOf(world).end)
}

describe('a stored stream', () => {
  it('acknowledges with the commit that has the entry, and gives nobody a message before', async () => {
    const world = worldOf()
    const device = await reader(world, '$stream/meters')
    await world.settle()
    device.take()
    const publisher = await world.ready('p', {})
    publisher.publish('meters/1', 'x', { qos: 1 })
    world.turn()
    expect(publisher.take()).toEqual([])
    expect(device.take()).toEqual([])
    await world.settle()
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0 }])
    expect(payloads(device.takePublishes())).toEqual(['x'])
  })

  it('is read page by page by who is behind, and goes on at its end', async () => {
    const world = worldOf()
    await publish(world, 0, 3000)
    forgetTail(world)
    const device = await reader(world, '$stream/meters', 'offset:10')
    expect(await receive(world, device)).toEqual(numbers(10, 3000))
    await publish(world, 3001, 3010)
    expect(await receive(world, device)).toEqual(numbers(3001, 3010))
    expect(streamOf(world).totals).toMatchObject({ gaps: 0, delivered: 3001 })
  })

  it('reads a page once for all who are in it', async () => {
    const world = worldOf()
    await publish(world, 0, 900)
    forgetTail(world)
    let pages = 0
    const { readQueue } = world.store
    world.store.readQueue = (...query) => {
      pages++
      return readQueue.apply(world.store, query)
    }
    const devices = []
    for (let n = 0; n < 20; n++) {
      const device = await world.ready(`r${n}`, {})
      begin(device, '$stream/meters', `offset:${n}`)
      devices.push(device)
    }
    for (const [n, device] of devices.entries()) expect(await receive(world, device)).toEqual(numbers(n, 900))
    expect(pages).toBeLessThan(5)
  })

  it('finds the messages of one topic, and those since a time, in the store', async () => {
    const world = worldOf()
    await publish(world, 0, 2000)
    world.advance(60_000)
    await publish(world, 2001, 2100)
    forgetTail(world)
    const device = await reader(world, '$stream/meters/meters/1', 'offset:1990')
    expect(await receive(world, device)).toEqual(numbers(1990, 2100).filter((n) => Number(n) % 3 === 1))
    const late = await world.ready('late', {})
    begin(late, '$stream/meters', '-30s')
    expect(await receive(world, late)).toEqual(numbers(2001, 2100))
  })

  it('goes on after a restart: offsets, segments, and readers from what they acknowledged', async () => {
    const before = worldOf()
    await publish(before, 0, 700)
    const device = await reader(before, '$stream/meters', 'earliest')
    await before.settle()
    const first = device.takePublishes()
    acknowledge(device, first.slice(0, 4))
    device.take()
    before.advance(2000)
    await before.settle()
    before.store.abandon()
    const world = await before.restart()
    const stream = streamOf(world)
    expect(stream).toMatchObject({ firstOffset: 0, nextOffset: 701, end: 701 })
    expect([stream.segments.count, stream.segments.messages]).toEqual([3, 701])
    await publish(world, 701, 705)
    const again = world.device().connect({ clientId: 'r', ...lasting })
    await world.settle()
    const got = again.takePublishes()
    expect(got[0]).toMatchObject({ payload: '4', dup: false })
    expect(offsets(got)).toEqual(got.map((_, index) => 4 + index))
    acknowledge(again, got)
    expect([...payloads(got), ...(await receive(world, again))]).toEqual(numbers(4, 705))
  })

  it('keeps what the retention left, and says what was gone, over a restart', async () => {
    const before = worldOf({ retention: { ageMs: 0, bytesMax: 0, messagesMax: 512 } })
    const device = await reader(before, '$stream/meters', 'earliest')
    await publish(before, 0, 0)
    device.drop()
    await publish(before, 1, 1500)
    const world = await before.restart()
    const stream = streamOf(world)
    expect(stream).toMatchObject({ firstOffset: 768, nextOffset: 1501 })
    expect(stream.segments.messages).toBe(733)
    const again = world.device().connect({ clientId: 'r', ...lasting })
    await world.settle()
    const [got] = again.takePublishes()
    expect([got!.payload, property(got!, 'stream-gap')]).toEqual(['768', '768'])
  })

  it('that has lost all goes on counting', async () => {
    const before = worldOf({ retention: { ageMs: 1000, bytesMax: 0, messagesMax: 0 } })
    await publish(before, 0, 9)
    before.advance(5000)
    await before.settle()
    const world = await before.restart()
    expect(streamOf(world)).toMatchObject({ firstOffset: 10, nextOffset: 10 })
    await publish(world, 10, 10)
    const device = await reader(world, '$stream/meters', 'earliest')
    await world.settle()
    expect(offsets(device.takePublishes())).toEqual([10])
  })

  it('hands a group, after a restart, what was open and what comes behind', async () => {
    const before = worldOf()
    await publish(before, 0, 9)
    const device = await reader(before, '$share/g/$stream/meters', 'earliest')
    await before.settle()
    const got = device.takePublishes()
    acknowledge(device, [got[0]!, got[2]!, got[3]!, got[6]!])
    before.advance(2000)
    await before.settle()
    const world = await before.restart()
    const [group] = streamOf(world).groups.values()
    expect(group).toMatchObject({ name: 'g', cursor: 1, openCount: 6, settledAhead: 3 })
    await publish(world, 10, 12)
    const other = await world.ready('other', {})
    begin(other, '$share/g/$stream/meters', 'earliest')
    expect(await receive(world, other)).toEqual(['1', '4', '5', ...numbers(7, 12)])
    expect(group).toMatchObject({ openCount: 0, settledAhead: 0 })
  })

  it('is read again by a reader that waits at its end and is put elsewhere, though nothing new comes', async () => {
    const world = worldOf()
    await publish(world, 0, 20)
    const device = await reader(world, '$stream/meters', 'offset:15')
    expect(await receive(world, device)).toEqual(numbers(15, 20))
    forgetTail(world)
    begin(device, '$stream/meters', 'earliest', 1, 'stream-seek')
    expect(await receive(world, device)).toEqual(numbers(0, 20))
    begin(device, '$stream/meters', 'offset:18', 1, 'stream-seek')
    begin(device, '$stream/meters', 'latest', 1, 'stream-seek')
    await world.settle()
    device.take()
    await publish(world, 21, 22)
    expect(await receive(world, device)).toEqual(numbers(21, 22))
  })

  it('of which a run can not be read goes on behind it, and says how much is missing', async () => {
    const before = worldOf()
    await publish(before, 0, 50)
    const world = await before.restart()
    const { readQueue } = world.store
    world.store.readQueue = async (...query) => {
      const page = await readQueue.apply(world.store, query)
      const isLost = ({ reference }: (typeof page.entries)[number]) => reference.position > 9 && reference.position < 20
      return { ...page, entries: page.entries.filter((entry) => !isLost(entry)) }
    }
    const device = await reader(world, '$stream/meters', 'offset:8')
    await world.settle()
    const got = device.takePublishes()
    expect(payloads(got).slice(0, 3)).toEqual(['8', '9', '20'])
    expect(property(got[2]!, 'stream-gap')).toBe('10')
  })

  it('that nobody declares is kept, and read by nobody, until it is declared again', async () => {
    const before = worldOf()
    await publish(before, 0, 9)
    await reader(before, '$stream/meters', 'earliest')
    await before.settle()
    const without = await before.restart(before.store, { streams: [] })
    const device = await without.ready('x', {})
    expect(read(device, '$stream/meters')).toMatchObject({ code: 0x8f, reason: 'there is no stream meters' })
    await publish(without, 10, 11)
    const world = await without.restart(without.store, { streams: [declaredStream('meters')] })
    expect(streamOf(world)).toMatchObject({ firstOffset: 0, nextOffset: 10 })
  })
})
