/** The life of a message in a queue: each row of the table of states and events. */
import { describe, expect, it } from 'vitest'
import { answer, payloads, property, publishWith, queueOf, queueWorld, stateOf, worker } from './queue-world.ts'
import type { Device, SeenPublish, World } from './world.ts'

/** Publishes jobs `1` to `count`. */
function publish(world: World, count: number, topic = 'jobs/a'): Device {
  const publisher = world.connected(`publisher-${Math.random()}`)
  for (let n = 1; n <= count; n++) publisher.publish(topic, String(n), { qos: 1 })
  return publisher
}

/** Connects again, and keeps what comes with the CONNACK. */
function back(world: World, clientId: string): Device {
  return world.device().connect({ clientId, ...lasting })
}

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 100 } }

const one = (device: Device): SeenPublish => {
  const publishes = device.takePublishes()
  expect(publishes).toHaveLength(1)
  return publishes[0]!
}

describe('a message of a queue', () => {
  it('is given to one of its consumers on its own topic at QoS 1, with its delivery and attempt behind what its publisher said', () => {
    const world = queueWorld()
    const [a, b] = [worker(world, 'a'), worker(world, 'b')]
    const publisher = world.connected('p')
    expect(publishWith(publisher, 'jobs/x/y', 'do it', { unit: 'mm', 'queue-delivery': 'mine' })).toBe(0)
    const got = [...a.takePublishes(), ...b.takePublishes()]
    expect(got).toMatchObject([{ topic: 'jobs/x/y', payload: 'do it', qos: 1, retain: false, dup: false }])
    const names = got[0]!.properties.userProperties?.map(([name]) => name)
    expect(names).toEqual(['unit', 'queue-delivery', 'queue-delivery', 'queue-attempt'])
    expect(property(got[0]!, 'queue-attempt')).toBe('1')
    expect(stateOf(queueOf(world))).toEqual({ ready: 0, leased: 1, waiting: 0 })
  })

  it('waits in order while no consumer is there, and reaches subscribers of its topic all the same', () => {
    const world = queueWorld()
    const watcher = world.connected('watcher')
    watcher.subscribe('jobs/#', 0)
    publish(world, 3)
    expect(payloads(watcher.takePublishes())).toEqual(['1', '2', '3'])
    expect(payloads(worker(world, 'a').takePublishes())).toEqual(['1', '2', '3'])
  })

  it('is done with PUBACK 0x00 and 0x10, and with the PUBACK of a 3.1.1 client', () => {
    const world = queueWorld()
    const [a, old] = [worker(world, 'a'), worker(world, 'old', {}, { version: 4 })]
    publish(world, 4)
    const [first, third] = a.takePublishes()
    answer(a, first!, 0x00)
    answer(a, third!, 0x10)
    const delivered = old.takePublishes()
    expect(delivered).toHaveLength(2)
    expect(delivered[0]!.properties).toEqual({})
    for (const { packetId } of delivered) old.acknowledge('puback', packetId)
    expect(queueOf(world).count).toBe(0)
    expect(queueOf(world).totals.settled).toBe(4)
  })

  it.each([0x80, 0x83, 0x91])('is tried again after a back-off that grows with PUBACK %i, as a new packet', (code) => {
    const world = queueWorld()
    const a = worker(world, 'a')
    publish(world, 1)
    answer(a, one(a), code, { reasonString: 'kaputt' })
    expect(stateOf(queueOf(world))).toEqual({ ready: 0, leased: 0, waiting: 1 })
    world.advance(999)
    expect(a.takePublishes()).toEqual([])
    world.advance(1)
    const second = one(a)
    expect(second).toMatchObject({ dup: false, payload: '1' })
    expect(property(second, 'queue-attempt')).toBe('2')
    answer(a, second, code)
    world.advance(1999)
    expect(a.takePublishes()).toEqual([])
    world.advance(1)
    expect(property(one(a), 'queue-attempt')).toBe('3')
  })

  it('is tried again when PUBACK says, in place of the back-off', () => {
    const world = queueWorld()
    const a = worker(world, 'a')
    publish(world, 1)
    answer(a, one(a), 0x80, { userProperties: [['delay-ms', '70000']] })
    world.advance(69_999)
    expect(a.takePublishes()).toEqual([])
    world.advance(1)
    expect(payloads(a.takePublishes())).toEqual(['1'])
  })

  it('goes back to the front with PUBACK 0x97, whose consumer pauses, without an attempt', () => {
    const world = queueWorld({ prefetchMax: 1 })
    const a = worker(world, 'a')
    publish(world, 2)
    answer(a, one(a), 0x97)
    expect(a.takePublishes()).toEqual([])
    expect(stateOf(queueOf(world))).toEqual({ ready: 2, leased: 0, waiting: 0 })
    const b = worker(world, 'b')
    const again = one(b)
    expect([again.payload, property(again, 'queue-attempt')]).toEqual(['1', '1'])
    world.advance(1000)
    expect(one(a).payload).toBe('2')
  })

  it.each([0x87, 0x90, 0x99])('is a dead letter at once with PUBACK %i', (code) => {
    const world = queueWorld()
    const a = worker(world, 'a')
    publish(world, 1, 'jobs/x')
    answer(a, one(a), code, { reasonString: 'never' })
    expect(queueOf(world).count).toBe(0)
    const reader = world.connected('reader')
    reader.subscribe('$queue/jobs.dead', 1)
    const dead = one(reader)
    expect(dead).toMatchObject({ topic: 'jobs/x', payload: '1' })
    const said = ['queue', 'reason', 'attempts', 'text'].map((name) => property(dead, `dead-letter-${name}`))
    expect(said).toEqual(['jobs', 'rejected', '1', 'never'])
  })

  it('is a dead letter when it failed as often as the queue allows', () => {
    const world = queueWorld({ attemptsMax: 2 })
    const a = worker(world, 'a')
    publish(world, 1)
    answer(a, one(a), 0x80)
    world.advance(1000)
    answer(a, one(a), 0x80)
    world.advance(100_000)
    expect(a.takePublishes()).toEqual([])
    expect(queueOf(world, 'jobs.dead').count).toBe(1)
    expect(queueOf(world).totals).toMatchObject({ retried: 1, deadLettered: 1 })
  })

  it('is dropped and counted in place of a dead letter where the queue keeps none', () => {
    const world = queueWorld({ deadLetter: false })
    const a = worker(world, 'a')
    publish(world, 1)
    answer(a, one(a), 0x99)
    expect(queueOf(world).count).toBe(0)
    expect(world.broker.counters.messagesDropped.get('queue_rejected')).toBe(1)
  })

  it('goes to another when no verdict comes in time, and its consumer gets nothing more before it acknowledges it', () => {
    const world = queueWorld({ ackTimeoutMs: 5000, prefetchMax: 2 })
    const a = worker(world, 'a')
    publish(world, 3)
    const [first, second] = a.takePublishes()
    world.advance(4000)
    answer(a, first!, 0)
    expect(payloads(a.takePublishes())).toEqual(['3'])
    // The second has its whole time from when it became the oldest.
    world.advance(4999)
    expect(queueOf(world).totals.timedOut).toBe(0)
    world.advance(1)
    expect(queueOf(world).totals.timedOut).toBe(1)
    world.advance(1000)
    expect(a.takePublishes()).toEqual([])
    const b = worker(world, 'b')
    const again = one(b)
    expect([again.payload, property(again, 'queue-attempt')]).toEqual(['2', '2'])
    answer(b, again, 0)
    answer(a, second!, 0)
    publish(world, 1)
    expect(payloads([...a.takePublishes(), ...b.takePublishes()])).toEqual(['1'])
  })

  it('goes back at once, in its place and without an attempt, with DISCONNECT and with UNSUBSCRIBE', () => {
    for (const leave of ['disconnect', 'unsubscribe'] as const) {
      const world = queueWorld({ prefetchMax: 2 })
      const a = worker(world, 'a', {}, { properties: { sessionExpiryInterval: 100 } })
      publish(world, 3)
      expect(payloads(a.takePublishes())).toEqual(['1', '2'])
      if (leave === 'disconnect') a.disconnect()
      else a.unsubscribe('$queue/jobs')
      expect(stateOf(queueOf(world))).toEqual({ ready: 3, leased: 0, waiting: 0 })
      const got = worker(world, 'b').takePublishes()
      expect(got.map((message) => [message.payload, property(message, 'queue-attempt')])).toEqual([
        ['1', '1'],
        ['2', '1'],
      ])
    }
  })

  it('fails if it is the oldest of a connection that breaks with its session; the others are given back', () => {
    const world = queueWorld({ prefetchMax: 3 })
    const a = worker(world, 'a')
    publish(world, 3)
    expect(a.takePublishes()).toHaveLength(3)
    a.drop()
    expect(stateOf(queueOf(world))).toEqual({ ready: 2, leased: 0, waiting: 1 })
    const b = worker(world, 'b')
    expect(b.takePublishes().map((message) => [message.payload, property(message, 'queue-attempt')])).toEqual([
      ['2', '1'],
      ['3', '1'],
    ])
    world.advance(1000)
    const first = one(b)
    expect([first.payload, property(first, 'queue-attempt')]).toEqual(['1', '2'])
  })

  it('stays with a session whose connection broke for a while, and comes again with the same packet identifier and DUP', () => {
    const world = queueWorld({ prefetchMax: 2 })
    const a = worker(world, 'a', {}, lasting)
    publish(world, 3)
    const before = a.takePublishes()
    a.drop()
    world.advance(9999)
    const returned = back(world, 'a')
    const again = returned.takePublishes()
    expect(again.map(({ packetId, dup, payload }) => [packetId, dup, payload])).toEqual(
      before.map(({ packetId, payload }) => [packetId, true, payload]),
    )
    world.advance(20_000)
    answer(returned, again[0]!, 0)
    expect(payloads(returned.takePublishes())).toEqual(['3'])
    expect(queueOf(world).totals).toMatchObject({ settled: 1, returned: 0, retried: 0 })
  })

  it('goes to others when the connection does not come back in time, and is not sent again to who comes back later', () => {
    const world = queueWorld({ prefetchMax: 2 })
    const a = worker(world, 'a', {}, lasting)
    publish(world, 2)
    a.takePublishes()
    a.drop()
    world.advance(10_000)
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 1 })
    const b = worker(world, 'b')
    expect(one(b).payload).toBe('2')
    const returned = back(world, 'a')
    expect(returned.takePublishes()).toEqual([])
    world.advance(1000)
    expect(payloads([...returned.takePublishes(), ...b.takePublishes()])).toEqual(['1'])
  })

  it('comes again with DUP on the connection that takes over its session, and to others when that begins anew', () => {
    const world = queueWorld({ prefetchMax: 2 })
    const a = worker(world, 'a', {}, lasting)
    publish(world, 2)
    a.takePublishes()
    const taken = back(world, 'a')
    expect(taken.takePublishes().map(({ dup }) => dup)).toEqual([true, true])
    world.connected('a')
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 1 })
  })

  it('is done by a verdict that comes too late while it waits or is ready; the first verdict counts', () => {
    const world = queueWorld({ ackTimeoutMs: 5000 })
    const a = worker(world, 'a')
    publish(world, 1)
    const first = one(a)
    world.advance(5000)
    expect(stateOf(queueOf(world))).toEqual({ ready: 0, leased: 0, waiting: 1 })
    answer(a, first, 0)
    expect(queueOf(world).count).toBe(0)
    expect(publishWith(a, '$queue/jobs/$ack', '', { 'queue-delivery': property(first, 'queue-delivery')! })).toBe(0)
    expect(publishWith(a, '$queue/jobs/$nack', '', { 'queue-delivery': property(first, 'queue-delivery')! })).toBe(0x83)
  })

  it('is worked on alone when it was given back three times by connections that broke', () => {
    const world = queueWorld({ prefetchMax: 3 })
    publish(world, 3)
    for (const name of ['a', 'b', 'c']) {
      const crashing = worker(world, name)
      expect(payloads(crashing.takePublishes())).toContain('3')
      crashing.drop()
      world.advance(10_000)
    }
    const d = worker(world, 'd')
    const together = d.takePublishes()
    // 1 failed as the oldest each time; 2 and 3 were bystanders.
    expect(together).toHaveLength(1)
    answer(d, together[0]!, 0)
    const next = one(d)
    answer(d, next, 0)
    answer(d, one(d), 0)
    expect(queueOf(world).count).toBe(0)
  })

  it('expires into the dead letters, where its own expiry counts no more', () => {
    const world = queueWorld({ messageTtlMs: 60_000 })
    const publisher = publish(world, 1)
    publisher.publish('jobs/a', 'short', { qos: 1, expiry: 5 })
    world.advance(5000)
    const a = worker(world, 'a')
    answer(a, one(a), 0x80, { userProperties: [['delay-ms', '60000']] })
    world.advance(60_000)
    expect(a.takePublishes()).toEqual([])
    const reader = world.connected('reader')
    reader.subscribe('$queue/jobs.dead', 1)
    const dead = reader.takePublishes()
    expect(dead.map((message) => [message.payload, property(message, 'dead-letter-reason')])).toEqual([
      ['short', 'expired'],
      ['1', 'expired'],
    ])
  })
})
