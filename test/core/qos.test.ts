import { describe, expect, it } from 'vitest'
import { World } from './world.ts'

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 3600 } }

describe('QoS 1 and 2 towards a subscriber', () => {
  it('[MQTT-4.3.2-4] a QoS 1 delivery is over with its PUBACK and its packet identifier comes round again', () => {
    const world = new World({ inflightMessagesMax: 10 })
    const subscriber = world.connected('s')
    subscriber.subscribe('t', 1).take()
    const publisher = world.connected('p')
    const ids = new Set<number>()
    for (let i = 0; i < 70_000; i++) {
      publisher.publish('t', String(i), { qos: 1, packetId: 7 })
      const [delivery] = subscriber.takePublishes()
      expect(delivery?.payload).toBe(String(i))
      expect(delivery?.packetId).toBeGreaterThan(0)
      ids.add(delivery!.packetId)
      subscriber.acknowledge('puback', delivery!.packetId)
    }
    expect(ids.size).toBe(65_535)
    expect(world.broker.counters.unknownAcknowledgements).toBe(0)
  })

  it("[MQTT-3.3.4-9] the client's Receive Maximum is never exceeded, and what waits follows in order", () => {
    const world = new World()
    const subscriber = world.connected('s', { properties: { receiveMaximum: 3 } })
    subscriber.subscribe('t', 2).take()
    const publisher = world.connected('p')
    for (let i = 0; i < 10; i++) publisher.publish('t', String(i), { qos: i % 2 === 0 ? 1 : 2 })
    const first = subscriber.takePublishes()
    expect(first.map((one) => one.payload)).toEqual(['0', '1', '2'])
    subscriber.acknowledge('puback', first[0]!.packetId)
    const next = subscriber.takePublishes()
    expect(next.map((one) => one.payload)).toEqual(['3'])
    subscriber.acknowledge('pubrec', first[1]!.packetId)
    expect(subscriber.take()).toMatchObject([{ type: 'pubrel', packetId: first[1]!.packetId }])
    subscriber.acknowledge('pubcomp', first[1]!.packetId)
    expect(subscriber.takePublishes().map((one) => one.payload)).toEqual(['4'])
  })

  it('all 65,535 packet identifiers may be in flight, and no more', () => {
    const world = new World({ inflightMessagesMax: 65_535 })
    const subscriber = world.connected('s')
    subscriber.subscribe('t', 1).take()
    const publisher = world.connected('p')
    for (let i = 0; i < 65_540; i++) publisher.publish('t', '', { qos: 1, packetId: 1 })
    const ids = new Set(subscriber.takePublishes().map((one) => one.packetId))
    expect(ids.size).toBe(65_535)
    // Only the oldest makes room: identifiers follow positions, and the window may not span more.
    subscriber.acknowledge('puback', 2)
    expect(subscriber.takePublishes()).toEqual([])
    subscriber.acknowledge('puback', 1)
    expect(subscriber.takePublishes().map((one) => one.packetId)).toEqual([1, 2])
  })

  it('[MQTT-4.4.0-1] what was not acknowledged is sent again with DUP and its identifier, in order, before what is newer', () => {
    const world = new World()
    const first = world.connected('s', lasting)
    first.subscribe('t', 2).take()
    const publisher = world.connected('p')
    publisher.publish('t', 'a', { qos: 1 })
    publisher.publish('t', 'b', { qos: 2 })
    publisher.publish('t', 'c', { qos: 2 })
    publisher.publish('t', 'd', { qos: 1 })
    const sent = first.takePublishes()
    first.acknowledge('pubrec', sent[1]!.packetId)
    first.acknowledge('puback', sent[3]!.packetId)
    first.drop()
    publisher.publish('t', 'e', { qos: 1 })

    const second = world.connected('s', lasting)
    expect(second.sessionPresent).toBe(true)
    // connected() took CONNACK together with what followed it: ask again by a third connection.
    const third = world.device()
    third.connect({ clientId: 's', ...lasting })
    expect(third.take()).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', payload: 'a', qos: 1, dup: true, packetId: sent[0]!.packetId },
      { type: 'pubrel', packetId: sent[1]!.packetId },
      { type: 'publish', payload: 'c', qos: 2, dup: true, packetId: sent[2]!.packetId },
      { type: 'publish', payload: 'e', qos: 1, dup: true },
    ])
  })

  it('a message that was never sent carries no DUP when the client returns', () => {
    const world = new World()
    const first = world.connected('s', lasting)
    first.subscribe('t', 1).take()
    first.drop()
    world.connected('p').publish('t', 'x', { qos: 1 })
    const second = world.device().connect({ clientId: 's', ...lasting })
    expect(second.takePublishes()).toMatchObject([{ payload: 'x', dup: false }])
  })

  it('[MQTT-4.3.3-4] PUBREC with an error ends the delivery without PUBREL', () => {
    const world = new World()
    const subscriber = world.connected('s', lasting)
    subscriber.subscribe('t', 2).take()
    world.connected('p').publish('t', 'x', { qos: 2 })
    const [delivery] = subscriber.takePublishes()
    subscriber.acknowledge('pubrec', delivery!.packetId, 0x97)
    expect(subscriber.take()).toEqual([])
    expect(world.broker.gauges()).toMatchObject({ inflightMessages: 0, queuedMessages: 0, queuedBytes: 0 })
  })

  it('an acknowledgement of the wrong kind is a protocol error and does not end the delivery', () => {
    const world = new World()
    const subscriber = world.connected('s', lasting)
    subscriber.subscribe('t', 2).take()
    world.connected('p').publish('t', 'x', { qos: 2 })
    const [delivery] = subscriber.takePublishes()
    subscriber.acknowledge('puback', delivery!.packetId)
    expect(subscriber.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x82 }])
    expect(subscriber.link.closed).toBeDefined()
    const again = world.device().connect({ clientId: 's', ...lasting })
    expect(again.takePublishes()).toMatchObject([{ payload: 'x', dup: true, packetId: delivery!.packetId }])
  })
})

