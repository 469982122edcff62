/*
 * MQTT 3.1.1 section 2.2: packet types, flags and the remaining length.
 */

import {
  type Bytes,
  concat,
  connect,
  hex,
  packet,
  pingreq,
  pingresp,
  puback,
  publish,
  suback,
  subscribe,
} from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { closesConnection, closesUnanswered, subscribed } from './expect.ts'

/** The packet with each value of the four flag bits but the right one. */
function withWrongFlags(right: Uint8Array): Uint8Array[] {
  return Array.from({ length: 16 }, (_, flags) =>
    concat(Uint8Array.of((right[0]! & 0xf0) | flags), right.subarray(1)),
  ).filter((one) => one[0] !== right[0])
}

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2'], 'reserved flags of CONNECT close', async (wire) => {
  await closesUnanswered(wire, ...withWrongFlags(connect({ clientId: wire.id() })))
})

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2'], 'reserved flags of PUBACK close', async (wire) => {
  await closesConnection(wire, ...withWrongFlags(hex('40 02 00 01')))
})

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2'], 'reserved flags of PUBREC close', async (wire) => {
  await closesConnection(wire, ...withWrongFlags(hex('50 02 00 01')))
})

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2', 'MQTT-3.6.1-1'], 'wrong flags of PUBREL close', async (wire) => {
  await closesConnection(wire, ...withWrongFlags(hex('62 02 00 01')))
})

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2'], 'reserved flags of PUBCOMP close', async (wire) => {
  await closesConnection(wire, ...withWrongFlags(hex('70 02 00 01')))
})

conformance(
  '3.1.1',
  ['MQTT-2.2.2-1', 'MQTT-2.2.2-2', 'MQTT-3.8.1-1'],
  'wrong flags of SUBSCRIBE close',
  async (wire) => {
    await closesConnection(wire, ...withWrongFlags(hex('82 06 00 01 00 01 61 00')))
  },
)

conformance(
  '3.1.1',
  ['MQTT-2.2.2-1', 'MQTT-2.2.2-2', 'MQTT-3.10.1-1'],
  'wrong flags of UNSUBSCRIBE close',
  async (wire) => {
    await closesConnection(wire, ...withWrongFlags(hex('a2 05 00 01 00 01 61')))
  },
)

conformance('3.1.1', ['MQTT-2.2.2-1', 'MQTT-2.2.2-2'], 'reserved flags of PINGREQ close', async (wire) => {
  await closesConnection(wire, ...withWrongFlags(hex('c0 00')))
})

conformance(
  '3.1.1',
  ['MQTT-2.2.2-1', 'MQTT-2.2.2-2', 'MQTT-3.14.1-1'],
  'reserved flags of DISCONNECT close',
  async (wire) => {
    await closesConnection(wire, ...withWrongFlags(hex('e0 00')))
  },
)

