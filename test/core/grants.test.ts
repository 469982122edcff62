/** What a client may do is asked with QoS, retain and share group, and asked again when a message is sent. */
import { describe, expect, it } from 'vitest'
import type { Authority, Grant } from '../../src/core/ports/authority.ts'
import { dispatchStrategies } from '../../src/core/subscriptions/shared-group.ts'
import { lasting } from './durable-world.ts'
import { World } from './world.ts'

/** A world whose client `ruled` has a grant that the test changes; others may do everything. */
function ruledWorld(rules: Partial<Grant> = {}): { world: World; grant: Grant; asked: unknown[][] } {
  const asked: unknown[][] = []
  const grant: Grant = { mayPublish: () => true, maySubscribe: () => true, mayReceive: () => true, ...rules }
  const asking: Grant = {
    mayPublish: (...question) => {
      asked.push(['publish', ...question])
      return grant.mayPublish(...question)
    },
    maySubscribe: (...question) => {
      asked.push(['subscribe', ...question])
      return grant.maySubscribe(...question)
    },
    mayReceive: (...question) => {
      asked.push(['receive', ...question.slice(0, 4)])
      return grant.mayReceive(...question)
    },
  }
  const authority: Authority = {
    authenticate: (packet, _address, done) =>
      done({ reasonCode: 0, grant: packet.clientId.startsWith('ruled') ? asking : null }),
    beginExchange: () => null,
  }
  return { world: new World({}, { authority }), grant, asked }
}

const dropped = (world: World): number => world.broker.counters.messagesDropped.get('not_authorized')

