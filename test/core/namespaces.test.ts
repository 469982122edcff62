/**
 * Namespaces in the core: what one of them holds is nothing to another. The property that is tested is non-interference: what
 * clients of one namespace see is the same whether those of another do anything or not.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Authority } from '../../src/core/ports/authority.ts'
import type { Qos } from '../../src/mqtt/packet.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { type Device, type Seen, World } from './world.ts'

const plant = { namespaces: { plant: {} } }

function willOf(topic: string, retain = false) {
  const none = { properties: {}, forwardProperties: new Uint8Array(0) }
  return { topic, payload: encodeUtf8('gone'), qos: 1 as const, retain, ...none }
}

const authorityOf = (namespace: string): Authority => ({
  authenticate: (_packet, _peer, done) => done({ reasonCode: 0, namespace }),
  beginExchange: () => null,
})

describe('a namespace', () => {
  it('has client ids of its own: two clients of one id in two namespaces both stay', () => {
    const world = new World(plant)
    const here = world.connected('c', lasting)
    const there = world.connected('c', lasting, 'plant')
    expect(there.sessionPresent).toBe(false)
    expect([here.link.closed, there.link.closed]).toEqual([undefined, undefined])
    expect(world.connected('c', lasting, 'plant').sessionPresent).toBe(true)
    expect([here.link.closed, there.link.closed]).toEqual([undefined, 'session_taken_over'])
  })

  it('has messages, retained ones, share groups and wills of its own', () => {
    const world = new World(plant)
    const here = world.connected('here')
    const there = world.connected('there', {}, 'plant')
    const gone = world.connected('gone', { will: willOf('w', true) }, 'plant')
    for (const device of [here, there]) {
      device.subscribe('#', 1).subscribe('$share/g/s', 1)
      device.take()
    }
    gone.publish('t', 'x', { retain: true })
    for (let i = 0; i < 4; i++) gone.publish('s', `${i}`)
    gone.drop()
    expect(here.takePublishes()).toEqual([])
    expect(there.takePublishes().map(({ topic }) => topic)).toEqual(['t', 's', 's', 's', 's', 's', 's', 's', 's', 'w'])
    expect(here.subscribe('t').subscribe('w').takePublishes()).toEqual([])
    expect(there.subscribe('w').takePublishes()).toMatchObject([{ topic: 'w', retain: true }])
  })

  it('that the configuration does not name lets nobody in', () => {
    const world = new World(plant)
    const device = world.device(5, 'fsync', 'nowhere').connect({ clientId: 'c' })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
    expect(world.broker.counters.namespaceRefusals).toBe(1)
    expect([...world.broker.namespaces.keys()]).toEqual(['default', 'plant'])
  })

  it('is the one that the authority names, unless the listener names another', () => {
    const world = new World(plant, { authority: authorityOf('plant') })
    expect(world.connected('a').client.namespace.name).toBe('plant')
    expect(world.connected('b', {}, 'plant').client.namespace.name).toBe('plant')
    const elsewhere = world.device(5, 'fsync', 'default').connect({ clientId: 'c' })
    expect(elsewhere.take()).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
  })

  it('is found again after a restart: sessions, what waits for them, and retained messages', async () => {
    const before = new DurableWorld()
    const away = await before.ready('c', lasting, 'plant')
    away.subscribe('t/#', 1)
    await before.settle()
    const other = await before.ready('c', lasting)
    other.subscribe('t/#', 1)
    await before.settle()
    away.drop()
    other.drop()
    const publisher = await before.ready('p', {}, 'plant')
    publisher.publish('t/1', 'plant', { qos: 1 })
    publisher.publish('kept', 'plant', { retain: true })
    await before.ready('q', {}).then((device) => device.publish('kept', 'default', { retain: true }))
    await before.settle()
    const world = await before.restart()
    const back = world.device(5, 'fsync', 'plant').connect({ clientId: 'c', ...lasting })
    const backOther = world.device().connect({ clientId: 'c', ...lasting })
    await world.settle()
    expect(back.takePublishes().map(({ payload }) => payload)).toEqual(['plant'])
    expect(backOther.takePublishes()).toEqual([])
    back.subscribe('kept')
    backOther.subscribe('kept')
    await world.settle()
    expect(back.takePublishes()).toMatchObject([{ payload: 'plant', retain: true }])
    expect(backOther.takePublishes()).toMatchObject([{ payload: 'default', retain: true }])
  })

  it('changes its retained message beside that of the same topic in another, within one turn', async () => {
    const before = new DurableWorld()
    const here = await before.ready('p')
    const there = await before.ready('p', {}, 'plant')
    here.publish('t', 'here', { retain: true })
    there.publish('t', 'there', { retain: true })
    await before.settle()
    const { broker } = await before.restart()
    const kept = [...broker.namespaces.values()].map(({ name, retained }) => [
      name,
      Buffer.from(retained.get('t')!.payload).toString(),
    ])
    expect(kept).toEqual([
      ['default', 'here'],
      ['plant', 'there'],
    ])
  })
})

describe('a quota of a namespace', () => {
  const quota = (quotas: object) => new World({ namespaces: { plant: quotas } })

  it('of connections refuses one more client, but not one that takes over its own connection', () => {
    const world = quota({ connectionsMax: 1 })
    world.connected('a', {}, 'plant')
    const more = world.device(5, 'fsync', 'plant').connect({ clientId: 'b' })
    expect(more.take()).toMatchObject([{ type: 'connack', reasonCode: 0x97 }])
    world.connected('a', {}, 'plant').drop()
    world.connected('b', {}, 'plant')
    world.connected('c')
    expect(world.broker.gauges().namespaces.get('plant')).toMatchObject({ connections: 1, refusals: 1 })
  })

  it('of sessions refuses a client that would need one more', () => {
    const world = quota({ sessionsMax: 1 })
    world.connected('a', lasting, 'plant').drop()
    const more = world.device(5, 'fsync', 'plant').connect({ clientId: 'b' })
    expect(more.take()).toMatchObject([{ type: 'connack', reasonCode: 0x97 }])
    expect(world.connected('a', lasting, 'plant').sessionPresent).toBe(true)
    world.connected('b', lasting)
  })

  it('of subscriptions answers one more with 0x97, and gives back what ends', () => {
    const world = quota({ subscriptionsMax: 1 })
    const device = world.connected('a', {}, 'plant')
    expect(device.subscribe('a').subscribe('b').take()).toMatchObject([{ reasonCodes: [0] }, { reasonCodes: [0x97] }])
    device.unsubscribe('a').take()
    expect(device.subscribe('b').take()).toMatchObject([{ reasonCodes: [0] }])
    expect(world.connected('b').subscribe('x').subscribe('y').take()).toMatchObject([
      { reasonCodes: [0] },
      { reasonCodes: [0] },
    ])
  })

  it('of retained bytes refuses to retain more', () => {
    const world = quota({ retainedBytesMax: 1500 })
    const device = world.connected('a', {}, 'plant')
    device.publish('a', 'x', { qos: 1, retain: true })
    device.publish('b', 'x'.repeat(2000), { qos: 1, retain: true })
    expect(device.take().map((packet) => 'reasonCode' in packet && packet.reasonCode)).toEqual([0x10, 0x97])
    const elsewhere = world.connected('b')
    elsewhere.publish('b', 'x'.repeat(2000), { qos: 1, retain: true })
    expect(elsewhere.take()).toMatchObject([{ reasonCode: 0x10 }])
  })

  it('of queued bytes makes each of its queues full, until they drain', () => {
    const world = quota({ queuedBytesMax: 100 })
    for (const namespace of ['plant', undefined]) {
      world.connected('a', lasting, namespace).subscribe('t', 1).drop()
      const publisher = world.connected('p', {}, namespace)
      for (let i = 0; i < 10; i++) publisher.publish('t', `${i}`.repeat(49), { qos: 1 })
    }
    const waiting = (name: string) => world.broker.gauges().namespaces.get(name)!
    expect(waiting('plant')).toMatchObject({ queuedMessages: 2, queuedBytes: 100 })
    expect(waiting('default')).toMatchObject({ queuedMessages: 10, refusals: 0 })
    const back = world.device(5, 'fsync', 'plant').connect({ clientId: 'a', ...lasting })
    expect(back.drain()).toEqual(['8'.repeat(49), '9'.repeat(49)])
    expect(waiting('plant')).toMatchObject({ queuedBytes: 0, refusals: 8 })
  })
})

describe('a rate of a namespace', () => {
  it('is for all its clients together, and for no others', () => {
    const world = new World({ namespaces: { plant: { publishesPerSecondMax: 10 } } })
    const publishers = ['a', 'b'].map((clientId) => world.connected(clientId, {}, 'plant'))
    const other = world.connected('c')
    for (let i = 0; i < 10; i++) for (const device of [...publishers, other]) device.publish('t', 'x', { qos: 1 })
    const refused = (device: Device) => device.take().filter((one) => 'reasonCode' in one && one.reasonCode === 0x97)
    expect(publishers.map((device) => refused(device).length)).toEqual([1, 1])
    expect(refused(other)).toEqual([])
    expect(world.broker.counters.rateLimited.get('namespace_publishes')).toBe(10)
  })
})

const clientIds = ['a', 'b', 'c'] as const
const topics = ['t', 't/1', 's'] as const
const filters = ['#', 't/+', 't', '$share/g/s', '$share/g/#'] as const

interface Step {
  namespace: 'default' | 'plant'
  client: (typeof clientIds)[number]
  what: 'connect' | 'drop' | 'leave' | 'subscribe' | 'unsubscribe' | 'publish' | 'wait'
  topic: (typeof topics)[number]
  filter: (typeof filters)[number]
  qos: Qos
  flag: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  namespace: fc.constantFrom('default' as const, 'plant' as const),
  client: fc.constantFrom(...clientIds),
  what: fc.constantFrom(
    'connect',
    'drop',
    'leave',
    'subscribe',
    'subscribe',
    'unsubscribe',
    'publish',
    'publish',
    'wait',
  ),
  topic: fc.constantFrom(...topics),
  filter: fc.constantFrom(...filters),
  qos: fc.constantFrom<Qos>(0, 1, 2),
  flag: fc.boolean(),
})

/** What the clients of one namespace see of all steps, and what is counted of it at the end. */
function seenIn(namespace: Step['namespace'], steps: readonly Step[], others: boolean): unknown {
  const world = new World(plant)
  const devices = new Map<string, Device>()
  const seen: [string, Seen][] = []
  for (const [index, one] of steps.entries()) {
    if (one.what === 'wait') world.advance(1000)
    else if (others || one.namespace === namespace) act(world, devices, one, index)
    world.turn()
    for (const [name, device] of devices) {
      const packets = device.take()
      if (name.startsWith(namespace)) for (const packet of packets) seen.push([name, packet])
    }
  }
  const { traffic, dropped, ...its } = world.broker.namespace(namespace)
  const { messagesReceived, messagesSent, publishBytesReceived, packetsReceived, sessionsExpired } = traffic
  const counted = { messagesReceived, messagesSent, publishBytesReceived, packetsReceived, sessionsExpired, dropped }
  const reasons = traffic.messagesDropped.counts
  return {
    seen,
    counted,
    reasons,
    sessions: [...its.sessions.keys()],
    gauges: world.broker.namespace(namespace).gauges(),
  }
}

