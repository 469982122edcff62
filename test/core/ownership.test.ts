/** To whom a session belongs, until when an authority's word holds, and what changes when it takes a right back. */
import { describe, expect, it } from 'vitest'
import type { BrokerOptions } from '../../src/core/options.ts'
import type { Authority, Exchange, ExchangeStep, Grant, Verdict } from '../../src/core/ports/authority.ts'
import type { Claim, SessionDirectory } from '../../src/core/ports/directory.ts'
import { encodeAuth } from '../../src/mqtt/encoder.ts'
import { encodeUtf8 } from '../../src/mqtt/utf8.ts'
import { DurableWorld, lasting } from './durable-world.ts'
import { World } from './world.ts'

/** The user name is the principal. */
const byName: Authority = {
  authenticate: ({ username }, _address, done) => done({ reasonCode: 0, principal: username }),
  beginExchange: () => null,
}

const worldOf = (options: Partial<BrokerOptions> = {}): World => new World(options, { authority: byName })

const as = (username: string) => ({ username, ...lasting })

describe('a session belongs to the principal that made it', () => {
  it.each([
    [5, 0x85],
    [4, 2],
    [3, 2],
  ] as const)(
    'another one with its client id is refused at protocol level %i, also with clean start',
    (version, code) => {
      const world = worldOf()
      world.connected('c', as('alice')).subscribe('t', 1).disconnect()
      for (const cleanStart of [false, true]) {
        const thief = world.device(version).connect({ ...as('mallory'), clientId: 'c', cleanStart, version })
        expect(thief.take()).toMatchObject([{ type: 'connack', reasonCode: code }])
        expect(thief.link.closed).toBeDefined()
      }
      expect(world.broker.counters.sessionOwnerRefusals).toBe(2)
      expect(world.connected('c', as('alice')).sessionPresent).toBe(true)
    },
  )

  it('another one does not take over its connection, nor does somebody without a name', () => {
    const world = worldOf()
    const alice = world.connected('c', as('alice'))
    for (const options of [as('mallory'), lasting]) {
      expect(
        world
          .device()
          .connect({ ...options, clientId: 'c' })
          .take(),
      ).toMatchObject([{ reasonCode: 0x85 }])
    }
    expect(alice.link.closed).toBeUndefined()
    expect(world.connected('c', as('alice')).sessionPresent).toBe(true)
    expect(alice.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x8e }])
  })

  it('the client id is free again when the session has ended', () => {
    const world = worldOf()
    world.connected('c', { username: 'alice' }).disconnect()
    world.connected('c', { username: 'bob' })
  })

  it('one that belongs to nobody is adopted by the first principal, and stays its own', () => {
    const world = worldOf()
    world.connected('c', lasting).disconnect()
    expect(world.connected('c', as('alice')).sessionPresent).toBe(true)
    expect(world.broker.counters.sessionsAdopted).toBe(1)
    expect(
      world
        .device()
        .connect({ ...as('bob'), clientId: 'c' })
        .take(),
    ).toMatchObject([{ reasonCode: 0x85 }])
    expect(
      world
        .device()
        .connect({ ...lasting, clientId: 'c' })
        .take(),
    ).toMatchObject([{ reasonCode: 0x85 }])
  })

  it('strict: one that belongs to nobody is given to no principal, and still is to nobody', () => {
    const world = worldOf({ sessionOwnership: 'strict' })
    world.connected('c', lasting).disconnect()
    expect(
      world
        .device()
        .connect({ ...as('alice'), clientId: 'c' })
        .take(),
    ).toMatchObject([{ reasonCode: 0x85 }])
    expect(world.broker.counters.sessionsAdopted).toBe(0)
    expect(world.connected('c', lasting).sessionPresent).toBe(true)
  })

  it('where nobody is asked who he is, sessions are free', () => {
    const world = worldOf({ sessionOwnership: 'none' })
    world.connected('c', as('alice')).disconnect()
    expect(world.connected('c', lasting).sessionPresent).toBe(true)
  })
})

