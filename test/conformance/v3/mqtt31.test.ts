/*
 * MQTT 3.1 (protocol name MQIsdp, level 3) where it differs from 3.1.1. Its text has no numbered statements.
 */

import {
  connect,
  disconnect,
  field,
  hex,
  packet,
  puback,
  pubcomp,
  publish,
  pubrec,
  suback,
  subscribe,
  unsuback,
} from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesUnanswered, expectDelivery, subscribed } from './expect.ts'

const level = 3

conformance('3.1', [], 'a CONNECT with MQIsdp and level 3 is accepted', async (wire) => {
  const client = await wire.open()
  client.send('10 0f 00 06 4d 51 49 73 64 70 03 02 00 00 00 01 7a')
  await client.expectPacket('20 02 00 00')
  await client.expectNothing()
})

conformance('3.1', [], 'MQIsdp with level 4 is not MQTT: it is refused or closed', async (wire) => {
  const client = await wire.open()
  client.send(connect({ name: 'MQIsdp', level: 4, clientId: wire.id() }))
  const answer = await client.expectPacket().catch(() => undefined)
  if (answer !== undefined && Buffer.compare(answer, hex('20 02 00 01')) !== 0) throw new Error('accepted')
  await client.expectClosed()
})

conformance('3.1', [], 'a resumed session is not announced: the byte is reserved', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 1, { level, clientId: wire.id(), clean: false })
  first.send(disconnect)
  await first.expectClosed()
  const publisher = await wire.connected({ level })
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const again = await wire.open()
  again.send(connect({ level, clientId: wire.id(), clean: false }))
  await again.expectPacket('20 02 00 00')
  await expectDelivery(again, (id) => publish({ topic, payload: 'x', qos: 1, id }))
})

conformance(
  '3.1',
  [],
  'an empty client identifier is refused with return code 2, clean session or not',
  async (wire) => {
    for (const clean of [true, false]) {
      const client = await wire.open()
      client.send(connect({ level, clientId: '', clean }))
      await client.expectPacket('20 02 00 02')
      await client.expectClosed()
    }
  },
)

conformance('3.1', [], 'client identifiers of more than 23 characters are accepted', async (wire) => {
  const client = await wire.connected({ level, clientId: `${wire.id()}${'x'.repeat(40)}` })
  await client.expectNothing()
})

conformance('3.1', [], 'the user name and password flags may be set without the strings', async (wire) => {
  const head = (flags: string): Uint8Array => hex(`00 06 4d 51 49 73 64 70 03 ${flags} 00 00`)
  for (const body of [
    [head('82'), field(wire.id())],
    [head('c2'), field(wire.id())],
    [head('c2'), field(wire.id()), field('user')],
  ]) {
    const client = await wire.open()
    client.send(packet(0x10, ...body))
    await client.expectPacket('20 02 00 00')
    await client.expectNothing()
  }
})

conformance('3.1', [], 'DUP is allowed in SUBSCRIBE, UNSUBSCRIBE and PUBREL', async (wire) => {
  const client = await wire.connected({ level })
  client.send('8a 06 00 01 00 01 61 01')
  await client.expectPacket(suback(1, 1))
  client.send('aa 05 00 02 00 01 61')
  await client.expectPacket(unsuback(2))
  client.send(publish({ topic: wire.topic(), payload: 'x', qos: 2, id: 3 }))
  await client.expectPacket(pubrec(3))
  client.send('6a 02 00 03')
  await client.expectPacket(pubcomp(3))
})

conformance(
  '3.1',
  [],
  'all QoS levels, retained messages and wills work as in 3.1.1, across the versions',
  async (wire) => {
    const topic = wire.topic()
    const older = await subscribed(wire, topic, 2, { level })
    const newer = await subscribed(wire, topic, 2)
    const dying = await wire.connected({ level, will: { topic, payload: 'gone', qos: 1, retain: true } })
    dying.destroy()
    for (const client of [older, newer]) {
      await expectDelivery(client, (id) => publish({ topic, payload: 'gone', qos: 1, id }))
    }
    const later = await subscribed(wire, topic, 2, { level })
    await expectDelivery(later, (id) => publish({ topic, payload: 'gone', qos: 1, id, retain: true }))
    const publisher = await wire.connected({ level })
    publisher.send(publish({ topic, payload: '2', qos: 2, id: 1 }), '62 02 00 01')
    await publisher.expectPackets(pubrec(1), pubcomp(1))
    await expectDelivery(newer, (id) => publish({ topic, payload: '2', qos: 2, id }))
    newer.send(publish({ topic, retain: true }))
  },
)

conformance('3.1', [], 'wrong bytes close as in 3.1.1', async (wire) => {
  await closesUnanswered(
    wire,
    connect({ level, clientId: wire.id(), will: { topic: 'a/#', payload: 'x' } }),
    connect({ level, clientId: hex('ff') }),
  )
  for (const wrong of [
    publish({ topic: 'a/+' }),
    subscribe(1, [['a', 3]]),
    hex('36 05 00 01 61 00 01'),
    hex('f0 00'),
  ]) {
    const client = await wire.connected({ level })
    client.send(wrong)
    await client.expectClosed()
  }
})

conformance('3.1', [], 'a session moves between 3.1 and 3.1.1 with its open deliveries', async (wire) => {
  const topic = wire.topic()
  const first = await subscribed(wire, topic, 1, { level, clientId: wire.id(), clean: false })
  const publisher = await wire.connected()
  publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
  await publisher.expectPacket(puback(1))
  const id = await expectDelivery(first, (given) => publish({ topic, payload: 'x', qos: 1, id: given }))
  const second = await wire.connected({ level: 4, clientId: wire.id(), clean: false }, true)
  await first.expectClosed()
  await second.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
  const third = await wire.open()
  third.send(connect({ level, clientId: wire.id(), clean: false }))
  await third.expectPacket('20 02 00 00')
  await third.expectPacket(publish({ topic, payload: 'x', qos: 1, id, dup: true }))
})
