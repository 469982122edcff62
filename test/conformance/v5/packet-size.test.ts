/*
 * MQTT 5.0 sections 3.1.2.11.4 and 3.2.2.3.6, Maximum Packet Size, and 3.1.2.11.7, Request Problem Information.
 */

import { expect } from 'vitest'
import { concat, noProperties, packet } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire, withGateway } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectConnectRefused,
  expectDisconnected,
  expectFault,
  expectPublish,
  expectUnsuback,
  next,
  subscribed,
  taken,
} from './expect.ts'
import {
  acknowledge,
  connect,
  type Decoded,
  decode,
  property,
  publish,
  subscribe,
  unsubscribe,
  valuesOf,
} from './packets.ts'

const maximumPacketSize = 39
const reasonString = 31
const userProperty = 38

/** A PUBLISH of QoS 0 to `topic` whose whole packet has `length` bytes (up to 127 + 2). */
function payloadFor(topic: string, length: number): string {
  return 'p'.repeat(length - 2 - 2 - topic.length - 1)
}

conformance(
  '5.0',
  ['MQTT-3.1.2-24', 'MQTT-3.1.2-25'],
  'a message of exactly the Maximum Packet Size is sent, one byte more is dropped',
  async (wire) => {
    const publisher = await connected5(wire)
    const client = await connected5(wire, { properties: property.maximumPacketSize(120) })
    await subscribed(client, wire.topic())
    for (const length of [119, 120, 121, 122])
      publisher.send(publish({ topic: wire.topic(), payload: payloadFor(wire.topic(), length) }))
    for (const length of [119, 120]) expect((await client.expectPacket()).length).toBe(length)
    await publisher.settled()
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-25'],
  'a QoS 1 or 2 message that is too large counts as delivered, and the next ones come',
  async (wire) => {
    const publisher = await connected5(wire)
    const expiry = property.sessionExpiryInterval(60)
    for (const qos of [1, 2]) {
      const clientId = wire.id(`q${qos}`)
      const properties = concat(expiry, property.maximumPacketSize(200), property.receiveMaximum(1))
      const client = await connected5(wire, { clientId, properties })
      await subscribed(client, wire.topic(), qos)
      for (const [id, payload] of [
        [1, 'x'.repeat(300)],
        [2, 'y'.repeat(300)],
        [3, 'small'],
      ] as const) {
        publisher.send(
          publish({ topic: wire.topic(), payload, qos, id }),
          qos === 2 ? acknowledge('pubrel', id) : noProperties,
        )
      }
      const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: 'small', qos })
      if (qos === 1) client.send(acknowledge('puback', packetId))
      else {
        client.send(acknowledge('pubrec', packetId))
        await expectAcknowledged(client, 'pubrel', packetId)
        client.send(acknowledge('pubcomp', packetId))
      }
      await client.settled()
      client.destroy()
      const unlimited = await connected5(wire, { clientId, clean: false }, true)
      await unlimited.expectNothing()
    }
  },
)

