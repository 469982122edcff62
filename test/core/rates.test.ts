/** What publishers meet who are faster than they may, on a fake clock. */
import { describe, expect, it } from 'vitest'
import type { AuditedClient } from '../../src/core/ports/audit.ts'
import type { Authority, ClientLimits, Verdict } from '../../src/core/ports/authority.ts'
import { namespaceBuckets } from '../../src/core/publish/rate-buckets.ts'
import { World } from './world.ts'

/** A world whose clients have these limits, as long as nothing is said of them. */
function worldWith(limits: ClientLimits, verdict: Omit<Verdict, 'reasonCode'> = {}) {
  const limitsOf = () => limits
  return new World(
    {},
    {
      limitsOf,
      authority: {
        authenticate: ({ username = '' }, _peer, done) => done({ principal: username, ...verdict, reasonCode: 0 }),
        beginExchange: () => null,
      },
    },
  )
}

const tenPerSecond = { publishesPerSecondMax: 10, publishesBurstMax: 2 }

function received(world: World) {
  const subscriber = world.connected('subscriber')
  subscriber.subscribe('#', 0).take()
  return () => subscriber.takePublishes().map(({ payload }) => payload)
}

describe('a client without such limits', () => {
  it('has none to look at', () => {
    expect(worldWith({}).connected('p').client.rates).toBeNull()
  })
})

describe('a client that publishes faster than it may', () => {
  it('is not read from until its tokens are back, and loses nothing (3.x at QoS 1)', () => {
    const world = worldWith(tenPerSecond)
    const texts = received(world)
    const publisher = world.connected('p', { version: 4 })
    for (const text of ['1', '2']) publisher.publish('t', text, { qos: 1 })
    expect(publisher.link.paused).toBe(false)
    publisher.publish('t', '3', { qos: 1 })
    expect(publisher.link.paused).toBe(true)
    expect(publisher.take().map(({ type }) => type)).toEqual(['puback', 'puback', 'puback'])
    expect(texts()).toEqual(['1', '2', '3'])
    world.advance(99)
    expect(publisher.link.paused).toBe(true)
    world.advance(1)
    expect(publisher.link.paused).toBe(false)
    expect(world.broker.counters.rateLimited.get('client_publishes')).toBe(1)
    expect(world.broker.counters.rateAnswers.get('paused')).toBe(1)
  })

  it('is not read from at QoS 0 either', () => {
    const world = worldWith(tenPerSecond)
    const texts = received(world)
    const publisher = world.connected('p')
    for (const text of ['1', '2', '3']) publisher.publish('t', text)
    expect(publisher.link.paused).toBe(true)
    expect(texts()).toEqual(['1', '2', '3'])
  })

  it.each([1, 2] as const)('is told once with 0x97, when it can be told (5.0 at QoS %i), and then waits', (qos) => {
    const world = worldWith(tenPerSecond)
    const texts = received(world)
    const publisher = world.connected('p')
    for (const text of ['1', '2', '3', '4']) publisher.publish('t', text, { qos })
    const answers = publisher.take().map((packet) => ('reasonCode' in packet ? packet.reasonCode : undefined))
    expect(answers).toEqual([0, 0, 0x97, 0])
    expect(publisher.link.inboundInflight).toBe(qos === 1 ? 0 : 3)
    expect(publisher.link.paused).toBe(true)
    expect(texts()).toEqual(['1', '2', '4'])
    world.advance(100)
    publisher.publish('t', '5', { qos })
    expect(publisher.link.paused).toBe(true)
    world.advance(20_000)
    for (const text of ['6', '7', '8']) publisher.publish('t', text, { qos })
    expect(publisher.take().map((packet) => ('reasonCode' in packet ? packet.reasonCode : undefined))).toEqual([
      0, 0, 0, 0x97,
    ])
    expect(world.broker.counters.rateAnswers.get('refused')).toBe(2)
  })

  it('is judged by bytes as well, those of the whole packet', () => {
    const world = worldWith({ publishBytesPerSecondMax: 1000 })
    const publisher = world.connected('p', { version: 4 })
    publisher.publish('t', 'x'.repeat(990))
    expect(publisher.link.paused).toBe(false)
    publisher.publish('t', 'x'.repeat(990))
    expect(publisher.link.paused).toBe(true)
    expect(world.broker.counters.rateLimited.get('client_bytes')).toBe(1)
  })

  it('is disconnected where it would not be read from for longer than ratePauseMsMax, and the message is not taken', () => {
    const world = worldWith({ publishBytesPerSecondMax: 1000 })
    const texts = received(world)
    const publisher = world.connected('p')
    publisher.publish('t', 'x'.repeat(12_000))
    expect(publisher.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x96 }])
    expect(publisher.link.closed).toBe('message_rate_too_high')
    expect(texts()).toEqual([])
    expect(world.broker.counters.rateAnswers.get('disconnected')).toBe(1)
  })

  it('is not silent for its keep alive while nothing is read from it', () => {
    const world = worldWith({ publishesPerSecondMax: 1 })
    const publisher = world.connected('p', { version: 4, keepAlive: 1 })
    for (let i = 0; i < 9; i++) publisher.publish('t', '')
    world.advance(8_000)
    expect(publisher.link.paused).toBe(false)
    world.advance(1_400)
    expect(publisher.link.closed).toBeUndefined()
    world.advance(2_000)
    expect(publisher.link.closed).toBe('keep_alive_timeout')
  })

  it('may go while it waits', () => {
    const world = worldWith(tenPerSecond)
    const publisher = world.connected('p', { version: 4 })
    for (let i = 0; i < 5; i++) publisher.publish('t', '')
    publisher.drop()
    expect(world.broker.deadlines.size).toBe(0)
  })
})

