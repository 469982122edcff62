/*
 * MQTT 3.1.1 sections 3.8 and 3.9: SUBSCRIBE and SUBACK.
 */

import { concat, field, packet, puback, publish, suback, subscribe, text } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { closesConnection, expectDelivery, subscribed, subscribeOn } from './expect.ts'

conformance(
  '3.1.1',
  ['MQTT-3.8.4-1', 'MQTT-3.8.4-2', 'MQTT-2.3.1-7'],
  'a SUBSCRIBE is answered with a SUBACK of its identifier',
  async (wire) => {
    const client = await wire.connected()
    client.send('82 06 00 01 00 01 61 00')
    await client.expectPacket('90 03 00 01 00')
    client.send('82 06 01 02 00 01 61 01')
    await client.expectPacket('90 03 01 02 01')
    client.send('82 06 ff ff 00 01 61 02')
    await client.expectPacket('90 03 ff ff 02')
    await client.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-2.3.1-1', 'MQTT-4.8.0-1'], 'the packet identifier 0 in SUBSCRIBE closes', async (wire) => {
  await closesConnection(wire, subscribe(0, [['a', 0]]))
})

conformance('3.1.1', ['MQTT-3.8.3-3', 'MQTT-4.8.0-1'], 'a SUBSCRIBE without a filter closes', async (wire) => {
  await closesConnection(wire, packet(0x82, '00 01'), packet(0x82), packet(0x82, '00'))
})

conformance(
  '3.1.1',
  ['MQTT-3.8.3-1', 'MQTT-4.8.0-1'],
  'a SUBSCRIBE that ends within a filter or before its QoS closes',
  async (wire) => {
    await closesConnection(
      wire,
      packet(0x82, '00 01', '00'),
      packet(0x82, '00 01', '00 05', text('abc')),
      packet(0x82, '00 01', field('abc')),
      packet(0x82, '00 01', field('abc'), '00', field('def')),
      packet(0x82, '00 01', field('abc'), '00', '00'),
    )
  },
)

conformance('3.1.1', ['MQTT-3.8.3-4'], 'reserved bits beside the requested QoS close', async (wire) => {
  const options = [0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x05, 0x2c, 0xfc]
  await closesConnection(wire, ...options.map((value) => subscribe(1, [[wire.topic(), value]])))
})

conformance('3.1.1', ['MQTT-3.8.3-4'], 'the requested QoS 3 closes', async (wire) => {
  await closesConnection(
    wire,
    subscribe(1, [[wire.topic(), 3]]),
    subscribe(1, [
      [wire.topic('a'), 0],
      [wire.topic('b'), 3],
    ]),
  )
})

conformance(
  '3.1.1',
  ['MQTT-3.8.3-4', 'MQTT-3.8.4-4'],
  'a malformed SUBSCRIBE subscribes to nothing, not even its valid filters',
  async (wire) => {
    const topic = wire.topic()
    const client = await wire.connected({ clientId: wire.id(), clean: false })
    client.send(
      subscribe(1, [
        [topic, 1],
        [wire.topic('b'), 3],
      ]),
    )
    await client.expectClosed()
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await again.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-4.7.3-1', 'MQTT-4.8.0-1'], 'an empty filter closes', async (wire) => {
  await closesConnection(
    wire,
    subscribe(1, [['', 0]]),
    subscribe(1, [
      ['a', 0],
      ['', 0],
    ]),
  )
})

conformance('3.1.1', ['MQTT-3.8.4-3'], 'subscribing again replaces the QoS of the subscription', async (wire) => {
  const topic = wire.topic()
  const client = await wire.connected()
  const publisher = await wire.connected()
  for (const qos of [2, 0, 1]) {
    await subscribeOn(client, topic, qos)
    publisher.send(publish({ topic, payload: `granted ${qos}`, qos: 1, id: 1 }))
    await publisher.expectPacket(puback(1))
    const message = { topic, payload: `granted ${qos}`, qos: Math.min(1, qos) }
    if (message.qos === 0) await client.expectPacket(publish(message))
    else client.send(puback(await expectDelivery(client, (id) => publish({ ...message, id }))))
    await client.expectNothing()
  }
})

