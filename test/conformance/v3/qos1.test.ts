/*
 * MQTT 3.1.1 sections 2.3.1, 3.4 and 4.3.2: packet identifiers, PUBACK and the QoS 1 exchange.
 */

import { disconnect, hex, puback, publish, pubrec, toHex } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance } from '../harness.ts'
import { closesConnection, expectDelivery, packetIdOf, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-2.3.1-1', 'MQTT-4.8.0-1'], 'the packet identifier 0 in a PUBLISH closes', async (wire) => {
  const message = { topic: wire.topic(), payload: 'x', id: 0 }
  await closesConnection(wire, publish({ ...message, qos: 1 }), publish({ ...message, qos: 2 }))
})

conformance('3.1.1', ['MQTT-2.3.1-6', 'MQTT-4.3.2-2'], 'a PUBACK has the identifier of its PUBLISH', async (wire) => {
  const client = await wire.connected()
  for (const id of [1, 2, 255, 256, 0x7fff, 0x8000, 0xffff]) {
    client.send(publish({ topic: wire.topic(), payload: 'x', qos: 1, id }))
    await client.expectPacket(puback(id))
  }
})

conformance(
  '3.1.1',
  ['MQTT-4.3.2-2'],
  'after the PUBACK the same identifier is a new message, with DUP too',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected()
    for (const dup of [false, false, true]) {
      client.send(publish({ topic, payload: String(dup), qos: 1, id: 9, dup }))
      await client.expectPacket(puback(9))
      await other.expectPacket(publish({ topic, payload: String(dup) }))
    }
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.3.2-1', 'MQTT-2.3.1-4'],
  'open QoS 1 deliveries have different identifiers, none of them 0',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 1)
    const publisher = await wire.connected()
    const ids = new Set<number>()
    for (let i = 0; i < 20; i++) {
      publisher.send(publish({ topic, payload: `${i}`, qos: 1, id: 1 }))
      await publisher.expectPacket(puback(1))
      ids.add(await expectDelivery(client, (id) => publish({ topic, payload: `${i}`, qos: 1, id })))
    }
    if (ids.size !== 20 || ids.has(0)) throw new Error(`identifiers: ${[...ids]}`)
  },
)

conformance('3.1.1', ['MQTT-4.3.2-1'], 'an open delivery is not repeated while its connection lasts', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 1)
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
  await client.expectNothing()
  client.send(puback(id))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-4.3.2-1', 'MQTT-3.3.1-1', 'MQTT-4.4.0-1'],
  'an open delivery is repeated with DUP until its PUBACK',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const id = await expectDelivery(first, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
    first.destroy()
    for (let i = 0; i < 2; i++) {
      const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
      await again.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
      await again.expectNothing()
      again.destroy()
    }
    const last = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await last.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
    last.send(puback(id), disconnect)
    await last.expectClosed()
    const done = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await done.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.8.0-1', 'MQTT-4.3.2-1'],
  'a PUBREC or PUBCOMP for a QoS 1 delivery closes and does not end it',
  async (wire) => {
    for (const wrong of ['50 02', '70 02']) {
      const topic = wire.topic(wrong.slice(0, 2))
      const clientId = wire.id(wrong.slice(0, 2))
      const client = await subscribed(wire, topic, 1, { clientId, clean: false })
      const publisher = await wire.connected()
      publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
      await publisher.expectPacket(puback(1))
      const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
      client.send(wrong, Uint8Array.of(id >> 8, id & 0xff))
      await client.expectClosed()
      const again = await wire.connected({ clientId, clean: false }, true)
      await again.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
    }
  },
)

conformance('3.1.1', ['MQTT-4.3.2-1'], 'an acknowledgement from another client ends no delivery', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
  const stranger = await wire.connected()
  stranger.send(puback(id))
  stranger.end()
  client.destroy()
  const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
  await again.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
})

/** Publishes messages with rising numbers at QoS 1 and returns once all are acknowledged. */
async function publishNumbered(client: RawClient, topic: string, from: number, count: number): Promise<void> {
  const packets = Array.from({ length: count }, (_, i) => publish({ topic, payload: `${from + i}`, qos: 1, id: i + 1 }))
  client.send(...packets)
  for (let i = 0; i < count; i++) await client.expectPacket(puback(i + 1))
}

conformance(
  '3.1.1',
  ['MQTT-2.3.1-4', 'MQTT-4.3.2-1'],
  'identifiers start again after 65535 and pass over one that is still open',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 1)
    const publisher = await wire.connected()
    const batch = 500
    let open = 0
    for (let from = 0; from < 66_000; from += batch) {
      await publishNumbered(publisher, topic, from, batch)
      for (let number = from; number < from + batch; number++) {
        const id = numberedId(await client.expectPacket(), topic, number)
        if (id === 0 || id === open) throw new Error(`message ${number} has the identifier ${id}`)
        // One of the last deliveries before the identifiers start again stays open to the end.
        if (number === 65_000) open = id
        else client.send(puback(id))
      }
    }
    await client.expectNothing()
    client.send(puback(open))
    await client.expectNothing()
  },
  { timeoutMs: 60_000 },
)

/** The identifier of a numbered message. Throws if it is another message. */
function numberedId(delivery: Uint8Array, topic: string, number: number): number {
  const id = packetIdOf(delivery)
  const expected = toHex(publish({ topic, payload: `${number}`, qos: 1, id }))
  if (toHex(delivery) !== expected) throw new Error(`expected message ${number}\nreceived ${toHex(delivery)}`)
  return id
}

conformance(
  '3.1.1',
  ['MQTT-4.3.2-2', 'MQTT-4.6.0-2'],
  'a publisher may have all 65535 identifiers under way',
  async (wire) => {
    const topic = wire.topic()
    const client = await wire.connected()
    const packets = Array.from({ length: 65_535 }, (_, i) => publish({ topic, qos: 1, id: i + 1 }))
    client.send(Buffer.concat(packets))
    for (let id = 1; id <= 65_535; id++) await client.expectPacket(puback(id))
  },
)

conformance('3.1.1', ['MQTT-4.3.2-1', 'MQTT-4.8.0-1'], 'malformed acknowledgements close', async (wire) => {
  await closesConnection(wire, hex('40 01 00'), hex('40 00'), hex('40 03 00 01 00'), pubrec(0), puback(0))
})