describe('a grant', () => {
  it('is asked with QoS, retain and the share group', () => {
    const { world, asked } = ruledWorld()
    const ruled = world.connected('ruled')
    ruled.subscribe('a/+', 1).subscribe('$share/g/b', 2)
    ruled.publish('c', 'x', { qos: 2, retain: true })
    const other = world.connected('other')
    other.publish('a/1', 'x', { qos: 1 })
    other.publish('b', 'x')
    expect(asked.filter(([what]) => what !== 'receive')).toEqual([
      ['subscribe', 'a/+', 1, null],
      ['subscribe', 'b', 2, 'g'],
      ['publish', 'c', 2, true],
    ])
    expect(asked).toContainEqual(['receive', 'a/1', 1, false, null])
    expect(asked).toContainEqual(['receive', 'b', 0, false, 'g'])
  })

  it('is asked with QoS and retain of a will', () => {
    const { world, asked } = ruledWorld({ mayPublish: (_topic, _qos, retain) => !retain })
    const will = { topic: 't', payload: new Uint8Array(0), qos: 1, retain: true, properties: {} } as const
    const device = world
      .device()
      .connect({ clientId: 'ruled', will: { ...will, forwardProperties: new Uint8Array(0) } })
    expect(device.take()).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
    expect(asked).toEqual([['publish', 't', 1, true]])
  })

  it('is asked again for what waited while the client was away', () => {
    const { world, grant } = ruledWorld()
    world.connected('ruled', lasting).subscribe('+', 2).disconnect()
    const other = world.connected('other')
    for (const topic of ['open', 'secret', 'open']) other.publish(topic, topic, { qos: 1 })
    grant.mayReceive = (topic) => topic !== 'secret'
    const back = world.device().connect({ clientId: 'ruled', ...lasting })
    expect(back.drain()).toEqual(['open', 'open'])
    expect(dropped(world)).toBe(1)
    expect(world.broker.defaultNamespace.sessions.get('ruled')?.queue.waiting).toBe(0)
  })

  it('is asked again for what waited for room in the window', () => {
    const { world, grant } = ruledWorld()
    const properties = { sessionExpiryInterval: 3600, receiveMaximum: 1 }
    const ruled = world.connected('ruled', { ...lasting, properties }).subscribe('+', 1)
    const other = world.connected('other')
    for (const payload of ['1', '2', '3']) other.publish('t', payload, { qos: 1 })
    grant.mayReceive = () => false
    expect(ruled.drain()).toEqual(['1'])
    expect(dropped(world)).toBe(2)
  })

  it('is asked again for a redelivery; PUBREL ends a QoS 2 exchange whose message may no longer be sent', () => {
    const { world, grant } = ruledWorld()
    const ruled = world.connected('ruled', lasting).subscribe('+', 2)
    world.connected('other').publish('t', 'x', { qos: 2 })
    expect(ruled.takePublishes()).toMatchObject([{ packetId: 1 }])
    ruled.drop()
    grant.mayReceive = () => false
    const back = world.device().connect({ clientId: 'ruled', ...lasting })
    expect(back.take()).toMatchObject([{ type: 'connack' }, { type: 'pubrel', packetId: 1 }])
    back.acknowledge('pubcomp', 1, 0x92)
    expect(world.broker.defaultNamespace.sessions.get('ruled')).toMatchObject({ load: 0, queue: { bytes: 0 } })
    expect(dropped(world)).toBe(1)
  })

  it('is asked for retained messages, and what it withholds is counted', () => {
    const { world } = ruledWorld({ mayReceive: (topic) => topic !== 'secret' })
    const other = world.connected('other')
    for (const topic of ['open', 'secret']) other.publish(topic, topic, { retain: true })
    const ruled = world.connected('ruled').subscribe('+', 1)
    expect(ruled.takePublishes()).toMatchObject([{ topic: 'open' }])
    expect(dropped(world)).toBe(1)
  })

  it('is asked in pieces about the many subscriptions of a client that returns', () => {
    const { world, grant } = ruledWorld()
    const ruled = world.connected('ruled', lasting)
    for (let i = 0; i < 12_000; i++) ruled.subscribe(`t/${i}`, 1)
    ruled.drop()
    let asked = 0
    grant.maySubscribe = (filter) => {
      asked++
      return filter === 't/5'
    }
    grant.mayReceive = (topic) => topic === 't/5'
    const back = world.device().connect({ clientId: 'ruled', ...lasting })
    expect(asked).toBeLessThan(5000)
    const publisher = world.connected('other')
    publisher.publish('t/11999', 'x', { qos: 1 })
    while (world.broker.turnWanted) world.broker.onTurn()
    expect(asked).toBe(12_000)
    expect([...world.broker.defaultNamespace.sessions.get('ruled')!.subscriptions.keys()]).toEqual(['t/5'])
    expect(back.takePublishes()).toEqual([])
  })

  it('is asked about all subscriptions again when it changes in the middle of that', () => {
    const { world, grant } = ruledWorld()
    const ruled = world.connected('ruled', lasting)
    for (let i = 0; i < 12_000; i++) ruled.subscribe(`t/${i}`, 1)
    ruled.drop()
    world.device().connect({ clientId: 'ruled', ...lasting })
    const { client, subscriptions } = world.broker.defaultNamespace.sessions.get('ruled')!
    client!.regrant({ ...grant, maySubscribe: () => false })
    while (world.broker.turnWanted) world.broker.onTurn()
    expect(subscriptions.size).toBe(0)
  })

  it('keeps what a leaving member hands over from one that may not have it', () => {
    const { world } = ruledWorld({ mayReceive: () => false })
    const leaver = world.connected('leaver', lasting).subscribe('$share/g/t', 1)
    world.connected('other').publish('t', 'x', { qos: 1 })
    const ruled = world.connected('ruled').subscribe('$share/g/t', 0)
    ruled.take()
    leaver.drop()
    expect(ruled.takePublishes()).toEqual([])
    expect(dropped(world)).toBe(0)
    const back = world.device().connect({ clientId: 'leaver', ...lasting })
    expect(back.drain()).toEqual(['x'])
  })

  it.each(dispatchStrategies)('%s: leaves a share of a member without the right to those that have it', (strategy) => {
    const { world } = ruledWorld({ mayReceive: (topic) => topic !== 't/secret' })
    Object.assign(world.broker.options, { sharedStrategy: strategy })
    const members = ['ruled', 'free', 'ruled2'].map((clientId) =>
      world.connected(clientId, lasting).subscribe('$share/g/t/+', 1),
    )
    for (const member of members) member.take()
    const publisher = world.connected('other')
    for (let i = 0; i < 9; i++) publisher.publish('t/secret', String(i), { qos: i % 2 === 0 ? 1 : 0 })
    expect(members.map((member) => member.drain().length)).toEqual([0, 9, 0])
    expect(dropped(world)).toBe(0)
  })

  it('is counted where no member of a group has the right', () => {
    const { world } = ruledWorld({ mayReceive: () => false })
    world.connected('ruled', lasting).subscribe('$share/g/t', 1)
    world.connected('other').publish('t', 'x', { qos: 1 })
    expect(dropped(world)).toBe(1)
  })
})

