/*
 * MQTT 3.1.1 section 3.3: PUBLISH. Retained messages and the QoS exchanges have files of their own.
 */

import {
  concat,
  disconnect,
  field,
  hex,
  packet,
  puback,
  publish,
  pubrec,
  suback,
  subscribe,
  text,
  u16,
} from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { closesConnection, expectDelivery, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.3.1-2', 'MQTT-4.8.0-1'], 'DUP at QoS 0 closes', async (wire) => {
  await closesConnection(
    wire,
    publish({ topic: wire.topic(), payload: 'x', dup: true }),
    publish({ topic: wire.topic(), payload: 'x', dup: true, retain: true }),
  )
})

conformance(
  '3.1.1',
  ['MQTT-3.3.1-2', 'MQTT-4.3.1-1', 'MQTT-2.3.1-5'],
  'a QoS 0 delivery is PUBLISH without DUP or identifier',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 2)
    client.send(publish({ topic, payload: 'x' }))
    await client.expectPacket(concat(Uint8Array.of(0x30, 3 + topic.length), field(topic), '78'))
  },
)

conformance('3.1.1', ['MQTT-3.3.1-3'], 'DUP of the publisher does not reach subscribers', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 2)
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: '1', qos: 1, id: 1, dup: true }))
  await publisher.expectPacket(puback(1))
  await expectDelivery(client, (id) => publish({ topic, payload: '1', qos: 1, id }))
  publisher.send(publish({ topic, payload: '2', qos: 2, id: 2, dup: true }))
  await publisher.expectPacket(pubrec(2))
  publisher.send('62 02 00 02')
  await publisher.expectPacket('70 02 00 02')
  await expectDelivery(client, (id) => publish({ topic, payload: '2', qos: 2, id }))
})

conformance(
  '3.1.1',
  ['MQTT-3.3.1-3', 'MQTT-3.3.1-2'],
  'DUP of a QoS 1 message is not kept when it goes out as QoS 0',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 0)
    client.send(publish({ topic, payload: 'x', qos: 1, id: 1, dup: true }))
    await client.expectInAnyOrder(publish({ topic, payload: 'x' }), puback(1))
  },
)

conformance('3.1.1', ['MQTT-3.3.1-4'], 'both QoS bits close, whatever DUP and RETAIN are', async (wire) => {
  const body = concat(field(wire.topic()), '00 01', '78')
  await closesConnection(wire, packet(0x36, body), packet(0x37, body), packet(0x3e, body), packet(0x3f, body))
})

conformance(
  '3.1.1',
  ['MQTT-3.3.2-1', 'MQTT-4.8.0-1'],
  'a PUBLISH that ends within its topic name or identifier closes',
  async (wire) => {
    const topic = field(wire.topic())
    const truncated = [
      packet(0x30),
      packet(0x30, '00'),
      packet(0x30, '00 05', text('abcd')),
      packet(0x30, 'ff ff', text('abcd')),
      packet(0x32, topic),
      packet(0x32, topic, '00'),
      packet(0x34, topic, '00'),
    ]
    await closesConnection(wire, ...truncated)
    // What follows in the same chunk must not be read as the missing bytes.
    const next = publish({ topic: wire.topic('next'), payload: 'next' })
    await closesConnection(wire, ...truncated.map((packetStart) => concat(packetStart, next)))
  },
)

conformance('3.1.1', ['MQTT-3.3.2-2', 'MQTT-4.7.1-1'], 'wildcards in a topic name close', async (wire) => {
  const names = ['#', '+', 'a/#', 'a/+', '+/a', 'a/+/b', 'a+', 'a#', '#/a']
  await closesConnection(wire, ...names.map((topic) => publish({ topic, payload: 'x' })))
  await closesConnection(wire, ...names.map((topic) => publish({ topic, payload: 'x', qos: 2, id: 1 })))
})

conformance('3.1.1', ['MQTT-4.7.3-1'], 'an empty topic name closes', async (wire) => {
  await closesConnection(wire, publish({ topic: '' }), publish({ topic: '', payload: 'x', qos: 1, id: 1 }))
})

conformance('3.1.1', ['MQTT-3.3.2-3'], 'a delivery has the topic name it was published with', async (wire) => {
  const client = await subscribed(wire, `${wire.topic()}/+/#`, 0)
  for (const tail of ['b', 'b/c', 'b//d/', ' ', '$', 'b/$c']) {
    const topic = `${wire.topic()}/${tail}`
    client.send(publish({ topic, payload: tail }))
    await client.expectPacket(publish({ topic, payload: tail }))
  }
})

