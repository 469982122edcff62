/** What became of a message: what the explainer tells of it, and that it holds up nobody and stays bounded. */
import { describe, expect, it } from 'vitest'
import { recipientsListedMax } from '../../src/core/explain/explained-message.ts'
import { explanationsPerSecondMax, follow, followersMax } from '../../src/core/explain/explainer.ts'
import type { Explanation, Followed } from '../../src/core/ports/explanation.ts'
import { InProcessSubscriber } from '../../src/core/subscriptions/in-process.ts'
import { DurableWorld } from './durable-world.ts'
import { queueWorld } from './queue-world.ts'
import { streamWorld } from './stream-world.ts'
import { type Device, World } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

function follower(world: World, asked: Partial<Followed> = {}) {
  const told: Explanation[] = []
  const following = follow(world.broker, { namespace: 'default', filter: '#', waitMs: 2000, ...asked }, (one) =>
    told.push(structuredClone(one)),
  )
  return { told, end: () => following!.end(), states: () => told.map(statesOf) }
}

const statesOf = ({ recipients }: Explanation) =>
  recipients.map(({ name, state, because }) => (because === '' ? `${name} ${state}` : `${name} ${state} ${because}`))

function subscribed(world: World, clientId: string, filter: string, qos: 0 | 1 | 2, options = {}): Device {
  const device = world.connected(clientId, options)
  device.subscribe(filter, qos).take()
  return device
}