describe('a user', () => {
  const limits = { userPublishesPerSecondMax: 10, userPublishesBurstMax: 3 }
  const alice = { username: 'alice', version: 4 as const }

  it('shares its rate among all of its connections, and not with others', () => {
    const world = worldWith(limits)
    const [one, two] = [world.connected('a1', alice), world.connected('a2', alice)]
    const bob = world.connected('b', { username: 'bob', version: 4 })
    for (const device of [one, two, one, two]) device.publish('t', '')
    expect([one.link.paused, two.link.paused]).toEqual([false, true])
    one.publish('t', '')
    expect(one.link.paused).toBe(true)
    bob.publish('t', '')
    expect(bob.link.paused).toBe(false)
    world.advance(100)
    expect([one.link.paused, two.link.paused]).toEqual([true, false])
    world.advance(100)
    expect(one.link.paused).toBe(false)
    expect(world.broker.counters.rateLimited.get('user_publishes')).toBe(2)
  })

  it('gets no new burst by connecting again', () => {
    const world = worldWith(limits)
    const first = world.connected('a', alice)
    for (let i = 0; i < 3; i++) first.publish('t', '')
    first.drop()
    const second = world.connected('a', alice)
    second.publish('t', '')
    expect(second.link.paused).toBe(true)
  })

  it('is forgotten when it is gone and owes nothing', () => {
    const world = worldWith(limits)
    const devices = ['a', 'b', 'c'].map((name) => world.connected(name, { ...alice, username: name }))
    for (const device of devices) device.publish('t', '')
    for (const device of devices) device.drop()
    expect(world.broker.defaultNamespace.userRates.size).toBe(3)
    world.advance(1000)
    const last = world.connected('d', { ...alice, username: 'd' })
    last.drop()
    expect(world.broker.defaultNamespace.userRates.size).toBeLessThan(3)
  })
})

describe('a namespace', () => {
  it('may have a rate that all of its publishers share', () => {
    const world = worldWith({})
    const namespace = world.broker.defaultNamespace
    namespace.publishBuckets = namespaceBuckets([], { publishesPerSecondMax: 2 }, world.now)
    const [one, two] = [world.connected('1', { version: 4 }), world.connected('2', { version: 4 })]
    one.publish('t', '')
    two.publish('t', '')
    expect([one.link.paused, two.link.paused]).toEqual([false, false])
    one.publish('t', '')
    expect(one.link.paused).toBe(true)
    expect(world.broker.counters.rateLimited.get('namespace_publishes')).toBe(1)
  })
})

