/*
 * MQTT 5.0 sections 3.14 DISCONNECT, 4.11 server redirection and 4.13 handling errors.
 */

import type { Socket } from 'node:net'
import { expect } from 'vitest'
import { concat, field, hex, packet, pingreq } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectConnectRefused,
  expectDisconnected,
  expectFault,
  expectNothingArrives,
  expectPublish,
  leave,
  malformedOrProtocolError,
  next,
  subscribed,
} from './expect.ts'
import { connect, disconnect, property, publish, subscribe, valuesOf } from './packets.ts'

const serverReference = 28
const reasonString = 31

conformance('5.0', ['MQTT-3.14.1-1'], 'flags of DISCONNECT other than 0 are malformed', async (wire) => {
  for (const first of [0xe1, 0xe2, 0xe4, 0xe8, 0xef]) await expectFault(wire, Uint8Array.of(first, 0x00), 0x81)
})

conformance('5.0', ['MQTT-3.14.1-1'], 'a DISCONNECT with wrong flags publishes the will', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const faulty = await connected5(wire, { clientId: wire.id('f'), will: { topic: wire.topic(), payload: 'malformed' } })
  faulty.send('e1 00')
  await expectDisconnected(faulty, 0x81)
  await expectPublish(watcher, { topic: wire.topic(), payload: 'malformed' })
})

conformance('5.0', [], 'DISCONNECT in each of its short forms is accepted', async (wire) => {
  await eachCase({ 'no reason': 'e0 00', 'no property length': 'e0 01 00', whole: 'e0 02 00 00' }, async (bytes) => {
    const client = await connected5(wire)
    client.send(bytes)
    await client.expectClosed()
  })
})

conformance(
  '5.0',
  ['MQTT-3.14.2-1'],
  'a reason code that a client may not send in DISCONNECT is a fault',
  async (wire) => {
    for (const reason of [0x01, 0x18, 0x8b, 0x8e, 0x9d, 0xff])
      await expectFault(wire, disconnect(reason), malformedOrProtocolError)
  },
)

conformance('5.0', [], 'properties that DISCONNECT may not have, or has twice, are refused', async (wire) => {
  const malformed = {
    'Topic Alias': property.topicAlias(1),
    'Will Delay Interval': property.willDelayInterval(1),
    'identifier 0': hex('00 00'),
  }
  await eachCase(malformed, (properties) => expectFault(wire, disconnect(0, properties), 0x81))
  const twice = {
    'Session Expiry Interval': property.sessionExpiryInterval(0),
    'Reason String': property.reasonString('x'),
  }
  await eachCase(twice, (one) => expectFault(wire, disconnect(0, concat(one, one)), 0x82))
})

conformance('5.0', [], 'reason string and user properties in a DISCONNECT are accepted', async (wire) => {
  const client = await connected5(wire)
  await leave(
    client,
    concat(property.reasonString('done'), property.userProperty('a', 'b'), property.userProperty('a', 'c')),
  )
})

conformance('5.0', ['MQTT-3.14.4-1'], 'what follows a DISCONNECT is not processed', async (wire) => {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic())
  const client = await connected5(wire)
  client.send(disconnect(0), publish({ topic: wire.topic(), payload: 'too late' }), pingreq)
  await client.expectClosed()
  await expectNothingArrives(watcher, wire.topic())
})

conformance(
  '5.0',
  ['MQTT-3.14.4-1', 'MQTT-3.14.4-2', 'MQTT-4.13.1-1'],
  'after its DISCONNECT the server sends nothing more and closes',
  async (wire) => {
    const client = await connected5(wire)
    client.send(subscribe(1, []), pingreq, pingreq, subscribe(2, [[wire.topic(), 0]]))
    await expectDisconnected(client, 0x82)
  },
)

conformance(
  '5.0',
  ['MQTT-4.13.1-1', 'MQTT-4.13.2-1'],
  'packets before a fault are processed, packets behind it are not',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const client = await connected5(wire)
    client.send(
      publish({ topic: wire.topic(), payload: 'before' }),
      'c1 00',
      publish({ topic: wire.topic(), payload: 'behind' }),
    )
    await expectDisconnected(client, 0x81)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'before' })
    await expectNothingArrives(watcher, wire.topic())
  },
)

conformance(
  '5.0',
  ['MQTT-3.14.2-2', 'MQTT-3.14.2-1'],
  'a DISCONNECT of the server has a reason of its own and no Session Expiry Interval',
  async (wire) => {
    const fromServer = [
      0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
      0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ]
    const faults = {
      malformed: hex('c1 00'),
      'protocol error': subscribe(1, []),
      'alias too large': publish({ topic: wire.topic(), properties: property.topicAlias(65_535) }),
      'bad topic name': publish({ topic: 'a/#' }),
      'second CONNECT': connect({ clientId: wire.id() }),
    }
    await eachCase(faults, async (bytes) => {
      const client = await connected5(wire, { properties: property.sessionExpiryInterval(5) })
      client.send(bytes)
      const decoded = await next(client)
      expect(decoded.type).toBe('disconnect')
      expect(fromServer).toContain(decoded.reasonCode)
      for (const [identifier] of decoded.properties) expect([28, 31, 38]).toContain(identifier)
      await client.expectClosed()
    })
  },
)