describe('an authority that is slow', () => {
  const silent = (answers: ((verdict: Verdict) => void)[] = []): Authority => ({
    authenticate: (_packet, _address, done) => answers.push(done),
    beginExchange: () => null,
  })

  it.each([
    [5, 0x88],
    [4, 3],
  ] as const)('has said no after authenticationTimeoutMs, at protocol level %i', (version, code) => {
    const answers: ((verdict: Verdict) => void)[] = []
    const world = new World({ authenticationTimeoutMs: 500 }, { authority: silent(answers) })
    const device = world.device(version).connect({ clientId: 'c', version })
    world.advance(499)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: code }])
    answers[0]!({ reasonCode: 0 })
    expect(device.take()).toEqual([])
    expect(world.broker.defaultNamespace.sessions.size).toBe(0)
    expect(world.broker.counters.authorityTimeouts).toBe(1)
  })

  it('may take longer than a client may take to connect', () => {
    const answers: ((verdict: Verdict) => void)[] = []
    const world = new World({ authenticationTimeoutMs: 500, connectTimeoutMs: 50 }, { authority: silent(answers) })
    const device = world.device().connect({ clientId: 'c' })
    world.advance(499)
    answers[0]!({ reasonCode: 0 })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
    world.advance(100_000)
    expect(device.link.closed).toBeUndefined()
  })
})

/** Enhanced authentication whose steps the test gives. */
function exchangeWorld(...steps: ExchangeStep[]): World {
  const exchange: Exchange = { next: (_data, done) => done(steps.shift()!) }
  return new World({}, { authority: { ...byName, beginExchange: () => exchange } })
}

const method = { authenticationMethod: 'M' }
const reauthenticate = encodeAuth(0x19, method)

describe('what an authority says ends', () => {
  const expiring = (expiresAt: number): Authority => ({
    ...byName,
    authenticate: (_packet, _address, done) => done({ reasonCode: 0, expiresAt }),
  })
  const start = new World().now

  it.each([5, 4] as const)('at its time, at protocol level %i; the will is due', (version) => {
    const world = new World({}, { authority: expiring(start + 1000) })
    const properties = {}
    const will = { topic: 'w', payload: encodeUtf8('gone'), qos: 0, retain: true, properties } as const
    const device = world.device(version)
    device.connect({ clientId: 'c', version, will: { ...will, forwardProperties: new Uint8Array(0) } })
    device.take()
    world.advance(999)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.take()).toMatchObject(version === 5 ? [{ type: 'disconnect', reasonCode: 0xa0 }] : [])
    expect(device.link.closed).toBe('maximum_connect_time')
    expect(world.broker.defaultNamespace.retained.get('w')).not.toBeNull()
  })

  it('before it began: the client is refused', () => {
    const world = new World({}, { authority: expiring(start) })
    expect(world.device().connect({ clientId: 'c' }).take()).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
  })

  it('later after re-authentication', () => {
    const world = exchangeWorld(
      { type: 'success', principal: 'alice', expiresAt: start + 1000 },
      { type: 'success', expiresAt: start + 5000 },
    )
    const device = world.connected('c', { properties: method })
    world.advance(500)
    device.send(reauthenticate)
    world.advance(4499)
    expect(device.link.closed).toBeUndefined()
    expect(world.broker.defaultNamespace.sessions.get('c')?.principal).toBe('alice')
    world.advance(1)
    expect(device.link.closed).toBe('maximum_connect_time')
  })

  it('at once when re-authentication gives another principal, or fails with what only CONNACK can say', () => {
    for (const step of [
      { type: 'success', principal: 'mallory' },
      { type: 'failure', reasonCode: 0x88 },
    ] as const) {
      const world = exchangeWorld({ type: 'success', principal: 'alice' }, step)
      const device = world.connected('c', { properties: method })
      device.send(reauthenticate)
      expect(device.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x87 }])
    }
  })
})

