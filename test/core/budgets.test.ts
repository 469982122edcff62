/** Limits over all clients: what is refused at them, that others go on, and that what was taken is given back. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { retainedStepsMax, workStepsMax } from '../../src/core/cost.ts'
import { defaultBrokerOptions } from '../../src/core/options.ts'
import { encodeConnect, encodeSubscribe } from '../../src/mqtt/encoder.ts'
import { noProperties, type Qos, type Will } from '../../src/mqtt/packet.ts'
import { encodePublish } from '../../src/mqtt/publish.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { type Device, World } from './world.ts'

function willOf(bytes: number): Will {
  return {
    topic: 'will',
    payload: new Uint8Array(bytes),
    qos: 0,
    retain: false,
    properties: {},
    forwardProperties: new Uint8Array(0),
  }
}

describe('a budget over all clients', () => {
  it('of sessions refuses who would need one more with 0x97, and lets known ones in', () => {
    const world = new World({ sessionsMax: 2 })
    world.connected('a', lasting).drop()
    world.connected('b')
    expect(world.device().connect({ clientId: 'c' }).take()).toMatchObject([{ type: 'connack', reasonCode: 0x97 }])
    expect(world.device(4).connect({ clientId: 'c' }).take()).toMatchObject([{ type: 'connack', reasonCode: 3 }])
    world.connected('a', lasting)
    expect(world.broker.gauges().budgets['sessions']).toMatchObject({ used: 2, max: 2, refused: 2 })
  })

  it('of anonymous sessions leaves room for those of principals', () => {
    const principal = (clientId: string) => (clientId.startsWith('known') ? clientId : undefined)
    const authority = {
      authenticate: (packet: { clientId: string }, _: string, done: (verdict: object) => void) =>
        done({ reasonCode: 0, principal: principal(packet.clientId) }),
      beginExchange: () => null,
    }
    const world = new World({ anonymousSessionsMax: 1 }, { authority: authority as never })
    const first = world.connected('a')
    expect(world.device().connect({ clientId: 'b' }).take()).toMatchObject([{ reasonCode: 0x97 }])
    world.connected('known')
    first.drop()
    world.connected('b')
    expect(world.broker.budgets.anonymousSessions.used).toBe(1)
  })

  it('of wills refuses a CONNECT with 0x97, and gives back what a will took', () => {
    const world = new World({ willBytesMax: 4000 })
    const first = world.connected('a', { will: willOf(3000) })
    const refused = world.device().connect({ clientId: 'b', will: willOf(3000) })
    expect(refused.take()).toMatchObject([{ reasonCode: 0x97 }])
    world.connected('c')
    // It takes the place of its own.
    world.connected('a', { will: willOf(3100) })
    expect(first.link.closed).toBeDefined()
    world.broker.defaultNamespace.sessions.get('a')!.client!.end('client')
    expect(world.broker.budgets.willBytes.used).toBe(0)
    world.connected('b', { will: willOf(3000) })
  })

  it('of subscriptions answers 0x97, and one that exists may be changed', () => {
    const world = new World({ subscriptionsMax: 2 })
    const device = world.connected('a').subscribe('1').subscribe('2').subscribe('3').subscribe('1', 1)
    const codes = device.take().map((one) => (one.type === 'suback' ? one.reasonCodes[0] : -1))
    expect(codes).toEqual([0, 0, 0x97, 1])
    const bytes = new World({ subscriptionBytesMax: 1000 })
    const other = bytes.connected('a').subscribe('x'.repeat(200)).subscribe('y'.repeat(500))
    expect(other.take()).toMatchObject([{ reasonCodes: [0] }, { reasonCodes: [0x97] }])
  })

  it('of share groups of one filter answers 0x97; members of a group that exists may join', () => {
    const world = new World({ sharedGroupsPerFilterMax: 2 })
    const device = world.connected('a').subscribe('$share/1/t').subscribe('$share/2/t').subscribe('$share/3/t')
    expect(device.take()).toMatchObject([{ reasonCodes: [0] }, { reasonCodes: [0] }, { reasonCodes: [0x97] }])
    const other = world.connected('b').subscribe('$share/2/t').subscribe('$share/3/u')
    expect(other.take()).toMatchObject([{ reasonCodes: [0] }, { reasonCodes: [0] }])
  })

  it('of retained messages counts their bytes with what is around them, and refuses as for their number', () => {
    const world = new World({ retainedBytesMax: 3000 })
    const publisher = world.connected('p')
    for (const topic of ['a', 'b']) publisher.publish(topic, 'x'.repeat(1000), { qos: 1, retain: true })
    publisher.publish('a', '', { qos: 1, retain: true })
    publisher.publish('b', 'y'.repeat(1000), { qos: 1, retain: true })
    const codes = publisher.take().map((one) => (one.type === 'puback' ? one.reasonCode : -1))
    expect(codes).toEqual([0x10, 0x97, 0x10, 0x10])
  })
})

describe('messages that wait in memory', () => {
  it('of a session that is not stored follow the full queue once all together are too many, but for 64 KiB each', () => {
    const world = new World({ residentBytesMax: 1024 * 1024 })
    const devices = [world.connected('a'), world.connected('b')]
    for (const device of devices) {
      device.subscribe('t/+', 1).take()
      device.link.full = true
    }
    devices[1]!.unsubscribe('t/+').subscribe('u', 1).take()
    const publisher = world.connected('p')
    for (let i = 0; i < 100; i++) publisher.publish(`t/${i}`, 'x'.repeat(100_000), { qos: 1 })
    expect(world.broker.budgets.queueBytes.used).toBeLessThan(1.2 * 1024 * 1024)
    expect(world.broker.counters.messagesDropped.get('queue_full')).toBeGreaterThan(80)
    publisher.publish('u', 'small', { qos: 1 })
    devices[1]!.link.full = false
    expect(devices[1]!.take()).toEqual([])
    devices[1]!.client.pump()
    expect(devices[1]!.takePublishes().map((one) => one.payload)).toEqual(['small'])
    for (const device of devices) device.drop()
    expect(world.broker.budgets.queueBytes.used).toBe(0)
  })

  it('are counted once however many sessions hold them', () => {
    const world = new World()
    const devices = Array.from({ length: 10 }, (_, i) => world.connected(`s${i}`).subscribe('t', 1))
    for (const device of devices) device.link.full = true
    world.connected('p').publish('t', 'x'.repeat(10_000), { qos: 1 })
    expect(world.broker.budgets.queueBytes.used).toBeLessThan(11_000)
  })

  it('of a stored session are in the store alone beyond its share, and all arrive', async () => {
    const world = new DurableWorld()
    Object.assign(world.broker.options, { residentBytesPerSessionMax: 3000 })
    const device = await world.ready('s')
    device.subscribe('t', 1).take()
    await world.settle()
    device.link.full = true
    const publisher = await world.ready('p')
    const payloads = Array.from({ length: 20 }, (_, i) => `${i}`.padEnd(1000, '.'))
    for (const payload of payloads) publisher.publish('t', payload, { qos: 1 })
    await world.settle()
    expect(world.broker.defaultNamespace.sessions.get('s')!.queue.residentBytes).toBeLessThan(5000)
    device.take()
    device.link.full = false
    device.client.pump()
    const arrived: string[] = []
    for (let i = 0; i < 50 && arrived.length < 20; i++) {
      await world.settle()
      arrived.push(...device.drain())
    }
    expect(arrived).toEqual(payloads)
    await world.settle()
    expect(world.broker.budgets.queueBytes.used).toBe(0)
  })
})

const level = fc.constantFrom('a', 'b', '', 'long level', '+')
const name = fc.array(level, { minLength: 1, maxLength: 60 }).map((levels) => levels.join('/').replaceAll('+', 'c'))
const filter = fc.array(level, { minLength: 1, maxLength: 60 }).map((levels) => levels.join('/'))
const payload = fc.integer({ min: 0, max: 2000 })
const packet = fc.oneof(
  fc.record({
    kind: fc.constant('publish' as const),
    name,
    payload,
    qos: fc.constantFrom<Qos>(0, 1, 2),
    retain: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('subscribe' as const),
    filters: fc.array(filter, { minLength: 1, maxLength: 20 }),
    hash: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('connect' as const), payload }),
  fc.record({ kind: fc.constant('away' as const) }),
)

/** What the broker keeps, about, but for the route cache, which is a cache. */
function kept({ broker }: World): number {
  const { subscriptionBytes, retainedBytes, willBytes, queueBytes } = broker.budgets
  return subscriptionBytes.used + retainedBytes.used + willBytes.used + queueBytes.used
}

