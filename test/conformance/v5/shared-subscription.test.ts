/*
 * MQTT 5.0 section 4.8.2, shared subscriptions: filters, groups and membership.
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectFault,
  expectFilterRefused,
  expectPublish,
  expectSuback,
  expectUnsuback,
  next,
  subscribed,
  taken,
} from './expect.ts'
import { property, publish, subscribe, unsubscribe } from './packets.ts'
import { arrived, members, shared } from './shared-group.ts'

conformance(
  '5.0',
  ['MQTT-4.8.2-1', 'MQTT-4.8.2-2'],
  'a shared filter without a share name or without a filter is refused',
  async (wire) => {
    for (const filter of ['$share/', '$share/g', '$share//a', '$share/g/', '$share///'])
      await expectFilterRefused(wire, filter)
  },
)

conformance('5.0', ['MQTT-4.8.2-2'], 'a wildcard in the share name is refused', async (wire) => {
  for (const filter of ['$share/+/a', '$share/#/a', '$share/g+/a', '$share/g#/a', '$share/#'])
    await expectFilterRefused(wire, filter)
})

conformance(
  '5.0',
  ['MQTT-4.8.2-2', 'MQTT-4.7.1-1'],
  'the filter behind the share name obeys the rules of filters',
  async (wire) => {
    for (const filter of ['$share/g/a/#/b', '$share/g/a+', '$share/g/#a']) await expectFilterRefused(wire, filter)
  },
)

conformance(
  '5.0',
  ['MQTT-4.8.2-1'],
  'a filter that only resembles a shared one is an ordinary filter',
  async (wire) => {
    const client = await connected5(wire)
    for (const [i, filter] of [
      `$shared/g/${wire.topic()}`,
      `$SHARE/g/${wire.topic()}`,
      `/$share/g/${wire.topic()}`,
    ].entries()) {
      await subscribed(client, filter, 0, noProperties, i + 1)
    }
    client.send(publish({ topic: wire.topic() }))
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.8.3-4'], 'No Local on a shared subscription is a protocol error', async (wire) => {
  await expectFault(wire, subscribe(1, [[shared(wire), 0x04]]), 0x82)
  await expectFault(
    wire,
    subscribe(1, [
      [wire.topic(), 0x00],
      [shared(wire), 0x05],
    ]),
    0x82,
  )
})

conformance('5.0', [], 'each message goes to one member, and every member gets its share', async (wire) => {
  const group = await members(wire, 3)
  const publisher = await connected5(wire)
  for (let i = 0; i < 30; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}` }))
  await publisher.settled()
  const received = []
  for (const client of group) {
    const packets = await arrived(client)
    expect(packets.length).toBeGreaterThan(0)
    received.push(...packets.map(({ payload }) => Number(payload)))
  }
  expect(received.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i))
})

conformance(
  '5.0',
  [],
  'a share name with the same filter is one group, other names and filters are others',
  async (wire) => {
    const publisher = await connected5(wire)
    const filters = [
      shared(wire, 'a'),
      shared(wire, 'b'),
      `$share/a/${wire.topic()}/#`,
      wire.topic(),
      `${wire.topic()}/#`,
    ]
    for (const [i, filter] of filters.entries()) {
      const client = await connected5(wire, { clientId: wire.id(`f${i}`) })
      await subscribed(client, filter)
      publisher.send(publish({ topic: wire.topic(), payload: filter }))
      await expectPublish(client, { topic: wire.topic(), payload: filter })
    }
  },
)

conformance('5.0', [], 'a client with a shared and an ordinary subscription gets a copy for each', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(1), 1)
  await subscribed(client, shared(wire), 0, property.subscriptionIdentifier(2), 2)
  client.send(publish({ topic: wire.topic() }))
  const copies = [await next(client), await next(client)]
  await client.expectNothing()
  expect(copies.flatMap(({ properties }) => properties).toSorted()).toEqual([
    [11, 1],
    [11, 2],
  ])
})

conformance('5.0', [], 'retained messages are not sent to a shared subscription', async (wire) => {
  const publisher = await connected5(wire)
  publisher.send(publish({ topic: wire.topic(), payload: 'retained', retain: true }))
  await publisher.settled()
  for (const handling of [0x00, 0x10]) {
    const client = await connected5(wire)
    await subscribed(client, shared(wire), handling)
    await client.expectNothing()
  }
  publisher.send(publish({ topic: wire.topic(), retain: true }))
})

conformance(
  '5.0',
  ['MQTT-3.10.4-1'],
  'UNSUBSCRIBE takes the whole shared filter, and ends one membership',
  async (wire) => {
    const [one, two] = await members(wire, 2)
    one!.send(unsubscribe(1, [wire.topic(), `$share/other/${wire.topic()}`, shared(wire)]))
    await expectUnsuback(one!, 1, [0x11, 0x11, 0x00])
    for (let i = 0; i < 5; i++) {
      one!.send(publish({ topic: wire.topic(), payload: `${i}` }))
      await expectPublish(two!, { topic: wire.topic(), payload: `${i}` })
    }
    await one!.expectNothing()
    two!.send(unsubscribe(1, [shared(wire)]))
    await expectUnsuback(two!, 1, [0x00])
    two!.send(publish({ topic: wire.topic(), qos: 1, id: 1 }))
    await expectAcknowledged(two!, 'puback', 1, taken)
    await two!.expectNothing()
  },
)

conformance(
  '5.0',
  [],
  'subscribing again to a shared filter changes its options and adds no membership',
  async (wire) => {
    const client = await connected5(wire)
    client.send(
      subscribe(1, [
        [shared(wire), 0],
        [shared(wire), 1],
      ]),
    )
    await expectSuback(client, 1, [0, 1])
    client.send(publish({ topic: wire.topic(), payload: 'one copy', qos: 1, id: 1 }))
    const packets = [await next(client), await next(client)]
    expect(packets.find(({ type }) => type === 'publish')).toMatchObject({ payload: 'one copy', flags: 2 })
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-3.3.4-3'], 'a shared subscription has a subscription identifier of its own', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, `$share/g/${wire.topic()}/#`, 0, property.subscriptionIdentifier(1234))
  client.send(publish({ topic: `${wire.topic()}/x` }))
  await expectPublish(client, { topic: `${wire.topic()}/x`, properties: [[11, 1234]] })
})

conformance('5.0', [], 'a message for a group whose filter does not match reaches no member', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, `$share/g/${wire.topic()}/+`)
  client.send(
    publish({ topic: wire.topic() }),
    publish({ topic: `${wire.topic()}/x/y` }),
    publish({ topic: `$share/g/${wire.topic()}/x` }),
    publish({ topic: `${wire.topic()}/x` }),
  )
  await expectPublish(client, { topic: `${wire.topic()}/x` })
  await client.expectNothing()
})
