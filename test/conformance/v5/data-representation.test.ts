/*
 * MQTT 5.0 section 1.5, data representation, and 2.1 to 2.2, what all packets share.
 */

import { expect } from 'vitest'
import { concat, field, hex, noProperties, packet, pingreq, pingresp, u16 } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectAcknowledged,
  expectConnectRefused,
  expectDisconnected,
  expectFault,
  expectPublish,
  expectSuback,
  malformedOrProtocolError,
  next,
  subscribed,
  taken,
} from './expect.ts'
import {
  acknowledge,
  connect,
  disconnect,
  illFormedStrings,
  property,
  publish,
  subscribe,
  unsubscribe,
} from './packets.ts'

conformance(
  '5.0',
  ['MQTT-1.5.4-1', 'MQTT-1.5.4-2', 'MQTT-3.1.3-4', 'MQTT-3.1.3-11', 'MQTT-3.1.3-12'],
  'ill-formed UTF-8 in any string of a CONNECT is malformed',
  async (wire) => {
    const clientId = wire.id()
    const topic = wire.topic()
    await eachCase(illFormedStrings, async (bad) => {
      const fields = {
        'client identifier': { clientId: bad },
        'user name': { username: bad },
        'will topic': { will: { topic: bad } },
        'content type of the will': { will: { topic, properties: property.contentType(bad) } },
        'response topic of the will': { will: { topic, properties: property.responseTopic(bad) } },
        'user property of the will': { will: { topic, properties: property.userProperty(bad, 'x') } },
        'authentication method': { properties: property.authenticationMethod(bad) },
        'user property': { properties: property.userProperty('x', bad) },
      }
      await eachCase(fields, (one) => expectConnectRefused(wire, connect({ clientId, ...one }), 0x81))
    })
  },
)

conformance(
  '5.0',
  ['MQTT-1.5.4-1', 'MQTT-1.5.4-2', 'MQTT-3.3.2-1', 'MQTT-3.3.2-13', 'MQTT-3.3.2-19', 'MQTT-4.7.3-2'],
  'ill-formed UTF-8 in any string of a PUBLISH is malformed',
  async (wire) => {
    const topic = wire.topic()
    await eachCase(illFormedStrings, async (bad) => {
      const packets = {
        topic: publish({ topic: bad }),
        'topic at QoS 1': publish({ topic: bad, qos: 1, id: 1 }),
        'content type': publish({ topic, properties: property.contentType(bad) }),
        'response topic': publish({ topic, properties: property.responseTopic(bad) }),
      }
      await eachCase(packets, (bytes) => expectFault(wire, bytes, 0x81))
    })
  },
)

conformance(
  '5.0',
  ['MQTT-1.5.4-1', 'MQTT-1.5.4-2', 'MQTT-3.8.3-1', 'MQTT-3.10.3-1', 'MQTT-4.7.3-2'],
  'ill-formed UTF-8 in a topic filter is malformed',
  async (wire) => {
    await eachCase(illFormedStrings, async (bad) => {
      await expectFault(wire, subscribe(1, [[bad, 0]]), 0x81)
      await expectFault(wire, unsubscribe(1, [bad]), 0x81)
    })
  },
)

conformance('5.0', ['MQTT-1.5.7-1'], 'both strings of a user property must be well-formed', async (wire) => {
  const topic = wire.topic()
  await eachCase(illFormedStrings, async (bad) => {
    for (const properties of [property.userProperty(bad, 'value'), property.userProperty('name', bad)]) {
      await expectFault(wire, publish({ topic, properties }), 0x81)
      await expectFault(wire, subscribe(1, [[topic, 0]], properties), 0x81)
      await expectFault(wire, unsubscribe(1, [topic], properties), 0x81)
    }
  })
})

conformance('5.0', ['MQTT-1.5.4-1'], 'ill-formed UTF-8 in a reason string is malformed', async (wire) => {
  const properties = property.reasonString(hex('61 ed a0 80'))
  await expectFault(wire, disconnect(0, properties), 0x81)
  await expectFault(wire, acknowledge('pubrec', 1, 0, properties), 0x81)
  await expectFault(wire, acknowledge('pubrel', 1, 0, properties), 0x81)
})

