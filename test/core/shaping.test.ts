/** Shaped subscriptions on a fake clock: what is sent, what is left out and counted, and what is kept meanwhile. */
import { describe, expect, test } from 'vitest'
import { follow } from '../../src/core/explain/explainer.ts'
import { publishBundle } from '../../src/core/publish/bundle.ts'
import { latestTopicsMax, shapedSubscriptionsMax } from '../../src/core/shaping/shaper.ts'
import { newMessage } from '../../src/engine/own-message.ts'
import type { Properties } from '../../src/mqtt/packet.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld } from './durable-world.ts'
import { type Device, World } from './world.ts'

const wishes = (given: Record<string, string>): Properties => ({
  userProperties: Object.entries(given).map(([name, value]) => [`mqtide-${name}`, value]),
})

function shaped(given: Record<string, string>, qos: 0 | 1 | 2 = 0, world = new World()) {
  const page = world.connected('page')
  page.subscribe('a/#', qos, {}, wishes(given))
  const [suback] = page.take()
  const granted = suback?.type === 'suback' ? suback.reasonCodes[0] : undefined
  return { world, page, publisher: world.connected('publisher'), granted }
}

const got = (page: Device) => page.takePublishes().map(({ topic, payload }) => `${topic}=${payload}`)
const left = ({ broker }: World) => Object.fromEntries(broker.counters.messagesShaped.counts)
const drops = ({ broker }: World) =>
  [...broker.counters.messagesDropped.counts.values()].reduce((sum, one) => sum + one, 0)

describe('a sample', () => {
  test('is one of so many, the first included; the others are no drops', () => {
    const { world, page, publisher } = shaped({ sample: '3' })
    for (let i = 0; i < 7; i++) publisher.publish('a/1', String(i))
    expect(got(page)).toEqual(['a/1=0', 'a/1=3', 'a/1=6'])
    expect(left(world)).toEqual({ sample: 4 })
    expect(drops(world)).toBe(0)
  })
})

describe('no more than so many per second', () => {
  test('leaves out what comes faster, and has as many at once after a pause', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '2' })
    const round = () => {
      for (let i = 0; i < 5; i++) publisher.publish('a/1', String(i))
      return got(page).length
    }
    expect(round()).toBe(2)
    world.advance(500)
    expect(round()).toBe(1)
    world.advance(60_000)
    expect(round()).toBe(2)
    expect(left(world)).toEqual({ rate: 10 })
  })

  test('may be less than one', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '0.1' })
    publisher.publish('a/1', 'x')
    world.advance(9_999)
    publisher.publish('a/1', 'y')
    world.advance(1)
    publisher.publish('a/1', 'z')
    expect(got(page)).toEqual(['a/1=x', 'a/1=z'])
  })
})

describe('the latest of each topic', () => {
  test('comes when its turn has come, in the order in which topics began to wait', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '1', latest: 'true' })
    for (const payload of ['1', '2', '3']) for (const topic of ['a/1', 'a/2', 'a/3']) publisher.publish(topic, payload)
    expect(got(page)).toEqual(['a/1=1'])
    world.advance(1000)
    expect(got(page)).toEqual(['a/2=3'])
    world.advance(2000)
    expect(got(page)).toEqual(['a/3=3', 'a/1=3'])
    expect(left(world)).toEqual({ latest: 5 })
    world.advance(60_000)
    expect(got(page)).toEqual([])
    expect(world.broker.deadlines.size).toBe(0)
  })

  test('waits for a page that does not read, without a limit in time too', () => {
    const { world, page, publisher } = shaped({ latest: 'true' })
    publisher.publish('a/1', 'before')
    page.link.full = true
    for (const payload of ['1', '2', '3']) publisher.publish('a/1', payload)
    world.advance(1000)
    expect(got(page)).toEqual(['a/1=before'])
    page.link.full = false
    world.advance(100)
    expect(got(page)).toEqual(['a/1=3'])
    expect(left(world)).toEqual({ latest: 2 })
    expect(drops(world)).toBe(0)
  })

  test('that has expired or may not be received any more meanwhile is dropped', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '0.5', latest: 'true' })
    publisher.publish('a/1', 'first')
    publisher.publish('a/1', 'short', { expiry: 1 })
    world.advance(2000)
    publisher.publish('a/1', 'third')
    world.advance(2000)
    expect(got(page)).toEqual(['a/1=first', 'a/1=third'])
    expect(world.broker.counters.messagesDropped.get('expired')).toBe(1)
  })

  test('is kept for so many topics and bytes; beyond that the one that waits longest is dropped, and all is counted with outputs', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '0.01', latest: 'true' })
    const { outputBytes } = world.broker.budgets
    for (let i = 0; i <= latestTopicsMax + 5; i++) publisher.publish(`a/${i}`, 'x')
    expect(world.broker.counters.messagesDropped.get('slow_consumer')).toBe(5)
    expect(outputBytes.used).toBeGreaterThan(latestTopicsMax)
    for (let i = 0; i < 10; i++) publisher.publish(`a/big/${i}`, 'x'.repeat(1024 * 1024))
    expect(outputBytes.used).toBeLessThan(5 * 1024 * 1024)
    page.unsubscribe('a/#')
    expect(outputBytes.used).toBe(0)
    expect(world.broker.deadlines.size).toBe(0)
  })
})

