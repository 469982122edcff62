/*
 * MQTT 5.0 sections 3.4 to 3.7, the acknowledgements, and 4.3, the delivery protocols of QoS 0, 1 and 2.
 */

import { expect } from 'vitest'
import { concat, hex, noProperties, packet } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  completeQos2,
  connected5,
  eachCase,
  expectAcknowledged,
  expectDisconnected,
  expectFault,
  expectNothingArrives,
  expectPublish,
  malformedOrProtocolError,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, property, publish } from './packets.ts'

const types = ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const

conformance('5.0', ['MQTT-3.6.1-1'], 'flags of PUBREL other than 0010 are malformed', async (wire) => {
  for (const first of [0x60, 0x61, 0x63, 0x66, 0x6a])
    await expectFault(wire, concat(Uint8Array.of(first), '02 00 01'), 0x81)
})

conformance(
  '5.0',
  ['MQTT-4.3.2-4', 'MQTT-4.3.2-5'],
  'a packet identifier is free for a new QoS 1 message after its PUBACK',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 0)
    for (const [payload, dup] of [
      ['one', false],
      ['two', false],
      ['three', true],
    ] as const) {
      publisher.send(publish({ topic: wire.topic(), payload, qos: 1, id: 5, dup }))
      await expectAcknowledged(publisher, 'puback', 5)
      await expectPublish(client, { topic: wire.topic(), payload })
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.3.2-2', 'MQTT-4.3.2-1'],
  'a QoS 1 delivery has DUP 0 and a packet identifier',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    for (let i = 0; i < 3; i++) {
      client.send(publish({ topic: wire.topic(), payload: 'x', qos: 1, id: 0x4321 }))
      const both = [await client.expectPacket(), await client.expectPacket()]
      const delivered = both.find((bytes) => bytes[0] === 0x32)
      expect(delivered).toBeDefined()
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.3.3-8', 'MQTT-4.3.3-11', 'MQTT-3.7.2-1'],
  'QoS 2 is received with PUBREC and PUBCOMP',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 0)
    publisher.send(publish({ topic: wire.topic(), payload: 'x', qos: 2, id: 8 }))
    await expectAcknowledged(publisher, 'pubrec', 8)
    publisher.send(acknowledge('pubrel', 8))
    await expectAcknowledged(publisher, 'pubcomp', 8)
    await expectPublish(client, { topic: wire.topic(), payload: 'x' })
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.3.3-10'],
  'a repeated QoS 2 PUBLISH gets PUBREC and is not delivered again',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 0)
    for (const dup of [false, true, true, false]) {
      publisher.send(publish({ topic: wire.topic(), payload: 'once', qos: 2, id: 8, dup }))
      await expectAcknowledged(publisher, 'pubrec', 8)
    }
    publisher.send(acknowledge('pubrel', 8))
    await expectAcknowledged(publisher, 'pubcomp', 8)
    await expectPublish(client, { topic: wire.topic(), payload: 'once' })
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.3.3-10'],
  'a QoS 2 PUBLISH repeated on the next connection is not delivered again',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 0)
    const fields = { clientId: wire.id('p'), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    first.send(publish({ topic: wire.topic(), payload: 'once', qos: 2, id: 8 }))
    await expectAcknowledged(first, 'pubrec', 8)
    first.destroy()
    const second = await connected5(wire, { ...fields, clean: false }, true)
    second.send(publish({ topic: wire.topic(), payload: 'once', qos: 2, id: 8, dup: true }))
    await expectAcknowledged(second, 'pubrec', 8)
    second.destroy()
    const third = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    third.send(acknowledge('pubrel', 8))
    await expectAcknowledged(third, 'pubcomp', 8)
    await expectPublish(client, { topic: wire.topic(), payload: 'once' })
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-4.3.3-12'], 'after the PUBCOMP the packet identifier means a new message', async (wire) => {
  const client = await connected5(wire)
  const publisher = await connected5(wire)
  await subscribed(client, wire.topic(), 0)
  for (const payload of ['first', 'second']) {
    publisher.send(publish({ topic: wire.topic(), payload, qos: 2, id: 8, dup: payload === 'second' }))
    await expectAcknowledged(publisher, 'pubrec', 8)
    publisher.send(acknowledge('pubrel', 8))
    await expectAcknowledged(publisher, 'pubcomp', 8)
    await expectPublish(client, { topic: wire.topic(), payload })
  }
})