describe('limits', () => {
  it('of an answer of the authority come before those of the listener', () => {
    const world = worldWith({ publishesPerSecondMax: 1 }, { limits: { publishesPerSecondMax: 5 } })
    const publisher = world.connected('p', { version: 4 })
    for (let i = 0; i < 5; i++) publisher.publish('t', '')
    expect(publisher.link.paused).toBe(false)
    publisher.publish('t', '')
    expect(publisher.link.paused).toBe(true)
  })

  it('that change hold for who is connected; what it owes stays owed', () => {
    const world = worldWith({})
    const publisher = world.connected('p', { version: 4 })
    const set = (limits: ClientLimits) => {
      world.broker.limitsOf = () => limits
      world.broker.limitsChanged()
    }
    set({ publishesPerSecondMax: 1 })
    for (let i = 0; i < 4; i++) publisher.publish('t', '')
    expect(publisher.link.paused).toBe(true)
    set({ publishesPerSecondMax: 2 })
    publisher.publish('t', '')
    world.advance(1_999)
    expect(publisher.link.paused).toBe(true)
    world.advance(1)
    expect(publisher.link.paused).toBe(false)
    publisher.publish('t', '')
    set({})
    expect(publisher.client.rates).toBeNull()
    world.advance(1_000)
    expect(publisher.link.paused).toBe(false)
  })
})

describe('what is refused', () => {
  function audited(limits: ClientLimits = {}) {
    const told: string[] = []
    const deny = { mayPublish: () => false, maySubscribe: () => false, mayReceive: () => true }
    const audit = {
      refused: (action: string, client: AuditedClient, object: string, reason: string) =>
        told.push(`${client.clientId} ${action} ${object}: ${reason}`),
      limited: (limit: string, client: AuditedClient) => told.push(`${client.clientId}: ${limit}`),
    }
    const authority: Authority = {
      authenticate: ({ clientId }, _peer, done) => done({ reasonCode: 0, grant: clientId === 'denied' ? deny : null }),
      beginExchange: () => null,
    }
    const world = new World({}, { audit, authority, limitsOf: () => limits })
    return { world, told }
  }

  it('is told and counted by reason, for publishing and subscribing', () => {
    const { world, told } = audited()
    const denied = world.connected('denied')
    denied.publish('t', '', { qos: 1 })
    denied.publish('t', '')
    denied.subscribe('a/#')
    const { publishesRefused, subscriptionsRefused } = world.broker.counters
    expect(told).toEqual([
      'denied publish t: not_authorized',
      'denied publish t: not_authorized',
      'denied subscribe a/#: not_authorized',
    ])
    expect([publishesRefused.get('not_authorized'), subscriptionsRefused.get('not_authorized')]).toEqual([2, 1])
  })

  it('is told of a rate when it is met, not for each message', () => {
    const { world, told } = audited({ publishesPerSecondMax: 1 })
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', '', { qos: 1 })
    expect(told).toEqual(['p: client_publishes', 'p publish t: quota_exceeded'])
  })
})

describe('the limits of a user', () => {
  const alice = { username: 'alice', version: 5 as const }
  const refusedWith = (world: World, clientId: string) => {
    const device = world.device(5).connect({ clientId, ...alice })
    return device.take()[0]
  }

  it('bound its sessions, and leave those that it has to it', () => {
    const world = worldWith({ sessionsMax: 2 })
    const lasting = { ...alice, cleanStart: false, properties: { sessionExpiryInterval: 1000 } }
    world.connected('one', lasting).drop()
    const two = world.connected('two', alice)
    expect(refusedWith(world, 'three')).toMatchObject({ type: 'connack', reasonCode: 0x97 })
    world.connected('one', lasting)
    world.connected('other', { username: 'bob' })
    two.drop()
    expect(world.broker.defaultNamespace.sessionsOf('alice')).toBe(1)
    expect(refusedWith(world, 'three')).toMatchObject({ reasonCode: 0 })
    world.connected('nobody')
    expect(world.broker.defaultNamespace.sessionsOf('')).toBe(0)
  })

  it('bound the subscriptions of each of its sessions', () => {
    const world = worldWith({ subscriptionsMax: 2 })
    const device = world.connected('one', alice)
    for (const filter of ['a', 'b', 'c', 'a']) device.subscribe(filter)
    const codes = device.take().map((packet) => (packet.type === 'suback' ? packet.reasonCodes[0] : undefined))
    expect(codes).toEqual([0, 0, 0x97, 0])
  })
})