conformance('3.1.1', ['MQTT-3.3.4-1'], 'QoS 0 has no answer, QoS 1 a PUBACK, QoS 2 a PUBREC', async (wire) => {
  const topic = wire.topic()
  const client = await wire.connected()
  client.send(publish({ topic, payload: 'x' }))
  await client.expectNothing()
  client.send(publish({ topic, payload: 'x', qos: 1, id: 0x0102 }))
  await client.expectPacket('40 02 01 02')
  client.send(publish({ topic, payload: 'x', qos: 2, id: 0xfffe }))
  await client.expectPacket('50 02 ff fe')
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.3.4-1'],
  'the answer comes with and without subscribers, and to the publisher alone',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected()
    client.send(
      publish({ topic, payload: 'x', qos: 1, id: 7 }),
      publish({ topic: wire.topic('nobody'), qos: 1, id: 8 }),
    )
    await client.expectPackets(puback(7), puback(8))
    await other.expectPacket(publish({ topic, payload: 'x' }))
    await other.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.3.5-1'], 'overlapping filters deliver one copy with the highest QoS', async (wire) => {
  const topic = wire.topic(wire.id())
  const client = await wire.connected()
  const filters: [string, number][] = [
    [topic, 0],
    [`${topic}/#`, 2],
    [`+/${wire.id()}`, 1],
  ]
  const orders = [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
  ]
  for (const order of orders) {
    client.send(
      subscribe(
        1,
        order.map((i) => filters[i]!),
      ),
    )
    await client.expectPacket(suback(1, ...order.map((i) => filters[i]![1])))
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 2, id: 1 }), '62 02 00 01')
    await publisher.expectPackets('50 02 00 01', '70 02 00 01')
    const id = await expectDelivery(client, (given) => publish({ topic, payload: 'x', qos: 2, id: given }))
    client.send(pubrec(id))
    await client.expectPacket(concat('62 02', u16(id)))
    client.send('70 02', u16(id))
    await client.expectNothing()
  }
})

conformance('3.1.1', ['MQTT-3.3.5-1'], 'overlapping filters deliver a QoS 1 message once with QoS 1', async (wire) => {
  const topic = wire.topic()
  const client = await wire.connected()
  client.send(
    subscribe(1, [
      [`${topic}/#`, 0],
      [topic, 1],
    ]),
  )
  await client.expectPacket(suback(1, 0, 1))
  client.send(publish({ topic, payload: 'q0' }))
  await client.expectPacket(publish({ topic, payload: 'q0' }))
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'q1', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  await expectDelivery(client, (id) => publish({ topic, payload: 'q1', qos: 1, id }))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-4.5.0-1'],
  'every client with a matching filter has a copy, the publisher too',
  async (wire) => {
    const topic = wire.topic(wire.id())
    const clients = []
    for (const filter of [topic, `${topic}/#`, `+/${wire.id()}`, `+/${wire.id()}/#`])
      clients.push(await subscribed(wire, filter, 0))
    clients[0]!.send(publish({ topic, payload: 'x' }))
    for (const client of clients) await client.expectPacket(publish({ topic, payload: 'x' }))
    for (const client of clients) await client.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.3.2-3'], 'a message without a matching filter reaches nobody', async (wire) => {
  const client = await subscribed(wire, wire.topic('a'), 0)
  client.send(publish({ topic: wire.topic('b'), payload: 'x' }))
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-4.5.0-1'], 'an empty payload is a message like any other', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 1)
  client.send(publish({ topic }))
  await client.expectPacket(publish({ topic }))
  const publisher = await wire.connected()
  publisher.send(publish({ topic, qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  await expectDelivery(client, (id) => publish({ topic, qos: 1, id }))
})

conformance('3.1.1', ['MQTT-4.5.0-1'], 'payloads of any bytes arrive unchanged', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 0)
  const every = Uint8Array.from({ length: 256 }, (_, i) => i)
  for (const payload of [every, hex('00'), hex('ed a0 80'), new Uint8Array(70_000).fill(0xff)]) {
    client.send(publish({ topic, payload }))
    await client.expectPacket(publish({ topic, payload }))
  }
})

conformance(
  '3.1.1',
  ['MQTT-4.5.0-1'],
  'messages published in the chunk of a DISCONNECT are delivered',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected()
    client.send(publish({ topic, payload: '1' }), publish({ topic, payload: '2', qos: 1, id: 1 }), disconnect)
    await other.expectPackets(publish({ topic, payload: '1' }), publish({ topic, payload: '2' }))
  },
)

withGateway({ protocol: { maximumQos: 1 } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.3.5-2'],
    'a PUBLISH above the permitted QoS closes and reaches nobody',
    async (wire) => {
      const topic = wire.topic()
      const other = await wire.connected()
      other.send(subscribe(1, [[topic, 1]]))
      await other.expectPacket(suback(1, 1))
      const client = await wire.connected()
      client.send(publish({ topic, payload: 'x', qos: 2, id: 1 }))
      await client.expectClosed()
      await other.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-3.8.4-5', 'MQTT-3.8.4-6'],
    'a SUBSCRIBE is granted the highest QoS there is',
    async (wire) => {
      const client = await wire.connected()
      client.send(
        subscribe(1, [
          [wire.topic('a'), 0],
          [wire.topic('b'), 1],
          [wire.topic('c'), 2],
        ]),
      )
      await client.expectPacket(suback(1, 0, 1, 1))
    },
  )
})

withGateway({ protocol: { retainAvailable: false } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.3.5-2'],
    'a PUBLISH to retain where nothing is retained closes and reaches nobody',
    async (wire) => {
      const topic = wire.topic()
      const other = await subscribed(wire, topic, 0)
      const client = await wire.connected()
      client.send(publish({ topic, payload: 'x', retain: true }))
      await client.expectClosed()
      await other.expectNothing()
    },
  )
})
