/*
 * MQTT 3.1.1 sections 3.5 to 3.7 and 4.3.3: PUBREC, PUBREL, PUBCOMP and the QoS 2 exchange.
 */

import { connack, connect, disconnect, pingreq, puback, pubcomp, publish, pubrec, pubrel, toHex } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire } from '../harness.ts'
import { closesConnection, expectDelivery, packetIdOf, subscribed } from './expect.ts'

/** A QoS 2 message from a publisher of its own, through to the PUBCOMP. */
async function publishQos2(wire: Wire, topic: string, payload: string): Promise<void> {
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload, qos: 2, id: 1 }))
  await publisher.expectPacket(pubrec(1))
  publisher.send(pubrel(1))
  await publisher.expectPacket(pubcomp(1))
}

/** Takes a QoS 2 delivery and returns its identifier. */
function received(client: RawClient, topic: string, payload: string): Promise<number> {
  return expectDelivery(client, (id) => publish({ topic, payload, qos: 2, id }))
}

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2', 'MQTT-2.3.1-6'],
  'PUBREC and PUBCOMP have the identifier of the PUBLISH',
  async (wire) => {
    const client = await wire.connected()
    for (const id of [1, 256, 0xffff]) {
      client.send(publish({ topic: wire.topic(), payload: 'x', qos: 2, id }))
      await client.expectPacket(pubrec(id))
      client.send(pubrel(id))
      await client.expectPacket(pubcomp(id))
    }
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2'],
  'a PUBLISH repeated before its PUBREL is acknowledged and not delivered again',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected()
    const message = { topic, payload: 'x', qos: 2, id: 5 }
    client.send(publish(message))
    await client.expectPacket(pubrec(5))
    client.send(publish({ ...message, dup: true }), publish(message))
    await client.expectPackets(pubrec(5), pubrec(5))
    client.send(pubrel(5))
    await client.expectPacket(pubcomp(5))
    await other.expectPacket(publish({ topic, payload: 'x' }))
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2'],
  'after the PUBCOMP the same identifier is a new message, with DUP too',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected()
    for (const dup of [false, true, false]) {
      client.send(publish({ topic, payload: String(dup), qos: 2, id: 5, dup }), pubrel(5))
      await client.expectPackets(pubrec(5), pubcomp(5))
      await other.expectPacket(publish({ topic, payload: String(dup) }))
    }
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2'],
  'a PUBREL is answered each time, also for an unknown identifier',
  async (wire) => {
    const client = await wire.connected()
    client.send(publish({ topic: wire.topic(), payload: 'x', qos: 2, id: 5 }))
    await client.expectPacket(pubrec(5))
    client.send(pubrel(5), pubrel(5), pubrel(5), pubrel(77))
    await client.expectPackets(pubcomp(5), pubcomp(5), pubcomp(5), pubcomp(77))
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2', 'MQTT-3.1.2-4', 'MQTT-4.1.0-1'],
  'received identifiers belong to the session and outlive its connection',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const message = { topic, payload: 'x', qos: 2, id: 5 }
    const first = await wire.connected({ clientId: wire.id(), clean: false })
    first.send(publish(message))
    await first.expectPacket(pubrec(5))
    first.destroy()
    const second = await wire.connected({ clientId: wire.id(), clean: false }, true)
    second.send(publish({ ...message, dup: true }))
    await second.expectPacket(pubrec(5))
    second.send(pubrel(5))
    await second.expectPacket(pubcomp(5))
    await other.expectPacket(publish({ topic, payload: 'x' }))
    await other.expectNothing()
    second.send(publish(message), pubrel(5))
    await second.expectPackets(pubrec(5), pubcomp(5))
    await other.expectPacket(publish({ topic, payload: 'x' }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2', 'MQTT-3.1.2-6'],
  'received identifiers end with a clean session',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const message = { topic, payload: 'x', qos: 2, id: 5 }
    const first = await wire.connected({ clientId: wire.id(), clean: true })
    first.send(publish({ ...message, payload: 'first' }))
    await first.expectPacket(pubrec(5))
    first.destroy()
    const second = await wire.connected({ clientId: wire.id(), clean: true })
    second.send(publish({ ...message, payload: 'second', dup: true }), pubrel(5))
    await second.expectPackets(pubrec(5), pubcomp(5))
    // Whether the first was delivered before its PUBREL is up to the broker; the second is another message anyway.
    const arrived = await other.expectPacket()
    if (toHex(arrived) === toHex(publish({ topic, payload: 'first' }))) {
      await other.expectPacket(publish({ topic, payload: 'second' }))
    } else if (toHex(arrived) !== toHex(publish({ topic, payload: 'second' }))) {
      throw new Error(`expected the first or the second message\nreceived ${toHex(arrived)}`)
    }
  },
)

conformance('3.1.1', ['MQTT-4.3.3-2'], 'two clients may use the same identifier at the same time', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const clients = [await wire.connected(), await wire.connected()]
  for (const [i, client] of clients.entries()) {
    client.send(publish({ topic, payload: `${i}`, qos: 2, id: 5 }))
    await client.expectPacket(pubrec(5))
    client.send(pubrel(5))
    await client.expectPacket(pubcomp(5))
    await other.expectPacket(publish({ topic, payload: `${i}` }))
  }
})

conformance(
  '3.1.1',
  ['MQTT-4.3.3-1', 'MQTT-2.3.1-6'],
  'a delivery goes PUBLISH, PUBREC, PUBREL, PUBCOMP with one identifier',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 2)
    await publishQos2(wire, topic, 'x')
    const id = await received(client, topic, 'x')
    client.send(pubrec(id))
    await client.expectPacket(pubrel(id))
    client.send(pubcomp(id))
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-1', 'MQTT-2.3.1-4'],
  'open QoS 2 deliveries have different identifiers, none of them 0',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 2)
    const ids = new Set<number>()
    for (let i = 0; i < 10; i++) {
      await publishQos2(wire, topic, `${i}`)
      const id = await received(client, topic, `${i}`)
      ids.add(id)
      if (i % 2 === 0) continue
      client.send(pubrec(id))
      await client.expectPacket(pubrel(id))
    }
    if (ids.size !== 10 || ids.has(0)) throw new Error(`identifiers: ${[...ids]}`)
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-1', 'MQTT-3.3.1-1', 'MQTT-4.4.0-1'],
  'without PUBREC the PUBLISH is repeated with DUP',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false })
    await publishQos2(wire, topic, 'x')
    const id = await received(first, topic, 'x')
    first.destroy()
    for (let i = 0; i < 2; i++) {
      const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
      await again.expectPacket(publish({ topic, payload: 'x', qos: 2, id, dup: true }))
      await again.expectNothing()
      again.destroy()
    }
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-1', 'MQTT-4.4.0-1'],
  'after PUBREC the PUBREL is repeated, never the PUBLISH',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false })
    await publishQos2(wire, topic, 'x')
    const id = await received(first, topic, 'x')
    first.send(pubrec(id))
    await first.expectPacket(pubrel(id))
    first.destroy()
    for (let i = 0; i < 2; i++) {
      const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
      await again.expectPacket(pubrel(id))
      await again.expectNothing()
      again.destroy()
    }
    const last = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await last.expectPacket(pubrel(id))
    last.send(pubcomp(id), disconnect)
    await last.expectClosed()
    const done = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await done.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-4.3.3-1'], 'a repeated PUBREC is answered with PUBREL again', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 2)
  await publishQos2(wire, topic, 'x')
  const id = await received(client, topic, 'x')
  client.send(pubrec(id), pubrec(id))
  await client.expectPackets(pubrel(id), pubrel(id))
  client.send(pubcomp(id))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-4.8.0-1', 'MQTT-4.3.3-1'],
  'a PUBACK, or a PUBCOMP before the PUBREC, for a QoS 2 delivery closes and does not end it',
  async (wire) => {
    for (const wrong of [puback, pubcomp]) {
      const topic = wire.topic(wrong.name)
      const session = { clientId: wire.id(wrong.name), clean: false }
      const client = await subscribed(wire, topic, 2, session)
      await publishQos2(wire, topic, 'x')
      const id = await received(client, topic, 'x')
      client.send(wrong(id))
      await client.expectClosed()
      const again = await wire.connected(session, true)
      await again.expectPacket(publish({ topic, payload: 'x', qos: 2, id, dup: true }))
    }
  },
)

