/*
 * MQTT 3.1.1 sections 3.1.2.4, 4.1, 4.4 and 4.5: session state, and what a client finds when it comes back.
 */

import { connack, connect, disconnect, puback, pubcomp, publish, pubrec, pubrel, subscribe } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire } from '../harness.ts'
import { expectDelivery, packetIdOf, subscribed, subscribeOn } from './expect.ts'

/** Ends a connection with DISCONNECT; returns when the broker has closed it. */
async function leave(client: RawClient): Promise<void> {
  client.send(disconnect)
  await client.expectClosed()
}

/** Publishes with QoS 1 from a client of its own; returns when all are acknowledged. */
async function publishQos1(wire: Wire, topic: string, ...payloads: string[]): Promise<void> {
  const publisher = await wire.connected()
  publisher.send(...payloads.map((payload, i) => publish({ topic, payload, qos: 1, id: i + 1 })))
  await publisher.expectPackets(...payloads.map((_, i) => puback(i + 1)))
  await leave(publisher)
}

conformance(
  '3.1.1',
  ['MQTT-3.1.2-4', 'MQTT-4.1.0-1', 'MQTT-3.1.4-3'],
  'subscriptions outlive a connection with clean session 0',
  async (wire) => {
    const topic = wire.topic()
    await leave(await subscribed(wire, topic, 0, { clientId: wire.id(), clean: false }))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    again.send(publish({ topic, payload: 'x' }))
    await again.expectPacket(publish({ topic, payload: 'x' }))
  },
)

conformance('3.1.1', ['MQTT-3.1.2-4'], 'a session is kept when its connection breaks', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 0, { clientId: wire.id(), clean: false })
  first.destroy()
  const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
  again.send(publish({ topic, payload: 'x' }))
  await again.expectPacket(publish({ topic, payload: 'x' }))
})

conformance('3.1.1', ['MQTT-3.1.3-2'], 'a session belongs to its client identifier alone', async (wire) => {
  const topic = wire.topic()
  await leave(await subscribed(wire, topic, 1, { clientId: wire.id('one'), clean: false }))
  const two = await wire.connected({ clientId: wire.id('two'), clean: false }, false)
  await publishQos1(wire, topic, 'x')
  await two.expectNothing()
  const one = await wire.connected({ clientId: wire.id('one'), clean: false }, true)
  await expectDelivery(one, (id) => publish({ topic, payload: 'x', qos: 1, id }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-5', 'MQTT-4.5.0-1'],
  'QoS 1 and 2 messages wait for an absent session, in order',
  async (wire) => {
    const topic = wire.topic()
    await leave(await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false }))
    const publisher = await wire.connected()
    publisher.send(
      publish({ topic, payload: '1', qos: 1, id: 1 }),
      publish({ topic, payload: '2', qos: 2, id: 2 }),
      pubrel(2),
    )
    await publisher.expectPackets(puback(1), pubrec(2), pubcomp(2))
    publisher.send(publish({ topic, payload: '3', qos: 1, id: 3 }))
    await publisher.expectPacket(puback(3))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await expectDelivery(again, (id) => publish({ topic, payload: '1', qos: 1, id }))
    await expectDelivery(again, (id) => publish({ topic, payload: '2', qos: 2, id }))
    await expectDelivery(again, (id) => publish({ topic, payload: '3', qos: 1, id }))
  },
)

conformance('3.1.1', ['MQTT-3.1.2-5'], 'a waiting message has the granted QoS of its subscription', async (wire) => {
  const topic = wire.topic()
  await leave(await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false }))
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 2, id: 1 }), pubrel(1))
  await publisher.expectPackets(pubrec(1), pubcomp(1))
  const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
  await expectDelivery(again, (id) => publish({ topic, payload: 'x', qos: 1, id }))
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-5', 'MQTT-3.3.5-1'],
  'a message that waits under overlapping filters waits once',
  async (wire) => {
    const topic = wire.topic()
    const first = await wire.connected({ clientId: wire.id(), clean: false })
    await subscribeOn(first, topic, 0)
    await subscribeOn(first, `${topic}/#`, 1)
    await leave(first)
    await publishQos1(wire, topic, 'x')
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await expectDelivery(again, (id) => publish({ topic, payload: 'x', qos: 1, id }))
    await again.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.1.2-5'], 'messages wait again after a visit that left them alone', async (wire) => {
  const topic = wire.topic()
  await leave(await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false }))
  await publishQos1(wire, topic, '1', '2', '3')
  const visit = await wire.connected({ clientId: wire.id(), clean: false }, true)
  const ids: number[] = []
  for (const payload of ['1', '2', '3']) {
    ids.push(await expectDelivery(visit, (id) => publish({ topic, payload, qos: 1, id })))
  }
  visit.send(puback(ids[1]!))
  await leave(visit)
  const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
  await again.expectPackets(
    publish({ topic, payload: '1', qos: 1, id: ids[0]!, dup: true }),
    publish({ topic, payload: '3', qos: 1, id: ids[2]!, dup: true }),
  )
  await again.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-6', 'MQTT-3.1.4-3'],
  'clean session 1 drops subscriptions and waiting messages',
  async (wire) => {
    const topic = wire.topic()
    await leave(await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false }))
    await publishQos1(wire, topic, 'waits')
    const clean = await wire.connected({ clientId: wire.id(), clean: true })
    await clean.expectNothing()
    await publishQos1(wire, topic, 'later')
    await clean.expectNothing()
    await leave(clean)
    const again = await wire.connected({ clientId: wire.id(), clean: false }, false)
    await again.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.1.2-6'], 'clean session 1 drops open deliveries', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
  await publishQos1(wire, topic, 'open')
  await expectDelivery(first, (id) => publish({ topic, payload: 'open', qos: 1, id }))
  first.destroy()
  const clean = await wire.connected({ clientId: wire.id(), clean: true })
  await clean.expectNothing()
})

