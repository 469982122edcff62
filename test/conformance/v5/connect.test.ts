/*
 * MQTT 5.0 section 3.1, CONNECT: fixed and variable header, and what is refused for its form.
 */

import { expect } from 'vitest'
import { concat, field, packet, pingreq, u16 } from '../bytes.ts'
import { conformance } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectConnectRefused,
  expectDisconnected,
  expectNothingArrives,
  expectPublish,
  leave,
  malformedOrProtocolError,
  next,
  subscribed,
} from './expect.ts'
import { acknowledge, auth, connect, disconnect, property, publish, subscribe, unsubscribe } from './packets.ts'

conformance(
  '5.0',
  ['MQTT-3.1.0-1', 'MQTT-3.14.0-1'],
  'any packet before CONNECT closes without an answer',
  async (wire) => {
    const packets = {
      PUBLISH: publish({ topic: wire.topic() }),
      PUBACK: acknowledge('puback', 1),
      PUBREC: acknowledge('pubrec', 1),
      PUBREL: acknowledge('pubrel', 1),
      PUBCOMP: acknowledge('pubcomp', 1),
      SUBSCRIBE: subscribe(1, [[wire.topic(), 0]]),
      UNSUBSCRIBE: unsubscribe(1, [wire.topic()]),
      PINGREQ: pingreq,
      DISCONNECT: disconnect(0),
      AUTH: auth(0x18, property.authenticationMethod('X')),
      'the reserved type 0': Uint8Array.of(0x00, 0x00),
    }
    await eachCase(packets, async (bytes) => {
      const client = await wire.open()
      client.send(bytes)
      await client.expectClosed()
    })
  },
)

conformance('5.0', ['MQTT-3.1.0-2'], 'a second CONNECT is a protocol error', async (wire) => {
  const client = await connected5(wire, { clientId: wire.id() })
  client.send(connect({ clientId: wire.id() }))
  await expectDisconnected(client, 0x82)
})

conformance('5.0', ['MQTT-3.1.0-2'], 'a second CONNECT in the chunk of the first is a protocol error', async (wire) => {
  const client = await wire.open()
  client.send(connect({ clientId: wire.id() }), connect({ clientId: wire.id() }))
  expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
  await expectDisconnected(client, 0x82)
})

conformance('5.0', ['MQTT-3.1.2-1'], 'another protocol name closes, with 0x84 or without a word', async (wire) => {
  await eachCase({ lower: 'mqtt', empty: '', longer: 'MQTTT', unknown: 'AMQP' }, async (name) => {
    const client = await wire.open()
    client.send(connect({ clientId: wire.id(), name }))
    await client.expectClosed().catch(async () => {
      expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0x84, sessionPresent: false })
      await client.expectClosed()
    })
  })
})

conformance('5.0', ['MQTT-3.1.2-2'], 'a protocol version above 5 is refused with 0x84 and closed', async (wire) => {
  for (const level of [6, 7, 127, 255])
    await expectConnectRefused(wire, connect({ clientId: wire.id(), level, properties: new Uint8Array(0) }), 0x84)
})

conformance('5.0', ['MQTT-3.1.2-3'], 'the reserved connect flag makes the CONNECT malformed', async (wire) => {
  await expectConnectRefused(wire, connect({ clientId: wire.id(), flags: 0x03 }), 0x81)
})

conformance('5.0', ['MQTT-2.1.3-1'], 'reserved bits in the fixed header of CONNECT are malformed', async (wire) => {
  const bytes = connect({ clientId: wire.id() })
  for (const first of [0x11, 0x12, 0x14, 0x18]) {
    const client = await wire.open()
    client.send(Uint8Array.of(first), bytes.subarray(1))
    // The version is not known yet when the first byte is wrong, so the close may come without a CONNACK.
    await client.expectClosed().catch(async () => {
      expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0x81 })
      await client.expectClosed()
    })
  }
})

conformance(
  '5.0',
  ['MQTT-3.1.2-11', 'MQTT-3.1.2-13'],
  'will QoS or will retain without a will is refused',
  async (wire) => {
    await eachCase({ 'QoS 1': 0x0a, 'QoS 2': 0x12, retain: 0x22 }, (flags) =>
      expectConnectRefused(wire, connect({ clientId: wire.id(), flags }), malformedOrProtocolError),
    )
  },
)

conformance('5.0', ['MQTT-3.1.2-12'], 'a will QoS of 3 is malformed', async (wire) => {
  const will = { topic: wire.topic(), qos: 3 }
  await expectConnectRefused(wire, connect({ clientId: wire.id(), will }), 0x81)
})

conformance('5.0', ['MQTT-3.1.2-12'], 'a will is published with its QoS of 0, 1 or 2', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic(), 2)
  for (const qos of [0, 1, 2]) {
    const dying = await connected5(wire, {
      clientId: wire.id('d'),
      will: { topic: wire.topic(), payload: `qos ${qos}`, qos },
    })
    dying.destroy()
    await expectPublish(watcher, { topic: wire.topic(), payload: `qos ${qos}`, qos })
  }
})

