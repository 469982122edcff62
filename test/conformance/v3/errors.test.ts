/*
 * MQTT 3.1.1 section 4.8: what a wrong or hostile client costs itself, and nobody else.
 */

import { connack, connect, hex, packet, puback, publish, subscribe, toHex } from '../bytes.ts'
import { conformance, type Wire, withGateway } from '../harness.ts'
import { closesConnection, expectDelivery, subscribed } from './expect.ts'

const malformed = [
  hex('00 00'),
  hex('30 02 00 05'),
  hex('36 05 00 01 61 00 01'),
  hex('82 02 00 01'),
  hex('a2 02 00 01'),
  hex('40 01 00'),
  hex('c0 ff ff ff ff'),
  hex('f0 00'),
]

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a violation ends its own connection and no other', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 1)
  for (const bytes of malformed) {
    const client = await wire.connected()
    client.send(publish({ topic, payload: 'before' }), bytes, publish({ topic, payload: 'after' }))
    await client.expectClosed()
    await other.expectPacket(publish({ topic, payload: 'before' }))
    await other.expectNothing()
  }
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'packets before a violation in the same chunk are handled', async (wire) => {
  const topic = wire.topic()
  const client = await wire.open()
  const other = await subscribed(wire, topic, 0)
  client.send(connect({ clientId: wire.id() }), publish({ topic, payload: 'x', qos: 1, id: 1 }), 'f0 00')
  await client.expectPackets(connack(), puback(1))
  await client.expectClosed()
  await other.expectPacket(publish({ topic, payload: 'x' }))
})

conformance('3.1.1', ['MQTT-4.8.0-1', 'MQTT-3.1.2-4'], 'a violation does not end the session', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
  first.send('f0 00')
  await first.expectClosed()
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
  await expectDelivery(again, (id) => publish({ topic, payload: 'x', qos: 1, id }))
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a packet that stays unfinished holds up nobody', async (wire) => {
  const topic = wire.topic()
  const halves = [hex('30 ff ff 03 00 04'), hex('10 80 01 00 04 4d 51'), hex('82'), hex('c0')]
  const stuck = []
  for (const half of halves) {
    const client = half[0] === 0x10 ? await wire.open() : await wire.connected()
    client.send(half)
    stuck.push(client)
  }
  const other = await subscribed(wire, topic, 0)
  other.send(publish({ topic, payload: 'x' }))
  await other.expectPacket(publish({ topic, payload: 'x' }))
  for (const client of stuck) client.destroy()
})

conformance(
  '3.1.1',
  ['MQTT-4.8.0-1'],
  'a thousand connections with random first bytes leave the broker in order',
  async (wire) => {
    const other = await wire.connected()
    let seed = 20_141_029
    const random = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16
    for (let i = 0; i < 100; i++) {
      const clients = await Promise.all(Array.from({ length: 10 }, () => wire.open()))
      for (const client of clients) {
        const length = 1 + (random() % 64)
        const noise = Uint8Array.from({ length }, () => random() & 0xff)
        client.send(i % 2 === 0 ? noise : packet(0x10, hex('00 04 4d 51 54 54 04'), noise))
        client.end()
      }
      await other.expectNothing()
    }
  },
)

conformance('3.1.1', ['MQTT-7.0.0-2'], 'a client that knows nothing but 3.1.1 can do all of it', async (wire) => {
  const client = await wire.open()
  client.send('10 0d 00 04 4d 51 54 54 04 02 00 00 00 01 7a')
  await client.expectPacket('20 02 00 00')
  client.send('82 06 00 01 00 01 61 00')
  await client.expectPacket('90 03 00 01 00')
  client.send('30 04 00 01 61 78')
  await client.expectPacket('30 04 00 01 61 78')
  client.send('a2 05 00 02 00 01 61')
  await client.expectPacket('b0 02 00 02')
  client.send('e0 00')
  await client.expectClosed()
})

