/*
 * MQTT 3.1.1 section 3.3.1.3: retained messages.
 */

import { concat, disconnect, puback, publish, pubrec, suback, subscribe, text } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire } from '../harness.ts'
import { expectDelivery, subscribed, subscribeOn } from './expect.ts'

/** Retains a message with QoS 1, so that it is in place when this returns. */
async function retain(wire: Wire, topic: string | Uint8Array, payload: string): Promise<RawClient> {
  const client = await wire.connected()
  client.send(publish({ topic, payload, retain: true, qos: 1, id: 1 }))
  await client.expectPacket(puback(1))
  return client
}

conformance(
  '3.1.1',
  ['MQTT-3.3.1-5', 'MQTT-3.3.1-6', 'MQTT-3.3.1-8'],
  'a retained message meets each new subscription with RETAIN 1',
  async (wire) => {
    const topic = wire.topic()
    await retain(wire, topic, 'kept')
    for (let i = 0; i < 2; i++) {
      const client = await subscribed(wire, topic, 0)
      await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
      await client.expectNothing()
    }
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.3.1-5', 'MQTT-3.8.4-6'],
  'a retained message keeps its QoS, up to the granted one',
  async (wire) => {
    const publisher = await wire.connected()
    publisher.send(publish({ topic: wire.topic('0'), payload: '0', retain: true }))
    publisher.send(publish({ topic: wire.topic('1'), payload: '1', retain: true, qos: 1, id: 1 }))
    publisher.send(publish({ topic: wire.topic('2'), payload: '2', retain: true, qos: 2, id: 2 }), '62 02 00 02')
    await publisher.expectPackets(puback(1), pubrec(2), '70 02 00 02')
    for (const granted of [0, 1, 2]) {
      const client = await wire.connected()
      for (const stored of [0, 1, 2]) {
        const topic = wire.topic(String(stored))
        await subscribeOn(client, topic, granted)
        const message = { topic, payload: String(stored), retain: true, qos: Math.min(stored, granted) }
        if (message.qos === 0) await client.expectPacket(publish(message))
        else await expectDelivery(client, (id) => publish({ ...message, id }))
      }
    }
  },
)

conformance('3.1.1', ['MQTT-3.3.1-6'], 'only the last retained message of a topic is sent', async (wire) => {
  const topic = wire.topic()
  await retain(wire, topic, 'first')
  await retain(wire, topic, 'second')
  const client = await subscribed(wire, topic, 0)
  await client.expectPacket(publish({ topic, payload: 'second', retain: true }))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.3.1-6'],
  'a filter with wildcards meets the retained message of every matching topic',
  async (wire) => {
    const topics = ['a', 'a/b', 'a/b/c', 'd'].map((tail) => `${wire.topic()}/${tail}`)
    for (const topic of topics) await retain(wire, topic, topic)
    const kept = (indexes: number[]): Uint8Array[] =>
      indexes.map((i) => publish({ topic: topics[i]!, payload: topics[i]!, retain: true }))
    for (const [filter, indexes] of [
      ['#', [0, 1, 2, 3]],
      ['a/#', [0, 1, 2]],
      ['+', [0, 3]],
      ['+/b', [1]],
      ['a/+/c', [2]],
      ['a/b/c/#', [2]],
      ['e/#', []],
    ] as const) {
      const client = await subscribed(wire, `${wire.topic()}/${filter}`, 0)
      await client.expectInAnyOrder(...kept([...indexes]))
      await client.expectNothing()
    }
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.7.2-1', 'MQTT-3.3.1-6'],
  'a leading wildcard meets no retained message of a $ topic',
  async (wire) => {
    const topic = `$x/${wire.id()}`
    const publisher = await retain(wire, topic, 'kept')
    const exact = await subscribed(wire, topic, 0)
    await exact.expectPacket(publish({ topic, payload: 'kept', retain: true }))
    const wild = await wire.connected()
    wild.send(subscribe(1, [[`+/${wire.id()}`, 0]]))
    await wild.expectPacket(suback(1, 0))
    await wild.expectNothing()
    publisher.send(publish({ topic, retain: true }))
  },
)

conformance('3.1.1', ['MQTT-3.3.1-7'], 'a retained QoS 0 message replaces what was retained before', async (wire) => {
  const topic = wire.topic()
  const publisher = await retain(wire, topic, 'with QoS 1')
  publisher.send(publish({ topic, payload: 'with QoS 0', retain: true }))
  await publisher.settled()
  const client = await subscribed(wire, topic, 1)
  await client.expectPacket(publish({ topic, payload: 'with QoS 0', retain: true }))
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-3.3.1-9'], 'a subscription that stands receives RETAIN 0', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 1)
  await retain(wire, topic, 'kept')
  await expectDelivery(client, (id) => publish({ topic, payload: 'kept', qos: 1, id }))
})

conformance(
  '3.1.1',
  ['MQTT-3.3.1-9'],
  'a message that waited for an absent session arrives with RETAIN 0',
  async (wire) => {
    const topic = wire.topic()
    const away = await subscribed(wire, topic, 1, { clientId: wire.id('away'), clean: false })
    away.send(disconnect)
    await away.expectClosed()
    await retain(wire, topic, 'kept')
    const back = await wire.connected({ clientId: wire.id('away'), clean: false }, true)
    await expectDelivery(back, (id) => publish({ topic, payload: 'kept', qos: 1, id }))
    await back.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.3.1-10', 'MQTT-3.3.1-11'],
  'an empty retained message is delivered and removes',
  async (wire) => {
    const topic = wire.topic()
    const publisher = await retain(wire, topic, 'kept')
    const standing = await subscribed(wire, topic, 0)
    await standing.expectPacket(publish({ topic, payload: 'kept', retain: true }))
    publisher.send(publish({ topic, retain: true }))
    await standing.expectPacket(publish({ topic }))
    const later = await subscribed(wire, topic, 0)
    await later.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.3.1-10', 'MQTT-3.3.1-11'],
  'an empty retained message of QoS 1 or 2 removes as well',
  async (wire) => {
    const topic = wire.topic()
    await retain(wire, topic, 'kept')
    const publisher = await wire.connected()
    publisher.send(publish({ topic, retain: true, qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const first = await subscribed(wire, topic, 0)
    await first.expectNothing()
    await retain(wire, topic, 'again')
    publisher.send(publish({ topic, retain: true, qos: 2, id: 2 }), '62 02 00 02')
    await publisher.expectPackets(pubrec(2), '70 02 00 02')
    const second = await subscribed(wire, topic, 0)
    await second.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.3.1-11'],
  'an empty message on a topic without a retained one is not stored',
  async (wire) => {
    const topic = wire.topic()
    await retain(wire, topic, '')
    const client = await subscribed(wire, topic, 1)
    await client.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.3.1-12'], 'a message with RETAIN 0 neither replaces nor removes', async (wire) => {
  const topic = wire.topic()
  const publisher = await retain(wire, topic, 'kept')
  publisher.send(publish({ topic, payload: 'passing', qos: 1, id: 2 }), publish({ topic }))
  await publisher.expectPacket(puback(2))
  await publisher.settled()
  const client = await subscribed(wire, topic, 0)
  await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-3.3.1-12'], 'a message with RETAIN 0 is not stored', async (wire) => {
  const topic = wire.topic()
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'passing', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const client = await subscribed(wire, topic, 0)
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-3.1.2-7'], 'a retained message outlives the session that sent it', async (wire) => {
  const topic = wire.topic()
  const publisher = await wire.connected({ clientId: wire.id('publisher'), clean: true })
  publisher.send(publish({ topic, payload: 'kept', retain: true, qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  publisher.send(disconnect)
  await publisher.expectClosed()
  const again = await wire.connected({ clientId: wire.id('publisher'), clean: true })
  again.destroy()
  const client = await subscribed(wire, topic, 0)
  await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-7'],
  'a retained message is not sent to a resumed session that subscribed before',
  async (wire) => {
    const topic = wire.topic()
    await retain(wire, topic, 'kept')
    const client = await subscribed(wire, topic, 0, { clientId: wire.id(), clean: false })
    await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
    client.send(disconnect)
    await client.expectClosed()
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await again.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.8.4-3', 'MQTT-3.3.1-8'],
  'subscribing again sends the retained message again',
  async (wire) => {
    const topic = wire.topic()
    await retain(wire, topic, 'kept')
    const client = await wire.connected()
    for (let i = 0; i < 3; i++) {
      await subscribeOn(client, topic, 0)
      await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
    }
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.7.3-3', 'MQTT-3.3.1-5'],
  'a topic name of 65535 bytes can be retained and subscribed',
  async (wire) => {
    const head = text(`${wire.topic()}/`)
    const topic = concat(head, new Uint8Array(65_535 - head.length).fill(0x61))
    const publisher = await retain(wire, topic, 'kept')
    const client = await subscribed(wire, topic, 0)
    await client.expectPacket(publish({ topic, payload: 'kept', retain: true }))
    publisher.send(publish({ topic, retain: true }))
    await publisher.settled()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.3.1-6', 'MQTT-3.8.4-4'],
  'thousands of retained messages reach a new subscription, each once',
  async (wire) => {
    const count = 5_000
    const publisher = await wire.connected()
    const topics = Array.from({ length: count }, (_, i) => `${wire.topic()}/${i}`)
    publisher.send(...topics.map((topic) => publish({ topic, payload: topic, retain: true })))
    await publisher.settled()
    const client = await subscribed(wire, `${wire.topic()}/+`, 0)
    await client.expectInAnyOrder(...topics.map((topic) => publish({ topic, payload: topic, retain: true })))
    await client.expectNothing()
    publisher.send(...topics.map((topic) => publish({ topic, retain: true })))
    await publisher.settled()
  },
)