describe('a right that is taken back', () => {
  const grantOf = (rules: Partial<Grant>): Grant => ({
    mayPublish: () => true,
    maySubscribe: () => true,
    mayReceive: () => true,
    ...rules,
  })

  it('ends the subscriptions that need it at once, and what waits for them', () => {
    const world = worldOf()
    const device = world.connected('c', {
      ...as('alice'),
      properties: { sessionExpiryInterval: 60, receiveMaximum: 1 },
    })
    device.subscribe('a', 1).subscribe('b', 1).subscribe('$share/a/c', 1)
    const other = world.connected('other')
    for (const payload of ['1', '2', '3']) other.publish('a', payload, { qos: 1 })
    const allowed = (topic: string): boolean => topic !== 'a'
    device.client.regrant(
      grantOf({ maySubscribe: (filter, _qos, group) => allowed(filter) && group === null, mayReceive: allowed }),
    )
    expect([...world.broker.defaultNamespace.sessions.get('c')!.subscriptions.keys()]).toEqual(['b'])
    expect(world.broker.counters.subscriptionsRevoked).toBe(2)
    other.publish('a', 'x', { qos: 1 })
    other.publish('b', 'y', { qos: 1 })
    // The first was sent when it was allowed, and is acknowledged.
    expect(device.drain()).toEqual(['1', 'y'])
  })

  it('ends them at the return of a session too', () => {
    const rules: Partial<Grant> = {}
    const authority: Authority = {
      ...byName,
      authenticate: (_packet, _address, done) => done({ reasonCode: 0, grant: grantOf(rules) }),
    }
    const world = new World({}, { authority })
    world.connected('c', lasting).subscribe('a', 1).subscribe('b', 1).disconnect()
    rules.maySubscribe = (filter) => filter === 'b'
    world.connected('c', lasting)
    expect([...world.broker.defaultNamespace.sessions.get('c')!.subscriptions.keys()]).toEqual(['b'])
  })

  it('ends the will that needs it', () => {
    const world = worldOf()
    const will = { topic: 'w', payload: encodeUtf8('gone'), qos: 0, retain: true, properties: {} } as const
    const device = world.connected('c', { will: { ...will, forwardProperties: new Uint8Array(0) } })
    device.client.regrant(grantOf({ mayPublish: () => false }))
    device.drop()
    expect(world.broker.defaultNamespace.retained.get('w')).toBeNull()
  })

  it('concerns all connections of the principal, and nobody else', () => {
    let allowed = true
    const authority: Authority = {
      ...byName,
      authenticate: ({ username }, _address, done) =>
        done({ reasonCode: 0, principal: username, grant: grantOf({ maySubscribe: () => allowed }) }),
    }
    const world = new World({}, { authority })
    for (const [clientId, name] of [
      ['a1', 'alice'],
      ['a2', 'alice'],
      ['b', 'bob'],
    ] as const) {
      world.connected(clientId, as(name)).subscribe('t', 1)
    }
    allowed = false
    world.broker.grantsChanged('alice')
    expect([...world.broker.defaultNamespace.sessions.values()].map(({ subscriptions }) => subscriptions.size)).toEqual(
      [0, 0, 1],
    )
  })
})

describe('a claim', () => {
  it('that is answered later keeps CONNACK back, and one that is refused says where to go', () => {
    const claims: [string, boolean, (claim: Claim) => void][] = []
    const directory: SessionDirectory = { claim: (_namespace, ...claim) => claims.push(claim) }
    const world = new World({}, { directory })
    const first = world.device().connect({ clientId: 'a', cleanStart: false })
    const second = world.device().connect({ clientId: 'b' })
    expect([...first.take(), ...second.take()]).toEqual([])
    expect(claims.map(([clientId, cleanStart]) => [clientId, cleanStart])).toEqual([
      ['a', false],
      ['b', true],
    ])
    claims[0]![2]({ reasonCode: 0 })
    claims[1]![2]({ reasonCode: 0x9c, serverReference: 'node-2:1883' })
    expect(first.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
    expect(second.take()).toMatchObject([
      { type: 'connack', reasonCode: 0x9c, properties: { serverReference: 'node-2:1883' } },
    ])
  })

  it('of two connections with one client id leaves one of them', () => {
    const claims: ((claim: Claim) => void)[] = []
    const world = new World({}, { directory: { claim: (_namespace, _id, _clean, done) => claims.push(done) } })
    const first = world.device().connect({ clientId: 'c' })
    const second = world.device().connect({ clientId: 'c' })
    for (const done of claims) done({ reasonCode: 0 })
    expect(first.take()).toMatchObject([{ type: 'connack' }, { type: 'disconnect', reasonCode: 0x8e }])
    expect(second.take()).toMatchObject([{ type: 'connack', reasonCode: 0 }])
    expect(world.broker.connections).toBe(1)
  })
})

describe('after a restart', () => {
  it('a session belongs to whom it belonged', async () => {
    const world = new DurableWorld(undefined, undefined, undefined, { authority: byName })
    const alice = await world.ready('c', as('alice'))
    alice.disconnect()
    await world.settle()
    const next = await world.restart()
    expect(
      next
        .device()
        .connect({ clientId: 'c', ...as('mallory') })
        .take(),
    ).toMatchObject([{ reasonCode: 0x85 }])
    expect((await next.ready('c', as('alice'))).take()).toEqual([])
  })
})
