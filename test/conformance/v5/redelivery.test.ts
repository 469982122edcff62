/*
 * MQTT 5.0 sections 4.4, message delivery retry, and 4.6, message ordering.
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { connected5, expectAcknowledged, expectPublish, leave, next, subscribed } from './expect.ts'
import { acknowledge, property, publish } from './packets.ts'

const sixtySeconds = property.sessionExpiryInterval(60)

conformance(
  '5.0',
  ['MQTT-4.4.0-1', 'MQTT-3.3.1-1', 'MQTT-4.3.2-3'],
  'an unacknowledged QoS 1 message is sent again with DUP and its packet identifier',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: sixtySeconds }
    const publisher = await connected5(wire)
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 1)
    publisher.send(publish({ topic: wire.topic(), payload: 'again', qos: 1, id: 1 }))
    const { packetId } = await expectPublish(first, { topic: wire.topic(), payload: 'again', qos: 1, dup: false })
    first.destroy()
    for (let i = 0; i < 2; i++) {
      const resumed = await connected5(wire, { ...fields, clean: false }, true)
      await expectPublish(resumed, { topic: wire.topic(), payload: 'again', qos: 1, dup: true, packetId })
      resumed.destroy()
    }
    const last = await connected5(wire, { ...fields, clean: false }, true)
    await expectPublish(last, { topic: wire.topic(), payload: 'again', qos: 1, dup: true, packetId })
    last.send(acknowledge('puback', packetId))
    await leave(last)
    const after = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    await after.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.4.0-1', 'MQTT-4.3.3-3'],
  'an unacknowledged QoS 2 message is sent again with DUP and its packet identifier',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: sixtySeconds }
    const publisher = await connected5(wire)
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 2)
    publisher.send(publish({ topic: wire.topic(), payload: 'again', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(first, { topic: wire.topic(), payload: 'again', qos: 2, dup: false })
    first.destroy()
    const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    await expectPublish(second, { topic: wire.topic(), payload: 'again', qos: 2, dup: true, packetId })
    second.send(acknowledge('pubrec', packetId))
    await expectAcknowledged(second, 'pubrel', packetId)
    second.send(acknowledge('pubcomp', packetId))
    await second.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.4.0-1', 'MQTT-4.3.3-5', 'MQTT-4.3.3-6'],
  'an unacknowledged PUBREL is sent again, and its PUBLISH is not',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: sixtySeconds }
    const publisher = await connected5(wire)
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 2)
    publisher.send(publish({ topic: wire.topic(), qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(first, { topic: wire.topic(), qos: 2 })
    first.send(acknowledge('pubrec', packetId))
    await expectAcknowledged(first, 'pubrel', packetId)
    first.destroy()
    for (let i = 0; i < 2; i++) {
      const resumed = await connected5(wire, { ...fields, clean: false }, true)
      await expectAcknowledged(resumed, 'pubrel', packetId)
      await resumed.expectNothing()
      resumed.destroy()
    }
    const last = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    await expectAcknowledged(last, 'pubrel', packetId)
    last.send(acknowledge('pubcomp', packetId))
    await last.expectNothing()
  },
)

conformance('5.0', ['MQTT-4.4.0-1'], 'nothing is sent again while the connection stays', async (wire) => {
  const client = await connected5(wire)
  const publisher = await connected5(wire)
  await subscribed(client, wire.topic(), 2)
  await subscribed(publisher, wire.topic('clock'))
  publisher.send(
    publish({ topic: wire.topic(), qos: 1, id: 1 }),
    publish({ topic: wire.topic(), qos: 2, id: 2 }),
    acknowledge('pubrel', 2),
  )
  expect((await next(client)).type).toBe('publish')
  expect((await next(client)).type).toBe('publish')
  for (const type of ['puback', 'pubrec', 'pubcomp'] as const)
    await expectAcknowledged(publisher, type, type === 'puback' ? 1 : 2)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    properties: sixtySeconds,
    will: { topic: wire.topic('clock'), properties: property.willDelayInterval(2) },
  })
  dying.destroy()
  await expectPublish(publisher, { topic: wire.topic('clock') })
  await client.expectNothing()
})

conformance('5.0', ['MQTT-4.4.0-2'], 'a message refused with 0x80 or above is not sent again', async (wire) => {
  const fields = { clientId: wire.id(), properties: sixtySeconds }
  const publisher = await connected5(wire)
  const first = await connected5(wire, fields)
  await subscribed(first, wire.topic(), 2)
  publisher.send(publish({ topic: wire.topic(), payload: '1', qos: 1, id: 1 }))
  first.send(
    acknowledge('puback', (await expectPublish(first, { topic: wire.topic(), payload: '1', qos: 1 })).packetId, 0x80),
  )
  publisher.send(publish({ topic: wire.topic(), payload: '2', qos: 2, id: 2 }), acknowledge('pubrel', 2))
  first.send(
    acknowledge('pubrec', (await expectPublish(first, { topic: wire.topic(), payload: '2', qos: 2 })).packetId, 0x83),
  )
  await first.settled()
  first.destroy()
  const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
  await second.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-4.3.3-7'],
  'a message that was sent does not expire before it is acknowledged',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: sixtySeconds }
    const publisher = await connected5(wire)
    await subscribed(publisher, wire.topic('clock'))
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 2)
    const properties = property.messageExpiryInterval(1)
    publisher.send(publish({ topic: wire.topic(), payload: '2', qos: 2, id: 2, properties }), acknowledge('pubrel', 2))
    const sent = await next(first)
    expect(sent).toMatchObject({ type: 'publish', payload: '2', flags: 4 })
    first.destroy()
    const dying = await connected5(wire, {
      clientId: wire.id('d'),
      properties: sixtySeconds,
      will: { topic: wire.topic('clock'), properties: property.willDelayInterval(2) },
    })
    dying.destroy()
    for (const type of ['pubrec', 'pubcomp'] as const) await expectAcknowledged(publisher, type, 2)
    await expectPublish(publisher, { topic: wire.topic('clock') })
    const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    const again = await next(second)
    expect(again).toMatchObject({ type: 'publish', payload: '2', flags: 0x0c, packetId: sent.packetId })
  },
)

conformance(
  '5.0',
  ['MQTT-4.6.0-5', 'MQTT-4.6.0-6'],
  'messages of one topic and QoS arrive in the order in which they were sent',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const qos of [0, 1, 2]) {
      const client = await connected5(wire)
      await subscribed(client, `${wire.topic()}/#`, qos)
      for (let i = 1; i <= 100; i++) {
        publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos, ...(qos > 0 && { id: i }) }))
        if (qos === 2) publisher.send(acknowledge('pubrel', i))
      }
      for (let i = 1; i <= 100; i++) {
        const { packetId } = await expectPublish(client, { topic: wire.topic(), payload: `${i}`, qos })
        if (qos === 1) client.send(acknowledge('puback', packetId))
      }
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.6.0-5', 'MQTT-4.4.0-1'],
  'the order holds from sent again over queued to live messages',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: sixtySeconds }
    const publisher = await connected5(wire)
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic(), 1)
    for (let i = 1; i <= 5; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 1, id: i }))
    const identifiers = []
    for (let i = 1; i <= 5; i++)
      identifiers.push((await expectPublish(first, { topic: wire.topic(), payload: `${i}`, qos: 1 })).packetId)
    // The third is acknowledged out of order; the others are not.
    first.send(acknowledge('puback', identifiers[2]!))
    await first.settled()
    first.destroy()
    for (let i = 6; i <= 10; i++) publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 1, id: i }))
    for (let i = 1; i <= 10; i++) await expectAcknowledged(publisher, 'puback', i)
    const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
    publisher.send(publish({ topic: wire.topic(), payload: '11', qos: 1, id: 11 }))
    for (const i of [1, 2, 4, 5]) {
      await expectPublish(second, {
        topic: wire.topic(),
        payload: `${i}`,
        qos: 1,
        dup: true,
        packetId: identifiers[i - 1]!,
      })
    }
    for (let i = 6; i <= 11; i++) {
      const { flags, payload } = await next(second)
      expect(payload).toBe(`${i}`)
      // Sent for the first time, whatever the publisher did before the first connection was known to be gone.
      expect(flags & 0x06).toBe(2)
    }
  },
)

conformance('5.0', ['MQTT-4.6.0-5'], 'PUBRELs sent again keep the order of the PUBRECs', async (wire) => {
  const fields = { clientId: wire.id(), properties: sixtySeconds }
  const publisher = await connected5(wire)
  const first = await connected5(wire, fields)
  await subscribed(first, wire.topic(), 2)
  const identifiers = []
  for (let i = 1; i <= 4; i++) {
    publisher.send(publish({ topic: wire.topic(), payload: `${i}`, qos: 2, id: i }), acknowledge('pubrel', i))
    identifiers.push((await expectPublish(first, { topic: wire.topic(), payload: `${i}`, qos: 2 })).packetId)
  }
  for (const packetId of identifiers.slice(0, 3)) {
    first.send(acknowledge('pubrec', packetId))
    await expectAcknowledged(first, 'pubrel', packetId)
  }
  first.destroy()
  const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
  const again = []
  for (let i = 0; i < 4; i++) again.push(await next(second))
  expect(again.filter(({ type }) => type === 'pubrel').map(({ packetId }) => packetId)).toEqual(identifiers.slice(0, 3))
  expect(again.find(({ type }) => type === 'publish')).toMatchObject({
    payload: '4',
    flags: 0x0c,
    packetId: identifiers[3],
  })
})
