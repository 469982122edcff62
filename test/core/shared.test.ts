import { describe, expect, it } from 'vitest'
import { type DispatchStrategy, dispatchStrategies } from '../../src/core/subscriptions/shared-group.ts'
import { LocalSubscription } from '../../src/engine/local-subscription.ts'
import { type Device, World } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

function group(strategy: DispatchStrategy, members: number) {
  const world = new World({ sharedStrategy: strategy })
  const devices = Array.from({ length: members }, (_, i) => {
    const device = world.connected(`m${i}`, lasting)
    device.subscribe('$share/g/t/#', 1).take()
    return device
  })
  return { world, devices, publisher: world.connected('p') }
}

function counts(devices: Device[]): number[] {
  return devices.map((device) => device.drain().length)
}

describe('dispatch strategies of shared subscriptions', () => {
  it.each(dispatchStrategies)('%s: each message goes to exactly one member', (strategy) => {
    const { devices, publisher } = group(strategy, 4)
    for (let i = 0; i < 100; i++) publisher.publish(`t/${i}`, String(i), { qos: 1 })
    const received = devices.flatMap((device) => device.drain())
    expect(received.sort()).toEqual(Array.from({ length: 100 }, (_, i) => String(i)).sort())
  })

  it('round robin gives each member its turn', () => {
    const { devices, publisher } = group('round-robin', 4)
    for (let i = 0; i < 100; i++) publisher.publish('t', '', { qos: 1 })
    expect(counts(devices)).toEqual([25, 25, 25, 25])
  })

  it('random is spread, and the same in every run', () => {
    const run = () => {
      const { devices, publisher } = group('random', 4)
      for (let i = 0; i < 400; i++) publisher.publish('t', '', { qos: 1 })
      return counts(devices)
    }
    for (const count of run()) expect(count).toBeGreaterThan(50)
    expect(run()).toEqual(run())
  })

  it('sticky stays with one member until it leaves', () => {
    const { devices, publisher } = group('sticky', 3)
    for (let i = 0; i < 10; i++) publisher.publish('t', '', { qos: 1 })
    const first = counts(devices)
    expect([...first].sort()).toEqual([0, 0, 10])
    devices[first.indexOf(10)]!.drop()
    for (let i = 0; i < 10; i++) publisher.publish('t', '', { qos: 1 })
    const others = devices.filter((_, i) => first[i] === 0)
    expect(counts(others).sort()).toEqual([0, 10])
  })

  it('least in-flight prefers the member that keeps up', () => {
    const { devices, publisher } = group('least-inflight', 2)
    for (let i = 0; i < 10; i++) {
      publisher.publish('t', String(i), { qos: 1 })
      devices[1]!.drain()
    }
    expect(devices[0]!.takePublishes()).toHaveLength(1)
  })

  it.each(['hash-topic', 'hash-publisher'] as const)(
    "%s keeps a key with its member, and only the leaving member's keys move",
    (strategy) => {
      const { world, devices } = group(strategy, 4)
      const publishers = Array.from({ length: 40 }, (_, i) => world.connected(`publisher-${i}`))
      const owners = () =>
        publishers.map((publisher, i) => {
          publisher.publish(`t/${i}`, '', { qos: 1 })
          return devices.findIndex((device) => device.link.closed === undefined && device.drain().length > 0)
        })
      const before = owners()
      expect(owners()).toEqual(before)
      expect(new Set(before).size).toBe(4)
      devices[2]!.drop()
      owners().forEach((owner, i) => {
        if (before[i] === 2) expect(owner).not.toBe(2)
        else expect(owner).toBe(before[i])
      })
    },
  )

  it('a group can have its own strategy', () => {
    const world = new World({ sharedStrategy: 'round-robin', sharedGroups: { one: 'sticky' } })
    const members = ['a', 'b'].map((id) => world.connected(id))
    for (const member of members) member.subscribe('$share/one/t').take()
    const publisher = world.connected('p')
    for (let i = 0; i < 10; i++) publisher.publish('t', '')
    expect(counts(members).sort()).toEqual([0, 10])
  })
})

