/*
 * MQTT 5.0 section 3.3, PUBLISH: flags, topic name and what is refused.
 */

import { expect } from 'vitest'
import { concat, field, noProperties, packet, u16 } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectAcknowledged,
  expectFault,
  expectPublish,
  malformedOrProtocolError,
  next,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, property, publish } from './packets.ts'

conformance('5.0', ['MQTT-3.3.1-2'], 'DUP at QoS 0 is refused', async (wire) => {
  await expectFault(wire, publish({ topic: wire.topic(), dup: true }), malformedOrProtocolError)
})

conformance(
  '5.0',
  ['MQTT-3.3.1-2', 'MQTT-3.3.1-3', 'MQTT-4.3.1-1'],
  'DUP of an incoming PUBLISH is not passed on',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 2)
    publisher.send(publish({ topic: wire.topic(), payload: '1', qos: 1, id: 1, dup: true }))
    await expectPublish(client, { topic: wire.topic(), payload: '1', qos: 1, dup: false })
    publisher.send(publish({ topic: wire.topic(), payload: '2', qos: 2, id: 2, dup: true }), acknowledge('pubrel', 2))
    await expectPublish(client, { topic: wire.topic(), payload: '2', qos: 2, dup: false })
    await subscribed(client, wire.topic(), 0, noProperties, 2)
    publisher.send(publish({ topic: wire.topic(), payload: '3', qos: 1, id: 3, dup: true }))
    await expectPublish(client, { topic: wire.topic(), payload: '3', qos: 0, dup: false })
  },
)

conformance('5.0', ['MQTT-3.3.1-4'], 'QoS 3 is malformed', async (wire) => {
  await expectFault(wire, publish({ topic: wire.topic(), qos: 3, id: 1 }), 0x81)
  await expectFault(wire, publish({ topic: wire.topic(), qos: 3, id: 1, dup: true, retain: true }), 0x81)
})

conformance('5.0', ['MQTT-3.3.2-1'], 'a PUBLISH cut short in its variable header is malformed', async (wire) => {
  const packets = {
    'no topic name': '30 00',
    'half a length': '30 01 00',
    'a topic name cut short': '30 04 00 05 61 62',
    'no packet identifier': packet(0x32, field('a')),
    'half a packet identifier': packet(0x32, field('a'), '00'),
  }
  await eachCase(packets, (bytes) => expectFault(wire, bytes, 0x81))
})

conformance('5.0', ['MQTT-3.3.2-2', 'MQTT-4.7.0-1'], 'a wildcard in a topic name is refused', async (wire) => {
  for (const topic of ['+', '#', `${wire.topic()}/+`, `${wire.topic()}/#`, 'a+b', 'a#', '+/a']) {
    await expectFault(wire, publish({ topic }), [0x81, 0x82, 0x90])
    // At QoS 1 and 2 the refusal may also be the acknowledgement.
    for (const qos of [1, 2]) {
      const client = await connected5(wire)
      client.send(publish({ topic, qos, id: 1 }))
      const { type, reasonCode } = await next(client)
      if (type === 'disconnect') expect([0x81, 0x82, 0x90]).toContain(reasonCode)
      else expect({ type, reasonCode }).toEqual({ type: qos === 1 ? 'puback' : 'pubrec', reasonCode: 0x90 })
    }
  }
})

conformance('5.0', ['MQTT-4.7.3-1'], 'an empty topic name without an alias is a protocol error', async (wire) => {
  await expectFault(wire, publish({ topic: '' }), 0x82)
  await expectFault(wire, publish({ topic: '', qos: 1, id: 1 }), 0x82)
})