conformance('5.0', ['MQTT-1.5.4-3'], 'a byte order mark stays where it is in topics and properties', async (wire) => {
  const bom = '\ufeff'
  const client = await connected5(wire)
  await subscribed(client, `${bom}${wire.topic()}`)
  client.send(publish({ topic: wire.topic(), payload: 'without' }))
  const properties = concat(property.contentType(`${bom}text`), property.userProperty(bom, `a${bom}`))
  client.send(publish({ topic: `${bom}${wire.topic()}`, payload: 'with', properties }))
  await expectPublish(client, {
    topic: `${bom}${wire.topic()}`,
    payload: 'with',
    properties: [
      [3, `${bom}text`],
      [38, [bom, `a${bom}`]],
    ],
  })
})

conformance('5.0', ['MQTT-1.5.4-1'], 'strings of every length of UTF-8 sequence pass unchanged', async (wire) => {
  const topic = `${wire.topic()}/aé€\u{1f600}\u{fffd}`
  const client = await connected5(wire)
  await subscribed(client, topic)
  client.send(publish({ topic, payload: 'x' }))
  await expectPublish(client, { topic, payload: 'x' })
})

conformance('5.0', ['MQTT-1.5.5-1'], 'a remaining length that is not minimal is malformed', async (wire) => {
  await eachCase({ 'two bytes for 0': 'c0 80 00', 'four bytes for 0': 'c0 80 80 80 00' }, (bytes) =>
    expectFault(wire, bytes, 0x81),
  )
})

conformance('5.0', ['MQTT-1.5.5-1'], 'a CONNECT whose remaining length is not minimal is refused', async (wire) => {
  const bytes = connect({ clientId: wire.id() })
  const padded = concat(Uint8Array.of(0x10, 0x80 | (bytes.length - 2), 0x00), bytes.subarray(2))
  await expectConnectRefused(wire, padded, 0x81)
})

conformance('5.0', ['MQTT-1.5.5-1'], 'a variable byte integer of five bytes is malformed', async (wire) => {
  await expectFault(wire, 'c0 80 80 80 80 00', 0x81)
  await expectFault(wire, 'c0 ff ff ff ff 7f', 0x81)
})

conformance('5.0', ['MQTT-1.5.5-1'], 'a property length or value that is not minimal is malformed', async (wire) => {
  const topic = field(wire.topic())
  const packets = {
    'property length of a PUBLISH': packet(0x30, topic, '80 00', '78'),
    'property length of a SUBSCRIBE': packet(0x82, '00 01 80 00', topic, '00'),
    'a subscription identifier': packet(0x82, '00 01 03 0b 81 00', topic, '00'),
    'a five-byte subscription identifier': packet(0x82, '00 01 06 0b ff ff ff ff 01', topic, '00'),
  }
  await eachCase(packets, (bytes) => expectFault(wire, bytes, 0x81))
})

conformance('5.0', ['MQTT-1.5.5-1'], 'remaining lengths of one to four bytes arrive whole', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  for (const length of [0, 90, 127, 128, 300, 16_383, 16_384, 70_000, 2_097_151, 2_097_200]) {
    const payload = 'p'.repeat(length)
    client.send(publish({ topic: wire.topic(), payload }))
    const decoded = await next(client)
    expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic() })
    expect(decoded.payload?.length).toBe(length)
  }
})

conformance('5.0', ['MQTT-2.1.3-1'], 'wrong flags in the fixed header are malformed', async (wire) => {
  const topic = wire.topic()
  const right = {
    PUBACK: acknowledge('puback', 1),
    PUBREC: acknowledge('pubrec', 1),
    PUBREL: acknowledge('pubrel', 1),
    PUBCOMP: acknowledge('pubcomp', 1),
    SUBSCRIBE: subscribe(1, [[topic, 0]]),
    UNSUBSCRIBE: unsubscribe(1, [topic]),
    PINGREQ: pingreq,
    DISCONNECT: disconnect(0),
  }
  await eachCase(right, async (bytes) => {
    for (const bit of [1, 2, 4, 8])
      await expectFault(wire, concat(Uint8Array.of(bytes[0]! ^ bit), bytes.subarray(1)), 0x81)
  })
})