conformance('5.0', ['MQTT-3.1.2-9'], 'a will flag without the will fields is malformed', async (wire) => {
  const id = wire.id()
  const bodies = {
    'no will fields': field(id),
    'will properties only': concat(field(id), '00'),
    'no will payload': concat(field(id), '00', field(wire.topic())),
    'a will payload cut short': concat(field(id), '00', field(wire.topic()), '00 05 61'),
  }
  await eachCase(bodies, (body) =>
    expectConnectRefused(wire, packet(0x10, field('MQTT'), '05 06 00 00 00', body), 0x81),
  )
})

conformance(
  '5.0',
  ['MQTT-3.1.2-16', 'MQTT-3.1.2-18'],
  'user name or password without their flags are trailing bytes',
  async (wire) => {
    const id = wire.id()
    const cases = {
      'user name without its flag': [0x02, concat(field(id), field('user'))],
      'password without its flag': [0x82, concat(field(id), field('user'), field('secret'))],
      'one trailing byte': [0x02, concat(field(id), '00')],
    } as const
    await eachCase(cases, ([flags, body]) =>
      expectConnectRefused(wire, packet(0x10, field('MQTT'), Uint8Array.of(5, flags, 0, 0, 0), body), 0x81),
    )
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-17', 'MQTT-3.1.2-19'],
  'flags for a user name or password that is missing are malformed',
  async (wire) => {
    const id = wire.id()
    const cases = {
      'no user name': [0x82, field(id)],
      'no password': [0x42, field(id)],
      'user name, but no password': [0xc2, concat(field(id), field('user'))],
      'a user name cut short': [0x82, concat(field(id), '00 04 75 73')],
    } as const
    await eachCase(cases, ([flags, body]) =>
      expectConnectRefused(wire, packet(0x10, field('MQTT'), Uint8Array.of(5, flags, 0, 0, 0), body), 0x81),
    )
  },
)

conformance('5.0', ['MQTT-3.1.2-19'], 'a password without a user name is allowed', async (wire) => {
  const client = await connected5(wire, { clientId: wire.id(), password: 'secret' })
  await client.expectNothing()
})

conformance('5.0', ['MQTT-3.1.4-1'], 'a CONNECT cut short at any field is refused', async (wire) => {
  const whole = connect({
    clientId: wire.id(),
    properties: concat(property.sessionExpiryInterval(0), property.receiveMaximum(5)),
    will: { topic: wire.topic(), payload: 'x', properties: property.willDelayInterval(0) },
    username: 'u',
    password: 'p',
  })
  const body = whole.subarray(2)
  // Up to and including the protocol version the packet may be closed without a word.
  for (let length = 8; length < body.length; length++) {
    await expectConnectRefused(wire, packet(0x10, body.subarray(0, length)), malformedOrProtocolError)
  }
})

conformance('5.0', ['MQTT-3.1.4-1'], 'properties that break their own rules are protocol errors', async (wire) => {
  const p = property
  const cases = {
    'Receive Maximum 0': p.receiveMaximum(0),
    'Maximum Packet Size 0': p.maximumPacketSize(0),
    'Request Problem Information 2': p.requestProblemInformation(2),
    'Request Response Information 2': p.requestResponseInformation(2),
    'authentication data without a method': p.authenticationData('x'),
  }
  await eachCase(cases, (properties) => expectConnectRefused(wire, connect({ clientId: wire.id(), properties }), 0x82))
})

conformance('5.0', ['MQTT-3.1.4-1'], 'each property that is given twice is a protocol error', async (wire) => {
  const p = property
  const once = {
    'Session Expiry Interval': p.sessionExpiryInterval(1),
    'Receive Maximum': p.receiveMaximum(1),
    'Maximum Packet Size': p.maximumPacketSize(1000),
    'Topic Alias Maximum': p.topicAliasMaximum(1),
    'Request Response Information': p.requestResponseInformation(1),
    'Request Problem Information': p.requestProblemInformation(1),
    'Authentication Method': p.authenticationMethod('X'),
  }
  await eachCase(once, (one) =>
    expectConnectRefused(wire, connect({ clientId: wire.id(), properties: concat(one, one) }), 0x82),
  )
  const method = p.authenticationMethod('X')
  const data = p.authenticationData('d')
  await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: concat(method, data, data) }), 0x82)
})

conformance('5.0', ['MQTT-3.1.4-1'], 'properties of other packets and unknown ones are malformed', async (wire) => {
  const p = property
  const cases = {
    'Topic Alias': p.topicAlias(1),
    'Will Delay Interval': p.willDelayInterval(1),
    'Payload Format Indicator': p.payloadFormatIndicator(0),
    'Content Type': p.contentType('x'),
    'Subscription Identifier': p.subscriptionIdentifier(1),
    'Reason String': p.reasonString('x'),
    'identifier 0': Uint8Array.of(0x00, 0x00),
    'identifier 0x7f': Uint8Array.of(0x7f, 0x00),
    'a two-byte identifier': Uint8Array.of(0x91, 0x01, 0x00),
    'a value cut short': Uint8Array.of(0x11, 0x00, 0x00),
    'an identifier without a value': Uint8Array.of(0x21),
  }
  await eachCase(cases, (properties) => expectConnectRefused(wire, connect({ clientId: wire.id(), properties }), 0x81))
})