describe('a PUBLISH that a rule refuses', () => {
  const rules = { mayPublish: (topic: string) => topic !== 'closed' }

  it.each([3, 4] as const)('is acknowledged to a client of protocol level %i, dropped and counted', (version) => {
    const { world } = ruledWorld(rules)
    const other = world.connected('other').subscribe('#', 2)
    other.take()
    const ruled = world.connected('ruled', { version })
    ruled.publish('closed', 'x')
    const first = ruled.publish('closed', 'x', { qos: 1 })
    const second = ruled.publish('closed', 'x', { qos: 2 })
    ruled.acknowledge('pubrel', second)
    expect(ruled.take()).toMatchObject([
      { type: 'puback', packetId: first },
      { type: 'pubrec', packetId: second },
      { type: 'pubcomp', packetId: second },
    ])
    expect(ruled.link.closed).toBeUndefined()
    expect(ruled.link.inboundInflight).toBe(0)
    expect(dropped(world)).toBe(3)
    expect(other.takePublishes()).toEqual([])
  })

  it('closes a 3.x client where that is configured, and never one of 5.0', () => {
    const { world } = ruledWorld(rules)
    world.broker.options.closeOnRefusedPublish = true
    for (const qos of [0, 1, 2] as const) {
      const old = world.connected('ruled', { version: 4 })
      old.publish('closed', 'x', { qos })
      expect(old.link.closed).toBeDefined()
      const recent = world.connected('ruled', { version: 5 })
      recent.publish('closed', 'x', { qos })
      expect(recent.link.closed).toBeUndefined()
      if (qos > 0) expect(recent.take()).toMatchObject([{ reasonCode: 0x87 }])
    }
  })
})

describe('Server Keep Alive', () => {
  it.each([
    [10, undefined],
    [60, undefined],
    [61, 60],
    [0, 60],
  ])('is an upper bound: a client that wants %i is told %s', (keepAlive, told) => {
    const world = new World({ serverKeepAliveSeconds: 60 })
    const device = world.device().connect({ clientId: 'c', keepAlive })
    const [connack] = device.take()
    expect(connack).toMatchObject({ type: 'connack', reasonCode: 0 })
    expect((connack as { properties: object }).properties).toEqual(
      told === undefined
        ? expect.not.objectContaining({ serverKeepAlive: 60 })
        : expect.objectContaining({ serverKeepAlive: 60 }),
    )
    const limit = (told ?? keepAlive) * 1500
    world.advance(limit - 1)
    expect(device.link.closed).toBeUndefined()
    world.advance(1)
    expect(device.link.closed).toBe('keep_alive_timeout')
  })

  it('does not bound a 3.x client, which can not be told', () => {
    const world = new World({ serverKeepAliveSeconds: 60 })
    const device = world.connected('c', { version: 4, keepAlive: 600 })
    world.advance(899_999)
    expect(device.link.closed).toBeUndefined()
  })
})
