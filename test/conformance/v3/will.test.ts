/*
 * MQTT 3.1.1 section 3.1.2.5 to 3.1.2.7: the will.
 */

import { connect, disconnect, field, hex, packet, publish } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesUnanswered, expectDelivery, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.1.2-8'], 'the will is published when the connection breaks', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone' } })
  client.destroy()
  await other.expectPacket(publish({ topic, payload: 'gone' }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-8'],
  'the will is published when the client ends the stream without DISCONNECT',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected({ will: { topic, payload: 'gone' } })
    client.end()
    await other.expectPacket(publish({ topic, payload: 'gone' }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-8', 'MQTT-4.8.0-1'],
  'the will is published after a protocol violation',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const client = await wire.connected({ will: { topic, payload: 'gone' } })
    client.send(publish({ topic: `${topic}/+` }))
    await client.expectClosed()
    await other.expectPacket(publish({ topic, payload: 'gone' }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-8', 'MQTT-3.14.1-1'],
  'the will is published after a malformed DISCONNECT',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    for (const malformed of ['e1 00', 'e0 01 00']) {
      const client = await wire.connected({ will: { topic, payload: malformed } })
      client.send(malformed)
      await client.expectClosed()
      await other.expectPacket(publish({ topic, payload: malformed }))
    }
  },
)

conformance('3.1.1', ['MQTT-3.1.2-8'], 'the will reaches a session that is away', async (wire) => {
  const topic = wire.topic()
  const away = await subscribed(wire, topic, 1, { clientId: wire.id('away'), clean: false })
  away.send(disconnect)
  await away.expectClosed()
  const watcher = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone', qos: 1 } })
  client.destroy()
  await watcher.expectPacket(publish({ topic, payload: 'gone' }))
  const back = await wire.connected({ clientId: wire.id('away'), clean: false }, true)
  await expectDelivery(back, (id) => publish({ topic, payload: 'gone', qos: 1, id }))
})

conformance('3.1.1', ['MQTT-3.1.2-9', 'MQTT-3.1.2-14'], 'the will has the QoS of the connect flags', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 2)
  for (const qos of [0, 1, 2]) {
    const client = await wire.connected({ will: { topic, payload: `qos ${qos}`, qos } })
    client.destroy()
    const message = { topic, payload: `qos ${qos}`, qos }
    if (qos === 0) await other.expectPacket(publish(message))
    else await expectDelivery(other, (id) => publish({ ...message, id }))
  }
})

conformance('3.1.1', ['MQTT-3.1.2-9'], 'a will message may be empty, or 65535 bytes of anything', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const large = new Uint8Array(65_535).map((_, i) => (i * 11) & 0xff)
  for (const payload of ['', hex('00 ff c0 80'), large]) {
    const client = await wire.connected({ will: { topic, payload } })
    client.destroy()
    await other.expectPacket(publish({ topic, payload }))
  }
})

const connectHead = (flags: number): Uint8Array =>
  hex(`00 04 4d 51 54 54 04 ${flags.toString(16).padStart(2, '0')} 00 00`)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-9', 'MQTT-3.1.4-1'],
  'the will flag without will topic or message closes',
  async (wire) => {
    await closesUnanswered(
      wire,
      packet(0x10, connectHead(0x06), field(wire.id())),
      packet(0x10, connectHead(0x06), field(wire.id()), field(wire.topic())),
    )
  },
)