conformance('5.0', ['MQTT-3.1.4-1'], 'will properties are checked like others', async (wire) => {
  const p = property
  const expiry = p.messageExpiryInterval(1)
  const cases = {
    'Will Delay Interval twice': [concat(p.willDelayInterval(1), p.willDelayInterval(1)), 0x82],
    'Message Expiry Interval twice': [concat(expiry, expiry), 0x82],
    'Content Type twice': [concat(p.contentType('a'), p.contentType('a')), 0x82],
    'Response Topic twice': [concat(p.responseTopic('a'), p.responseTopic('a')), 0x82],
    'Topic Alias': [p.topicAlias(1), 0x81],
    'Subscription Identifier': [p.subscriptionIdentifier(1), 0x81],
    'Session Expiry Interval': [p.sessionExpiryInterval(1), 0x81],
    'Payload Format Indicator 2': [p.payloadFormatIndicator(2), malformedOrProtocolError],
    'a response topic with a wildcard': [p.responseTopic('a/+'), [0x81, 0x82, 0x90]],
  } as const
  await eachCase(cases, ([properties, reason]) =>
    expectConnectRefused(wire, connect({ clientId: wire.id(), will: { topic: wire.topic(), properties } }), reason),
  )
})

conformance('5.0', ['MQTT-3.1.4-1', 'MQTT-4.7.0-1'], 'a will topic that is no topic name is refused', async (wire) => {
  await eachCase({ empty: '', plus: 'a/+', hash: '#' }, (topic) =>
    expectConnectRefused(wire, connect({ clientId: wire.id(), will: { topic } }), [0x81, 0x82, 0x90]),
  )
})

conformance('5.0', ['MQTT-3.1.4-6'], 'what follows a refused CONNECT is not processed', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const refused = await wire.open()
  refused.send(
    connect({ clientId: wire.id(), flags: 0x03 }),
    publish({ topic: wire.topic(), payload: 'refused', retain: true }),
  )
  expect(await next(refused)).toMatchObject({ type: 'connack', reasonCode: 0x81 })
  await refused.expectClosed()
  await expectNothingArrives(watcher, wire.topic())
})

conformance(
  '5.0',
  ['MQTT-3.1.4-5', 'MQTT-3.2.0-1'],
  'packets sent behind CONNECT without waiting are answered behind CONNACK',
  async (wire) => {
    const client = await wire.open()
    client.send(
      connect({ clientId: wire.id() }),
      subscribe(7, [[wire.topic(), 0]]),
      publish({ topic: wire.topic(), payload: 'early' }),
      pingreq,
    )
    expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0, sessionPresent: false })
    expect(await next(client)).toMatchObject({ type: 'suback', packetId: 7, reasonCodes: [0] })
    await expectPublish(client, { topic: wire.topic(), payload: 'early' })
    expect(await next(client)).toMatchObject({ type: 'pingresp' })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.4-3'],
  'a second connection with the client identifier takes the session over with 0x8E',
  async (wire) => {
    const first = await connected5(wire, { clientId: wire.id() })
    const second = await connected5(wire, { clientId: wire.id() })
    await expectDisconnected(first, 0x8e)
    await second.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.4-3'],
  'of many connections with one client identifier only the last stays',
  async (wire) => {
    const clients = []
    for (let i = 0; i < 10; i++) clients.push(await connected5(wire, { clientId: wire.id() }))
    const last = clients.pop()!
    for (const loser of clients) await expectDisconnected(loser, 0x8e)
    await last.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.4-4', 'MQTT-3.1.4-3'],
  'a take-over with Clean Start 0 keeps the session, with 1 ends it',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic())
    const second = await connected5(wire, { ...fields, clean: false }, true)
    await expectDisconnected(first, 0x8e)
    second.send(publish({ topic: wire.topic(), payload: 'kept' }))
    await expectPublish(second, { topic: wire.topic(), payload: 'kept' })
    const third = await connected5(wire, fields)
    await expectDisconnected(second, 0x8e)
    third.send(publish({ topic: wire.topic(), payload: 'for nobody' }))
    await third.expectNothing()
    await leave(third, property.sessionExpiryInterval(0))
  },
)

conformance('5.0', ['MQTT-3.1.3-1'], 'the payload fields are read in their order', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic('will'))
  const client = await wire.open()
  client.send(
    packet(
      0x10,
      field('MQTT'),
      '05 c6',
      u16(0),
      '00',
      field(wire.id()),
      '00',
      field(wire.topic('will')),
      field('last'),
      field('user'),
      field('secret'),
    ),
  )
  expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0 })
  client.destroy()
  await expectPublish(watcher, { topic: wire.topic('will'), payload: 'last' })
})
