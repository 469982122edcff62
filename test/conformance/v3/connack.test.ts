/*
 * MQTT 3.1.1 section 3.2: CONNACK. The return codes that need a refusal are tested with CONNECT.
 */

import { connack, connect, disconnect, publish } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { expectDelivery, subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.2.0-1', 'MQTT-3.1.4-4'], 'a valid CONNECT is answered with 20 02 00 00', async (wire) => {
  const client = await wire.open()
  client.send('10 0d 00 04 4d 51 54 54 04 02 00 00 00 01 7a')
  await client.expectPacket('20 02 00 00')
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-3.2.0-1'], 'messages that wait for a session follow the CONNACK', async (wire) => {
  const topic = wire.topic()
  const subscriber = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
  subscriber.send(disconnect)
  await subscriber.expectClosed()
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'waits', qos: 1, id: 1 }))
  await publisher.expectPacket('40 02 00 01')

  const again = await wire.open()
  again.send(connect({ clientId: wire.id(), clean: false }))
  await again.expectPacket(connack(0, true))
  await expectDelivery(again, (id) => publish({ topic, payload: 'waits', qos: 1, id }))
})

conformance(
  '3.1.1',
  ['MQTT-3.2.2-1'],
  'session present is 0 with clean session 1, also over a stored session',
  async (wire) => {
    const kept = await wire.connected({ clientId: wire.id(), clean: false })
    kept.send(disconnect)
    await kept.expectClosed()
    const clean = await wire.open()
    clean.send(connect({ clientId: wire.id(), clean: true }))
    await clean.expectPacket('20 02 00 00')
  },
)

conformance('3.1.1', ['MQTT-3.2.2-2'], 'session present is 1 when a session was stored', async (wire) => {
  const kept = await wire.connected({ clientId: wire.id(), clean: false })
  kept.send(disconnect)
  await kept.expectClosed()
  const again = await wire.open()
  again.send(connect({ clientId: wire.id(), clean: false }))
  await again.expectPacket('20 02 01 00')
})

conformance(
  '3.1.1',
  ['MQTT-3.2.2-2'],
  'session present is 1 when a connection takes its session over',
  async (wire) => {
    const first = await wire.connected({ clientId: wire.id(), clean: false })
    const second = await wire.open()
    second.send(connect({ clientId: wire.id(), clean: false }))
    await second.expectPacket('20 02 01 00')
    await first.expectClosed()
  },
)

conformance('3.1.1', ['MQTT-3.2.2-3'], 'session present is 0 when no session was stored', async (wire) => {
  const client = await wire.open()
  client.send(connect({ clientId: wire.id(), clean: false }))
  await client.expectPacket('20 02 00 00')
})

conformance('3.1.1', ['MQTT-3.2.2-3'], 'session present is 0 after a session that was clean', async (wire) => {
  const clean = await wire.connected({ clientId: wire.id(), clean: true })
  clean.send(disconnect)
  await clean.expectClosed()
  const client = await wire.open()
  client.send(connect({ clientId: wire.id(), clean: false }))
  await client.expectPacket('20 02 00 00')
})

conformance(
  '3.1.1',
  ['MQTT-3.2.2-4', 'MQTT-3.2.2-5'],
  'a refusal has session present 0 although a session is stored',
  async (wire) => {
    const kept = await wire.connected({ clientId: wire.id(), clean: false })
    kept.send(disconnect)
    await kept.expectClosed()
    const refused = await wire.open()
    refused.send(connect({ name: 'MQTT', level: 3, clientId: wire.id(), clean: false }))
    await refused.expectPacket('20 02 00 01')
    await refused.expectClosed()
  },
)