describe('who has a share', () => {
  it.each(dispatchStrategies)('%s: a member that is away and subscribed at QoS 0 has none', (strategy) => {
    const world = new World({ sharedStrategy: strategy })
    world.connected('zero', lasting).subscribe('$share/g/t', 0).drop()
    const one = world.connected('one', lasting).subscribe('$share/g/t', 1)
    one.drop()
    const publisher = world.connected('p')
    for (let i = 0; i < 10; i++) publisher.publish('t', String(i), { qos: 1 })
    const again = world.device().connect({ clientId: 'one', ...lasting })
    expect(again.drain()).toHaveLength(10)
  })

  it.each(['hash-topic', 'hash-publisher'] as const)(
    '%s keeps a key with its member while the output of that is full, so that its messages stay in order',
    (strategy) => {
      const { devices, publisher } = group(strategy, 4)
      publisher.publish('t/key', '0', { qos: 1 })
      const owner = devices.find((device) => device.drain().length > 0)!
      owner.link.full = true
      for (let i = 1; i < 4; i++) publisher.publish('t/key', String(i), { qos: 1 })
      expect(counts(devices.filter((device) => device !== owner))).toEqual([0, 0, 0])
      owner.link.full = false
      owner.client.pump()
      expect(owner.drain()).toEqual(['1', '2', '3'])
    },
  )

  it.each(['hash-topic', 'hash-publisher', 'sticky'] as const)(
    '%s: a member at QoS 0 with a full output does not take a message that another would keep',
    (strategy) => {
      const world = new World({ sharedStrategy: strategy })
      const zero = world.connected('zero').subscribe('$share/g/t', 0)
      zero.link.full = true
      zero.link.empty = false
      const one = world.connected('one', lasting).subscribe('$share/g/t', 1)
      const publishers = Array.from({ length: 10 }, (_, i) => world.connected(`p${i}`))
      for (const publisher of publishers) publisher.publish('t', '', { qos: 1 })
      expect(one.drain()).toHaveLength(10)
    },
  )

  it('sticky stays with its member while the output of that is full', () => {
    const { devices, publisher } = group('sticky', 3)
    publisher.publish('t', '0', { qos: 1 })
    const owner = devices.find((device) => device.drain().length > 0)!
    owner.link.full = true
    publisher.publish('t', '1', { qos: 1 })
    owner.link.full = false
    publisher.publish('t', '2', { qos: 1 })
    expect(owner.drain()).toEqual(['1', '2'])
  })

  it.each(['round-robin', 'random', 'least-inflight'] as const)(
    '%s prefers a member whose queue has room over one that would drop',
    (strategy) => {
      const { world, devices, publisher } = group(strategy, 2)
      world.broker.options.sessionQueueMessagesMax = 3
      for (const device of devices) device.drop()
      for (let i = 0; i < 6; i++) publisher.publish('t', String(i), { qos: 1 })
      expect(devices.map((_, i) => world.broker.defaultNamespace.sessions.get(`m${i}`)!.queue.waiting)).toEqual([3, 3])
      expect(world.broker.counters.messagesDropped.get('queue_full')).toBe(0)
    },
  )

  it('with the policy reject, a message is refused when no member of the group has room, and not before', () => {
    const world = new World({ sessionQueueFull: 'reject', sessionQueueMessagesMax: 2 })
    for (const id of ['a', 'b']) world.connected(id, lasting).subscribe('$share/g/t', 1).drop()
    world.connected('zero', lasting).subscribe('$share/g/t', 0).drop()
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(publisher.take()).toMatchObject([0, 0, 0, 0, 0x97].map((reasonCode) => ({ type: 'puback', reasonCode })))
    expect(world.broker.gauges().queuedMessages).toBe(4)
  })
})

