/*
 * MQTT 5.0 section 3.2, CONNACK.
 */

import { expect } from 'vitest'
import { concat } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectConnectRefused,
  expectDisconnected,
  expectFault,
  expectPublish,
  expectSuback,
  leave,
  next,
  subscribed,
  taken,
} from './expect.ts'
import { connect, decode, property, publish, subscribe, valuesOf } from './packets.ts'

const connackProperties = [17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42]

conformance(
  '5.0',
  ['MQTT-3.2.2-1', 'MQTT-3.2.2-2', 'MQTT-3.1.4-5'],
  'CONNACK has flags 0, reason 0 and only properties of its own, each once',
  async (wire) => {
    const client = await connected5(wire, { clientId: wire.id() })
    const connack = decode(client.connack)
    expect(connack).toMatchObject({ type: 'connack', flags: 0, sessionPresent: false, reasonCode: 0 })
    const identifiers = connack.properties.map(([identifier]) => identifier)
    for (const identifier of identifiers) expect(connackProperties).toContain(identifier)
    const single = identifiers.filter((identifier) => identifier !== 38)
    expect(new Set(single).size).toBe(single.length)
  },
)

conformance('5.0', ['MQTT-3.2.0-2'], 'a connection gets one CONNACK, also when CONNECT is repeated', async (wire) => {
  const client = await connected5(wire, { clientId: wire.id() })
  client.send(connect({ clientId: wire.id() }))
  await expectDisconnected(client, 0x82)
})

conformance(
  '5.0',
  ['MQTT-3.2.0-1', 'MQTT-3.2.2-3'],
  'CONNACK comes before the messages of a resumed session',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 1)
    await leave(first)
    const publisher = await connected5(wire)
    for (let id = 1; id <= 20; id++) publisher.send(publish({ topic: wire.topic(), qos: 1, id }))
    for (let id = 1; id <= 20; id++) await expectAcknowledged(publisher, 'puback', id)
    const second = await wire.open()
    second.send(connect({ ...fields, clean: false, properties: property.sessionExpiryInterval(0) }))
    expect(await next(second)).toMatchObject({ type: 'connack', reasonCode: 0, sessionPresent: true })
    for (let i = 0; i < 20; i++) await expectPublish(second, { topic: wire.topic(), qos: 1 })
  },
)

conformance(
  '5.0',
  ['MQTT-3.2.2-6', 'MQTT-3.2.2-7', 'MQTT-3.2.2-8'],
  'a refusal has Session Present 0 though a session exists, and closes',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    await leave(await connected5(wire, fields))
    const connack = await expectConnectRefused(
      wire,
      connect({ ...fields, clean: false, properties: concat(fields.properties, property.receiveMaximum(0)) }),
      0x82,
    )
    expect(connack.sessionPresent).toBe(false)
    const again = await connected5(
      wire,
      { ...fields, clean: false, properties: property.sessionExpiryInterval(0) },
      true,
    )
    await leave(again)
  },
)

conformance(
  '5.0',
  ['MQTT-3.2.2-7', 'MQTT-4.13.2-1'],
  'after a refusal nothing is read from the client any more',
  async (wire) => {
    const client = await wire.open()
    client.send(connect({ clientId: wire.id(), flags: 0x03 }))
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0x81 })
    client.send(connect({ clientId: wire.id() }))
    await client.expectClosed()
  },
)

conformance(
  '5.0',
  ['MQTT-3.2.2-19', 'MQTT-3.2.2-20'],
  'a refusing CONNACK stays within the Maximum Packet Size',
  async (wire) => {
    // 20 03 00 rr 00 is the smallest CONNACK.
    const properties = property.maximumPacketSize(5)
    const refused = await expectConnectRefused(
      wire,
      connect({ clientId: wire.id(), properties, will: { topic: 'a/#' } }),
      [0x81, 0x82, 0x90],
    )
    expect(refused.length).toBe(5)
  },
)

const verdict = { reasonCode: 0x87, reasonString: 'not before the first of next month, '.repeat(4) }

withGateway({ authenticator: { authenticate: () => verdict } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-19'],
    'a reason string that exceeds the Maximum Packet Size is left out of a refusal',
    async (wire) => {
      const whole = await expectConnectRefused(wire, connect({ clientId: wire.id() }), 0x87)
      const narrow = property.maximumPacketSize(whole.length - 1)
      const short = await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: narrow }), 0x87)
      expect(short.length).toBeLessThan(whole.length)
      expect(valuesOf(short, 31)).toEqual([])
    },
  )
})

conformance(
  '5.0',
  ['MQTT-3.2.2-19', 'MQTT-3.2.2-20'],
  'an accepting CONNACK stays within the Maximum Packet Size',
  async (wire) => {
    const plain = await connected5(wire, { clientId: wire.id() })
    const { length } = plain.connack
    const properties = property.maximumPacketSize(length)
    const client = await connected5(wire, { clientId: wire.id('b'), properties })
    expect(client.connack.length).toBeLessThanOrEqual(length)
  },
)

