/*
 * MQTT 3.1.1 sections 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.
 */

import {
  disconnect,
  field,
  packet,
  puback,
  pubcomp,
  publish,
  pubrec,
  pubrel,
  text,
  unsuback,
  unsubscribe,
} from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesConnection, expectDelivery, subscribed, subscribeOn } from './expect.ts'

conformance(
  '3.1.1',
  ['MQTT-3.10.4-4', 'MQTT-3.10.4-5', 'MQTT-2.3.1-7'],
  'an UNSUBSCRIBE is answered with an UNSUBACK of its identifier',
  async (wire) => {
    const client = await wire.connected()
    client.send('a2 05 00 01 00 01 61')
    await client.expectPacket('b0 02 00 01')
    client.send('a2 05 01 02 00 01 61')
    await client.expectPacket('b0 02 01 02')
    client.send('a2 05 ff ff 00 01 61')
    await client.expectPacket('b0 02 ff ff')
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-2.3.1-1', 'MQTT-4.8.0-1'],
  'the packet identifier 0 in UNSUBSCRIBE closes',
  async (wire) => {
    await closesConnection(wire, unsubscribe(0, ['a']))
  },
)

conformance('3.1.1', ['MQTT-3.10.3-2', 'MQTT-4.8.0-1'], 'an UNSUBSCRIBE without a filter closes', async (wire) => {
  await closesConnection(wire, packet(0xa2, '00 01'), packet(0xa2), packet(0xa2, '00'))
})

conformance(
  '3.1.1',
  ['MQTT-3.10.3-1', 'MQTT-4.7.3-1'],
  'an UNSUBSCRIBE that ends within a filter, or has an empty one, closes',
  async (wire) => {
    await closesConnection(
      wire,
      packet(0xa2, '00 01', '00'),
      packet(0xa2, '00 01', '00 05', text('abc')),
      packet(0xa2, '00 01', field('abc'), '00'),
      unsubscribe(1, ['']),
      unsubscribe(1, ['a', '']),
    )
  },
)

conformance('3.1.1', ['MQTT-3.10.4-1', 'MQTT-3.10.4-2'], 'after the UNSUBACK no new message comes', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 1)
  const other = await subscribed(wire, topic, 0)
  client.send(unsubscribe(1, [topic]))
  await client.expectPacket(unsuback(1))
  other.send(publish({ topic, payload: 'x' }))
  await other.expectPacket(publish({ topic, payload: 'x' }))
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-3.10.4-1'], 'only an equal filter is deleted, not one that matches', async (wire) => {
  const topic = wire.topic()
  const filters = [topic, `${topic}/#`, '+/a', `${topic.toUpperCase()}`]
  const client = await subscribed(wire, topic, 0)
  for (const filter of filters.slice(1)) {
    client.send(unsubscribe(1, [filter]))
    await client.expectPacket(unsuback(1))
    client.send(publish({ topic, payload: filter }))
    await client.expectPacket(publish({ topic, payload: filter }))
  }
  await subscribeOn(client, `${topic}/#`, 0)
  client.send(unsubscribe(2, [topic]))
  await client.expectPacket(unsuback(2))
  client.send(publish({ topic, payload: 'through the wildcard' }))
  await client.expectPacket(publish({ topic, payload: 'through the wildcard' }))
})

conformance(
  '3.1.1',
  ['MQTT-3.10.4-1', 'MQTT-3.1.2-4'],
  'a deleted subscription stays deleted when the session is resumed',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    client.send(unsubscribe(1, [topic]))
    await client.expectPacket(unsuback(1))
    client.send(disconnect)
    await client.expectClosed()
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await again.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.10.4-3'], 'a QoS 2 delivery that has begun is completed', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 2)
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 2, id: 1 }), pubrel(1))
  await publisher.expectPackets(pubrec(1), pubcomp(1))
  const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 2, id: given }))
  client.send(unsubscribe(1, [topic]))
  await client.expectPacket(unsuback(1))
  client.send(pubrec(id))
  await client.expectPacket(pubrel(id))
  client.send(pubcomp(id))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.10.4-3', 'MQTT-4.4.0-1'],
  'a QoS 1 delivery that has begun is repeated after a reconnect',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
    client.send(unsubscribe(1, [topic]))
    await client.expectPacket(unsuback(1))
    client.destroy()
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await again.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.10.4-5'],
  'a filter that was never subscribed is acknowledged, twice too',
  async (wire) => {
    const client = await wire.connected()
    client.send(unsubscribe(1, [wire.topic()]), unsubscribe(2, [wire.topic()]))
    await client.expectPackets(unsuback(1), unsuback(2))
  },
)

conformance('3.1.1', ['MQTT-3.10.4-6'], 'several filters have one UNSUBACK and are all deleted', async (wire) => {
  const topics = ['a', 'b', 'c'].map((name) => wire.topic(name))
  const client = await wire.connected()
  for (const topic of topics) await subscribeOn(client, topic, 0)
  client.send(unsubscribe(5, [topics[0]!, wire.topic('never'), topics[2]!]))
  await client.expectPacket(unsuback(5))
  client.send(...topics.map((topic) => publish({ topic, payload: 'x' })))
  await client.expectPacket(publish({ topic: topics[1]!, payload: 'x' }))
  await client.expectNothing()
})
