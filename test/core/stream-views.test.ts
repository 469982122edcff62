/** What others than MQTT's readers see of streams, and do with them: views, parts, trims, cursors of groups. */
import { describe, expect, it } from 'vitest'
import { BrokerStreams } from '../../src/core/inspection/streams.ts'
import { streamStartOf } from '../../src/core/logs/stream-start.ts'
import type { StreamPart, StreamQuery } from '../../src/core/ports/streams.ts'
import { DurableWorld, SlowStore } from './durable-world.ts'
import { acknowledge, declaredStream, fill, read, streamOf, streamWorld } from './stream-world.ts'
import type { World } from './world.ts'

const meters = { namespace: 'default', name: 'meters' }
const start = (text: string) => streamStartOf(text)!

function part(world: World, from: string, over: Partial<StreamQuery> = {}): StreamPart {
  const parts: StreamPart[] = []
  const query = { from: start(from), filter: null, messagesMax: 100, bytesMax: 1e6, ...over }
  expect(new BrokerStreams(world.broker).read(meters, query, (found) => parts.push(found))).toBe(true)
  world.turn()
  expect(parts).toHaveLength(1)
  return parts[0]!
}

const texts = ({ messages }: StreamPart): string[] =>
  messages.map(({ message }) => new TextDecoder().decode(message.payload))

describe('a part of a stream', () => {
  it('leaves nobody waiting at the end when it has come there without a message', () => {
    const world = streamWorld()
    fill(world, 0, 9)
    for (let i = 0; i < 5; i++) expect(part(world, 'first', { filter: 'meters/none' }).atEnd).toBe(true)
    expect(streamOf(world).waitingAtEnd).toBe(0)
  })

  it('begins where it says, has as many messages as are asked for, and says where to read on', () => {
    const world = streamWorld()
    fill(world, 0, 9)
    const first = part(world, 'offset:2', { messagesMax: 3 })
    expect(first).toMatchObject({ nextOffset: 5, atEnd: false, missed: 0 })
    expect(first.messages[0]).toMatchObject({
      offset: 2,
      at: world.now,
      message: { topic: 'meters/2', publisher: 'filler' },
    })
    const rest = part(world, `offset:${first.nextOffset}`)
    expect(texts(rest)).toEqual(['5', '6', '7', '8', '9'])
    expect(rest).toMatchObject({ nextOffset: 10, atEnd: true })
    expect(part(world, 'latest')).toMatchObject({ messages: [], nextOffset: 10, atEnd: true })
    expect(texts(part(world, 'first', { filter: 'meters/0', bytesMax: 5 }))).toEqual(['0'])
  })

  it('looks at so many messages and no more, however few match', () => {
    const world = streamWorld()
    fill(world, 0, 12_000)
    const found = part(world, 'first', { filter: 'meters/none' })
    expect(found).toMatchObject({ messages: [], nextOffset: 10_000, atEnd: false })
    expect(part(world, `offset:${found.nextOffset}`, { filter: 'meters/none' }).atEnd).toBe(true)
  })

  it('says what is gone, and counts it for nobody', () => {
    const world = streamWorld()
    fill(world, 0, 9)
    expect(new BrokerStreams(world.broker).trim(meters, start('offset:6'))).toBe(6)
    expect(part(world, 'offset:2')).toMatchObject({ missed: 4, nextOffset: 10 })
    expect(streamOf(world).totals).toMatchObject({ trimmed: 6, gaps: 0, missed: 0 })
  })

  it('comes from the store, and never with what is not committed', async () => {
    const world = new DurableWorld(new SlowStore(), 0, undefined, {}, { streams: [declaredStream('meters')] })
    const publisher = await world.ready('p', {})
    for (let n = 0; n < 300; n++) publisher.publish('meters/1', String(n), { qos: 1 })
    await world.settle()
    const again = await world.restart()
    const parts: StreamPart[] = []
    const look = (from: string) =>
      new BrokerStreams(again.broker).read(
        meters,
        { from: start(from), filter: null, messagesMax: 100, bytesMax: 1e6 },
        (found) => parts.push(found),
      )
    look('offset:295')
    await again.settle()
    expect(texts(parts[0]!)).toEqual(['295', '296', '297', '298', '299'])
    const late = await again.ready('p', {})
    late.publish('meters/1', 'late', { qos: 1 })
    look('offset:300')
    await again.settle()
    look('offset:300')
    expect(parts.slice(1).map(texts)).toEqual([[], ['late']])
  })
})

