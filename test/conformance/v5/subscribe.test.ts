/*
 * MQTT 5.0 sections 3.8 SUBSCRIBE, 3.9 SUBACK and their handling.
 */

import { expect } from 'vitest'
import { concat, field, hex, noProperties, packet } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectAcknowledged,
  expectFault,
  expectPublish,
  expectSuback,
  next,
  subscribed,
} from './expect.ts'
import { acknowledge, property, publish, subscribe } from './packets.ts'

const noLocal = 0x04

conformance('5.0', ['MQTT-3.8.1-1'], 'flags of SUBSCRIBE other than 0010 are malformed', async (wire) => {
  const bytes = subscribe(1, [[wire.topic(), 0]])
  for (const first of [0x80, 0x81, 0x83, 0x86, 0x8a, 0x8f])
    await expectFault(wire, concat(Uint8Array.of(first), bytes.subarray(1)), 0x81)
})

conformance('5.0', ['MQTT-3.8.3-2'], 'a SUBSCRIBE without a topic filter is a protocol error', async (wire) => {
  await expectFault(wire, subscribe(1, []), 0x82)
})

conformance('5.0', ['MQTT-3.8.3-1'], 'a SUBSCRIBE cut short is malformed', async (wire) => {
  const bodies = {
    'no packet identifier': '',
    'half a packet identifier': '00',
    'no property length': '00 01',
    'a filter without options': concat('00 01 00', field('a')),
    'a filter cut short': '00 01 00 00 05 61',
    'a second filter without options': concat('00 01 00', field('a'), '00', field('b')),
  }
  await eachCase(bodies, (body) => expectFault(wire, packet(0x82, body), 0x81))
})

conformance('5.0', ['MQTT-3.8.3-5'], 'reserved bits in the subscription options are malformed', async (wire) => {
  for (const options of [0x40, 0x80, 0xc0, 0x41]) await expectFault(wire, subscribe(1, [[wire.topic(), options]]), 0x81)
  await expectFault(
    wire,
    subscribe(1, [
      [wire.topic(), 0],
      [wire.topic('b'), 0x40],
    ]),
    0x81,
  )
})

conformance('5.0', [], 'QoS 3 and Retain Handling 3 are protocol errors', async (wire) => {
  await expectFault(wire, subscribe(1, [[wire.topic(), 0x03]]), 0x82)
  await expectFault(wire, subscribe(1, [[wire.topic(), 0x30]]), 0x82)
})

conformance('5.0', ['MQTT-3.8.3-3'], 'with No Local a client does not get what it publishes itself', async (wire) => {
  const client = await connected5(wire)
  const other = await connected5(wire)
  await subscribed(client, wire.topic(), noLocal | 1)
  client.send(
    publish({ topic: wire.topic(), payload: 'own' }),
    publish({ topic: wire.topic(), payload: 'own', qos: 1, id: 1 }),
  )
  await expectAcknowledged(client, 'puback', 1, [0x00, 0x10])
  await client.expectNothing()
  other.send(publish({ topic: wire.topic(), payload: 'from another' }))
  await expectPublish(client, { topic: wire.topic(), payload: 'from another' })
})

