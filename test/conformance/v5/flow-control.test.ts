/*
 * MQTT 5.0 sections 4.9 flow control, 3.1.2.11.3 and 3.2.2.3.3 Receive Maximum.
 */

import { expect } from 'vitest'
import { concat, noProperties } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectDisconnected,
  expectPublish,
  expectSuback,
  next,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, decode, property, publish, subscribe, valuesOf } from './packets.ts'

const receiveMaximum = 33

conformance(
  '5.0',
  ['MQTT-3.3.4-9', 'MQTT-4.9.0-1', 'MQTT-4.9.0-2'],
  'a client never has more than its Receive Maximum of QoS 1 deliveries open',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const maximum of [1, 2, 7]) {
      const client = await connected5(wire, { properties: property.receiveMaximum(maximum) })
      await subscribed(client, wire.topic(), 1)
      for (let i = 1; i <= 20; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 1, id: i }))
      for (let i = 1; i <= 20; i++) await expectAcknowledged(publisher, 'puback', i)
      const open: number[] = []
      for (let i = 1; i <= maximum; i++)
        open.push((await expectPublish(client, { topic: wire.topic(), payload: `${i}`, qos: 1 })).packetId)
      await client.expectNothing()
      for (let i = maximum + 1; i <= 20; i++) {
        client.send(acknowledge('puback', open.shift()!))
        open.push((await expectPublish(client, { topic: wire.topic(), payload: `${i}`, qos: 1 })).packetId)
        if (i === maximum + 1) await client.expectNothing()
      }
      client.destroy()
    }
  },
)

conformance('5.0', ['MQTT-3.3.4-9', 'MQTT-4.9.0-2'], 'a QoS 2 delivery is open until its PUBCOMP', async (wire) => {
  const publisher = await connected5(wire)
  const client = await connected5(wire, { properties: property.receiveMaximum(1) })
  await subscribed(client, wire.topic(), 2)
  for (let i = 1; i <= 2; i++)
    publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 2, id: i }), acknowledge('pubrel', i))
  const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: '1', qos: 2 })
  await client.expectNothing()
  client.send(acknowledge('pubrec', packetId))
  await expectAcknowledged(client, 'pubrel', packetId)
  await client.expectNothing()
  client.send(acknowledge('pubcomp', packetId))
  await expectPublish(client, { topic: wire.topic(), payload: '2', qos: 2 })
})

conformance('5.0', ['MQTT-3.3.4-9'], 'a refusing PUBACK or PUBREC makes room for the next delivery', async (wire) => {
  const publisher = await connected5(wire)
  for (const [qos, type] of [
    [1, 'puback'],
    [2, 'pubrec'],
  ] as const) {
    const client = await connected5(wire, { properties: property.receiveMaximum(1) })
    await subscribed(client, wire.topic(), qos)
    for (let i = 1; i <= 3; i++)
      publisher.send(
        publish({ topic: wire.topic(), payload: `${i}`, qos, id: i }),
        qos === 2 ? acknowledge('pubrel', i) : noProperties,
      )
    for (let i = 1; i <= 3; i++) {
      const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: `${i}`, qos })
      await client.expectNothing()
      client.send(acknowledge(type, packetId, 0x83))
    }
    client.destroy()
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.4-10', 'MQTT-4.9.0-3'],
  'with the quota used up all other packets are still served',
  async (wire) => {
    const publisher = await connected5(wire)
    const client = await connected5(wire, { properties: property.receiveMaximum(1) })
    await subscribed(client, wire.topic(), 1)
    for (let i = 1; i <= 3; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 1, id: i }))
    const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: '1', qos: 1 })
    client.send(subscribe(2, [[wire.topic('other'), 0]]))
    await expectSuback(client, 2, [0])
    client.send(publish({ topic: wire.topic('none'), qos: 1, id: 1 }))
    await expectAcknowledged(client, 'puback', 1, taken)
    client.send(publish({ topic: wire.topic('none'), qos: 2, id: 2 }))
    await expectAcknowledged(client, 'pubrec', 2, taken)
    client.send(acknowledge('pubrel', 2))
    await expectAcknowledged(client, 'pubcomp', 2)
    await client.expectNothing()
    client.send(acknowledge('puback', packetId))
    await expectPublish(client, { topic: wire.topic(), payload: '2', qos: 1 })
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.4-9', 'MQTT-4.9.0-1'],
  'the Receive Maximum belongs to the connection: a resumed session obeys the new one',
  async (wire) => {
    const publisher = await connected5(wire)
    const expiry = property.sessionExpiryInterval(60)
    const first = await connected5(wire, {
      clientId: wire.id(),
      properties: concat(expiry, property.receiveMaximum(5)),
    })
    await subscribed(first, wire.topic(), 1)
    for (let i = 1; i <= 5; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 1, id: i }))
    for (let i = 1; i <= 5; i++) await expectPublish(first, { topic: wire.topic(), payload: `${i}`, qos: 1 })
    first.destroy()
    const second = await connected5(
      wire,
      { clientId: wire.id(), clean: false, properties: property.receiveMaximum(2) },
      true,
    )
    const one = await expectPublish(second, { topic: wire.topic(), payload: '1', qos: 1, dup: true })
    await expectPublish(second, { topic: wire.topic(), payload: '2', qos: 1, dup: true })
    await second.expectNothing()
    second.send(acknowledge('puback', one.packetId))
    await expectPublish(second, { topic: wire.topic(), payload: '3', qos: 1, dup: true })
    await second.expectNothing()
  },
)

