/*
 * MQTT 5.0 sections 3.10 UNSUBSCRIBE and 3.11 UNSUBACK.
 */

import { concat, field, hex, noProperties, packet } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  completeQos2,
  connected5,
  eachCase,
  expectAcknowledged,
  expectFault,
  expectNothingArrives,
  expectPublish,
  expectSuback,
  expectUnsuback,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, property, publish, subscribe, unsubscribe } from './packets.ts'

conformance('5.0', ['MQTT-3.10.1-1'], 'flags of UNSUBSCRIBE other than 0010 are malformed', async (wire) => {
  const bytes = unsubscribe(1, [wire.topic()])
  for (const first of [0xa0, 0xa1, 0xa3, 0xa6, 0xaa, 0xaf])
    await expectFault(wire, concat(Uint8Array.of(first), bytes.subarray(1)), 0x81)
})

conformance('5.0', ['MQTT-3.10.3-2'], 'an UNSUBSCRIBE without a topic filter is a protocol error', async (wire) => {
  await expectFault(wire, unsubscribe(1, []), 0x82)
})

conformance('5.0', ['MQTT-3.10.3-1'], 'an UNSUBSCRIBE cut short is malformed', async (wire) => {
  const bodies = {
    'no packet identifier': '',
    'half a packet identifier': '00',
    'no property length': '00 01',
    'a filter cut short': '00 01 00 00 05 61',
    'a length cut short': concat('00 01 00', field('a'), '00'),
  }
  await eachCase(bodies, (body) => expectFault(wire, packet(0xa2, body), 0x81))
})

conformance('5.0', [], 'properties that UNSUBSCRIBE may not have are malformed', async (wire) => {
  const cases = {
    'Subscription Identifier': property.subscriptionIdentifier(1),
    'Reason String': property.reasonString('x'),
    'identifier 0': hex('00 00'),
  }
  await eachCase(cases, (properties) => expectFault(wire, unsubscribe(1, [wire.topic()], properties), 0x81))
})

conformance(
  '5.0',
  ['MQTT-3.10.4-1', 'MQTT-3.10.4-2', 'MQTT-3.10.4-4'],
  'UNSUBSCRIBE ends the subscription and is answered with 0x00',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    client.send(unsubscribe(7, [wire.topic()]))
    await client.expectPacket('b0 04 00 07 00 00')
    client.send(publish({ topic: wire.topic(), qos: 1, id: 1 }))
    await expectAcknowledged(client, 'puback', 1, taken)
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.10.4-1'], 'only a filter equal in every character is removed', async (wire) => {
  const base = wire.topic()
  const client = await connected5(wire)
  client.send(
    subscribe(1, [
      [`${base}/#`, 0],
      [`${base}/x`, 0],
    ]),
  )
  await expectSuback(client, 1, [0, 0])
  // All of them match the same topics as the subscriptions, or look like them.
  const others = [base, `${base}/+`, `${base}/X`, `${base}/x/`, `${base}/x/#`, `/${base}/x`, '#']
  client.send(unsubscribe(2, others))
  await expectUnsuback(
    client,
    2,
    others.map(() => 0x11),
  )
  client.send(unsubscribe(3, [`${base}/#`]))
  await expectUnsuback(client, 3, [0])
  client.send(publish({ topic: `${base}/y` }), publish({ topic: `${base}/x` }))
  await expectPublish(client, { topic: `${base}/x` })
})

conformance(
  '5.0',
  ['MQTT-3.10.4-5', 'MQTT-3.11.3-2'],
  'UNSUBACK comes with 0x11 where no subscription existed',
  async (wire) => {
    const client = await connected5(wire)
    client.send(unsubscribe(0x0102, [wire.topic()]))
    await client.expectPacket('b0 04 01 02 00 11')
  },
)

conformance(
  '5.0',
  ['MQTT-3.10.4-6', 'MQTT-3.11.3-1'],
  'several filters get one UNSUBACK with their reasons in order',
  async (wire) => {
    const client = await connected5(wire)
    client.send(
      subscribe(1, [
        [wire.topic('a'), 0],
        [wire.topic('c'), 1],
        [`${wire.topic('d')}/#`, 2],
      ]),
    )
    await expectSuback(client, 1, [0, 1, 2])
    client.send(
      unsubscribe(2, [wire.topic('a'), wire.topic('b'), `${wire.topic('d')}/#`, wire.topic('a'), wire.topic('c')]),
    )
    await expectUnsuback(client, 2, [0, 0x11, 0, 0x11, 0])
    for (const name of ['a', 'c', 'd']) client.send(publish({ topic: wire.topic(name) }))
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.10.4-3'],
  'a QoS 1 delivery that has begun is completed after UNSUBSCRIBE',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const client = await connected5(wire, fields)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    publisher.send(publish({ topic: wire.topic(), payload: 'begun', qos: 1, id: 1 }))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: 'begun', qos: 1 })
    client.send(unsubscribe(1, [wire.topic()]))
    await expectUnsuback(client, 1, [0])
    client.destroy()
    const back = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    await expectPublish(back, { topic: wire.topic(), payload: 'begun', qos: 1, dup: true, packetId })
    back.send(acknowledge('puback', packetId))
    await back.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.10.4-3'],
  'a QoS 2 delivery that has begun is completed after UNSUBSCRIBE',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 2)
    publisher.send(publish({ topic: wire.topic(), payload: 'begun', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: 'begun', qos: 2 })
    client.send(unsubscribe(1, [wire.topic()]))
    await expectUnsuback(client, 1, [0])
    await completeQos2(client, packetId)
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.10.4-2'], 'one of two overlapping subscriptions ends alone', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(1), 1)
  await subscribed(client, `${wire.topic()}/#`, 0, property.subscriptionIdentifier(2), 2)
  client.send(unsubscribe(3, [wire.topic()]))
  await expectUnsuback(client, 3, [0])
  client.send(publish({ topic: wire.topic() }))
  await expectPublish(client, { topic: wire.topic(), properties: [[11, 2]] })
  await client.expectNothing()
})

conformance('5.0', ['MQTT-3.10.4-2'], 'the subscription of another client stays', async (wire) => {
  const one = await connected5(wire)
  const other = await connected5(wire)
  await subscribed(one, wire.topic())
  await subscribed(other, wire.topic())
  one.send(unsubscribe(2, [wire.topic()]))
  await expectUnsuback(one, 2, [0])
  await expectNothingArrives(other, wire.topic())
  await one.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.10.4-6'],
  'thousands of filters in one UNSUBSCRIBE are answered one by one',
  async (wire) => {
    const client = await connected5(wire)
    const filters = Array.from({ length: 3000 }, (_, i) => `${wire.topic()}/${i}`)
    client.send(
      subscribe(
        1,
        filters.map((filter) => [filter, 0]),
      ),
    )
    await expectSuback(
      client,
      1,
      filters.map(() => 0),
    )
    client.send(unsubscribe(2, filters))
    await expectUnsuback(
      client,
      2,
      filters.map(() => 0),
    )
  },
)