conformance('5.0', ['MQTT-2.1.3-1'], 'packets that only a server sends are protocol errors', async (wire) => {
  const packets = {
    CONNACK: '20 03 00 00 00',
    SUBACK: '90 04 00 01 00 00',
    UNSUBACK: 'b0 04 00 01 00 00',
    PINGRESP: 'd0 00',
  }
  await eachCase(packets, (bytes) => expectFault(wire, bytes, 0x82))
  await expectFault(wire, '00 00', malformedOrProtocolError)
})

conformance('5.0', ['MQTT-2.2.1-2'], 'a PUBLISH of QoS 0 is sent without a packet identifier', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic(), 2)
  client.send(publish({ topic: wire.topic(), payload: 'xy' }))
  await client.expectPacket(packet(0x30, field(wire.topic()), '00', '78 79'))
})

conformance('5.0', ['MQTT-2.2.1-3'], 'packet identifier 0 is refused', async (wire) => {
  const topic = wire.topic()
  const packets = {
    'PUBLISH of QoS 1': publish({ topic, qos: 1, id: 0 }),
    'PUBLISH of QoS 2': publish({ topic, qos: 2, id: 0 }),
    SUBSCRIBE: subscribe(0, [[topic, 0]]),
    UNSUBSCRIBE: unsubscribe(0, [topic]),
    PUBACK: acknowledge('puback', 0),
    PUBREC: acknowledge('pubrec', 0),
    PUBREL: acknowledge('pubrel', 0),
    PUBCOMP: acknowledge('pubcomp', 0),
  }
  await eachCase(packets, (bytes) => expectFault(wire, bytes, malformedOrProtocolError))
})

conformance(
  '5.0',
  ['MQTT-2.2.1-4', 'MQTT-4.3.2-1', 'MQTT-4.3.3-1'],
  'unacknowledged deliveries have different packet identifiers, none 0',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 2)
    for (let id = 1; id <= 100; id++) {
      const qos = 1 + (id % 2)
      publisher.send(publish({ topic: wire.topic(), qos, id }), qos === 2 ? acknowledge('pubrel', id) : noProperties)
    }
    const used = new Set<number>()
    for (let i = 1; i <= 100; i++) {
      const { type, packetId = 0 } = await next(client)
      expect(type).toBe('publish')
      expect(packetId).toBeGreaterThan(0)
      used.add(packetId)
    }
    expect(used.size).toBe(100)
  },
)

conformance('5.0', ['MQTT-2.2.1-5'], 'acknowledgements carry the packet identifier of their PUBLISH', async (wire) => {
  const client = await connected5(wire)
  for (const id of [1, 255, 256, 0x1234, 0xffff]) {
    client.send(publish({ topic: wire.topic(), qos: 1, id }))
    await expectAcknowledged(client, 'puback', id, taken)
    client.send(publish({ topic: wire.topic(), qos: 2, id }))
    await expectAcknowledged(client, 'pubrec', id, taken)
    client.send(acknowledge('pubrel', id))
    await expectAcknowledged(client, 'pubcomp', id)
  }
})

conformance('5.0', ['MQTT-2.2.1-6'], 'SUBACK and UNSUBACK carry the packet identifier they answer', async (wire) => {
  const client = await connected5(wire)
  for (const id of [1, 255, 256, 0xfedc, 0xffff]) {
    client.send(subscribe(id, [[wire.topic(), 0]]))
    await client.expectPacket(packet(0x90, u16(id), '00', '00'))
    client.send(unsubscribe(id, [wire.topic()]))
    await client.expectPacket(packet(0xb0, u16(id), '00', '00'))
  }
})

conformance('5.0', ['MQTT-2.2.2-1'], 'a packet without properties has a property length of 0', async (wire) => {
  const client = await connected5(wire)
  client.send(subscribe(9, [[wire.topic(), 1]]))
  await client.expectPacket('90 04 00 09 00 01')
  client.send(publish({ topic: wire.topic(), payload: 'z', qos: 1, id: 3 }))
  const received = [await client.expectPacket(), await client.expectPacket()]
  const delivered = received.find((bytes) => bytes[0] === 0x32)!
  expect(delivered.subarray(2 + 2 + wire.topic().length + 2)).toEqual(hex('00 7a'))
})