describe('an explanation', () => {
  it('names the queue that took the message in', () => {
    const world = queueWorld()
    const { told, end } = follower(world)
    world.connected('p').publish('jobs/1', 'x', { qos: 1 })
    end()
    expect(told[0]!.recipients).toMatchObject([{ kind: 'queue', name: 'jobs', filter: 'jobs/#', state: 'passed_on' }])
  })

  it('names the stream that took the message in', () => {
    const world = streamWorld()
    const { told, end } = follower(world)
    world.connected('p').publish('meters/1', 'x', { qos: 1 })
    end()
    const stream = { kind: 'stream', name: 'meters', filter: 'meters/#', state: 'passed_on' }
    expect(told[0]!.recipients).toMatchObject([stream])
  })

  it('says who published it, how it was routed, and that a subscriber at QoS 0 was sent it', () => {
    const world = new World()
    subscribed(world, 's', 'plant/+', 0)
    const { told } = follower(world)
    world.connected('p', { username: 'alice' }).publish('plant/1', 'hello', { qos: 1, retain: true })
    expect(told).toMatchObject([
      {
        at: world.now,
        topic: 'plant/1',
        qos: 1,
        retain: true,
        payloadBytes: 5,
        publisher: {
          clientId: 'p',
          username: 'alice',
          address: '192.0.2.1:4711',
          listener: 'test',
          protocolVersion: 5,
        },
        outcome: 'delivered',
        reason: 'success',
        rule: 'no rules: everything is allowed',
        route: { subscriptions: 1, groups: 0 },
        acknowledgement: 'PUBACK',
        commit: 'none',
        recipients: [{ kind: 'client', name: 's', filter: 'plant/+', group: '', qos: 0, state: 'sent', because: '' }],
        missed: 0,
      },
    ])
  })

  it('waits for acknowledgements, and says when they came', () => {
    const world = new World()
    const s = subscribed(world, 's', 't', 1)
    const kept = subscribed(world, 'kept', 't', 2, lasting)
    const { told, states } = follower(world)
    world.connected('p').publish('t', '', { qos: 2 })
    expect(told).toEqual([])
    world.advance(30)
    s.acknowledge('puback', s.takePublishes()[0]!.packetId)
    world.advance(10)
    const { packetId } = kept.takePublishes()[0]!
    kept.acknowledge('pubrec', packetId)
    expect(told).toEqual([])
    kept.acknowledge('pubcomp', packetId)
    expect(states()).toEqual([['s acknowledged', 'kept acknowledged']])
    expect(told[0]!.recipients.map(({ afterMs }) => afterMs)).toEqual([30, 40])
  })

  it('is told as far as it is known when nobody acknowledges for so long', () => {
    const world = new World()
    subscribed(world, 's', 't', 1)
    const { told, states } = follower(world, { waitMs: 500 })
    world.connected('p').publish('t', '', { qos: 1 })
    world.advance(499)
    expect(told).toEqual([])
    world.advance(1)
    expect(states()).toEqual([['s sent']])
  })

  it('says why a message waits, and follows it until it was sent and acknowledged', () => {
    const world = new World()
    const s = subscribed(world, 's', 't', 1, { properties: { receiveMaximum: 1 } })
    const away = subscribed(world, 'away', 't', 1, lasting)
    away.drop()
    const p = world.connected('p')
    const { states } = follower(world, { waitMs: 1000 })
    p.publish('t', '1', { qos: 1 })
    p.publish('t', '2', { qos: 1 })
    world.advance(1000)
    expect(states()).toEqual([
      ['s sent', 'away queued not_connected'],
      ['s queued window_full', 'away queued not_connected'],
    ])
    p.publish('t', '3', { qos: 1 })
    for (let i = 0; i < 3; i++) s.acknowledge('puback', s.takePublishes()[0]!.packetId)
    expect(states()[2]).toEqual(['s acknowledged', 'away queued not_connected'])
  })

  it('says why somebody is not sent it: No Local, away at QoS 0, a full output, no room, too large, expired', () => {
    const world = new World({ sessionQueueMessagesMax: 1, sessionQueueFull: 'drop-newest' })
    const { told, states } = follower(world)
    const p = world.connected('p')
    p.subscribe('own', 0, { noLocal: true }).take()
    p.publish('own', '')
    subscribed(world, 'away', 'a', 0, lasting).drop()
    p.publish('a', '')
    const slow = subscribed(world, 'slow', 'b', 0)
    slow.link.full = true
    slow.link.empty = false
    p.publish('b', '')
    subscribed(world, 'full', 'c', 1, lasting).drop()
    p.publish('c', '', { qos: 1 })
    p.publish('c', '', { qos: 1 })
    subscribed(world, 'small', 'd', 1, { properties: { maximumPacketSize: 20 } })
    p.publish('d', 'x'.repeat(50), { qos: 1 })
    expect(states()).toEqual([
      ['p not_sent no_local'],
      ['away not_sent not_connected'],
      ['slow dropped slow_consumer'],
      ['full queued not_connected'],
      ['full dropped queue_full'],
      ['small dropped too_large'],
    ])
    expect(told.every(({ outcome }) => outcome === 'delivered')).toBe(true)
  })

  it('tells the oldest that a full queue drops from the newest, which takes its place', () => {
    const world = new World({ sessionQueueMessagesMax: 1, sessionQueueFull: 'drop-oldest' })
    const s = subscribed(world, 's', 't', 1)
    s.link.full = true
    const p = world.connected('p')
    const { states } = follower(world)
    p.publish('t', '1', { qos: 1 })
    p.publish('t', '2', { qos: 1 })
    expect(states()).toEqual([['s dropped queue_full']])
    world.advance(2000)
    expect(states()[1]).toEqual(['s queued slow_consumer'])
  })

  it('says that it expired in the queue', () => {
    const world = new World()
    const s = subscribed(world, 's', 't', 1, { properties: { receiveMaximum: 1 } })
    const p = world.connected('p')
    const { states } = follower(world, { waitMs: 5000 })
    p.publish('t', '1', { qos: 1 })
    p.publish('t', '2', { qos: 1, expiry: 1 })
    world.advance(1500)
    s.acknowledge('puback', s.takePublishes()[0]!.packetId)
    expect(states()).toEqual([['s acknowledged'], ['s dropped expired']])
  })

  it('says which rule denies it, to the publisher and to a recipient', () => {
    const grant = {
      mayPublish: (topic: string) => topic !== 'secret',
      maySubscribe: () => true,
      mayReceive: (topic: string) => topic !== 'private',
      because: ({ action, topic }: { action: string; topic: string }) => `rule about ${action} ${topic}`,
    }
    const world = new World({}, { authority: grantingAuthority(grant) })
    subscribed(world, 's', '#', 0)
    const p = world.connected('p')
    const { told } = follower(world)
    p.publish('secret', '', { qos: 1 })
    p.publish('private', '')
    expect(told).toMatchObject([
      { outcome: 'refused', reason: 'not_authorized', rule: 'rule about publish secret', recipients: [] },
      {
        outcome: 'delivered',
        rule: 'rule about publish private',
        recipients: [{ name: 's', state: 'dropped', because: 'not_authorized', rule: 'rule about receive private' }],
      },
    ])
  })

  it('names the member of a share group that got it, or says that there is none', () => {
    const world = new World()
    subscribed(world, 'a', '$share/g/t', 0)
    const p = world.connected('p')
    const { told } = follower(world)
    p.publish('t', '')
    const qos0Away = subscribed(world, 'b', '$share/h/u', 0, lasting)
    qos0Away.drop()
    p.publish('u', '')
    expect(told).toMatchObject([
      { route: { subscriptions: 0, groups: 1 }, recipients: [{ name: 'a', group: 'g', state: 'sent' }] },
      { recipients: [{ kind: 'group', name: 'h', state: 'not_sent', because: 'no_member' }] },
    ])
  })

  it('has programs of the process and other namespaces among the recipients, and what is exported on its own', () => {
    const world = new World({
      namespaces: { lab: {} },
      exports: [{ from: 'default', to: 'lab', filter: 't', prefix: 'plant/' }],
    })
    new InProcessSubscriber(world.broker, () => {}).subscribe('t')
    const { told } = follower(world)
    const lab = follower(world, { namespace: 'lab' })
    world.connected('p').publish('t', '', { qos: 1 })
    expect(told[0]!.recipients.map(({ kind, state }) => `${kind} ${state}`).sort()).toEqual([
      'namespace passed_on',
      'program passed_on',
    ])
    expect(lab.told).toMatchObject([{ topic: 'plant/t', namespace: 'lab', publisher: null, outcome: 'no-subscribers' }])
  })

  it('calls a QoS 2 message that was sent again a duplicate', () => {
    const world = new World()
    const p = world.connected('p')
    const { told } = follower(world)
    p.publish('t', '', { qos: 2, packetId: 7 })
    p.publish('t', '', { qos: 2, packetId: 7, dup: true })
    expect(told.map(({ outcome }) => outcome)).toEqual(['no-subscribers', 'duplicate'])
  })

  it('waits for the commit that the acknowledgement waits for', async () => {
    const world = new DurableWorld()
    const away = (await world.ready('away')).subscribe('t', 1)
    await world.settle()
    away.drop()
    const p = await world.ready('p')
    const { told } = follower(world)
    p.publish('t', '', { qos: 1 })
    expect(told).toEqual([])
    await world.settle()
    expect(told).toMatchObject([{ commit: 'committed', recipients: [{ state: 'queued', because: 'not_connected' }] }])
  })
})