withGateway({ protocol: { maximumQos: 2 }, sessionQueueFull: 'reject', limits: { sessionQueueMessagesMax: 1 } }, () => {
  conformance(
    '5.0',
    ['MQTT-4.3.3-9', 'MQTT-3.5.2-1', 'MQTT-3.4.2-1'],
    'after a refusing PUBREC the packet identifier means a new message',
    async (wire) => {
      const fields = { clientId: wire.id('s'), properties: property.sessionExpiryInterval(60) }
      const sleeper = await connected5(wire, fields)
      await subscribed(sleeper, wire.topic(), 2)
      sleeper.destroy()
      const publisher = await connected5(wire)
      publisher.send(publish({ topic: wire.topic(), payload: 'fits', qos: 1, id: 1 }))
      await expectAcknowledged(publisher, 'puback', 1)
      publisher.send(publish({ topic: wire.topic(), payload: 'too many', qos: 1, id: 2 }))
      await expectAcknowledged(publisher, 'puback', 2, 0x97)
      publisher.send(publish({ topic: wire.topic(), payload: 'too many', qos: 2, id: 3 }))
      await expectAcknowledged(publisher, 'pubrec', 3, 0x97)
      // Nothing waits for a PUBREL now: the same identifier carries another message, which is delivered.
      const watcher = await connected5(wire)
      await subscribed(watcher, wire.topic('free'), 0)
      publisher.send(publish({ topic: wire.topic('free'), payload: 'new', qos: 2, id: 3 }))
      await expectAcknowledged(publisher, 'pubrec', 3)
      publisher.send(acknowledge('pubrel', 3))
      await expectAcknowledged(publisher, 'pubcomp', 3)
      await expectPublish(watcher, { topic: wire.topic('free'), payload: 'new' })
    },
  )
})

conformance(
  '5.0',
  ['MQTT-4.3.3-2', 'MQTT-4.3.3-4', 'MQTT-3.6.2-1'],
  'QoS 2 is delivered with PUBLISH, PUBREL and nothing after PUBCOMP',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 2)
    publisher.send(publish({ topic: wire.topic(), payload: 'x', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: 'x', qos: 2 })
    await client.expectNothing()
    await completeQos2(client, packetId)
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-4.3.3-4'], 'a repeated PUBREC is answered with PUBREL again', async (wire) => {
  const client = await connected5(wire)
  const publisher = await connected5(wire)
  await subscribed(client, wire.topic(), 2)
  publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
  const { packetId } = await expectPublish(client, { topic: wire.topic(), qos: 2 })
  client.send(acknowledge('pubrec', packetId), acknowledge('pubrec', packetId))
  await expectAcknowledged(client, 'pubrel', packetId)
  await expectAcknowledged(client, 'pubrel', packetId)
  client.send(acknowledge('pubcomp', packetId))
  await client.expectNothing()
})

conformance('5.0', ['MQTT-4.4.0-2'], 'a PUBREC of 0x80 or above ends the delivery without PUBREL', async (wire) => {
  const client = await connected5(wire)
  const publisher = await connected5(wire)
  await subscribed(client, wire.topic(), 2)
  for (const reason of [0x80, 0x83, 0x87, 0x90, 0x97, 0x99]) {
    publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), qos: 2 })
    client.send(acknowledge('pubrec', packetId, reason))
    await client.expectNothing()
  }
})

conformance(
  '5.0',
  ['MQTT-3.6.2-1'],
  'a PUBREC for an unknown packet identifier is answered with PUBREL 0x92',
  async (wire) => {
    const client = await connected5(wire)
    client.send(acknowledge('pubrec', 0x1234))
    await expectAcknowledged(client, 'pubrel', 0x1234, 0x92)
  },
)

conformance(
  '5.0',
  ['MQTT-3.7.2-1', 'MQTT-4.3.3-11'],
  'a PUBREL for an unknown packet identifier is answered with PUBCOMP 0x92',
  async (wire) => {
    const client = await connected5(wire)
    client.send(acknowledge('pubrel', 0x1234))
    await expectAcknowledged(client, 'pubcomp', 0x1234, 0x92)
    // Twice in quick succession, for a message and for none.
    client.send(publish({ topic: wire.topic(), qos: 2, id: 7 }), acknowledge('pubrel', 7), acknowledge('pubrel', 7))
    await expectAcknowledged(client, 'pubrec', 7, taken)
    await expectAcknowledged(client, 'pubcomp', 7, 0x00)
    await expectAcknowledged(client, 'pubcomp', 7, 0x92)
    await client.expectNothing()
  },
)