function act(
  world: World,
  devices: Map<string, Device>,
  { namespace, client, what, ...one }: Step,
  index: number,
): void {
  const key = `${namespace} ${client}`
  const device = devices.get(key)
  if (what === 'connect') {
    const properties = { sessionExpiryInterval: one.flag ? 3 : 0 }
    const made = world.device(5, 'fsync', namespace)
    devices.set(key, made)
    made.connect({ clientId: client, cleanStart: one.qos === 0, properties, will: willOf(one.topic, one.flag) })
  } else if (device !== undefined && device.link.closed === undefined) {
    if (what === 'drop') device.drop()
    if (what === 'leave') device.disconnect()
    if (what === 'subscribe') device.subscribe(one.filter, one.qos)
    if (what === 'unsubscribe') device.unsubscribe(one.filter)
    if (what === 'publish') device.publish(one.topic, `${index}`, { qos: one.qos, retain: one.flag, expiry: 2 })
  }
}

describe('what clients of one namespace see', () => {
  it('is the same whatever those of another do: no message, retained value, will, share, presence or count crosses', () => {
    const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      for (const namespace of ['default', 'plant'] as const) {
        expect(seenIn(namespace, steps, true)).toEqual(seenIn(namespace, steps, false))
      }
    })
    fc.assert(property, { numRuns: 300 })
  })
})