conformance('5.0', ['MQTT-4.13.1-1'], 'the fault of one client harms no other', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  for (const bytes of ['c1 00', '00 00', 'ff ff ff ff ff', packet(0x30, '00 01')]) {
    const faulty = await connected5(wire)
    faulty.send(bytes)
    await expectDisconnected(faulty, malformedOrProtocolError)
  }
  await expectNothingArrives(client, wire.topic())
})

conformance(
  '5.0',
  ['MQTT-4.13.2-1'],
  'a client that sends on after a fault still gets the reason code',
  async (wire) => {
    const client = await connected5(wire)
    const more = publish({ topic: wire.topic(), payload: 'x'.repeat(200_000) })
    client.send('c1 00')
    for (let i = 0; i < 5; i++) client.send(more)
    await expectDisconnected(client, 0x81)
  },
)

conformance(
  '5.0',
  ['MQTT-4.13.2-1'],
  'the end of the connection behind a DISCONNECT is orderly, not a reset, though the client sends on',
  async (wire) => {
    const client = await connected5(wire)
    const { socket } = client.link as unknown as { socket: Socket }
    const ended = new Promise<string>((resolve) => {
      socket.once('end', () => resolve('FIN'))
      socket.once('error', ({ message }) => resolve(message))
    })
    const more = publish({ topic: wire.topic(), payload: 'x'.repeat(100_000) })
    client.send('c1 00', more)
    for (let i = 0; i < 20; i++) client.send(more)
    await expectDisconnected(client, 0x81)
    expect(await ended).toBe('FIN')
  },
  { transports: ['TCP'] },
)

const elsewhere = { reasonCode: 0x9c, serverReference: 'second.example:1883' }

withGateway({ authenticator: { authenticate: () => elsewhere } }, () => {
  conformance('5.0', ['MQTT-3.2.2-7'], 'a CONNECT may be answered with 0x9C and a Server Reference', async (wire) => {
    const refused = await expectConnectRefused(wire, connect({ clientId: wire.id() }), 0x9c)
    expect(valuesOf(refused, serverReference)).toEqual(['second.example:1883'])
  })
})

withGateway({}, () => {
  conformance(
    '5.0',
    ['MQTT-3.14.2-2'],
    'the operator can send a client to another server with 0x9D or 0x9C',
    async (wire) => {
      for (const reasonCode of [0x9c, 0x9d]) {
        const client = await connected5(wire, { clientId: wire.id() })
        expect(
          wire.gateway.disconnectClient(wire.id(), {
            reasonCode,
            serverReference: 'other:1883',
            reasonString: 'moved',
          }),
        ).toBe(true)
        const decoded = await expectDisconnected(client, reasonCode)
        expect(valuesOf(decoded, serverReference)).toEqual(['other:1883'])
        expect(valuesOf(decoded, reasonString)).toEqual(['moved'])
        expect(decoded.properties).toHaveLength(2)
      }
      expect(wire.gateway.disconnectClient(wire.id(), { reasonCode: 0x98 })).toBe(false)
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.14.2-3'],
    'a DISCONNECT by the operator leaves out what exceeds the Maximum Packet Size',
    async (wire) => {
      const reason = 'moved '.repeat(40)
      const client = await connected5(wire, { clientId: wire.id(), properties: property.maximumPacketSize(200) })
      wire.gateway.disconnectClient(wire.id(), { reasonCode: 0x98, reasonString: reason })
      const decoded = await expectDisconnected(client, 0x98)
      expect(decoded.length).toBeLessThanOrEqual(200)
      expect(valuesOf(decoded, reasonString)).toEqual([])
    },
  )

  conformance('5.0', [], 'a client that the operator disconnects has its will published', async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const client = await connected5(wire, { clientId: wire.id('w'), will: { topic: wire.topic(), payload: 'kicked' } })
    wire.gateway.disconnectClient(wire.id('w'), { reasonCode: 0x98 })
    await expectDisconnected(client, 0x98)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'kicked' })
  })
})

withGateway({}, () => {
  conformance(
    '5.0',
    ['MQTT-3.14.4-2'],
    'a server that stops sends 0x8B to its clients',
    async (wire) => {
      const clients = [await connected5(wire), await connected5(wire)]
      const closing = wire.gateway.close()
      for (const client of clients) await expectDisconnected(client, 0x8b)
      await closing
    },
    { transports: ['TCP'] },
  )
})

withGateway({}, () => {
  conformance(
    '5.0',
    ['MQTT-3.14.4-2'],
    'a server that stops sends 0x8B to its clients over WebSocket',
    async (wire) => {
      const client = await connected5(wire)
      const closing = wire.gateway.close()
      await expectDisconnected(client, 0x8b)
      await closing
    },
    { transports: ['WebSocket'] },
  )
})

withGateway({ limits: { connectTimeoutMs: 500 } }, () => {
  conformance('5.0', [], 'a connection that sends no CONNECT, or half of one, is closed in the end', async (wire) => {
    const silent = await wire.open()
    const half = await wire.open()
    half.send(packet(0x10, field('MQTT'), '05 02 00 00 00', field(wire.id())).subarray(0, 12))
    await silent.expectClosed()
    await half.expectClosed()
  })
})
