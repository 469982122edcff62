/** What clients are told: SUBACK and PUBACK about queues, verdicts that are published, and limits. */
import { describe, expect, it } from 'vitest'
import type { Authority, Grant } from '../../src/core/ports/authority.ts'
import {
  answer,
  declared,
  payloads,
  property,
  publishWith,
  queueOf,
  queueWorld,
  stateOf,
  worker,
} from './queue-world.ts'
import { type Device, World } from './world.ts'

function suback(device: Device, filter: string, qos: 0 | 1 | 2 = 1, properties = {}) {
  device.subscribe(filter, qos, {}, properties)
  for (const packet of device.take())
    if (packet.type === 'suback') return [packet.reasonCodes[0], packet.properties.reasonString] as const
  return [undefined, undefined] as const
}

describe('SUBSCRIBE to a queue', () => {
  it('is refused with 0x8F and a reason where there is no such queue, with another filter, and in a share group', () => {
    const world = queueWorld()
    const device = world.connected('a')
    expect(suback(device, '$queue/none')).toEqual([
      0x8f,
      'there is no queue none; a shared subscription is $share/<group>/<filter>',
    ])
    expect(suback(device, '$queue/jobs/other/#')).toEqual([0x8f, 'the queue jobs has the filter jobs/#'])
    expect(suback(device, '$queue/jobs.dead/x')).toEqual([0x8f, 'the queue jobs.dead has no filter'])
    expect(suback(device, '$share/g/$queue/jobs')[0]).toBe(0x8f)
    expect(suback(device, '$queue/jobs/jobs/#')).toEqual([1, undefined])
    expect(suback(world.connected('old', { version: 4 }), '$queue/none')[0]).toBe(0x80)
  })

  it('is granted QoS 1, refused at QoS 0 with 0x83 unless the queue allows that, and with a bad prefetch or settle', () => {
    const world = queueWorld({}, declared('loose', { allowQos0: true }))
    const device = world.connected('a')
    expect(suback(device, '$queue/jobs', 2)).toEqual([1, undefined])
    expect(suback(device, '$queue/jobs', 0)[0]).toBe(0x83)
    expect(suback(device, '$queue/loose', 0)[0]).toBe(0)
    expect(suback(device, '$queue/jobs', 1, { userProperties: [['prefetch', 'many']] })[0]).toBe(0x83)
    expect(suback(device, '$queue/jobs', 1, { userProperties: [['settle', 'later']] })[0]).toBe(0x83)
    world.connected('p').publish('loose/x', 'gone when sent', { qos: 1 })
    expect(device.takePublishes()).toMatchObject([{ payload: 'gone when sent', qos: 0 }])
    expect(queueOf(world, 'loose').count).toBe(0)
  })

  it('needs the right to consume: a rule for # does not cover it', () => {
    const grant: Grant = {
      mayPublish: () => true,
      maySubscribe: (filter) => filter === 'jobs/#',
      mayReceive: () => true,
    }
    const authority: Authority = {
      authenticate: (_packet, _peer, done) => done({ reasonCode: 0, grant }),
      beginExchange: () => null,
    }
    const world = new World({ queues: [declared('jobs'), declared('secret')] }, { authority })
    const device = world.connected('a')
    expect(suback(device, '$queue/jobs')[0]).toBe(1)
    expect(suback(device, '$queue/secret')[0]).toBe(0x87)
    expect(suback(device, '$queue/jobs.dead')[0]).toBe(0x87)
  })

  it('brings its identifier with each message, and ends with the right to it', () => {
    const world = queueWorld()
    const device = worker(world, 'a', { subscriptionIdentifiers: [7] })
    world.connected('p').publish('jobs/x', '1', { qos: 1 })
    expect(device.takePublishes()[0]!.properties.subscriptionIdentifiers).toEqual([7])
    device.client.regrant({ mayPublish: () => true, maySubscribe: () => false, mayReceive: () => true })
    world.turn()
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 0 })
    expect(queueOf(world).consumers.size).toBe(0)
  })
})

