/*
 * MQTT 5.0 sections 3.3.4, overlapping subscriptions, and 3.8.2.1.2, Subscription Identifier.
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { connected5, expectAcknowledged, expectPublish, leave, next, subscribed } from './expect.ts'
import { acknowledge, property, publish, valuesOf } from './packets.ts'

const subscriptionIdentifier = 11

conformance('5.0', ['MQTT-3.3.4-3'], 'identifiers of one to four bytes come with the message', async (wire) => {
  const client = await connected5(wire)
  const identifiers = [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455]
  for (const [i, identifier] of identifiers.entries()) {
    await subscribed(client, wire.topic(`${i}`), 0, property.subscriptionIdentifier(identifier), i + 1)
    client.send(publish({ topic: wire.topic(`${i}`) }))
    await expectPublish(client, { topic: wire.topic(`${i}`), properties: [[subscriptionIdentifier, identifier]] })
  }
})

conformance('5.0', ['MQTT-3.3.4-3'], 'a subscription without an identifier adds none', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  client.send(publish({ topic: wire.topic() }))
  await expectPublish(client, { topic: wire.topic(), properties: [] })
})

conformance(
  '5.0',
  ['MQTT-3.3.4-2', 'MQTT-3.3.4-4', 'MQTT-3.3.4-3'],
  'overlapping subscriptions give one copy with all identifiers and the highest QoS',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(10), 1)
    await subscribed(client, `${wire.topic()}/#`, 2, property.subscriptionIdentifier(20), 2)
    await subscribed(client, `+/a`, 1, noProperties, 3)
    publisher.send(publish({ topic: wire.topic('a'), payload: 'all', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const decoded = await next(client)
    expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic('a'), payload: 'all', flags: 2 << 1 })
    expect(valuesOf(decoded, subscriptionIdentifier).toSorted()).toEqual([10, 20])
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.4-2'],
  'the highest QoS counts even if the subscription with it came first or last',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const [exact, wild] of [
      [2, 0],
      [0, 2],
      [1, 2],
      [2, 1],
    ] as const) {
      const client = await connected5(wire)
      await subscribed(client, wire.topic(), exact, noProperties, 1)
      await subscribed(client, `${wire.topic()}/#`, wild, noProperties, 2)
      publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
      await expectPublish(client, { topic: wire.topic(), qos: 2 })
      await client.expectNothing()
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.4-4'],
  'the same identifier on two matching subscriptions appears once or twice',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(7), 1)
    await subscribed(client, `${wire.topic()}/#`, 0, property.subscriptionIdentifier(7), 2)
    client.send(publish({ topic: wire.topic() }))
    const identifiers = valuesOf(await next(client), subscriptionIdentifier)
    expect(identifiers.length).toBeGreaterThan(0)
    expect(identifiers.length).toBeLessThanOrEqual(2)
    expect(new Set(identifiers)).toEqual(new Set([7]))
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.3.4-3'], 'each subscriber gets its own identifiers', async (wire) => {
  const clients = []
  for (const identifier of [1, 2, 300]) {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(identifier))
    clients.push({ client, identifier })
  }
  const without = await connected5(wire)
  await subscribed(without, wire.topic())
  without.send(publish({ topic: wire.topic() }))
  for (const { client, identifier } of clients) {
    await expectPublish(client, { topic: wire.topic(), properties: [[subscriptionIdentifier, identifier]] })
  }
  await expectPublish(without, { topic: wire.topic(), properties: [] })
})

conformance(
  '5.0',
  ['MQTT-3.3.4-3'],
  'an identifier is kept with the session and comes with queued messages',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 1, property.subscriptionIdentifier(77))
    await leave(first)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'queued', qos: 1, id: 1 }))
    await expectAcknowledged(publisher, 'puback', 1)
    const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    await expectPublish(second, {
      topic: wire.topic(),
      payload: 'queued',
      qos: 1,
      properties: [[subscriptionIdentifier, 77]],
    })
    publisher.send(publish({ topic: wire.topic(), payload: 'live' }))
    await expectPublish(second, { topic: wire.topic(), payload: 'live', properties: [[subscriptionIdentifier, 77]] })
  },
)

conformance('5.0', ['MQTT-3.3.4-3'], 'a retained message sent on SUBSCRIBE carries the identifier', async (wire) => {
  const client = await connected5(wire)
  client.send(publish({ topic: wire.topic(), payload: 'r', retain: true }))
  await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(9))
  await expectPublish(client, {
    topic: wire.topic(),
    payload: 'r',
    retain: true,
    properties: [[subscriptionIdentifier, 9]],
  })
  client.send(publish({ topic: wire.topic(), retain: true }))
})

conformance('5.0', ['MQTT-3.8.4-3'], 'subscribing again without an identifier takes it away', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(9), 1)
  await subscribed(client, wire.topic(), 0, noProperties, 2)
  client.send(publish({ topic: wire.topic() }))
  await expectPublish(client, { topic: wire.topic(), properties: [] })
})
