/*
 * MQTT 5.0 sections 3.1.2.4 Clean Start, 3.1.2.11.2 Session Expiry Interval and 4.1 Session State.
 */

import { expect } from 'vitest'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectDisconnected,
  expectPublish,
  expectSessionGone,
  leave,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, decode, disconnect, property, publish, valuesOf } from './packets.ts'

const sixtySeconds = property.sessionExpiryInterval(60)

conformance('5.0', ['MQTT-3.1.2-4', 'MQTT-3.2.2-2'], 'Clean Start 1 ends the session that was there', async (wire) => {
  const clientId = wire.id()
  const publisher = await connected5(wire)
  const before = await connected5(wire, { clientId, properties: sixtySeconds })
  await subscribed(before, wire.topic(), 1)
  await leave(before)
  publisher.send(publish({ topic: wire.topic(), payload: 'queued', qos: 1, id: 1 }))
  await expectAcknowledged(publisher, 'puback', 1)
  const after = await connected5(wire, { clientId, clean: true, properties: sixtySeconds })
  publisher.send(publish({ topic: wire.topic(), payload: 'not subscribed', qos: 1, id: 2 }))
  await expectAcknowledged(publisher, 'puback', 2, taken)
  await after.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.1.2-5', 'MQTT-3.2.2-3', 'MQTT-4.5.0-1'],
  'Clean Start 0 continues the session with its subscriptions and queue',
  async (wire) => {
    const clientId = wire.id()
    const publisher = await connected5(wire)
    const before = await connected5(wire, { clientId, properties: sixtySeconds })
    await subscribed(before, wire.topic(), 1)
    await leave(before)
    for (let id = 1; id <= 3; id++) {
      publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 1, id }))
      await expectAcknowledged(publisher, 'puback', id)
    }
    const after = await connected5(wire, { clientId, clean: false, properties: sixtySeconds }, true)
    for (let id = 1; id <= 3; id++) await expectPublish(after, { topic: wire.topic(), payload: `${id}`, qos: 1 })
    publisher.send(publish({ topic: wire.topic(), payload: 'live', qos: 0 }))
    await expectPublish(after, { topic: wire.topic(), payload: 'live' })
  },
)

conformance('5.0', ['MQTT-3.1.2-6', 'MQTT-3.2.2-3'], 'Clean Start 0 without a session begins one', async (wire) => {
  const clientId = wire.id()
  const first = await connected5(wire, { clientId, clean: false, properties: sixtySeconds })
  await leave(first)
  await connected5(wire, { clientId, clean: false }, true)
})

conformance(
  '5.0',
  ['MQTT-3.1.2-23'],
  'a session expiry above 0 keeps the session after a close without DISCONNECT',
  async (wire) => {
    const clientId = wire.id()
    const first = await connected5(wire, { clientId, properties: sixtySeconds })
    await subscribed(first, wire.topic(), 1)
    first.destroy()
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'kept', qos: 1, id: 1 }))
    await expectAcknowledged(publisher, 'puback', 1)
    const again = await connected5(wire, { clientId, clean: false, properties: sixtySeconds }, true)
    const { packetId } = await expectPublish(again, { topic: wire.topic(), payload: 'kept', qos: 1 })
    again.send(acknowledge('puback', packetId))
    await again.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.1.0-2'],
  'without a session expiry, or with 0, the session ends with the connection',
  async (wire) => {
    for (const properties of [undefined, property.sessionExpiryInterval(0)]) {
      const fields = { clientId: wire.id(), clean: false, ...(properties === undefined ? {} : { properties }) }
      const first = await connected5(wire, fields)
      await subscribed(first, wire.topic(), 1)
      await leave(first)
      const second = await connected5(wire, fields, false)
      second.send(publish({ topic: wire.topic() }))
      await second.expectNothing()
      await leave(second)
    }
  },
)

conformance('5.0', ['MQTT-4.1.0-2'], 'the session is gone when its expiry interval has passed', async (wire) => {
  const clientId = wire.id()
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic('ended'))
  // The will is the event that tells when the session ended: it is delayed until then at the latest.
  const first = await connected5(wire, {
    clientId,
    properties: property.sessionExpiryInterval(1),
    will: { topic: wire.topic('ended'), payload: 'over', properties: property.willDelayInterval(600) },
  })
  await subscribed(first, wire.topic(), 1)
  first.destroy()
  await expectPublish(watcher, { topic: wire.topic('ended'), payload: 'over' })
  const second = await connected5(wire, { clientId, clean: false }, false)
  second.send(publish({ topic: wire.topic() }))
  await second.expectNothing()
})

conformance('5.0', ['MQTT-4.1.0-2'], 'DISCONNECT may shorten the session expiry, to 0 as well', async (wire) => {
  const clientId = wire.id()
  const first = await connected5(wire, { clientId, properties: sixtySeconds })
  await leave(first, property.sessionExpiryInterval(0))
  await expectSessionGone(wire, clientId)
})