conformance('5.0', ['MQTT-3.1.2-25'], 'a message too large for one subscriber reaches the others', async (wire) => {
  const small = await connected5(wire, { properties: property.maximumPacketSize(100) })
  const large = await connected5(wire)
  await subscribed(small, wire.topic())
  await subscribed(large, wire.topic())
  large.send(publish({ topic: wire.topic(), payload: 'z'.repeat(150) }))
  await expectPublish(large, { topic: wire.topic(), payload: 'z'.repeat(150) })
  await small.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.1.2-24', 'MQTT-3.1.2-25'],
  'properties count: what they make too large is dropped',
  async (wire) => {
    const publisher = await connected5(wire)
    const client = await connected5(wire, { properties: property.maximumPacketSize(100) })
    await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(268_435_455))
    // Five bytes of subscription identifier make the difference.
    publisher.send(publish({ topic: wire.topic(), payload: payloadFor(wire.topic(), 100) }))
    publisher.send(
      publish({ topic: wire.topic(), payload: 'x', properties: property.userProperty('n', 'v'.repeat(90)) }),
    )
    publisher.send(publish({ topic: wire.topic(), payload: payloadFor(wire.topic(), 95) }))
    expect((await client.expectPacket()).length).toBe(100)
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-25'],
  'a retained message and a queued one that are too large are dropped',
  async (wire) => {
    const publisher = await connected5(wire)
    const expiry = property.sessionExpiryInterval(60)
    const sleeper = await connected5(wire, { clientId: wire.id(), properties: expiry })
    await subscribed(sleeper, wire.topic(), 1)
    sleeper.destroy()
    publisher.send(publish({ topic: wire.topic(), payload: 'q'.repeat(200), qos: 1, id: 1, retain: true }))
    await expectAcknowledged(publisher, 'puback', 1)
    publisher.send(publish({ topic: wire.topic(), payload: 'fits', qos: 1, id: 2 }))
    await expectAcknowledged(publisher, 'puback', 2)
    const back = await connected5(
      wire,
      { clientId: wire.id(), clean: false, properties: property.maximumPacketSize(100) },
      true,
    )
    await expectPublish(back, { topic: wire.topic(), payload: 'fits', qos: 1 })
    await subscribed(back, wire.topic(), 1, noProperties, 9)
    await back.expectNothing()
    publisher.send(publish({ topic: wire.topic(), retain: true }))
  },
)

/** A client whose Maximum Packet Size just lets its CONNACK through. */
async function narrow(wire: Wire, more: Uint8Array = noProperties): Promise<{ client: RawClient; limit: number }> {
  const { connack } = await connected5(wire, { clientId: wire.id('measure') })
  const limit = connack.length
  const client = await connected5(wire, {
    clientId: wire.id('narrow'),
    properties: concat(property.maximumPacketSize(limit), more),
  })
  return { client, limit }
}

/** Acknowledgements that may carry a reason string: each made by a packet that gives reason to one. */
async function reasons(wire: Wire, client: RawClient, check: (decoded: Decoded) => void): Promise<void> {
  client.send(publish({ topic: wire.topic('nobody'), qos: 1, id: 1 }))
  check(await expectAcknowledged(client, 'puback', 1, taken))
  client.send(publish({ topic: wire.topic('nobody'), qos: 2, id: 2 }))
  check(await expectAcknowledged(client, 'pubrec', 2, taken))
  client.send(acknowledge('pubrel', 3))
  check(await expectAcknowledged(client, 'pubcomp', 3, 0x92))
  client.send(acknowledge('pubrec', 4))
  check(await expectAcknowledged(client, 'pubrel', 4, 0x92))
  client.send(unsubscribe(5, ['x/y']))
  check(await expectUnsuback(client, 5, [0x11]))
  client.send(subscribe(6, [['a/#/b', 0]]))
  const suback = await next(client)
  expect(['suback', 'disconnect']).toContain(suback.type)
  check(suback)
}

conformance(
  '5.0',
  [
    'MQTT-3.4.2-2',
    'MQTT-3.4.2-3',
    'MQTT-3.5.2-2',
    'MQTT-3.5.2-3',
    'MQTT-3.6.2-2',
    'MQTT-3.6.2-3',
    'MQTT-3.7.2-2',
    'MQTT-3.7.2-3',
    'MQTT-3.9.2-1',
    'MQTT-3.9.2-2',
    'MQTT-3.11.2-1',
    'MQTT-3.11.2-2',
  ],
  'no acknowledgement exceeds the Maximum Packet Size for a reason string or user property',
  async (wire) => {
    const { client, limit } = await narrow(wire)
    await reasons(wire, client, ({ length }) => expect(length).toBeLessThanOrEqual(limit))
  },
)

conformance(
  '5.0',
  ['MQTT-3.14.2-3', 'MQTT-3.14.2-4'],
  'no DISCONNECT exceeds the Maximum Packet Size for a reason string or user property',
  async (wire) => {
    for (const [bytes, reason] of [
      [subscribe(1, []), 0x82],
      [publish({ topic: wire.topic(), properties: property.topicAlias(65_535) }), 0x94],
    ] as const) {
      const { client, limit } = await narrow(wire)
      client.send(bytes)
      const decoded = await expectDisconnected(client, reason)
      expect(decoded.length).toBeLessThanOrEqual(limit)
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-29'],
  'with Request Problem Information 0 no acknowledgement has a reason string or user property',
  async (wire) => {
    const client = await connected5(wire, { properties: property.requestProblemInformation(0) })
    await reasons(wire, client, (decoded) => {
      if (decoded.type === 'disconnect') return
      expect(valuesOf(decoded, reasonString)).toEqual([])
      expect(valuesOf(decoded, userProperty)).toEqual([])
    })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-29'],
  'with Request Problem Information 0 user properties of a PUBLISH still come',
  async (wire) => {
    const client = await connected5(wire, { properties: property.requestProblemInformation(0) })
    await subscribed(client, wire.topic())
    client.send(publish({ topic: wire.topic(), properties: property.userProperty('a', 'b') }))
    await expectPublish(client, { topic: wire.topic(), properties: [[userProperty, ['a', 'b']]] })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-24'],
  'a client whose Maximum Packet Size lets no CONNACK through gets nothing larger',
  async (wire) => {
    const client = await wire.open()
    client.send(connect({ clientId: wire.id(), properties: property.maximumPacketSize(4) }))
    await client.expectClosed()
  },
)

conformance('5.0', ['MQTT-3.1.2-24'], 'a SUBACK or UNSUBACK that would be too large is not sent', async (wire) => {
  const filters = Array.from({ length: 100 }, (_, i) => `${wire.topic()}/${i}`)
  for (const bytes of [
    subscribe(
      1,
      filters.map((filter) => [filter, 0]),
    ),
    unsubscribe(1, filters),
  ]) {
    const client = await connected5(wire, { properties: property.maximumPacketSize(90) })
    client.send(bytes)
    // What the server does in its place is left open; a client that waits for the answer is best told by a close.
    await client.expectClosed().catch(async () => {
      const decoded = await next(client)
      expect(decoded.type).toBe('disconnect')
      expect(decoded.length).toBeLessThanOrEqual(90)
      await client.expectClosed()
    })
  }
})

withGateway({ limits: { packetBytesMax: 1000 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-15'],
    'the Maximum Packet Size of the server is announced and enforced with 0x95',
    async (wire) => {
      const client = await connected5(wire)
      expect(valuesOf(decode(client.connack), maximumPacketSize)).toEqual([1000])
      await subscribed(client, wire.topic())
      const overhead = publish({ topic: wire.topic(), payload: 'p'.repeat(900) }).length - 900
      client.send(publish({ topic: wire.topic(), payload: 'p'.repeat(1000 - overhead) }))
      expect((await client.expectPacket()).length).toBe(1000)
      client.send(publish({ topic: wire.topic(), payload: 'p'.repeat(1001 - overhead) }))
      await expectDisconnected(client, 0x95)
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.2.2-15'],
    'a declared length above the maximum is refused before its bytes arrive',
    async (wire) => {
      for (const header of ['32 e6 07', '30 ff ff ff 7f', '82 80 80 01']) await expectFault(wire, header, 0x95)
    },
  )

  conformance('5.0', ['MQTT-3.2.2-15'], 'a CONNECT above the maximum is refused', async (wire) => {
    const client = await wire.open()
    client.send(connect({ clientId: wire.id(), username: 'u'.repeat(1100) }))
    // Its version may not have been read when the length is refused, so the close may come without a CONNACK.
    await client.expectClosed().catch(async () => {
      expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0x95 })
      await client.expectClosed()
    })
  })
})

conformance('5.0', [], 'an endless length before CONNECT is closed, not waited for', async (wire) => {
  const other = await connected5(wire)
  const client = await wire.open()
  client.send(packet(0x10, '').subarray(0, 1), 'ff ff ff 7f 00 04 4d 51 54 54 05')
  await client.expectClosed().catch(async () => {
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0x95 })
    await client.expectClosed()
  })
  await other.expectNothing()
  await expectConnectRefused(wire, connect({ clientId: wire.id(), flags: 0x03 }), 0x81)
})