describe('members that come and go (section 4.8.2)', () => {
  it('QoS 1 that was sent and not acknowledged, and what waits, goes to another member', () => {
    const world = new World({ inflightMessagesMax: 2 })
    const [a, b] = ['a', 'b'].map((id) => world.connected(id, lasting)) as [Device, Device]
    a.subscribe('$share/g/t', 1).take()
    const publisher = world.connected('p')
    for (let i = 0; i < 5; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(a.takePublishes()).toHaveLength(2)
    b.subscribe('$share/g/t', 1).take()
    a.drop()
    expect(b.drain()).toEqual(['0', '1', '2', '3', '4'])
    expect(
      world
        .device()
        .connect({ clientId: 'a', ...lasting })
        .takePublishes(),
    ).toEqual([])
  })

  it('[MQTT-4.8.2-4] QoS 2 in flight stays with its member and is completed when that returns', () => {
    const world = new World()
    const [a, b] = ['a', 'b'].map((id) => world.connected(id, lasting)) as [Device, Device]
    a.subscribe('$share/g/t', 2).take()
    world.connected('p').publish('t', 'x', { qos: 2 })
    expect(a.takePublishes()).toHaveLength(1)
    b.subscribe('$share/g/t', 2).take()
    a.drop()
    expect(b.take()).toEqual([])
    const again = world.device().connect({ clientId: 'a', ...lasting })
    expect(again.takePublishes()).toMatchObject([{ payload: 'x', qos: 2, dup: true }])
  })

  it('[MQTT-4.8.2-5] QoS 2 in flight is sent to nobody else when its session ends', () => {
    const world = new World()
    const [a, b] = ['a', 'b'].map((id) => world.connected(id, lasting)) as [Device, Device]
    a.subscribe('$share/g/t', 2).take()
    world.connected('p').publish('t', 'x', { qos: 2 })
    expect(a.takePublishes()).toHaveLength(1)
    b.subscribe('$share/g/t', 2).take()
    a.drop()
    world.advance(3_600_000)
    expect(b.take()).toEqual([])
  })

  it('[MQTT-4.8.2-6] a member that refuses a message ends it', () => {
    const { devices, publisher, world } = group('sticky', 2)
    publisher.publish('t', 'x', { qos: 1 })
    const device = devices.find((one) => one.client.session!.window.inflight > 0)!
    const [delivery] = device.takePublishes()
    device.acknowledge('puback', delivery!.packetId, 0x83)
    device.drop()
    expect(counts(devices.filter((one) => one !== device))).toEqual([0])
    expect(world.broker.gauges().queuedMessages).toBe(0)
  })

  it('members that are away get messages only when none is there', () => {
    const { world, devices, publisher } = group('round-robin', 3)
    devices[0]!.drop()
    devices[1]!.drop()
    for (let i = 0; i < 6; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(devices[2]!.drain()).toHaveLength(6)
    devices[2]!.drop()
    for (let i = 0; i < 6; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(world.broker.gauges().queuedMessages).toBe(6)
  })

  it('a member whose output is full is passed over', () => {
    const { devices, publisher } = group('round-robin', 2)
    devices[0]!.link.full = true
    for (let i = 0; i < 4; i++) publisher.publish('t', String(i), { qos: 1 })
    expect(devices[1]!.drain()).toHaveLength(4)
  })

  it('[MQTT-4.8.2-3] each delivery has the QoS that its member was granted', () => {
    const world = new World()
    const members = [0, 1, 2].map((qos) => world.connected(`q${qos}`))
    for (const qos of [0, 1, 2] as const) members[qos]!.subscribe('$share/g/t', qos).take()
    const publisher = world.connected('p')
    for (let i = 0; i < 3; i++) publisher.publish('t', '', { qos: 2 })
    expect(members.map((member) => member.takePublishes()[0]?.qos)).toEqual([0, 1, 2])
  })

  it('retained messages are not sent for a shared subscription, and 3.1.1 has shared subscriptions too', () => {
    const world = new World()
    const publisher = world.connected('p')
    publisher.publish('t', 'kept', { retain: true })
    const member = world.connected('m', { version: 4 })
    member.subscribe('$share/g/t', 1)
    expect(member.take()).toMatchObject([{ type: 'suback', reasonCodes: [1] }])
    publisher.publish('t', 'live', { qos: 1 })
    expect(member.takePublishes()).toMatchObject([{ payload: 'live' }])
  })

  it('a session that subscribes plainly and in two groups gets one copy of each', () => {
    const world = new World()
    const device = world.connected('s')
    device.subscribe('t', 0, {}, { subscriptionIdentifiers: [1] })
    device.subscribe('$share/g/t', 0, {}, { subscriptionIdentifiers: [2] })
    device.subscribe('$share/h/t', 0, {}, { subscriptionIdentifiers: [3] }).take()
    world.connected('p').publish('t', 'x')
    const identifiers = device.takePublishes().map((one) => one.properties.subscriptionIdentifiers)
    expect(identifiers.sort()).toEqual([[1], [2], [3]])
  })
})

describe('a member inside the program', () => {
  it('gets what the last connected member leaves behind', async () => {
    const world = new World()
    const member = world.connected('m').subscribe('$share/g/t', 1)
    const local = new LocalSubscription({ broker: world.broker, run: (action) => action() }, ['$share/g/t'], () => {})
    world.connected('p').publish('t', 'left', { qos: 1 })
    expect(member.takePublishes()).toHaveLength(1)
    member.drop()
    world.connected('p').publish('t', 'later', { qos: 1 })
    const received = [(await local.next()).value, (await local.next()).value]
    expect(received.map((one) => Buffer.from(one!.payload).toString())).toEqual(['left', 'later'])
    local.end()
  })
})