conformance('3.1.1', ['MQTT-3.1.2-6'], 'a clean session leaves nothing behind', async (wire) => {
  const topic = wire.topic()
  const clean = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: true })
  clean.destroy()
  await publishQos1(wire, topic, 'x')
  const again = await wire.connected({ clientId: wire.id(), clean: false }, false)
  await again.expectNothing()
  await publishQos1(wire, topic, 'y')
  await again.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-4.1.0-2', 'MQTT-3.1.4-2'],
  'a session taken over by another connection goes on there',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    await publishQos1(wire, topic, 'open')
    const id = await expectDelivery(first, (given) => publish({ topic, payload: 'open', qos: 1, id: given }))
    const second = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await first.expectClosed()
    await second.expectPacket(publish({ topic, payload: 'open', qos: 1, id, dup: true }))
    second.send(puback(id))
    await publishQos1(wire, topic, 'next')
    await expectDelivery(second, (given) => publish({ topic, payload: 'next', qos: 1, id: given }))
  },
)

conformance('3.1.1', ['MQTT-3.1.4-2', 'MQTT-3.1.2-6'], 'a clean session taken over is not continued', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 0, { clientId: wire.id(), clean: true })
  const second = await wire.connected({ clientId: wire.id(), clean: false }, false)
  await first.expectClosed()
  second.send(publish({ topic, payload: 'x' }))
  await second.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-4.4.0-1', 'MQTT-4.6.0-1', 'MQTT-3.3.1-1'],
  'open PUBLISH and PUBREL packets are sent again in order, with their identifiers',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 2, { clientId: wire.id(), clean: false })
    const publisher = await wire.connected()
    const qos = [2, 1, 2, 1, 2]
    const ids: number[] = []
    for (const [i, value] of qos.entries()) {
      publisher.send(
        publish({ topic, payload: `${i}`, qos: value, id: i + 1 }),
        ...(value === 2 ? [pubrel(i + 1)] : []),
      )
      await publisher.expectPackets(...(value === 2 ? [pubrec(i + 1), pubcomp(i + 1)] : [puback(i + 1)]))
      ids.push(await expectDelivery(first, (id) => publish({ topic, payload: `${i}`, qos: value, id })))
    }
    first.send(pubrec(ids[0]!), puback(ids[1]!))
    await first.expectPacket(pubrel(ids[0]!))
    first.destroy()
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    const repeated = [2, 3, 4].map((i) => publish({ topic, payload: `${i}`, qos: qos[i]!, id: ids[i]!, dup: true }))
    const arrived = [
      await again.expectPacket(),
      await again.expectPacket(),
      await again.expectPacket(),
      await again.expectPacket(),
    ]
    const publishes = arrived.filter((packet) => (packet[0]! & 0xf0) === 0x30)
    const others = arrived.filter((packet) => (packet[0]! & 0xf0) !== 0x30)
    // The PUBREL may stand anywhere between the PUBLISH packets; these keep their order.
    if (!Buffer.concat(publishes).equals(Buffer.concat(repeated))) throw new Error('PUBLISH packets in another order')
    if (!Buffer.concat(others).equals(Buffer.from(pubrel(ids[0]!)))) throw new Error('the PUBREL is missing')
    await again.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.4.0-1', 'MQTT-4.5.0-1'],
  'messages that came while a delivery was open follow it, with DUP 0',
  async (wire) => {
    const topic = wire.topic()
    const first = await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false })
    await publishQos1(wire, topic, 'open')
    const id = await expectDelivery(first, (given) => publish({ topic, payload: 'open', qos: 1, id: given }))
    await leave(first)
    await publishQos1(wire, topic, 'waited')
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await again.expectPacket(publish({ topic, payload: 'open', qos: 1, id, dup: true }))
    const next = await expectDelivery(again, (given) => publish({ topic, payload: 'waited', qos: 1, id: given }))
    if (next === id) throw new Error('the identifier of an open delivery was used again')
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.5.0-1'],
  'a message reaches sessions that are there and sessions that are away',
  async (wire) => {
    const topic = wire.topic()
    await leave(await subscribed(wire, topic, 1, { clientId: wire.id('away'), clean: false }))
    const here = await subscribed(wire, topic, 1)
    await publishQos1(wire, topic, 'x')
    await expectDelivery(here, (id) => publish({ topic, payload: 'x', qos: 1, id }))
    const back = await wire.connected({ clientId: wire.id('away'), clean: false }, true)
    await expectDelivery(back, (id) => publish({ topic, payload: 'x', qos: 1, id }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-4'],
  'a subscription made in the chunk of CONNECT and DISCONNECT is kept',
  async (wire) => {
    const topic = wire.topic()
    const first = await wire.open()
    first.send(connect({ clientId: wire.id(), clean: false }), subscribe(1, [[topic, 1]]), disconnect)
    // The connection may end before its answers leave; the subscription stands all the same.
    for (const answer of [connack(), '90 03 00 01 01']) {
      await first.expectPacket(answer).catch((error: unknown) => {
        if (!first.closed) throw error
      })
    }
    await first.expectClosed()
    await publishQos1(wire, topic, 'x')
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    await expectDelivery(again, (id) => publish({ topic, payload: 'x', qos: 1, id }))
  },
)

conformance(
  '3.1.1',
  ['MQTT-3.1.2-5', 'MQTT-4.6.0-6'],
  'two thousand messages wait and arrive in order, each once',
  async (wire) => {
    const topic = wire.topic()
    const count = 2_000
    await leave(await subscribed(wire, topic, 1, { clientId: wire.id(), clean: false }))
    await publishQos1(wire, topic, ...Array.from({ length: count }, (_, i) => `${i}`))
    const again = await wire.connected({ clientId: wire.id(), clean: false }, true)
    for (let i = 0; i < count; i++) {
      const delivery = await again.expectPacket()
      const id = packetIdOf(delivery)
      again.unread(delivery)
      await again.expectPacket(publish({ topic, payload: `${i}`, qos: 1, id }))
      again.send(puback(id))
    }
    await again.expectNothing()
  },
)