conformance('3.1.1', ['MQTT-3.8.4-3'], 'subscribing again loses no message', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 0)
  const publisher = await wire.connected()
  const messages = Array.from({ length: 200 }, (_, i) => publish({ topic, payload: String(i) }))
  for (const message of messages) {
    publisher.send(message)
    client.send(subscribe(1, [[topic, 0]]))
  }
  await publisher.settled()
  const arrived: Uint8Array[] = []
  for (let i = 0; i < 2 * messages.length; i++) arrived.push(await client.expectPacket())
  const delivered = arrived.filter((one) => one[0] === 0x30)
  if (!Buffer.concat(delivered).equals(Buffer.concat(messages))) throw new Error('messages were lost or out of order')
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.8.4-4', 'MQTT-3.8.4-5', 'MQTT-3.9.3-1', 'MQTT-3.9.3-2'],
  'each filter has its return code, in order',
  async (wire) => {
    const client = await wire.connected()
    const qos = [2, 0, 1, 1, 0, 2]
    client.send(
      subscribe(
        9,
        qos.map((value, i) => [wire.topic(String(i)), value]),
      ),
    )
    await client.expectPacket(concat('90 08 00 09', Uint8Array.from(qos)))
    for (const i of qos.keys()) {
      client.send(publish({ topic: wire.topic(String(i)), payload: 'x' }))
      await client.expectPacket(publish({ topic: wire.topic(String(i)), payload: 'x' }))
    }
  },
)

conformance('3.1.1', ['MQTT-3.8.4-4'], 'the same filter twice in one SUBSCRIBE counts as the last', async (wire) => {
  const topic = wire.topic()
  const client = await wire.connected()
  client.send(
    subscribe(1, [
      [topic, 1],
      [topic, 0],
    ]),
  )
  await client.expectPacket(suback(1, 1, 0))
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  await client.expectPacket(publish({ topic, payload: 'x' }))
  await client.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.8.4-4', 'MQTT-3.9.3-1'],
  'thousands of filters in one SUBSCRIBE have one SUBACK',
  async (wire) => {
    const client = await wire.connected()
    const filters = Array.from({ length: 3_000 }, (_, i): [string, number] => [`${wire.topic()}/${i}`, i % 3])
    client.send(subscribe(1, filters))
    await client.expectPacket(suback(1, ...filters.map(([, qos]) => qos)))
    const topic = filters[2_999]![0]
    client.send(publish({ topic, payload: 'x' }))
    await client.expectPacket(publish({ topic, payload: 'x' }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.8.4-6'],
  'a message arrives with the lower of its QoS and the granted one',
  async (wire) => {
    const publisher = await wire.connected()
    for (const granted of [0, 1, 2]) {
      for (const sent of [0, 1, 2]) {
        const topic = wire.topic(`${granted}${sent}`)
        const client = await subscribed(wire, topic, granted)
        publisher.send(publish({ topic, payload: 'x', qos: sent, ...(sent > 0 && { id: 1 }) }))
        if (sent === 1) await publisher.expectPacket(puback(1))
        if (sent === 2) {
          await publisher.expectPacket('50 02 00 01')
          publisher.send('62 02 00 01')
          await publisher.expectPacket('70 02 00 01')
        }
        const message = { topic, payload: 'x', qos: Math.min(granted, sent) }
        if (message.qos === 0) await client.expectPacket(publish(message))
        else await expectDelivery(client, (id) => publish({ ...message, id }))
      }
    }
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.8.4-1', 'MQTT-4.1.0-1'],
  'subscriptions of one client are not those of another',
  async (wire) => {
    const topic = wire.topic()
    const one = await subscribed(wire, topic, 0)
    const two = await subscribed(wire, wire.topic('b'), 0)
    two.send(publish({ topic, payload: 'x' }))
    await one.expectPacket(publish({ topic, payload: 'x' }))
    await two.expectNothing()
  },
)

withGateway({ protocol: { wildcardSubscriptionAvailable: false } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.8.3-2', 'MQTT-3.8.4-5'],
    'filters with wildcards are refused where they are not supported',
    async (wire) => {
      const topic = wire.topic()
      const client = await wire.connected()
      client.send(
        subscribe(1, [
          ['#', 0],
          [topic, 1],
          ['+/a', 2],
          [`${topic}/#`, 0],
        ]),
      )
      await client.expectPacket('90 06 00 01 80 01 80 80')
      client.send(publish({ topic, payload: 'x' }), publish({ topic: `${topic}/b`, payload: 'x' }))
      await client.expectPacket(publish({ topic, payload: 'x' }))
      await client.expectNothing()
    },
  )
})

withGateway({ limits: { subscriptionsPerSessionMax: 2 } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.8.4-5', 'MQTT-3.9.3-2'],
    'a subscription over the limit has the return code 0x80',
    async (wire) => {
      const client = await wire.connected()
      client.send(
        subscribe(1, [
          [wire.topic('a'), 0],
          [wire.topic('b'), 1],
          [wire.topic('c'), 2],
          [wire.topic('a'), 2],
        ]),
      )
      await client.expectPacket('90 06 00 01 00 01 80 02')
      client.send(publish({ topic: wire.topic('c'), payload: 'x' }))
      await client.expectNothing()
    },
  )
})