conformance('3.1.1', [], 'a subscriber that does not read delays nobody else', async (wire) => {
  const topic = wire.topic()
  const stalled = await subscribed(wire, topic, 0)
  stalled.link.pause()
  const reading = await subscribed(wire, topic, 0)
  const publisher = await wire.connected()
  const payload = new Uint8Array(64 * 1024).fill(0x61)
  for (let i = 0; i < 300; i++) {
    publisher.send(publish({ topic, payload }))
    await reading.expectPacket(publish({ topic, payload }))
  }
  await publisher.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.2.2-5', 'MQTT-3.1.4-5'],
  'a refusal reaches a client that goes on sending',
  async (wire) => {
    const client = await wire.open()
    const flood = publish({ topic: wire.topic(), payload: new Uint8Array(1_000_000) })
    client.send(connect({ clientId: '', clean: false }))
    for (let i = 0; i < 4; i++) client.send(flood)
    await client.expectPacket('20 02 00 02')
    await client.expectClosed()
  },
)

const failing = {
  authenticate(): never {
    throw new Error('the user directory does not answer')
  },
}

/** All protocol errors that the gateway has counted, under whatever reason. */
function protocolErrors(wire: Wire): number {
  const counted = Object.entries(wire.gateway.metrics()).filter(([name]) =>
    name.startsWith('mqtt_protocol_errors_total'),
  )
  return counted.reduce((sum, [, value]) => sum + value, 0)
}

withGateway({}, () => {
  conformance('3.1.1', ['MQTT-4.8.0-1'], 'each violation is counted once, under its reason', async (wire) => {
    const before = wire.gateway.metrics()
    const total = protocolErrors(wire)
    await closesConnection(wire, ...malformed)
    if (protocolErrors(wire) !== total + malformed.length) throw new Error(`counted ${protocolErrors(wire) - total}`)
    const name = 'mqtt_protocol_errors_total{reason="malformed_packet"}'
    if ((wire.gateway.metrics()[name] ?? 0) <= (before[name] ?? 0)) throw new Error(`${name} did not rise`)
  })

  conformance(
    '3.1.1',
    ['MQTT-4.8.0-1'],
    'a connection that ends as it should is not counted as a violation',
    async (wire) => {
      const total = protocolErrors(wire)
      const polite = await wire.connected()
      polite.send('e0 00')
      await polite.expectClosed()
      const broken = await wire.connected({ clientId: wire.id() })
      broken.destroy()
      const next = await wire.connected({ clientId: wire.id() })
      await next.expectNothing()
      if (protocolErrors(wire) !== total) throw new Error(`counted ${protocolErrors(wire) - total}`)
    },
  )
})

withGateway({ authenticator: failing }, () => {
  conformance(
    '3.1.1',
    ['MQTT-4.8.0-2', 'MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
    'a CONNECT that cannot be checked now is answered with return code 3, then closed',
    async (wire) => {
      const client = await wire.open()
      client.send(connect({ clientId: wire.id(), username: 'user', password: 'password' }))
      await client.expectPacket('20 02 00 03')
      await client.expectClosed()
    },
  )
})

withGateway({ limits: { sessionQueueMessagesMax: 3 }, sessionQueueFull: 'reject' }, () => {
  conformance(
    '3.1.1',
    ['MQTT-4.8.0-2'],
    'a PUBLISH that a full queue refuses is not acknowledged: its connection is closed',
    async (wire) => {
      const topic = wire.topic()
      const away = await subscribed(wire, topic, 1, { clientId: wire.id('away'), clean: false })
      away.send('e0 00')
      await away.expectClosed()
      const other = await wire.connected()
      const publisher = await wire.connected()
      for (let i = 1; i <= 3; i++) {
        publisher.send(publish({ topic, payload: `${i}`, qos: 1, id: i }))
        await publisher.expectPacket(puback(i))
      }
      publisher.send(publish({ topic, payload: '4', qos: 1, id: 4 }))
      await publisher.expectClosed()
      await other.expectNothing()
      const back = await wire.connected({ clientId: wire.id('away'), clean: false }, true)
      for (let i = 1; i <= 3; i++) {
        await expectDelivery(back, (id) => publish({ topic, payload: `${i}`, qos: 1, id }))
      }
      await back.expectNothing()
    },
  )
})

withGateway({ limits: { connectionsMax: 2 } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-4.8.0-2'],
    'a connection over the limit is refused and the others go on',
    async (wire) => {
      const clients = [await wire.connected(), await wire.connected()]
      const refused = await wire.open().catch(() => undefined)
      refused?.send(connect({ clientId: wire.id('third') }))
      const answer = await refused?.expectPacket().catch(() => undefined)
      if (answer !== undefined && toHex(answer) !== '20 02 00 03') throw new Error('the third was accepted')
      await refused?.expectClosed()
      for (const client of clients) await client.expectNothing()
    },
  )
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a filter list that promises more than it has closes', async (wire) => {
  const client = await wire.connected()
  client.send(subscribe(1, [['a', 0]]).with(1, 7), '00')
  await client.expectClosed()
})
