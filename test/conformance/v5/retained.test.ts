/*
 * MQTT 5.0 section 3.3.1.3, RETAIN, and the subscription options Retain Handling and Retain As Published (3.8.3.1).
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectNothingArrives,
  expectPublish,
  expectSuback,
  leave,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, decode, property, publish, subscribe } from './packets.ts'

const retainAsPublished = 0x08
const handling = { send: 0x00, sendIfNew: 0x10, doNotSend: 0x20 } as const

conformance('5.0', ['MQTT-3.3.1-5'], 'a retained message is stored and replaces the one before', async (wire) => {
  const publisher = await connected5(wire)
  publisher.send(publish({ topic: wire.topic(), payload: 'old', retain: true }))
  publisher.send(publish({ topic: wire.topic(), payload: 'new', retain: true }))
  await publisher.settled()
  const late = await connected5(wire)
  await subscribed(late, wire.topic())
  await expectPublish(late, { topic: wire.topic(), payload: 'new', retain: true })
  await late.expectNothing()
  publisher.send(publish({ topic: wire.topic(), retain: true }))
})

conformance('5.0', ['MQTT-3.3.1-5', 'MQTT-3.8.4-8'], 'a retained message is stored with its QoS', async (wire) => {
  const publisher = await connected5(wire)
  for (const qos of [0, 1, 2]) {
    publisher.send(
      publish({ topic: wire.topic(`q${qos}`), payload: `${qos}`, retain: true, qos, ...(qos > 0 && { id: qos }) }),
    )
  }
  await expectAcknowledged(publisher, 'puback', 1, taken)
  await expectAcknowledged(publisher, 'pubrec', 2, taken)
  publisher.send(acknowledge('pubrel', 2))
  await expectAcknowledged(publisher, 'pubcomp', 2)
  for (const granted of [0, 1, 2]) {
    for (const qos of [0, 1, 2]) {
      const late = await connected5(wire)
      await subscribed(late, wire.topic(`q${qos}`), granted)
      await expectPublish(late, {
        topic: wire.topic(`q${qos}`),
        payload: `${qos}`,
        retain: true,
        qos: Math.min(qos, granted),
      })
    }
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.1-6', 'MQTT-3.3.1-7'],
  'an empty retained payload removes the message and is forwarded',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), retainAsPublished)
    client.send(publish({ topic: wire.topic(), payload: 'there', retain: true }))
    await expectPublish(client, { topic: wire.topic(), payload: 'there', retain: true })
    client.send(publish({ topic: wire.topic(), payload: '', retain: true }))
    await expectPublish(client, { topic: wire.topic(), payload: '', retain: true })
    const late = await connected5(wire)
    await subscribed(late, wire.topic())
    await late.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.3.1-7'], 'an empty payload is not stored where nothing was', async (wire) => {
  const client = await connected5(wire)
  client.send(publish({ topic: wire.topic(), payload: '', retain: true }))
  await client.settled()
  await subscribed(client, wire.topic())
  await client.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.3.1-8'],
  'a message without RETAIN, empty or not, leaves the retained one alone',
  async (wire) => {
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'stays', retain: true }))
    publisher.send(publish({ topic: wire.topic(), payload: 'passes' }))
    publisher.send(publish({ topic: wire.topic(), payload: '' }))
    publisher.send(publish({ topic: wire.topic('none'), payload: 'passes' }))
    await publisher.settled()
    const late = await connected5(wire)
    await subscribed(late, wire.topic('none'))
    await subscribed(late, wire.topic())
    await expectPublish(late, { topic: wire.topic(), payload: 'stays', retain: true })
    await late.expectNothing()
    publisher.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.1-9', 'MQTT-3.8.4-4'],
  'Retain Handling 0 sends retained messages on every SUBSCRIBE',
  async (wire) => {
    const client = await connected5(wire)
    client.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
    for (const id of [1, 2, 3]) {
      await subscribed(client, wire.topic(), handling.send, noProperties, id)
      await expectPublish(client, { topic: wire.topic(), payload: 'r', retain: true })
    }
    client.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.1-9'],
  'a wildcard subscription gets all matching retained messages, and no other',
  async (wire) => {
    const publisher = await connected5(wire)
    const names = ['', '/b', '/b/c', '/d']
    for (const name of names)
      publisher.send(publish({ topic: `${wire.topic()}${name}`, payload: `at ${name}`, retain: true }))
    publisher.send(publish({ topic: `${wire.topic()}x`, payload: 'other', retain: true }))
    await publisher.settled()
    const late = await connected5(wire)
    await subscribed(late, `${wire.topic()}/#`)
    const arrived = new Set<string | undefined>()
    for (let i = 0; i < names.length; i++) arrived.add(decode(await late.expectPacket()).payload)
    await late.expectNothing()
    for (const name of names) publisher.send(publish({ topic: `${wire.topic()}${name}`, retain: true }))
    publisher.send(publish({ topic: `${wire.topic()}x`, retain: true }))
    expect(arrived).toEqual(new Set(names.map((name) => `at ${name}`)))
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.1-10'],
  'Retain Handling 1 sends retained messages for a new subscription only',
  async (wire) => {
    const client = await connected5(wire)
    client.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
    await subscribed(client, wire.topic(), handling.sendIfNew)
    await expectPublish(client, { topic: wire.topic(), payload: 'r', retain: true })
    await subscribed(client, wire.topic(), handling.sendIfNew, noProperties, 2)
    await client.expectNothing()
    await subscribed(client, wire.topic(), handling.sendIfNew | 1, noProperties, 3)
    await client.expectNothing()
    client.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.1-10'],
  'Retain Handling 1 counts a subscription of the resumed session as existing',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic())
    await leave(first)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
    await publisher.settled()
    const second = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    await subscribed(second, wire.topic(), handling.sendIfNew)
    await expectNothingArrives(second, wire.topic())
    publisher.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.1-11'],
  'Retain Handling 2 sends no retained messages, live ones it does',
  async (wire) => {
    const client = await connected5(wire)
    client.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
    await subscribed(client, wire.topic(), handling.doNotSend)
    await client.expectNothing()
    client.send(publish({ topic: wire.topic(), payload: 'live', retain: true }))
    await expectPublish(client, { topic: wire.topic(), payload: 'live' })
    client.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance('5.0', ['MQTT-3.3.1-12'], 'Retain As Published 0 clears RETAIN on forwarded messages', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 0)
  for (const retain of [true, false]) {
    client.send(publish({ topic: wire.topic(), payload: 'x', retain }))
    await expectPublish(client, { topic: wire.topic(), payload: 'x', retain: false })
  }
  client.send(publish({ topic: wire.topic(), retain: true }))
})

conformance('5.0', ['MQTT-3.3.1-13'], 'Retain As Published 1 forwards RETAIN as it came', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), retainAsPublished | 2)
  for (const retain of [true, false]) {
    client.send(publish({ topic: wire.topic(), payload: 'x', retain }))
    await expectPublish(client, { topic: wire.topic(), payload: 'x', retain })
  }
  client.send(publish({ topic: wire.topic(), retain: true }))
})

conformance('5.0', ['MQTT-3.3.1-13'], 'Retain As Published holds for messages queued while offline', async (wire) => {
  const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
  const first = await connected5(wire, fields)
  first.send(
    subscribe(1, [
      [wire.topic('as'), retainAsPublished | 1],
      [wire.topic('not'), 1],
    ]),
  )
  await expectSuback(first, 1, [1, 1])
  await leave(first)
  const publisher = await connected5(wire)
  publisher.send(publish({ topic: wire.topic('as'), payload: 'x', retain: true, qos: 1, id: 1 }))
  publisher.send(publish({ topic: wire.topic('not'), payload: 'x', retain: true, qos: 1, id: 2 }))
  await expectAcknowledged(publisher, 'puback', 1)
  await expectAcknowledged(publisher, 'puback', 2)
  const second = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
  await expectPublish(second, { topic: wire.topic('as'), payload: 'x', qos: 1, retain: true })
  await expectPublish(second, { topic: wire.topic('not'), payload: 'x', qos: 1, retain: false })
  publisher.send(
    publish({ topic: wire.topic('as'), retain: true }),
    publish({ topic: wire.topic('not'), retain: true }),
  )
})

conformance(
  '5.0',
  ['MQTT-3.8.4-5', 'MQTT-3.3.1-9'],
  'retained messages follow the SUBACK of a SUBSCRIBE with several filters',
  async (wire) => {
    const client = await connected5(wire)
    for (const name of ['a', 'b', 'c']) client.send(publish({ topic: wire.topic(name), payload: name, retain: true }))
    client.send(
      subscribe(5, [
        [wire.topic('a'), 0],
        [wire.topic('b'), handling.doNotSend],
        [wire.topic('c'), 1],
      ]),
    )
    await expectSuback(client, 5, [0, 0, 1])
    const arrived = [decode(await client.expectPacket()), decode(await client.expectPacket())]
    expect(arrived.map(({ payload }) => payload).toSorted()).toEqual(['a', 'c'])
    await client.expectNothing()
    for (const name of ['a', 'b', 'c']) client.send(publish({ topic: wire.topic(name), retain: true }))
  },
)