conformance('5.0', ['MQTT-4.9.0-2'], 'retained messages obey the Receive Maximum too', async (wire) => {
  const publisher = await connected5(wire)
  for (let i = 1; i <= 5; i++)
    publisher.send(publish({ topic: `${wire.topic()}/${i}`, payload: 'r', retain: true, qos: 1, id: i }))
  for (let i = 1; i <= 5; i++) await expectAcknowledged(publisher, 'puback', i, taken)
  const client = await connected5(wire, { properties: property.receiveMaximum(2) })
  await subscribed(client, `${wire.topic()}/#`, 1)
  const open = []
  for (let i = 0; i < 2; i++) open.push(await next(client))
  await client.expectNothing()
  for (let i = 0; i < 3; i++) {
    client.send(acknowledge('puback', open.shift()!.packetId!))
    open.push(await next(client))
    expect(open.at(-1)).toMatchObject({ type: 'publish', payload: 'r', flags: 3 })
  }
  for (let i = 1; i <= 5; i++) publisher.send(publish({ topic: `${wire.topic()}/${i}`, retain: true }))
})

withGateway({ limits: { receiveMaximum: 2 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.3.4-7'],
    'a client with more open messages than the Receive Maximum of the server gets 0x93',
    async (wire) => {
      const client = await connected5(wire)
      expect(valuesOf(decode(client.connack), receiveMaximum)).toEqual([2])
      for (const id of [1, 2]) {
        client.send(publish({ topic: wire.topic(), qos: 2, id }))
        await expectAcknowledged(client, 'pubrec', id, taken)
      }
      // A repetition is no further message, and QoS 0 never counts.
      client.send(publish({ topic: wire.topic(), qos: 2, id: 2, dup: true }), publish({ topic: wire.topic() }))
      await expectAcknowledged(client, 'pubrec', 2, taken)
      client.send(publish({ topic: wire.topic(), qos: 2, id: 3 }))
      await expectDisconnected(client, 0x93)
    },
  )

  conformance('5.0', ['MQTT-3.3.4-7'], 'a completed message makes room again', async (wire) => {
    const client = await connected5(wire)
    for (let id = 1; id <= 10; id++) {
      client.send(publish({ topic: wire.topic(), qos: 2, id }))
      await expectAcknowledged(client, 'pubrec', id, taken)
      if (id === 1) continue
      client.send(acknowledge('pubrel', id))
      await expectAcknowledged(client, 'pubcomp', id)
      client.send(publish({ topic: wire.topic(), qos: 1, id: 100 }))
      await expectAcknowledged(client, 'puback', 100, taken)
    }
  })

  conformance(
    '5.0',
    ['MQTT-3.3.4-7'],
    'an exchange that is completed after a reconnect does not widen the window',
    async (wire) => {
      const first = await connected5(wire, { clientId: wire.id(), properties: property.sessionExpiryInterval(60) })
      first.send(publish({ topic: wire.topic(), qos: 2, id: 1 }))
      await expectAcknowledged(first, 'pubrec', 1, taken)
      first.destroy()
      const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
      second.send(acknowledge('pubrel', 1))
      await expectAcknowledged(second, 'pubcomp', 1)
      for (const id of [2, 3]) {
        second.send(publish({ topic: wire.topic(), qos: 2, id }))
        await expectAcknowledged(second, 'pubrec', id, taken)
      }
      second.send(publish({ topic: wire.topic(), qos: 2, id: 4 }))
      await expectDisconnected(second, 0x93)
    },
  )
})