conformance('3.1.1', ['MQTT-4.8.0-1'], 'the packet types 0 and 15 close, whatever their flags', async (wire) => {
  const types = [0x00, 0xf0].flatMap((type) => Array.from({ length: 16 }, (_, flags) => Uint8Array.of(type | flags, 0)))
  await closesConnection(wire, ...types)
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'packets that only a server sends close', async (wire) => {
  const connack = '20 02 00 00'
  const subackPacket = '90 03 00 01 00'
  const unsubackPacket = 'b0 02 00 01'
  await closesConnection(wire, connack, subackPacket, unsubackPacket, 'd0 00')
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'bodies longer or shorter than their packet type has close', async (wire) => {
  const acknowledgements = [0x40, 0x50, 0x62, 0x70]
  const tooShort = acknowledgements.flatMap((type) => [packet(type), packet(type, '00')])
  const tooLong = acknowledgements.map((type) => packet(type, '00 01 00'))
  await closesConnection(wire, ...tooShort, ...tooLong, 'c0 01 00', 'e0 01 00', 'e0 02 00 00')
})

conformance('3.1.1', ['MQTT-4.8.0-1'], 'a remaining length of more than four bytes closes', async (wire) => {
  await closesConnection(wire, 'c0 80 80 80 80 00', '30 ff ff ff ff 01', 'c0 ff ff ff ff')
  await closesUnanswered(wire, '10 80 80 80 80 01', '10 ff ff ff ff')
})

/** Remaining lengths at both sides of each change in the number of their bytes. */
const remainingLengths = [127, 128, 16_383, 16_384, 2_097_151, 2_097_152]

conformance(
  '3.1.1',
  ['MQTT-7.1.1-1'],
  'packets of each length of remaining length pass in both directions',
  async (wire) => {
    const topic = wire.topic()
    const client = await subscribed(wire, topic, 0)
    for (const length of remainingLengths) {
      const payload = new Uint8Array(length - 2 - topic.length).map((_, i) => (i * 7) & 0xff)
      client.send(publish({ topic, payload }))
      await client.expectPacket(publish({ topic, payload }))
    }
  },
)

/** A conversation that has every packet a 3.1.1 client may send before QoS 2, and what comes back. */
function conversation(topic: string, clientId: string): { sent: Bytes[]; received: Bytes[] } {
  const sent = [
    connect({ clientId, keepAlive: 600, will: { topic, payload: 'will' }, username: 'user', password: 'password' }),
    subscribe(1, [[topic, 0]]),
    publish({ topic, payload: 'zero' }),
    publish({ topic, payload: 'one', qos: 1, id: 2 }),
    publish({ topic, payload: 'two', qos: 2, id: 3 }),
    hex('62 02 00 03'),
    hex('a2 05 00 04 00 01 78'),
    pingreq,
  ]
  const received = [
    hex('20 02 00 00'),
    suback(1, 0),
    publish({ topic, payload: 'zero' }),
    publish({ topic, payload: 'one' }),
    puback(2),
    hex('50 02 00 03'),
    publish({ topic, payload: 'two' }),
    hex('70 02 00 03'),
    hex('b0 02 00 04'),
    pingresp,
  ]
  return { sent, received }
}

conformance('3.1.1', ['MQTT-7.1.1-1'], 'a conversation in single bytes is understood', async (wire) => {
  const client = await wire.open()
  const { sent, received } = conversation(wire.topic(), wire.id())
  client.sendBytewise(...sent)
  await client.expectInAnyOrder(...received)
})

conformance('3.1.1', ['MQTT-7.1.1-1'], 'a conversation in one chunk is understood', async (wire) => {
  const client = await wire.open()
  const { sent, received } = conversation(wire.topic(), wire.id())
  client.send(...sent)
  await client.expectInAnyOrder(...received)
})

conformance('3.1.1', ['MQTT-7.1.1-1'], 'a packet cut in two at any byte is understood', async (wire) => {
  const topic = wire.topic()
  const client = await subscribed(wire, topic, 0)
  const message = publish({ topic, payload: 'a payload', qos: 1, id: 1 })
  for (let cut = 1; cut < message.length; cut++) {
    client.send(message.subarray(0, cut))
    client.send(message.subarray(cut), pingreq)
    await client.expectInAnyOrder(publish({ topic, payload: 'a payload' }), puback(1), pingresp)
  }
})

withGateway({ limits: { packetBytesMax: 1024 } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-4.8.0-1'],
    'a declared length over the limit closes before its bytes are sent',
    async (wire) => {
      await closesConnection(wire, '30 ff ff ff 7f', '30 ff 08', '82 80 80 40')
      await closesUnanswered(wire, '10 ff ff ff 7f', '10 ff 08')
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-7.1.1-1'],
    'a packet as large as the limit passes and one byte more does not',
    async (wire) => {
      const topic = wire.topic()
      const client = await subscribed(wire, topic, 0)
      const headerBytes = 3
      const payload = new Uint8Array(1024 - headerBytes - 2 - topic.length).fill(0x2a)
      client.send(publish({ topic, payload }))
      await client.expectPacket(publish({ topic, payload }))
      client.send(publish({ topic, payload: concat(payload, '2a') }))
      await client.expectClosed()
    },
  )
})