describe('a consumer', () => {
  it('has no more at a time than its Receive Maximum, the queue and its own prefetch allow', () => {
    const world = queueWorld({ prefetchMax: 5 })
    const few = worker(world, 'few', {}, { properties: { receiveMaximum: 2 } })
    const own = worker(world, 'own', { userProperties: [['prefetch', '3']] })
    const most = worker(world, 'most')
    const publisher = world.connected('p')
    for (let n = 1; n <= 20; n++) publisher.publish('jobs/x', String(n), { qos: 1 })
    expect([few, own, most].map((device) => device.takePublishes().length)).toEqual([2, 3, 5])
  })

  it('gets nothing while its output is full, and what it then misses goes to others', () => {
    const world = queueWorld()
    const [slow, fast] = [worker(world, 'slow'), worker(world, 'fast')]
    slow.link.full = true
    const publisher = world.connected('p')
    for (let n = 1; n <= 4; n++) publisher.publish('jobs/x', String(n), { qos: 1 })
    expect(payloads(fast.takePublishes())).toEqual(['1', '2', '3', '4'])
    slow.link.full = false
    slow.client.pump()
    publisher.publish('jobs/x', '5', { qos: 1 })
    publisher.publish('jobs/x', '6', { qos: 1 })
    expect(slow.takePublishes()).toHaveLength(1)
  })

  it('settles by verdicts alone where it says so, and its PUBACK only frees the packet identifier', () => {
    const world = queueWorld()
    const device = worker(world, 'a', {
      userProperties: [
        ['settle', 'explicit'],
        ['prefetch', '2'],
      ],
    })
    const publisher = world.connected('p')
    for (let n = 1; n <= 3; n++) publisher.publish('jobs/x', String(n), { qos: 1 })
    const [one, two] = device.takePublishes()
    answer(device, one!, 0)
    answer(device, two!, 0)
    expect(device.takePublishes()).toEqual([])
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 2, waiting: 0 })
    expect(publishWith(device, '$queue/jobs/$ack', '', { 'queue-delivery': property(two!, 'queue-delivery')! })).toBe(0)
    expect(payloads(device.takePublishes())).toEqual([])
    expect(queueOf(world)).toMatchObject({ count: 2, leased: 2 })
    device.drop()
    expect(stateOf(queueOf(world))).toEqual({ ready: 1, leased: 0, waiting: 1 })
  })

  it('fails what is larger than it takes', () => {
    const world = queueWorld({ attemptsMax: 1 })
    const small = worker(world, 'small', {}, { properties: { maximumPacketSize: 200 } })
    world.connected('p').publish('jobs/x', 'x'.repeat(300), { qos: 1 })
    expect(small.takePublishes()).toEqual([])
    expect(queueOf(world, 'jobs.dead').count).toBe(1)
  })
})

describe('a published verdict', () => {
  it('without an id is about the oldest of the connection, and comes before its PUBACK', () => {
    const world = queueWorld()
    const old = worker(world, 'old', {}, { version: 4 })
    const publisher = world.connected('p')
    for (let n = 1; n <= 3; n++) publisher.publish('jobs/x', String(n), { qos: 1 })
    const [one, two, three] = old.takePublishes()
    old.publish('$queue/jobs/$nack', '{"delayMs":5000,"reason":"später"}', { qos: 1 })
    old.acknowledge('puback', one!.packetId)
    old.publish('$queue/jobs/$reject', '', { qos: 1 })
    old.acknowledge('puback', two!.packetId)
    old.acknowledge('puback', three!.packetId)
    expect(stateOf(queueOf(world))).toEqual({ ready: 0, leased: 0, waiting: 1 })
    expect(queueOf(world, 'jobs.dead').count).toBe(1)
    world.advance(4999)
    expect(old.takePublishes()).toEqual([])
    world.advance(1)
    expect(payloads(old.takePublishes())).toEqual(['1'])
  })

  it('of another client needs an id and the right to consume', () => {
    const world = queueWorld()
    const device = worker(world, 'a')
    world.connected('p').publish('jobs/x', '1', { qos: 1 })
    const id = property(device.takePublishes()[0]!, 'queue-delivery')!
    const other = world.connected('other')
    expect(publishWith(other, '$queue/jobs/$ack', '')).toBe(0x83)
    other.client.regrant({ mayPublish: () => true, maySubscribe: () => false, mayReceive: () => true })
    expect(publishWith(other, '$queue/jobs/$ack', '', { 'queue-delivery': id })).toBe(0x87)
    other.client.regrant(null)
    expect(publishWith(other, '$queue/jobs/$ack', JSON.stringify({ delivery: id }))).toBe(0)
    expect(queueOf(world).count).toBe(0)
  })

  it('that prolongs gives the oldest its whole time anew', () => {
    const world = queueWorld({ ackTimeoutMs: 5000 })
    const device = worker(world, 'a')
    world.connected('p').publish('jobs/x', '1', { qos: 1 })
    world.advance(4000)
    expect(publishWith(device, '$queue/jobs/$extend', '')).toBe(0)
    world.advance(4999)
    expect(queueOf(world).leased).toBe(1)
    world.advance(1)
    expect(queueOf(world).totals.timedOut).toBe(1)
  })

  it('at another place, about an unknown queue, or that is no JSON is refused, and enters no queue', () => {
    const world = queueWorld()
    const device = worker(world, 'a')
    expect(publishWith(device, '$queue/jobs/$ack/1', '')).toBe(0x90)
    expect(publishWith(device, '$queue/jobs/x/$ack', '')).toBe(0x90)
    expect(publishWith(device, '$queue/none/$ack', '')).toBe(0x90)
    expect(publishWith(device, '$queue/jobs/$ack', '{nonsense')).toBe(0x99)
    expect(publishWith(device, '$queue/none', 'x')).toBe(0x90)
    expect(publishWith(device, '$queue', 'x')).toBe(0x90)
    expect(queueOf(world).count).toBe(0)
    const old = world.connected('old', { version: 4 })
    expect(publishWith(old, '$queue/jobs/$ack', '')).toBe(0)
    expect(publishWith(old, '$queue/jobs/$ack/1', '')).toBe(-1)
    expect(old.link.closed).toBeDefined()
  })
})