conformance('5.0', ['MQTT-2.2.2-1'], 'a packet without its property length is malformed', async (wire) => {
  await expectFault(wire, packet(0x30, field(wire.topic())), 0x81)
  await expectFault(wire, '82 02 00 01', malformedOrProtocolError)
  await expectFault(wire, 'a2 02 00 01', malformedOrProtocolError)
})

conformance('5.0', ['MQTT-2.2.2-1'], 'a property length that reaches beyond the packet is malformed', async (wire) => {
  const topic = field(wire.topic())
  const packets = {
    PUBLISH: packet(0x30, topic, '7f 78'),
    SUBSCRIBE: packet(0x82, '00 01 7f', topic, '00'),
    UNSUBSCRIBE: packet(0xa2, '00 01 7f', topic),
    PUBREL: '62 04 00 01 00 05',
    DISCONNECT: 'e0 02 00 01',
    'a property cut by the property length': packet(0x30, topic, '03 01 00 01', '78'),
  }
  await eachCase(packets, (bytes) => expectFault(wire, bytes, malformedOrProtocolError))
})

conformance('5.0', ['MQTT-4.2.0-1'], 'packets are read from the stream wherever chunks begin and end', async (wire) => {
  const client = await wire.open()
  client.sendBytewise(connect({ clientId: wire.id() }))
  expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
  const first = subscribe(1, [[wire.topic(), 0]])
  const second = publish({ topic: wire.topic(), payload: 'split' })
  for (let at = 1; at < first.length; at++) {
    client.send(first.subarray(0, at))
    client.send(first.subarray(at), second, pingreq)
    await expectSuback(client, 1, [0])
    await expectPublish(client, { topic: wire.topic(), payload: 'split' })
    await client.expectPacket(pingresp)
  }
  client.sendBytewise(second, second, disconnect(0))
  await expectPublish(client, { topic: wire.topic(), payload: 'split' })
  await expectPublish(client, { topic: wire.topic(), payload: 'split' })
  await client.expectClosed()
})

conformance(
  '5.0',
  ['MQTT-4.2.0-1'],
  'a conversation gets the same answers byte by byte and in one chunk',
  async (wire) => {
    const topic = wire.topic()
    const properties = concat(property.userProperty('name', 'value'), property.contentType('c'))
    const said = concat(
      subscribe(1, [[topic, 0]], property.userProperty('a', 'b')),
      publish({ topic, payload: 'one', qos: 1, id: 2, properties }),
      publish({ topic, payload: 'two', qos: 2, id: 3, properties }),
      acknowledge('pubrel', 3, 0, property.reasonString('r')),
      unsubscribe(4, [topic]),
      pingreq,
      disconnect(0, property.reasonString('done')),
    )
    const answers: string[][] = []
    for (const bytewise of [true, false]) {
      const client = await connected5(wire)
      if (bytewise) client.sendBytewise(said)
      else client.send(said)
      const heard = []
      for (let i = 0; i < 8; i++) heard.push(JSON.stringify(await next(client)))
      await client.expectClosed()
      answers.push(heard.toSorted())
    }
    expect(answers[0]).toEqual(answers[1])
  },
)

conformance('5.0', ['MQTT-4.2.0-1'], 'bytes that are no MQTT are closed and harm nobody', async (wire) => {
  const other = await connected5(wire)
  await eachCase({ http: 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', zeros: '\0'.repeat(64) }, async (words) => {
    const client = await wire.open()
    client.send(new TextEncoder().encode(words))
    await client.expectClosed()
  })
  await other.expectNothing()
})

conformance('5.0', [], 'trailing bytes in a packet of fixed size are malformed', async (wire) => {
  await eachCase({ PINGREQ: 'c0 01 00', DISCONNECT: 'e0 03 00 00 00' }, (bytes) => expectFault(wire, bytes, 0x81))
  for (const type of ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const) {
    const client = await connected5(wire)
    client.send(packet(acknowledge(type, 1)[0]!, '00 01 00 00 00'))
    await expectDisconnected(client, 0x81)
  }
})