describe('a stream seen from outside', () => {
  it('says what it has, who reads it, and how far they are', () => {
    const world = streamWorld()
    fill(world, 0, 9)
    const streams = new BrokerStreams(world.broker)
    const a = world.connected('a', { cleanStart: false, properties: { sessionExpiryInterval: 60 } })
    acknowledge(a, read(a, '$stream/meters/meters/1', 'first').publishes.slice(0, 1))
    read(world.connected('b'), '$share/g/$stream/meters', 'offset:8')
    expect([...streams.list()].filter((one) => one !== null)).toMatchObject([
      {
        ...meters,
        filter: 'meters/#',
        declared: true,
        firstOffset: 0,
        nextOffset: 10,
        messages: 10,
        oldestAt: world.now,
        newestAt: world.now,
        readers: 2,
        groups: 1,
        totals: { appended: 10, delivered: 5 },
      },
    ])
    expect([...streams.readers(meters)]).toMatchObject([
      { clientId: 'a', filter: 'meters/1', group: null, cursor: 4, lag: 6, inflight: 2, connected: true },
      { clientId: 'b', filter: null, group: 'g', cursor: 8, lag: 2, inflight: 2 },
    ])
    expect(streams.groups(meters)).toEqual([
      { group: 'g', filter: null, cursor: 8, lag: 2, inflight: 2, settledAhead: 0, members: 1 },
    ])
    const unknown = { namespace: 'default', name: 'other' }
    expect(streams.state(unknown)).toBeNull()
    expect(streams.trim(unknown, start('first'))).toBeNull()
    expect(streams.groups(unknown)).toEqual([])
  })

  it('says that nothing is before a group and a reader of which all is gone', () => {
    const world = streamWorld()
    fill(world, 0, 9)
    const streams = new BrokerStreams(world.broker)
    const durable = { cleanStart: false, properties: { sessionExpiryInterval: 60 } } as const
    read(world.connected('a', durable), '$share/g/$stream/meters', 'first')
    read(world.connected('b', durable), '$stream/meters', 'first')
    streams.trim(meters, start('offset:8'))
    expect(streams.groups(meters)).toMatchObject([{ cursor: 0, lag: 2 }])
    streams.trim(meters, start('next'))
    expect(streams.groups(meters)).toMatchObject([{ lag: 0 }])
    expect([...streams.readers(meters)].map((one) => one?.lag)).toEqual([0, 0])
  })

  it('tells once when there is something at an offset', () => {
    const world = streamWorld()
    const streams = new BrokerStreams(world.broker)
    const told: number[] = []
    for (const offset of [0, 1, 2]) streams.whenReady(meters, offset, () => told.push(offset))
    const cancel = streams.whenReady(meters, 1, () => told.push(9))
    fill(world, 0, 0)
    expect(told).toEqual([0])
    cancel()
    fill(world, 1, 1)
    streams.whenReady(meters, 0, () => told.push(7))
    expect(told).toEqual([0, 1, 7])
  })

  it('lets a group be put elsewhere, made, and deleted when it has no members', () => {
    const world = streamWorld()
    const streams = new BrokerStreams(world.broker)
    fill(world, 0, 9)
    const device = world.connected('a')
    const had = read(device, '$share/g/$stream/meters', 'offset:8').publishes
    const group = { group: 'g', filter: null }
    expect(streams.moveCursor(meters, group, start('offset:5'))).toBe('done')
    acknowledge(device, had)
    expect(device.takePublishes().map(({ payload }) => payload)).toEqual(['5', '6', '7', '8', '9'])
    expect(streams.groups(meters)).toMatchObject([{ cursor: 5, inflight: 5 }])
    expect(streams.deleteCursor(meters, group)).toBe('busy')
    device.disconnect()
    expect(streams.deleteCursor(meters, group)).toBe('done')
    expect(streams.deleteCursor(meters, group)).toBe('unknown')
    expect(streams.moveCursor(meters, { group: 'new', filter: 'meters/1' }, start('first'))).toBe('done')
    expect(streams.groups(meters)).toMatchObject([{ group: 'new', filter: 'meters/1', cursor: 0, members: 0 }])
  })
})
