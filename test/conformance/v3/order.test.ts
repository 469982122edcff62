/*
 * MQTT 3.1.1 section 4.6: the order of messages and of their acknowledgements.
 */

import { disconnect, puback, pubcomp, publish, pubrec, pubrel } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance } from '../harness.ts'
import { expectDelivery, packetIdOf, subscribed } from './expect.ts'

const count = 300

/** Takes numbered messages at QoS 1 without acknowledging them, and returns their identifiers. */
async function takeNumbered(client: RawClient, topic: string, qos: number, dup = false): Promise<number[]> {
  const ids: number[] = []
  for (let i = 0; i < count; i++) {
    const delivery = await client.expectPacket()
    const id = packetIdOf(delivery)
    client.unread(delivery)
    await client.expectPacket(publish({ topic, payload: `${i}`, qos, id, dup }))
    ids.push(id)
  }
  return ids
}

conformance(
  '3.1.1',
  ['MQTT-4.6.0-1'],
  'unacknowledged QoS 1 messages come again in their first order',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    const publisher = await wire.connected()
    publisher.send(...Array.from({ length: count }, (_, i) => publish({ topic, payload: `${i}`, qos: 1, id: i + 1 })))
    const ids = await takeNumbered(first, topic, 1)
    first.destroy()
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    const repeated = await takeNumbered(again, topic, 1, true)
    if (ids.join() !== repeated.join()) throw new Error('the identifiers changed')
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.6.0-1'],
  'unacknowledged QoS 2 messages come again in their first order',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false })
    const publisher = await wire.connected()
    for (let i = 0; i < count; i++)
      publisher.send(publish({ topic, payload: `${i}`, qos: 2, id: i + 1 }), pubrel(i + 1))
    const ids = await takeNumbered(first, topic, 2)
    first.destroy()
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    const repeated = await takeNumbered(again, topic, 2, true)
    if (ids.join() !== repeated.join()) throw new Error('the identifiers changed')
  },
)

conformance('3.1.1', ['MQTT-4.6.0-2'], 'PUBACK packets come in the order of their PUBLISH packets', async (wire) => {
  const topic = wire.topic()
  await subscribed(wire, topic, 1, { clientId: wire.id('durable'), clean: false })
  const client = await wire.connected()
  const ids = Array.from({ length: count }, (_, i) => ((i * 7919) % 65_521) + 1)
  // Every other message has a subscriber whose state must be kept, so that some wait longer than others.
  client.send(
    ...ids.map((id, i) => publish({ topic: i % 2 === 0 ? topic : wire.topic('b'), payload: 'x', qos: 1, id })),
  )
  await client.expectPackets(...ids.map((id) => puback(id)))
})

conformance('3.1.1', ['MQTT-4.6.0-3'], 'PUBREC packets come in the order of their PUBLISH packets', async (wire) => {
  const topic = wire.topic()
  await subscribed(wire, topic, 2, { clientId: wire.id('durable'), clean: false })
  const client = await wire.connected()
  const ids = Array.from({ length: count }, (_, i) => ((i * 7919) % 65_521) + 1)
  client.send(
    ...ids.map((id, i) => publish({ topic: i % 2 === 0 ? topic : wire.topic('b'), payload: 'x', qos: 2, id })),
  )
  await client.expectPackets(...ids.map((id) => pubrec(id)))
  client.send(...ids.map((id) => pubrel(id)))
  await client.expectPackets(...ids.map((id) => pubcomp(id)))
})

conformance('3.1.1', ['MQTT-4.6.0-4'], 'PUBREL packets come in the order of their PUBREC packets', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false })
  const publisher = await wire.connected()
  const ids: number[] = []
  for (let i = 0; i < 10; i++) {
    publisher.send(publish({ topic, payload: `${i}`, qos: 2, id: i + 1 }), pubrel(i + 1))
    ids.push(await expectDelivery(client, (id) => publish({ topic, payload: `${i}`, qos: 2, id })))
  }
  const mixed = [3, 0, 9, 4, 1, 8, 2, 7, 5, 6].map((i) => ids[i]!)
  client.send(...mixed.map((id) => pubrec(id)))
  await client.expectPackets(...mixed.map((id) => pubrel(id)))
})

for (const qos of [0, 1, 2]) {
  conformance(
    '3.1.1',
    ['MQTT-4.6.0-5', 'MQTT-4.6.0-6'],
    `messages of QoS ${qos} arrive in the order they were sent`,
    async (wire) => {
      const topic = wire.topic(wire.id())
      const subscribers = [
        await subscribed(wire, topic, qos),
        await subscribed(wire, `${topic}/#`, qos),
        await subscribed(wire, `+/${topic.split('/')[1]}`, qos, { clientId: wire.id('durable'), clean: false }),
      ]
      const publisher = await wire.connected()
      for (let i = 0; i < count; i++) {
        publisher.send(publish({ topic, payload: `${i}`, qos, ...(qos > 0 && { id: i + 1 }) }))
        if (qos === 2) publisher.send(pubrel(i + 1))
      }
      for (const subscriber of subscribers) {
        for (let i = 0; i < count; i++) {
          if (qos === 0) await subscriber.expectPacket(publish({ topic, payload: `${i}` }))
          else await expectDelivery(subscriber, (id) => publish({ topic, payload: `${i}`, qos, id }))
        }
        await subscriber.expectNothing()
      }
    },
  )
}

conformance(
  '3.1.1',
  ['MQTT-4.6.0-6'],
  'messages of several publishers keep the order of each of them',
  async (wire) => {
    const topic = wire.topic()
    const subscriber = await subscribed(wire, topic, 1)
    const names = ['a', 'b', 'c']
    const publishers = []
    for (const name of names) publishers.push(await wire.connected({ clientId: wire.id(name) }))
    for (let i = 0; i < count; i++) {
      for (const [p, publisher] of publishers.entries()) {
        publisher.send(publish({ topic, payload: `${names[p]}${i}`, qos: 1, id: i + 1 }))
      }
    }
    const next = new Map(names.map((name) => [name, 0]))
    for (let i = 0; i < names.length * count; i++) {
      const delivery = await subscriber.expectPacket()
      const id = packetIdOf(delivery)
      const payload = new TextDecoder().decode(delivery.subarray(6 + topic.length))
      const expected = `${payload[0]}${next.get(payload[0]!)}`
      if (payload !== expected) throw new Error(`expected ${expected}, received ${payload}`)
      next.set(payload[0]!, next.get(payload[0]!)! + 1)
      subscriber.send(puback(id))
    }
    await subscriber.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.6.0-6'],
  'messages that waited come before messages sent after the reconnect',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    first.send(disconnect)
    await first.expectClosed()
    const publisher = await wire.connected()
    const half = count / 2
    publisher.send(...Array.from({ length: half }, (_, i) => publish({ topic, payload: `${i}`, qos: 1, id: i + 1 })))
    for (let i = 0; i < half; i++) await publisher.expectPacket(puback(i + 1))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    publisher.send(
      ...Array.from({ length: half }, (_, i) => publish({ topic, payload: `${half + i}`, qos: 1, id: half + i + 1 })),
    )
    await takeNumbered(again, topic, 1)
    await again.expectNothing()
  },
)
