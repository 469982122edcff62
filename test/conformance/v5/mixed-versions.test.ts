/*
 * MQTT 5.0 clients beside clients of MQTT 3.1.1 on the same gateway.
 */

import { expect } from 'vitest'
import * as v3 from '../bytes.ts'
import { conformance } from '../harness.ts'
import { connected5, expectAcknowledged, expectDisconnected, expectPublish, leave, next, subscribed } from './expect.ts'
import { property, publish, subscribe, valuesOf } from './packets.ts'

conformance(
  '5.0',
  [],
  'a message from 5.0 reaches 3.1.1 without properties and with its alias resolved',
  async (wire) => {
    const old = await wire.connected({ level: 4 })
    old.send(v3.subscribe(1, [[wire.topic(), 1]]))
    await old.expectPacket(v3.suback(1, 1))
    const publisher = await connected5(wire)
    const properties = v3.concat(property.topicAlias(1), property.contentType('text'), property.userProperty('a', 'b'))
    publisher.send(
      publish({ topic: wire.topic(), payload: 'one', properties }),
      publish({ topic: '', payload: 'two', properties }),
    )
    await old.expectPacket(v3.publish({ topic: wire.topic(), payload: 'one' }))
    await old.expectPacket(v3.publish({ topic: wire.topic(), payload: 'two' }))
  },
)

conformance(
  '5.0',
  ['MQTT-2.2.2-1'],
  'a message from 3.1.1 reaches 5.0 with a property length of 0, and with identifiers',
  async (wire) => {
    const old = await wire.connected({ level: 4 })
    const client = await connected5(wire)
    await subscribed(client, wire.topic())
    old.send(v3.publish({ topic: wire.topic(), payload: 'plain' }))
    await client.expectPacket(publish({ topic: wire.topic(), payload: 'plain' }))
    await subscribed(client, wire.topic(), 0, property.subscriptionIdentifier(3), 2)
    old.send(v3.publish({ topic: wire.topic(), payload: 'plain' }))
    await expectPublish(client, { topic: wire.topic(), payload: 'plain', properties: [[11, 3]] })
  },
)

conformance('5.0', [], 'a retained message and a will cross the versions', async (wire) => {
  const publisher = await connected5(wire)
  publisher.send(publish({ topic: wire.topic('r'), payload: 'r', retain: true, properties: property.contentType('c') }))
  await publisher.settled()
  const old = await wire.connected({ level: 4 })
  old.send(
    v3.subscribe(1, [
      [wire.topic('r'), 0],
      [wire.topic('w'), 0],
    ]),
  )
  await old.expectPacket(v3.suback(1, 0, 0))
  await old.expectPacket(v3.publish({ topic: wire.topic('r'), payload: 'r', retain: true }))
  const will = { topic: wire.topic('w'), payload: 'w', properties: property.contentType('c') }
  const dying = await connected5(wire, { clientId: wire.id('d'), will })
  dying.destroy()
  await old.expectPacket(v3.publish({ topic: wire.topic('w'), payload: 'w' }))
  publisher.send(publish({ topic: wire.topic('r'), retain: true }))
})

conformance(
  '5.0',
  ['MQTT-3.1.2-5', 'MQTT-3.1.4-3'],
  'a session moves from 3.1.1 to 5.0 and back with its subscriptions and queue',
  async (wire) => {
    const clientId = wire.id()
    const old = await wire.connected({ level: 4, clientId, clean: false })
    old.send(v3.subscribe(1, [[wire.topic(), 1]]))
    await old.expectPacket(v3.suback(1, 1))
    const publisher = await connected5(wire)
    const fresh = await connected5(
      wire,
      { clientId, clean: false, properties: property.sessionExpiryInterval(60) },
      true,
    )
    await old.expectClosed()
    await leave(fresh)
    publisher.send(
      publish({ topic: wire.topic(), payload: 'queued', qos: 1, id: 1, properties: property.contentType('c') }),
    )
    await expectAcknowledged(publisher, 'puback', 1)
    const again = await connected5(
      wire,
      { clientId, clean: false, properties: property.sessionExpiryInterval(60) },
      true,
    )
    const { packetId } = await expectPublish(again, {
      topic: wire.topic(),
      payload: 'queued',
      qos: 1,
      properties: [[3, 'c']],
    })
    const back = await wire.connected({ level: 4, clientId, clean: false }, true)
    await expectDisconnected(again, 0x8e)
    await back.expectPacket(v3.publish({ topic: wire.topic(), payload: 'queued', qos: 1, id: packetId, dup: true }))
    back.send(v3.puback(packetId))
    await back.settled()
    const clean = await wire.connected({ level: 4, clientId, clean: true })
    await clean.expectNothing()
  },
)

conformance('5.0', [], 'a message expires for 3.1.1 subscribers too', async (wire) => {
  const clientId = wire.id()
  const old = await wire.connected({ level: 4, clientId, clean: false })
  old.send(v3.subscribe(1, [[wire.topic(), 1]]))
  await old.expectPacket(v3.suback(1, 1))
  old.send(v3.disconnect)
  await old.expectClosed()
  const publisher = await connected5(wire)
  await subscribed(publisher, wire.topic('clock'))
  publisher.send(
    publish({ topic: wire.topic(), payload: 'short', qos: 1, id: 1, properties: property.messageExpiryInterval(1) }),
  )
  await expectAcknowledged(publisher, 'puback', 1)
  const dying = await connected5(wire, {
    clientId: wire.id('d'),
    properties: property.sessionExpiryInterval(60),
    will: { topic: wire.topic('clock'), properties: property.willDelayInterval(2) },
  })
  dying.destroy()
  await expectPublish(publisher, { topic: wire.topic('clock') })
  const back = await wire.connected({ level: 4, clientId, clean: false }, true)
  await back.expectNothing()
  await wire.connected({ level: 4, clientId, clean: true })
})

conformance('5.0', [], 'members of 3.1.1 and 5.0 share one group', async (wire) => {
  const filter = `$share/g/${wire.topic()}`
  const old = await wire.connected({ level: 4 })
  old.send(v3.subscribe(1, [[filter, 0]]))
  await old.expectPacket(v3.suback(1, 0))
  const client = await connected5(wire)
  client.send(subscribe(1, [[filter, 0]], property.subscriptionIdentifier(8)))
  expect(await next(client)).toMatchObject({ type: 'suback', reasonCodes: [0] })
  const publisher = await connected5(wire)
  for (let i = 0; i < 10; i++) publisher.send(publish({ topic: wire.topic(), payload: 'x' }))
  await publisher.settled()
  let count = 0
  old.send(v3.pingreq)
  for (let bytes = await old.expectPacket(); bytes[0] === 0x30; bytes = await old.expectPacket()) {
    expect(v3.toHex(bytes)).toBe(v3.toHex(v3.publish({ topic: wire.topic(), payload: 'x' })))
    count++
  }
  expect(count).toBeGreaterThan(0)
  client.send(v3.pingreq)
  for (let decoded = await next(client); decoded.type === 'publish'; decoded = await next(client)) {
    expect(valuesOf(decoded, 11)).toEqual([8])
    count++
  }
  expect(count).toBe(10)
})