conformance('5.0', [], 'a PUBACK or PUBCOMP for an unknown packet identifier harms nothing', async (wire) => {
  for (const type of ['puback', 'pubcomp'] as const) {
    const client = await connected5(wire)
    await subscribed(client, wire.topic())
    client.send(acknowledge(type, 77))
    await expectNothingArrives(client, wire.topic())
  }
})

conformance('5.0', [], 'the wrong acknowledgement for the QoS of a delivery is a protocol error', async (wire) => {
  const publisher = await connected5(wire)
  for (const [qos, type] of [
    [2, 'puback'],
    [1, 'pubrec'],
    [1, 'pubcomp'],
  ] as const) {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), qos)
    publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), qos })
    client.send(acknowledge(type, packetId))
    await expectDisconnected(client, 0x82)
  }
})

conformance('5.0', [], 'acknowledgements in each of their forms are read', async (wire) => {
  const client = await connected5(wire)
  const publisher = await connected5(wire)
  await subscribed(client, wire.topic(), 1)
  const properties = concat(property.reasonString('fine'), property.userProperty('a', 'b'))
  const forms = {
    'no reason': [undefined, undefined],
    'no property length': [0x00, undefined],
    'no properties': [0x00, noProperties],
    properties: [0x00, properties],
    'no matching subscribers': [0x10, noProperties],
  } as const
  await eachCase(forms, async ([reason, encoded]) => {
    publisher.send(publish({ topic: wire.topic(), qos: 1, id: 1 }))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), qos: 1 })
    client.send(acknowledge('puback', packetId, reason, encoded))
    await client.expectNothing()
  })
})

conformance(
  '5.0',
  ['MQTT-3.4.2-1', 'MQTT-3.5.2-1', 'MQTT-3.6.2-1', 'MQTT-3.7.2-1'],
  'a reason code that is none of the acknowledgement is refused',
  async (wire) => {
    for (const type of types) {
      for (const reason of [0x01, 0x18, 0x8e, 0xff])
        await expectFault(wire, acknowledge(type, 1, reason), malformedOrProtocolError)
    }
  },
)

conformance(
  '5.0',
  [],
  'acknowledgements that are too short, or have properties they may not have, are malformed',
  async (wire) => {
    for (const type of types) {
      const first = acknowledge(type, 1)[0]!
      await expectFault(wire, packet(first), 0x81)
      await expectFault(wire, packet(first, '01'), 0x81)
      await expectFault(wire, acknowledge(type, 1, 0, property.topicAlias(1)), 0x81)
      await expectFault(wire, acknowledge(type, 1, 0, hex('1f 00 05 61')), 0x81)
      await expectFault(
        wire,
        acknowledge(type, 1, 0, concat(property.reasonString('a'), property.reasonString('b'))),
        0x82,
      )
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.3.3-13'],
  'QoS 2 is acknowledged to its end for a message that has expired',
  async (wire) => {
    const publisher = await connected5(wire)
    const clock = await connected5(wire)
    await subscribed(clock, wire.topic('clock'))
    publisher.send(publish({ topic: wire.topic(), qos: 2, id: 3, properties: property.messageExpiryInterval(1) }))
    await expectAcknowledged(publisher, 'pubrec', 3, taken)
    const dying = await connected5(wire, {
      clientId: wire.id('d'),
      properties: property.sessionExpiryInterval(60),
      will: { topic: wire.topic('clock'), properties: property.willDelayInterval(2) },
    })
    dying.destroy()
    await expectPublish(clock, { topic: wire.topic('clock') })
    publisher.send(
      publish({ topic: wire.topic(), qos: 2, id: 3, dup: true, properties: property.messageExpiryInterval(1) }),
    )
    await expectAcknowledged(publisher, 'pubrec', 3, taken)
    publisher.send(acknowledge('pubrel', 3))
    await expectAcknowledged(publisher, 'pubcomp', 3)
  },
)