withGateway({ protocol: { maximumQos: 1 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-9', 'MQTT-3.2.2-11'],
    'Maximum QoS 1 is announced, and QoS 2 is answered with 0x9B',
    async (wire) => {
      const client = await connected5(wire)
      expect(valuesOf(decode(client.connack), 36)).toEqual([1])
      client.send(publish({ topic: wire.topic(), qos: 1, id: 1 }))
      await expectAcknowledged(client, 'puback', 1, taken)
      client.send(publish({ topic: wire.topic(), qos: 2, id: 2 }))
      await expectDisconnected(client, 0x9b)
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.2.2-10', 'MQTT-3.8.4-7'],
    'a subscription that asks for QoS 2 is granted QoS 1',
    async (wire) => {
      const client = await connected5(wire)
      client.send(subscribe(1, [[wire.topic(), 2]]))
      await expectSuback(client, 1, [1])
      client.send(publish({ topic: wire.topic(), qos: 1, id: 1 }))
      const types = [(await next(client)).type, (await next(client)).type]
      expect(types.toSorted()).toEqual(['puback', 'publish'])
    },
  )

  conformance('5.0', ['MQTT-3.2.2-12'], 'a will of QoS 2 is refused with 0x9B, one of QoS 1 is not', async (wire) => {
    const will = { topic: wire.topic(), qos: 2 }
    await expectConnectRefused(wire, connect({ clientId: wire.id(), will }), 0x9b)
    await connected5(wire, { clientId: wire.id(), will: { ...will, qos: 1 } })
  })
})

withGateway({ protocol: { maximumQos: 0 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-9', 'MQTT-3.2.2-11', 'MQTT-3.2.2-12'],
    'with Maximum QoS 0 every higher QoS is refused',
    async (wire) => {
      const client = await connected5(wire)
      expect(valuesOf(decode(client.connack), 36)).toEqual([0])
      await expectFault(wire, publish({ topic: wire.topic(), qos: 1, id: 1 }), 0x9b)
      await expectFault(wire, publish({ topic: wire.topic(), qos: 2, id: 1 }), 0x9b)
      await expectConnectRefused(wire, connect({ clientId: wire.id(), will: { topic: wire.topic(), qos: 1 } }), 0x9b)
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.2.2-10'],
    'with Maximum QoS 0 subscriptions of any QoS are granted QoS 0',
    async (wire) => {
      const client = await connected5(wire)
      client.send(
        subscribe(1, [
          [wire.topic(), 0],
          [wire.topic('b'), 1],
          [wire.topic('c'), 2],
        ]),
      )
      await expectSuback(client, 1, [0, 0, 0])
      client.send(publish({ topic: wire.topic('c'), payload: 'x' }))
      await expectPublish(client, { topic: wire.topic('c'), payload: 'x' })
    },
  )
})

withGateway({ protocol: { retainAvailable: false } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-13'],
    'a retained will is refused with 0x9A where retain is not available',
    async (wire) => {
      await expectConnectRefused(
        wire,
        connect({ clientId: wire.id(), will: { topic: wire.topic(), retain: true } }),
        0x9a,
      )
      await connected5(wire, { clientId: wire.id(), will: { topic: wire.topic(), retain: false } })
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.2.2-14'],
    'Retain Available 0 is announced, and a retained PUBLISH is answered with 0x9A',
    async (wire) => {
      const client = await connected5(wire)
      expect(valuesOf(decode(client.connack), 37)).toEqual([0])
      client.send(publish({ topic: wire.topic(), retain: true }))
      await expectDisconnected(client, 0x9a)
    },
  )
})

conformance('5.0', ['MQTT-3.2.2-9', 'MQTT-3.2.2-14'], 'what is available is not announced as missing', async (wire) => {
  const connack = decode((await connected5(wire)).connack)
  // Maximum QoS may only be 0 or 1; absent it means 2. The others mean 1 when absent.
  expect(valuesOf(connack, 36)).toEqual([])
  for (const identifier of [37, 40, 41, 42]) expect(valuesOf(connack, identifier)).not.toContain(0)
})

const missing = {
  wildcardSubscriptionAvailable: false,
  sharedSubscriptionAvailable: false,
  subscriptionIdentifiersAvailable: false,
}

withGateway({ protocol: missing }, () => {
  conformance(
    '5.0',
    [],
    'what is not available is announced, and its use ends with its own reason code',
    async (wire) => {
      const connack = decode((await connected5(wire)).connack)
      for (const identifier of [40, 41, 42]) expect(valuesOf(connack, identifier)).toEqual([0])
      const topic = wire.topic()
      await expectFault(wire, subscribe(1, [[`${topic}/#`, 0]]), 0xa2)
      await expectFault(wire, subscribe(1, [[`${topic}/+`, 0]]), 0xa2)
      await expectFault(wire, subscribe(1, [[`$share/g/${topic}`, 0]]), 0x9e)
      await expectFault(wire, subscribe(1, [[topic, 0]], property.subscriptionIdentifier(1)), 0xa1)
      const client = await connected5(wire)
      await subscribed(client, topic)
    },
  )
})