describe('QoS 2 from a publisher', () => {
  it('[MQTT-4.3.3-10] a repeated PUBLISH is delivered once, whatever its DUP flag, until PUBREL', () => {
    const world = new World()
    const subscriber = world.connected('s')
    subscriber.subscribe('t', 0).take()
    const publisher = world.connected('p')
    publisher.publish('t', 'once', { qos: 2, packetId: 9 })
    publisher.publish('t', 'once', { qos: 2, packetId: 9, dup: true })
    publisher.publish('t', 'once', { qos: 2, packetId: 9 })
    expect(publisher.take()).toMatchObject([{ type: 'pubrec' }, { type: 'pubrec' }, { type: 'pubrec' }])
    expect(subscriber.takePublishes()).toHaveLength(1)
    publisher.acknowledge('pubrel', 9)
    publisher.publish('t', 'twice', { qos: 2, packetId: 9 })
    expect(subscriber.takePublishes().map((one) => one.payload)).toEqual(['twice'])
  })

  it('a packet identifier survives the connection when the session does, and not otherwise', () => {
    const world = new World()
    const subscriber = world.connected('s')
    subscriber.subscribe('t', 0).take()
    for (const [options, deliveries] of [
      [lasting, 1],
      [{ cleanStart: true }, 2],
    ] as const) {
      const publisher = world.connected('p', options)
      publisher.publish('t', 'x', { qos: 2, packetId: 9 })
      publisher.drop()
      const again = world.connected('p', options)
      again.publish('t', 'x', { qos: 2, packetId: 9, dup: true })
      expect(subscriber.takePublishes()).toHaveLength(deliveries)
      again.disconnect(0, { sessionExpiryInterval: 0 })
    }
  })

  it('two PUBRELs in quick succession are both answered, the second with 0x92', () => {
    const world = new World()
    const publisher = world.connected('p')
    publisher.publish('t', 'x', { qos: 2, packetId: 3 })
    publisher.acknowledge('pubrel', 3).acknowledge('pubrel', 3)
    expect(publisher.take()).toMatchObject([
      { type: 'pubrec', packetId: 3 },
      { type: 'pubcomp', packetId: 3, reasonCode: 0 },
      { type: 'pubcomp', packetId: 3, reasonCode: 0x92 },
    ])
  })

  it('[MQTT-3.3.4-7] more unanswered than Receive Maximum ends the connection with 0x93; PUBCOMP makes room', () => {
    const world = new World({ receiveMaximum: 2 })
    const publisher = world.connected('p')
    publisher.publish('t', '1', { qos: 2, packetId: 1 })
    publisher.publish('t', '2', { qos: 2, packetId: 2 })
    publisher.acknowledge('pubrel', 1)
    publisher.publish('t', '3', { qos: 2, packetId: 3 })
    expect(publisher.take().map((one) => one.type)).toEqual(['pubrec', 'pubrec', 'pubcomp', 'pubrec'])
    publisher.publish('t', '4', { qos: 2, packetId: 4 })
    expect(publisher.take()).toMatchObject([{ type: 'disconnect', reasonCode: 0x93 }])
  })
})