describe('who follows', () => {
  it('chooses by topic filter, publisher and namespace, where # leaves out $SYS', () => {
    const world = new World()
    const some = follower(world, { filter: 'a/#' })
    const own = follower(world, { clientId: 'p' })
    const other = follower(world, { namespace: 'lab' })
    world.connected('p').publish('b', '')
    world.connected('q').publish('a/b', '')
    expect(some.told.map(({ topic }) => topic)).toEqual(['a/b'])
    expect(own.told.map(({ topic }) => topic)).toEqual(['b'])
    expect(other.told).toEqual([])
  })

  it('asks about one recipient, and is told why that gets nothing', () => {
    const world = new World()
    subscribed(world, 's', 'other', 0)
    const one = follower(world, { recipient: 's' })
    const nobody = follower(world, { recipient: 'nobody' })
    subscribed(world, 'r', 't', 0)
    world.connected('p').publish('t', '')
    expect(one.states()).toEqual([['s not_sent not_subscribed']])
    expect(nobody.states()).toEqual([['nobody not_sent no_session']])
  })

  it(`is told of ${explanationsPerSecondMax} messages in a second, and how many others there were`, () => {
    const world = new World()
    const { told } = follower(world)
    const p = world.connected('p')
    for (let i = 0; i < explanationsPerSecondMax + 5; i++) p.publish('t', '')
    expect(told).toHaveLength(explanationsPerSecondMax)
    world.advance(1000)
    p.publish('t', '')
    p.publish('t', '')
    expect(told.slice(-2).map(({ missed }) => missed)).toEqual([5, 0])
  })

  it(`gets ${recipientsListedMax} recipients of a message by name, and the others counted`, () => {
    const world = new World()
    for (let i = 0; i < recipientsListedMax + 3; i++) subscribed(world, `s${i}`, 't', 0)
    const { told } = follower(world)
    world.connected('p').publish('t', '')
    expect(told[0]!.recipients).toHaveLength(recipientsListedMax)
    expect(told[0]!.others).toEqual({ sent: 3 })
  })

  it(`is one of ${followersMax}, and leaves nothing behind`, () => {
    const world = new World()
    subscribed(world, 's', 't', 1)
    const ends = Array.from({ length: followersMax }, () => follower(world).end)
    expect(follow(world.broker, { namespace: 'default', filter: '#', waitMs: 0 }, () => {})).toBeNull()
    world.connected('p').publish('t', '', { qos: 1 })
    const { size } = world.broker.deadlines
    for (const end of ends) end()
    expect(world.broker.explainer).toBeNull()
    expect(world.broker.deadlines.size).toBe(size - 1)
  })
})

function grantingAuthority(grant: object) {
  return {
    authenticate: (_packet: unknown, _peer: unknown, done: (verdict: { reasonCode: number; grant: never }) => void) =>
      done({ reasonCode: 0, grant: grant as never }),
    beginExchange: () => null,
  }
}