conformance('3.1.1', ['MQTT-4.3.3-2', 'MQTT-4.8.0-1'], 'malformed PUBREC, PUBREL and PUBCOMP close', async (wire) => {
  await closesConnection(wire, '50 01 00', '50 00', '62 00', '62 01 00', '62 03 00 01 00', '70 00', '70 03 00 01 00')
  await closesConnection(wire, pubrec(0), pubrel(0), pubcomp(0))
})

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2'],
  'PUBREL and the next message in one chunk are handled in order',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.open()
    client.send(
      connect({ clientId: wire.id() }),
      publish({ topic, payload: '1', qos: 2, id: 1 }),
      pubrel(1),
      publish({ topic, payload: '2', qos: 2, id: 1 }),
      pubrel(1),
    )
    await client.expectPackets(connack(), pubrec(1), pubcomp(1), pubrec(1), pubcomp(1))
    await other.expectPackets(publish({ topic, payload: '1' }), publish({ topic, payload: '2' }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.3-2', 'MQTT-4.6.0-3'],
  'a publisher may have all 65535 identifiers open at QoS 2',
  async (wire) => {
    const topic = wire.topic()
    const client = await wire.connected()
    const ids = Array.from({ length: 65_535 }, (_, i) => i + 1)
    client.send(Buffer.concat(ids.map((id) => publish({ topic, qos: 2, id }))))
    for (const id of ids) await client.expectPacket(pubrec(id))
    client.send(Buffer.concat(ids.map((id) => pubrel(id))))
    for (const id of ids) await client.expectPacket(pubcomp(id))
  },
)

/** Handles what the broker sends as a QoS 2 receiver does, until its connection is broken off or all has come. */
async function receiveSome(client: RawClient, packets: number, open: Set<number>, taken: string[]): Promise<void> {
  for (let i = 0; i < packets; i++) {
    client.send(pingreq)
    for (let packet = await client.expectPacket(); packet[0] !== 0xd0; packet = await client.expectPacket()) {
      if (packet[0] === 0x62) {
        const id = packet[2]! * 256 + packet[3]!
        open.delete(id)
        client.send(pubcomp(id))
        continue
      }
      const id = packetIdOf(packet)
      if (!open.has(id)) taken.push(new TextDecoder().decode(packet.subarray(-4)))
      open.add(id)
      client.send(pubrec(id))
    }
  }
}

conformance(
  '3.1.1',
  ['MQTT-4.3.3-1', 'MQTT-4.4.0-1', 'MQTT-4.6.0-1'],
  'each message comes exactly once and in order over connections that break',
  async (wire) => {
    const topic = wire.topic()
    const count = 400
    const session = { clientId: wire.id(), clean: false }
    let client = await subscribed(wire, topic, 2, session)
    const publisher = await wire.connected()
    const open = new Set<number>()
    const taken: string[] = []
    for (let i = 0; i < count; i++) {
      publisher.send(publish({ topic, payload: String(i).padStart(4, '0'), qos: 2, id: i + 1 }), pubrel(i + 1))
      if (i % 10 !== 9) continue
      await receiveSome(client, i % 4, open, taken)
      client.destroy()
      client = await wire.connected(session, true)
    }
    await publisher.expectPackets(...Array.from({ length: count }, (_, i) => [pubrec(i + 1), pubcomp(i + 1)]).flat())
    while (open.size > 0 || taken.length < count) await receiveSome(client, 1, open, taken)
    await receiveSome(client, 2, open, taken)
    const expected = Array.from({ length: count }, (_, i) => String(i).padStart(4, '0'))
    if (taken.join() !== expected.join()) throw new Error(`taken: ${taken}`)
  },
)