conformance('5.0', ['MQTT-3.1.2-23'], 'DISCONNECT may prolong a session expiry that is not 0', async (wire) => {
  const clientId = wire.id()
  const first = await connected5(wire, { clientId, properties: property.sessionExpiryInterval(1) })
  await subscribed(first, wire.topic(), 1)
  await leave(first, property.sessionExpiryInterval(3600))
  const second = await connected5(wire, { clientId, clean: false, properties: sixtySeconds }, true)
  await leave(second, property.sessionExpiryInterval(0))
  await expectSessionGone(wire, clientId)
})

conformance('5.0', [], 'DISCONNECT may not prolong a session expiry of 0: protocol error', async (wire) => {
  const client = await connected5(wire, { clientId: wire.id() })
  client.send(disconnect(0, property.sessionExpiryInterval(5)))
  await expectDisconnected(client, 0x82)
})

conformance(
  '5.0',
  ['MQTT-3.1.2-5'],
  'a session is resumed with its queue even when the new expiry is 0',
  async (wire) => {
    const clientId = wire.id()
    const first = await connected5(wire, { clientId, properties: sixtySeconds })
    await subscribed(first, wire.topic(), 2)
    await leave(first)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'queued', qos: 1, id: 1 }))
    await expectAcknowledged(publisher, 'puback', 1)
    const second = await connected5(wire, { clientId, clean: false }, true)
    const { packetId } = await expectPublish(second, { topic: wire.topic(), payload: 'queued', qos: 1 })
    second.send(acknowledge('puback', packetId))
    await leave(second)
    await expectSessionGone(wire, clientId)
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-23'],
  'an expiry of 0xFFFFFFFF, and one beyond 2^31 milliseconds, do not end the session',
  async (wire) => {
    for (const seconds of [0xffffffff, 0xfffffffe, 2_147_484, 4_294_968]) {
      const clientId = wire.id(`s${seconds}`)
      const first = await connected5(wire, { clientId, properties: property.sessionExpiryInterval(seconds) })
      await leave(first)
      const second = await connected5(
        wire,
        { clientId, clean: false, properties: property.sessionExpiryInterval(seconds) },
        true,
      )
      await leave(second, property.sessionExpiryInterval(0))
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.1.0-1'],
  'the state stays while the connection is open, whatever the expiry interval',
  async (wire) => {
    const client = await connected5(wire, { clientId: wire.id(), properties: property.sessionExpiryInterval(1) })
    const other = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    await subscribed(other, wire.topic('later'))
    // Longer than the expiry interval: the will of a third client marks the time.
    const third = await connected5(wire, {
      clientId: wire.id('t'),
      properties: property.sessionExpiryInterval(60),
      will: { topic: wire.topic('later'), properties: property.willDelayInterval(2) },
    })
    third.destroy()
    await expectPublish(other, { topic: wire.topic('later') })
    other.send(publish({ topic: wire.topic(), payload: 'still here', qos: 1, id: 1 }))
    await expectPublish(client, { topic: wire.topic(), payload: 'still here', qos: 1 })
  },
)

conformance('5.0', ['MQTT-4.5.0-1'], 'every matching session gets the message, online or not', async (wire) => {
  const ids = ['a', 'b', 'c'].map((name) => wire.id(name))
  for (const clientId of ids) {
    const client = await connected5(wire, { clientId, properties: sixtySeconds })
    await subscribed(client, wire.topic(), 1)
    await leave(client)
  }
  const online = await connected5(wire)
  await subscribed(online, wire.topic(), 1)
  online.send(
    publish({ topic: wire.topic(), payload: 'all', qos: 0 }),
    publish({ topic: wire.topic(), payload: 'all 1', qos: 1, id: 1 }),
  )
  await expectPublish(online, { topic: wire.topic(), payload: 'all' })
  for (const clientId of ids) {
    const client = await connected5(
      wire,
      { clientId, clean: false, properties: property.sessionExpiryInterval(0) },
      true,
    )
    const decoded = decode(await client.expectPacket())
    // QoS 0 for an offline session may be kept or dropped; QoS 1 must be there.
    if (decoded.payload === 'all') await expectPublish(client, { topic: wire.topic(), payload: 'all 1', qos: 1 })
    else expect(decoded).toMatchObject({ payload: 'all 1', flags: 2 })
  }
})

withGateway({ limits: { sessionExpirySecondsMax: 100 } }, () => {
  conformance('5.0', [], 'a session expiry above the limit of the server is told in the CONNACK', async (wire) => {
    const sessionExpiryInterval = 17
    const long = await connected5(wire, { clientId: wire.id('l'), properties: property.sessionExpiryInterval(101) })
    expect(valuesOf(decode(long.connack), sessionExpiryInterval)).toEqual([100])
    const short = await connected5(wire, { clientId: wire.id('s'), properties: property.sessionExpiryInterval(100) })
    expect(valuesOf(decode(short.connack), sessionExpiryInterval)).toEqual([])
  })
})