describe('PUBLISH to a queue', () => {
  it('by its address brings the message into this queue only, with the topic behind it or the name of the queue', () => {
    const world = queueWorld()
    const watcher = world.connected('watcher')
    watcher.subscribe('#', 1)
    const device = worker(world, 'a')
    const publisher = world.connected('p')
    expect(publishWith(publisher, '$queue/jobs/a/b', '1', { trace: 'x' })).toBe(0)
    expect(publishWith(publisher, '$queue/jobs', '2', {}, 0)).toBe(-1)
    const got = device.takePublishes()
    expect(got.map(({ topic, payload }) => [topic, payload])).toEqual([
      ['a/b', '1'],
      ['jobs', '2'],
    ])
    expect(property(got[0]!, 'trace')).toBe('x')
    expect(watcher.takePublishes()).toEqual([])
  })

  it('that is full is refused with 0x97 before anybody gets the message, counted; a 3.1.1 client is disconnected', () => {
    const world = queueWorld({ messagesMax: 2 })
    const watcher = world.connected('watcher')
    watcher.subscribe('jobs/#', 0)
    const publisher = world.connected('p')
    expect([1, 2, 3].map((n) => publishWith(publisher, 'jobs/x', String(n)))).toEqual([0, 0, 0x97])
    expect(publishWith(publisher, '$queue/jobs', '4')).toBe(0x97)
    expect(payloads(watcher.takePublishes())).toEqual(['1', '2'])
    publisher.publish('jobs/x', 'at most once')
    expect(payloads(watcher.takePublishes())).toEqual(['at most once'])
    expect(queueOf(world).totals.refused).toBe(3)
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(1)
    const old = world.connected('old', { version: 4 })
    expect(publishWith(old, 'jobs/x', '5')).toBe(-1)
    expect(old.link.closed).toBeDefined()
    // What is being worked on counts too.
    const device = worker(world, 'a')
    const [first] = device.takePublishes()
    expect(publishWith(publisher, 'jobs/x', '6')).toBe(0x97)
    answer(device, first!, 0)
    expect(publishWith(publisher, 'jobs/x', '7')).toBe(0)
  })

  it('that is full by bytes is refused, or drops its oldest, or sends it to the dead letters, as declared', () => {
    const world = queueWorld(
      { bytesMax: 30 },
      declared('drops', { messagesMax: 2, overflow: 'drop-oldest' }),
      declared('kills', { messagesMax: 2, overflow: 'dead-letter-oldest' }),
    )
    const publisher = world.connected('p')
    expect(publishWith(publisher, 'jobs/x', 'x'.repeat(30))).toBe(0)
    expect(publishWith(publisher, 'jobs/x', 'y')).toBe(0x97)
    for (const n of [1, 2, 3]) {
      expect(publishWith(publisher, 'drops/x', String(n))).toBe(0)
      expect(publishWith(publisher, 'kills/x', String(n))).toBe(0)
    }
    expect([queueOf(world, 'drops').count, queueOf(world, 'drops').totals.dropped]).toEqual([2, 1])
    expect([queueOf(world, 'kills').count, queueOf(world, 'kills.dead').count]).toEqual([2, 1])
    const reader = world.connected('r')
    reader.subscribe('$queue/kills.dead', 1)
    expect(reader.takePublishes().map((message) => property(message, 'dead-letter-reason'))).toEqual(['overflow'])
  })

  it('captures wills, and no retained messages that were there before', () => {
    const world = queueWorld()
    const will = { topic: 'jobs/will', payload: Buffer.from('w'), qos: 1, retain: false } as const
    const device = world.connected('mortal', {
      will: { ...will, properties: {}, forwardProperties: new Uint8Array(0) },
    })
    device.drop()
    const publisher = world.connected('p')
    publisher.publish('jobs/kept', 'r', { qos: 1, retain: true })
    const got = worker(world, 'a').takePublishes()
    expect(got.map(({ payload, retain }) => [payload, retain])).toEqual([
      ['w', false],
      ['r', false],
    ])
  })
})