conformance(
  '5.0',
  ['MQTT-3.3.2-3'],
  'the topic name reaches subscribers as it was, whatever filter matched',
  async (wire) => {
    const base = wire.topic()
    const publisher = await connected5(wire)
    for (const filter of [`${base}/x/y`, `${base}/+/y`, `${base}/#`, `${base}/x/#`, `+/+/x/+`]) {
      const client = await connected5(wire)
      await subscribed(client, filter)
      publisher.send(
        publish({ topic: `${base}/x/z`, payload: 'other' }),
        publish({ topic: `${base}/x/y`, payload: 'p' }),
      )
      const first = await next(client)
      const second = first.topic === `${base}/x/z` ? await next(client) : first
      expect(second).toMatchObject({ type: 'publish', topic: `${base}/x/y`, payload: 'p' })
      expect(first !== second).toBe(filter.endsWith('#') || filter.startsWith('+'))
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.4-1', 'MQTT-4.3.2-4', 'MQTT-4.3.3-8'],
  'PUBLISH is answered as its QoS demands',
  async (wire) => {
    const client = await connected5(wire)
    client.send(publish({ topic: wire.topic(), qos: 0 }))
    await client.expectNothing()
    client.send(publish({ topic: wire.topic(), qos: 1, id: 11 }))
    await expectAcknowledged(client, 'puback', 11, taken)
    client.send(publish({ topic: wire.topic(), qos: 2, id: 12 }))
    await expectAcknowledged(client, 'pubrec', 12, taken)
    client.send(acknowledge('pubrel', 12))
    await expectAcknowledged(client, 'pubcomp', 12)
  },
)

conformance('5.0', ['MQTT-3.3.4-1'], 'acknowledgements of QoS 1 come in the order of the packets', async (wire) => {
  const client = await connected5(wire)
  const ids = Array.from({ length: 200 }, (_, i) => ((i * 7919) % 65_535) + 1)
  client.send(concat(...ids.map((id) => publish({ topic: wire.topic(), qos: 1, id }))))
  for (const id of ids) await expectAcknowledged(client, 'puback', id, taken)
})

conformance(
  '5.0',
  ['MQTT-3.3.4-6'],
  'a Subscription Identifier in a PUBLISH from a client is a protocol error',
  async (wire) => {
    for (const identifier of [1, 127, 128, 268_435_455]) {
      await expectFault(
        wire,
        publish({ topic: wire.topic(), properties: property.subscriptionIdentifier(identifier) }),
        0x82,
      )
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.4.2-1', 'MQTT-3.5.2-1'],
  'a message without subscribers is acknowledged with 0x00 or 0x10',
  async (wire) => {
    const client = await connected5(wire)
    client.send(publish({ topic: wire.topic('nobody'), qos: 1, id: 1 }))
    await expectAcknowledged(client, 'puback', 1, taken)
    client.send(publish({ topic: wire.topic('nobody'), qos: 2, id: 2 }))
    await expectAcknowledged(client, 'pubrec', 2, taken)
  },
)

conformance('5.0', [], 'an empty payload is a message like others', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 1)
  client.send(publish({ topic: wire.topic(), qos: 0 }))
  await client.expectPacket(packet(0x30, field(wire.topic()), '00'))
})

conformance('5.0', [], 'a payload of any bytes passes unchanged', async (wire) => {
  const payload = Uint8Array.from({ length: 1024 }, (_, i) => i & 0xff)
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  client.send(publish({ topic: wire.topic(), payload }))
  await client.expectPacket(packet(0x30, field(wire.topic()), '00', payload))
})

conformance('5.0', ['MQTT-4.7.3-3'], 'a topic name of 65,535 bytes is delivered', async (wire) => {
  const topic = `${wire.topic()}/`.padEnd(65_535, 'x')
  const client = await connected5(wire)
  await subscribed(client, `${wire.topic()}/#`)
  client.send(publish({ topic, payload: 'far' }))
  const decoded = await next(client)
  expect(decoded.topic === topic).toBe(true)
  expect(decoded.payload).toBe('far')
})

conformance('5.0', [], 'a PUBLISH cut off by the end of the connection is not delivered', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const half = await connected5(wire, { clientId: wire.id('h'), will: { topic: wire.topic(), payload: 'gone' } })
  half.send(packet(0x30, field(wire.topic()), '00', 'ff'.repeat(50)).subarray(0, 40))
  half.end()
  await expectPublish(watcher, { topic: wire.topic(), payload: 'gone' })
})

conformance('5.0', [], 'PUBLISH properties of other packets and unknown ones are malformed', async (wire) => {
  const cases = {
    'Session Expiry Interval': property.sessionExpiryInterval(1),
    'Receive Maximum': property.receiveMaximum(1),
    'Will Delay Interval': property.willDelayInterval(1),
    'Reason String': property.reasonString('x'),
    'Topic Alias Maximum': property.topicAliasMaximum(1),
    'identifier 0': Uint8Array.of(0, 0),
    'identifier 0x7e': Uint8Array.of(0x7e, 0),
  }
  await eachCase(cases, (properties) => expectFault(wire, publish({ topic: wire.topic(), properties }), 0x81))
})

conformance('5.0', [], 'PUBLISH properties given twice are protocol errors', async (wire) => {
  const p = property
  const once = {
    'Payload Format Indicator': p.payloadFormatIndicator(1),
    'Message Expiry Interval': p.messageExpiryInterval(1),
    'Topic Alias': p.topicAlias(1),
    'Response Topic': p.responseTopic('a'),
    'Correlation Data': p.correlationData('a'),
    'Content Type': p.contentType('a'),
  }
  await eachCase(once, (one) => expectFault(wire, publish({ topic: wire.topic(), properties: concat(one, one) }), 0x82))
})

conformance('5.0', [], 'PUBLISH properties cut short are malformed', async (wire) => {
  const identifiers = {
    'Payload Format Indicator': 0x01,
    'Message Expiry Interval': 0x02,
    'Content Type': 0x03,
    'Response Topic': 0x08,
    'Correlation Data': 0x09,
    'Topic Alias': 0x23,
    'User Property': 0x26,
  }
  await eachCase(identifiers, async (identifier) => {
    await expectFault(wire, publish({ topic: wire.topic(), properties: Uint8Array.of(identifier) }), 0x81)
  })
  await expectFault(wire, publish({ topic: wire.topic(), properties: concat('26', field('name only')) }), 0x81)
  await expectFault(wire, publish({ topic: wire.topic(), properties: concat('09', u16(5), '00') }), 0x81)
})