conformance(
  '5.0',
  ['MQTT-3.8.3-3'],
  'No Local goes by the client identifier, and holds for messages queued before a reconnect',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), noLocal | 1)
    first.send(publish({ topic: wire.topic(), payload: 'own', qos: 1, id: 1 }))
    await expectAcknowledged(first, 'puback', 1, [0x00, 0x10])
    first.destroy()
    const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    second.send(publish({ topic: wire.topic(), payload: 'own again' }))
    await second.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.8.3-3'], 'No Local is an option of one subscription, not of the client', async (wire) => {
  const client = await connected5(wire)
  client.send(
    subscribe(1, [
      [wire.topic('with'), noLocal],
      [wire.topic('without'), 0],
    ]),
  )
  await expectSuback(client, 1, [0, 0])
  client.send(publish({ topic: wire.topic('with') }), publish({ topic: wire.topic('without') }))
  await expectPublish(client, { topic: wire.topic('without') })
  await client.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.8.3-3', 'MQTT-3.3.4-4'],
  'of overlapping subscriptions only the one with No Local is left out for its own client',
  async (wire) => {
    const client = await connected5(wire)
    const other = await connected5(wire)
    await subscribed(client, wire.topic(), noLocal | 2, property.subscriptionIdentifier(1), 1)
    await subscribed(client, `${wire.topic()}/#`, 1, property.subscriptionIdentifier(2), 2)
    client.send(publish({ topic: wire.topic(), payload: 'own', qos: 2, id: 1 }))
    const packets = [await next(client), await next(client)]
    const delivered = packets.find(({ type }) => type === 'publish')
    expect(delivered).toMatchObject({ payload: 'own', flags: 1 << 1, properties: [[11, 2]] })
    other.send(publish({ topic: wire.topic(), payload: 'both', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const both = await next(client)
    expect(both).toMatchObject({ type: 'publish', payload: 'both', flags: 2 << 1 })
    expect(both.properties.toSorted()).toEqual([
      [11, 1],
      [11, 2],
    ])
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-1', 'MQTT-3.8.4-2', 'MQTT-3.8.4-7'],
  'SUBACK has the packet identifier and the granted QoS',
  async (wire) => {
    const client = await connected5(wire)
    for (const [id, qos] of [
      [1, 0],
      [0x100, 1],
      [0xffff, 2],
    ] as const) {
      client.send(subscribe(id, [[wire.topic(`${qos}`), qos]]))
      await client.expectPacket(concat('90 04', Uint8Array.of(id >> 8, id & 0xff, 0, qos)))
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-5', 'MQTT-3.8.4-6', 'MQTT-3.9.3-1', 'MQTT-3.9.3-2'],
  'a SUBACK answers each filter, in their order',
  async (wire) => {
    const client = await connected5(wire)
    client.send(
      subscribe(9, [
        [wire.topic('a'), 2],
        [wire.topic('b'), 0],
        [wire.topic('c'), 1],
        [`${wire.topic('d')}/#`, 0],
        [wire.topic('a'), 1],
      ]),
    )
    await expectSuback(client, 9, [2, 0, 1, 0, 1])
    for (const [name, qos] of [
      ['a', 1],
      ['b', 0],
      ['c', 1],
    ] as const) {
      client.send(publish({ topic: wire.topic(name), payload: name, qos: 2, id: 3 }), acknowledge('pubrel', 3))
      const packets = [await next(client), await next(client), await next(client)]
      expect(packets.find(({ type }) => type === 'publish')).toMatchObject({ topic: wire.topic(name), flags: qos << 1 })
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-6'],
  'one bad filter among good ones fails alone or ends the connection',
  async (wire) => {
    const client = await connected5(wire)
    client.send(
      subscribe(2, [
        [wire.topic('a'), 1],
        ['bad/#/filter', 0],
        [wire.topic('b'), 0],
      ]),
    )
    const answer = await next(client)
    if (answer.type === 'suback') expect(answer.reasonCodes).toEqual([1, 0x8f, 0])
    else {
      expect(answer.type).toBe('disconnect')
      expect([0x81, 0x82, 0x8f]).toContain(answer.reasonCode)
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-5', 'MQTT-3.8.4-6'],
  'thousands of filters in one SUBSCRIBE are answered one by one',
  async (wire) => {
    const client = await connected5(wire)
    const count = 5000
    client.send(
      subscribe(
        1,
        Array.from({ length: count }, (_, i) => [`${wire.topic()}/${i}`, i % 3]),
      ),
    )
    const suback = await next(client)
    expect(suback).toMatchObject({ type: 'suback', packetId: 1 })
    expect(suback.reasonCodes).toEqual(Array.from({ length: count }, (_, i) => i % 3))
    client.send(publish({ topic: `${wire.topic()}/4998` }))
    await expectPublish(client, { topic: `${wire.topic()}/4998` })
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-3'],
  'a repeated filter replaces the subscription: one copy, with the new options',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 2, property.subscriptionIdentifier(5), 1)
    await subscribed(client, wire.topic(), 1, property.subscriptionIdentifier(6), 2)
    publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
    await expectPublish(client, { topic: wire.topic(), qos: 1, properties: [[11, 6]] })
    await subscribed(client, wire.topic(), 0x08, noProperties, 3)
    publisher.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
    await expectPublish(client, { topic: wire.topic(), payload: 'r', qos: 0, retain: true })
    await client.expectNothing()
    publisher.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance(
  '5.0',
  ['MQTT-3.8.4-4'],
  'replacing a subscription loses no message that is published meanwhile',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    const count = 50
    for (let id = 1; id <= count; id++) {
      publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 1, id }))
      client.send(subscribe(100 + id, [[wire.topic(), 1]]))
    }
    const payloads: (string | undefined)[] = []
    for (let i = 0; i < 2 * count; i++) {
      const decoded = await next(client)
      if (decoded.type === 'publish') payloads.push(decoded.payload)
    }
    expect(payloads).toEqual(Array.from({ length: count }, (_, i) => `${i + 1}`))
  },
)

conformance('5.0', ['MQTT-3.8.4-8'], 'a message comes at the lower of its QoS and the granted QoS', async (wire) => {
  const publisher = await connected5(wire)
  for (const granted of [0, 1, 2]) {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), granted)
    for (const qos of [0, 1, 2]) {
      publisher.send(publish({ topic: wire.topic(), payload: `${qos}`, qos, ...(qos > 0 && { id: qos }) }))
      if (qos === 2) publisher.send(acknowledge('pubrel', 2))
      await expectPublish(client, { topic: wire.topic(), payload: `${qos}`, qos: Math.min(qos, granted) })
    }
  }
})

conformance('5.0', ['MQTT-3.9.3-1'], 'SUBACKs come in the order of their SUBSCRIBEs', async (wire) => {
  const client = await connected5(wire)
  const ids = [5, 3, 9, 1, 65_535, 2]
  client.send(concat(...ids.map((id) => subscribe(id, [[wire.topic(`${id}`), 1]]))))
  for (const id of ids) await expectSuback(client, id, [1])
})

conformance('5.0', [], 'properties that SUBSCRIBE may not have, or has twice, are refused', async (wire) => {
  const p = property
  const filters: [string, number][] = [[wire.topic(), 0]]
  const malformed = {
    'Message Expiry Interval': p.messageExpiryInterval(1),
    'Topic Alias': p.topicAlias(1),
    'Reason String': p.reasonString('x'),
    'identifier 0': hex('00 00'),
  }
  await eachCase(malformed, (properties) => expectFault(wire, subscribe(1, filters, properties), 0x81))
  await expectFault(wire, subscribe(1, filters, concat(p.subscriptionIdentifier(1), p.subscriptionIdentifier(2))), 0x82)
})

conformance('5.0', [], 'Subscription Identifier 0 is a protocol error', async (wire) => {
  await expectFault(wire, subscribe(1, [[wire.topic(), 0]], property.subscriptionIdentifier(0)), 0x82)
})