describe('who gets the next message', () => {
  const spread = (world: World, devices: Device[], count: number, topic = (n: number) => `jobs/${n}`): string[][] => {
    const publisher = world.connected('spreader')
    for (let n = 1; n <= count; n++) publisher.publish(topic(n), String(n), { qos: 1 })
    return devices.map((device) => payloads(device.takePublishes()))
  }

  it('round robin: one after the other', () => {
    const world = queueWorld()
    const devices = ['a', 'b', 'c'].map((name) => worker(world, name))
    expect(spread(world, devices, 6).map((got) => got.length)).toEqual([2, 2, 2])
  })

  it('least in flight: who has the fewest', () => {
    const world = queueWorld({ dispatch: 'least-inflight' })
    const busy = worker(world, 'busy')
    spread(world, [busy], 3)
    const free = worker(world, 'free')
    expect(spread(world, [busy, free], 3).map((got) => got.length)).toEqual([0, 3])
  })

  it('random: somebody with room, the same in each run', () => {
    const runs = [1, 2].map(() => {
      const world = queueWorld({ dispatch: 'random' })
      return spread(
        world,
        ['a', 'b', 'c'].map((name) => worker(world, name)),
        30,
      )
    })
    expect(runs[0]).toEqual(runs[1])
    for (const got of runs[0]!) expect(got.length).toBeGreaterThan(2)
  })

  it('by the hash of a key: always the same consumer, also while that has no room', () => {
    const world = queueWorld({ dispatch: 'hash-key', keyBy: 'topic', prefetchMax: 2 })
    const devices = ['a', 'b'].map((name) => worker(world, name))
    const topic = (n: number) => `jobs/${n % 4}`
    const got = spread(world, devices, 40, topic).map((one) => one.slice())
    for (let round = 0; round < 60; round++) {
      for (const [index, device] of devices.entries()) {
        for (const message of device.take()) if (message.type === 'publish') got[index]!.push(message.payload)
      }
      for (const device of devices) for (let id = 1; id <= 60; id++) device.acknowledge('puback', id)
    }
    expect(got.flat().length).toBe(40)
    for (const one of got) {
      const keys = new Set(one.map((payload) => Number(payload) % 4))
      for (const key of keys) expect(one.filter((payload) => Number(payload) % 4 === key)).toHaveLength(10)
    }
  })

  it('by order of a key: the next of a key only when the one before is done, others go on', () => {
    const world = queueWorld({ orderBy: 'topic-level:2' })
    const [a, b] = [worker(world, 'a'), worker(world, 'b')]
    const publisher = world.connected('p')
    for (const payload of ['x1', 'x2', 'y1', 'x3', 'y2']) publisher.publish(`jobs/${payload[0]}`, payload, { qos: 1 })
    const first = [
      ...a.takePublishes().map((message) => [a, message] as const),
      ...b.takePublishes().map((message) => [b, message] as const),
    ]
    expect(first.map(([, { payload }]) => payload).sort()).toEqual(['x1', 'y1'])
    const x = first.find(([, { payload }]) => payload === 'x1')!
    answer(x[0], x[1], 0x80)
    expect([...a.takePublishes(), ...b.takePublishes()]).toEqual([])
    const y = first.find(([, { payload }]) => payload === 'y1')!
    answer(y[0], y[1], 0)
    expect(payloads([...a.takePublishes(), ...b.takePublishes()])).toEqual(['y2'])
    world.advance(1000)
    const again = [...a.takePublishes(), ...b.takePublishes()]
    expect(payloads(again)).toEqual(['x1'])
    expect(
      publishWith(publisher, '$queue/jobs/$reject', '', { 'queue-delivery': property(again[0]!, 'queue-delivery')! }),
    ).toBe(0)
    expect(payloads([...a.takePublishes(), ...b.takePublishes()])).toEqual(['x2'])
  })

  it('no more in a second than the queue allows', () => {
    const world = queueWorld({ dispatchPerSecondMax: 5 })
    const device = worker(world, 'a')
    expect(spread(world, [device], 20)[0]).toHaveLength(5)
    world.advance(1000)
    expect(device.takePublishes().length).toBe(5)
  })
})