describe('a content filter', () => {
  test('lets through what fits, retained messages too, and is asked once for all who have it', () => {
    const world = new World()
    const publisher = world.connected('publisher')
    publisher.publish('a/kept', '{"t":30}', { retain: true })
    publisher.publish('a/cold', '{"t":3}', { retain: true })
    const pages = ['1', '2'].map((name) => world.connected(name).subscribe('a/#', 0, {}, wishes({ where: 't > 25' })))
    expect(world.broker.contentFilters.size).toBe(1)
    for (const page of pages) expect(got(page)).toEqual(['a/kept={"t":30}'])
    for (const payload of ['{"t":26}', '{"t":25}', 'no JSON', '', '{"t":"26"}', `[${'['.repeat(100)}`]) {
      publisher.publish('a/1', payload)
    }
    for (const page of pages) expect(got(page)).toEqual(['a/1={"t":26}'])
    expect(left(world)).toEqual({ where: 12 })
    for (const page of pages) page.disconnect()
    expect(world.broker.contentFilters.size).toBe(0)
  })

  test('looks at user properties', () => {
    const { page, publisher } = shaped({ where: '@site = "north" and $ > 5' })
    const properties = (site: string): Properties => ({ userProperties: [['site', site]] })
    publisher.publish('a/1', '7', { properties: properties('north') })
    publisher.publish('a/1', '7', { properties: properties('south') })
    publisher.publish('a/1', '7')
    expect(got(page)).toEqual(['a/1=7'])
  })

  test('alone keeps the QoS, with acknowledgements as ever; anything more is QoS 0', () => {
    const { page, publisher, granted } = shaped({ where: 't > 25' }, 1)
    expect(granted).toBe(1)
    publisher.publish('a/1', '{"t":26}', { qos: 1 })
    const [message] = page.takePublishes()
    expect(message).toMatchObject({ qos: 1 })
    expect(shaped({ where: 't > 25', sample: '2' }, 1).granted).toBe(0)
    expect(shaped({ latest: 'true' }, 2).granted).toBe(0)
  })

  test('that fits beside another subscription of the same client comes by each of them', () => {
    const { page, publisher } = shaped({ where: 't > 25' })
    page.subscribe('a/1', 0)
    page.take()
    publisher.publish('a/1', '{"t":26}')
    publisher.publish('a/1', '{"t":2}')
    expect(got(page)).toEqual(['a/1={"t":26}', 'a/1={"t":26}', 'a/1={"t":2}'].toSorted())
  })
})