describe('limits that change', () => {
  it('hold from then on, and what is kept beyond a lower one stays', () => {
    const world = new World({ sessionsMax: 10, subscriptionsPerSessionMax: 5 })
    const device = world.connected('one')
    for (const filter of ['a', 'b', 'c']) device.subscribe(filter)
    device.take()
    world.broker.changeLimits({ ...defaultBrokerOptions, sessionsMax: 1, subscriptionsPerSessionMax: 2 })
    expect(world.device().connect({ clientId: 'two' }).take()[0]).toMatchObject({ reasonCode: 0x97 })
    device.subscribe('d')
    expect(device.take()[0]).toMatchObject({ type: 'suback', reasonCodes: [0x97] })
    expect(device.client.session!.subscriptions.size).toBe(3)
    world.broker.changeLimits(defaultBrokerOptions)
    expect(world.device().connect({ clientId: 'two' }).take()[0]).toMatchObject({ reasonCode: 0 })
  })
})

describe('the cost of any packet', () => {
  it('is at most a multiple of its bytes in memory and a bound in steps, and everything is given back', () => {
    const property = fc.property(fc.array(packet, { maxLength: 40 }), (packets) => {
      const world = new World()
      let clients = 0
      let packetId = 0
      const devices: Device[] = []
      const connect = (bytes: number): Uint8Array => {
        const clientId = `c${clients++}`
        return encodeConnect({ version: 5, keepAlive: 0, clientId, will: willOf(bytes), ...lasting })
      }
      const join = (bytes: Uint8Array): void => {
        devices.push(world.device().send(bytes))
      }
      join(connect(0))
      for (const packet of packets) {
        const device = devices.at(-1)!
        const [bytes, steps] = [kept(world), world.broker.cost.steps]
        let sent: Uint8Array = new Uint8Array(2)
        if (packet.kind === 'connect') {
          sent = connect(packet.payload)
          join(sent)
        } else if (packet.kind === 'subscribe') {
          const all = [...new Set(packet.filters.map((one) => (packet.hash ? `${one}/#` : one) || 'x'))]
          const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
          const subscriptions = all.map((topicFilter) => ({ topicFilter, ...options }))
          sent = encodeSubscribe(5, { packetId: ++packetId, subscriptions, properties: noProperties })
          device.send(sent)
        } else if (packet.kind === 'publish') {
          const { qos, retain } = packet
          const parts = { topic: encodeUtf8(packet.name || 'x'), payload: new Uint8Array(packet.payload) }
          const common = { dup: false, subscriptionIdentifiers: [], topicAlias: 0, omitTopic: false }
          const outgoing = { ...common, qos, retain, packetId: qos === 0 ? 0 : ++packetId, expiryIntervalSeconds: -1 }
          sent = encodePublish(5, { ...parts, forwardProperties: new Uint8Array(0) }, outgoing).bytes
          device.send(sent)
        } else if (devices.length > 1) {
          devices.shift()!.drop()
        }
        // Retained messages on their way to a new subscriber count a second time.
        const retained = packet.kind === 'subscribe' ? world.broker.budgets.retainedBytes.used : 0
        expect(kept(world) - bytes).toBeLessThanOrEqual(2000 + 100 * sent.length + retained)
        expect(world.broker.cost.steps - steps).toBeLessThan(retainedStepsMax + 5000)
        for (let turns = 0; world.broker.turnWanted && turns < 100; turns++) {
          const before = world.broker.cost.steps
          world.broker.onTurn()
          expect(world.broker.cost.steps - before).toBeLessThan(workStepsMax + retainedStepsMax + 5000)
        }
      }
      for (const device of devices) device.disconnect(0, { sessionExpiryInterval: 0 })
      for (const session of [...world.broker.defaultNamespace.sessions.values()]) session.expiry?.fire(world.now)
      world.turn()
      const { sessions, anonymousSessions, subscriptions, willBytes, queueBytes } = world.broker.gauges().budgets
      for (const one of [sessions, anonymousSessions, subscriptions, willBytes, queueBytes]) expect(one!.used).toBe(0)
      expect(world.broker.defaultNamespace.index.bytes).toBe(0)
    })
    fc.assert(property, { numRuns: 150 })
  })
})