conformance('3.1.1', ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'], 'DISCONNECT discards the will', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone', retain: true } })
  client.send(disconnect)
  await client.expectClosed()
  await other.expectNothing()
  const later = await subscribed(wire, topic, 0)
  await later.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-10'],
  'a will is published once, also if its session comes back without one',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const first = await wire.connected({ clientId: wire.id(), clean: false, will: { topic, payload: 'gone' } })
    first.destroy()
    await other.expectPacket(publish({ topic, payload: 'gone' }))
    const second = await wire.connected({ clientId: wire.id(), clean: false }, true)
    second.destroy()
    const third = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await third.settled()
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-10', 'MQTT-3.14.4-3'],
  'a will that DISCONNECT discarded does not come back',
  async (wire) => {
    const topic = wire.topic()
    const other = await subscribed(wire, topic, 0)
    const first = await wire.connected({ clientId: wire.id(), clean: false, will: { topic, payload: 'gone' } })
    first.send(disconnect)
    await first.expectClosed()
    const second = await wire.connected({ clientId: wire.id(), clean: false }, true)
    second.destroy()
    const third = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await third.settled()
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-11', 'MQTT-3.1.2-13', 'MQTT-3.1.4-1'],
  'will QoS without the will flag closes',
  async (wire) => {
    const flags = [0x0a, 0x12, 0x1a]
    await closesUnanswered(wire, ...flags.map((value) => connect({ clientId: wire.id(), flags: value })))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-11', 'MQTT-3.1.2-15', 'MQTT-3.1.4-1'],
  'will retain without the will flag closes',
  async (wire) => {
    await closesUnanswered(wire, connect({ clientId: wire.id(), flags: 0x22 }))
  },
)

conformance('3.1.1', ['MQTT-3.1.2-11', 'MQTT-3.1.4-1'], 'will fields without the will flag close', async (wire) => {
  await closesUnanswered(wire, packet(0x10, connectHead(0x02), field(wire.id()), field(wire.topic()), field('message')))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-12'],
  'without a will nothing is published when the connection breaks',
  async (wire) => {
    const other = await subscribed(wire, '#', 0)
    const client = await wire.connected({ clientId: wire.id() })
    client.destroy()
    const again = await wire.connected({ clientId: wire.id() })
    await again.settled()
    await other.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.1.2-14', 'MQTT-3.1.4-1'], 'will QoS 3 closes unanswered', async (wire) => {
  const will = { topic: wire.topic(), payload: 'x' }
  await closesUnanswered(
    wire,
    connect({ clientId: wire.id(), will, flags: 0x1e }),
    connect({ clientId: wire.id(), will, flags: 0x3e }),
  )
})

conformance('3.1.1', ['MQTT-3.1.2-16'], 'a will with will retain 0 is not retained', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone' } })
  client.destroy()
  await other.expectPacket(publish({ topic, payload: 'gone' }))
  const later = await subscribed(wire, topic, 0)
  await later.expectNothing()
})

conformance('3.1.1', ['MQTT-3.1.2-17', 'MQTT-3.3.1-9'], 'a will with will retain 1 is retained', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ will: { topic, payload: 'gone', retain: true } })
  client.destroy()
  await other.expectPacket(publish({ topic, payload: 'gone' }))
  const later = await subscribed(wire, topic, 0)
  await later.expectPacket(publish({ topic, payload: 'gone', retain: true }))
  later.send(publish({ topic, retain: true }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-17', 'MQTT-3.3.1-10', 'MQTT-3.3.1-11'],
  'an empty will with will retain 1 removes',
  async (wire) => {
    const topic = wire.topic()
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'online', retain: true, qos: 1, id: 1 }))
    await publisher.expectPacket('40 02 00 01')
    const other = await subscribed(wire, topic, 0)
    await other.expectPacket(publish({ topic, payload: 'online', retain: true }))
    const client = await wire.connected({ will: { topic, retain: true } })
    client.destroy()
    await other.expectPacket(publish({ topic }))
    const later = await subscribed(wire, topic, 0)
    await later.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.7.1-1', 'MQTT-4.7.3-1'],
  'a will topic that is empty or has wildcards closes',
  async (wire) => {
    const topics = ['', '#', '+', 'a/#', 'a/+/b', 'a+']
    await closesUnanswered(
      wire,
      ...topics.map((topic) => connect({ clientId: wire.id(), will: { topic, payload: 'x' } })),
    )
  },
)