describe('a shaped subscription', () => {
  test('brings nothing that its client may not receive, by its content too, now or when its turn comes', () => {
    const { world, page, publisher } = shaped({ 'max-per-second': '1', latest: 'true' })
    let secret = 'none'
    page.client.regrant({
      mayPublish: () => true,
      maySubscribe: () => true,
      mayReceive: (_topic, _qos, _retain, _group, content) =>
        !Buffer.from(content?.message?.payload ?? [])
          .toString()
          .includes(secret),
    })
    publisher.publish('a/1', 'open')
    secret = 'key'
    publisher.publish('a/1', 'a key')
    publisher.publish('a/2', 'later')
    secret = 'later'
    world.advance(2000)
    expect(got(page)).toEqual(['a/1=open'])
    expect(world.broker.counters.messagesDropped.get('not_authorized')).toBe(2)
  })

  test('is explained: what is sent, what is kept for later and what is left out', () => {
    const { world, publisher } = shaped({ where: 'n > 0', 'max-per-second': '1', latest: 'true' })
    const states: string[] = []
    const following = follow(world.broker, { namespace: 'default', filter: '#', waitMs: 0 }, ({ recipients }) => {
      for (const { kind, name, state, because } of recipients) states.push(`${kind} ${name} ${state} ${because}`)
    })
    for (const n of [1, 0, 2]) publisher.publish('a/1', JSON.stringify({ n }))
    world.advance(60_000)
    following?.end()
    expect(states.toSorted()).toEqual(['client page not_sent shaped', 'client page queued shaped', 'client page sent '])
  })

  test('obeys No Local', () => {
    const world = new World()
    const page = world.connected('page').subscribe('a', 0, { noLocal: true }, wishes({ sample: '1', latest: 'true' }))
    page.take()
    page.publish('a', 'own')
    world.connected('other').publish('a', 'other')
    expect(got(page)).toEqual(['a=other'])
  })

  test('ends with its connection, though the session stays, and a plain one stays', () => {
    const world = new World()
    const lasting = { properties: { sessionExpiryInterval: 100 } }
    const page = world.connected('page', { ...lasting, cleanStart: false })
    page.subscribe('a', 0, {}, wishes({ latest: 'true' })).subscribe('b', 1)
    page.drop()
    expect(world.broker.totals().sessionsCreated).toBe(1)
    const again = world.connected('page', { ...lasting, cleanStart: false })
    expect(again.sessionPresent).toBe(true)
    const publisher = world.connected('publisher')
    publisher.publish('a', 'x')
    publisher.publish('b', 'y')
    expect(got(again)).toEqual(['b=y'])
  })

  test('gives way to another by the same filter, shaped or plain, and that to it', () => {
    const { world, page, publisher } = shaped({ sample: '1000' })
    const seen = () => {
      page.take()
      for (let i = 0; i < 4; i++) publisher.publish('a/1', String(i))
      return got(page).length
    }
    expect(seen()).toBe(1)
    page.subscribe('a/#', 0, {}, wishes({ sample: '2' }))
    expect(seen()).toBe(2)
    page.subscribe('a/#', 0)
    expect(seen()).toBe(4)
    page.subscribe('a/#', 0, {}, wishes({ sample: '4' }))
    expect(seen()).toBe(1)
    expect(world.broker.defaultNamespace.index.count).toBe(1)
    page.unsubscribe('a/#')
    expect(seen()).toBe(0)
    expect(world.broker.defaultNamespace.index.count).toBe(0)
  })

  test.each([
    [{ sample: '0' }, 0x8f],
    [{ sample: 'x' }, 0x8f],
    [{ sample: '1.5' }, 0x8f],
    [{ 'max-per-second': '-1' }, 0x8f],
    [{ 'max-per-second': '1e3' }, 0x8f],
    [{ 'max-per-second': '1001' }, 0x8f],
    [{ latest: 'yes' }, 0x8f],
    [{ where: 't >' }, 0x8f],
  ])('with a wish that can not be understood is refused: %j', (given, code) => {
    expect(shaped(given as unknown as Record<string, string>).granted).toBe(code)
  })

  test('of a share group is refused, and more than a client may have', () => {
    const world = new World()
    const page = world.connected('page')
    const asked = (filter: string, given: Record<string, string>) => {
      const [suback] = page.subscribe(filter, 0, {}, wishes(given)).take()
      return suback?.type === 'suback' && suback.reasonCodes[0]
    }
    expect(asked('$share/g/a', { sample: '2' })).toBe(0x8f)
    for (let i = 0; i < shapedSubscriptionsMax; i++) expect(asked(`a/${i}`, { where: `n = ${i}` })).toBe(0)
    expect(asked('more', { sample: '2' })).toBe(0x97)
    expect(asked('a/0', { sample: '2' })).toBe(0)
    expect(world.broker.contentFilters.size).toBe(shapedSubscriptionsMax - 1)
    expect(asked('plain', {})).toBe(0)
    for (const filter of ['$queue/jobs', '$stream/log']) expect(asked(filter, { sample: '2' })).toBe(0x8f)
  })
})

describe('a publisher at QoS 1 is refused for a page with a content filter as for any other subscriber', () => {
  test('whose queue is full, where full queues refuse', () => {
    const world = new World({ sessionQueueFull: 'reject', sessionQueueMessagesMax: 1 })
    const page = world.connected('page', { properties: { receiveMaximum: 1 } })
    page.subscribe('a/#', 1, {}, wishes({ where: 't > 25' }))
    page.take()
    const publisher = world.connected('publisher')
    const codes = [1, 2, 3].map(() => {
      publisher.publish('a/1', '{"t":26}', { qos: 1 })
      const [puback] = publisher.take()
      return puback?.type === 'puback' ? puback.reasonCode : undefined
    })
    expect(codes).toEqual([0, 0, 0x97])
    expect(drops(world)).toBe(0)
  })

  test('and a bundle is refused whole', () => {
    const world = new World({ sessionQueueFull: 'reject', sessionQueueMessagesMax: 1 })
    const page = world.connected('page', { properties: { receiveMaximum: 1 } })
    page.subscribe('a/#', 1, {}, wishes({ where: 't > 25' }))
    page.take()
    const { broker } = world
    const own = { name: 'a/1', payload: encodeUtf8('{"t":26}'), forwardProperties: new Uint8Array(0), qos: 1 } as const
    const messages = [1, 2, 3].map(() => {
      const message = newMessage({ ...own, expiresAt: Infinity, publishedAt: broker.now })
      return { namespace: broker.defaultNamespace, message, retain: false }
    })
    expect(publishBundle(broker, { messages, verdicts: [], publisher: null })).toMatchObject({ reason: 'no_room' })
    expect(got(page)).toEqual([])
  })

  test('whose queue would be written to a store that has no room', async () => {
    const world = new DurableWorld()
    const page = await world.ready('page', { properties: { sessionExpiryInterval: 100 } })
    page.subscribe('a/#', 1, {}, wishes({ where: 't > 25' }))
    const publisher = await world.ready('publisher', {})
    world.broker.storeFull = true
    publisher.publish('a/1', '{"t":26}', { qos: 1 })
    await world.settle()
    expect(publisher.take()).toMatchObject([{ type: 'puback', reasonCode: 0x97 }])
  })
})
