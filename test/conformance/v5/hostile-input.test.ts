/*
 * Input that is known to have stopped MQTT 5.0 brokers, and packets damaged at every byte: whatever comes, the client
 * that sent it gets an answer or a close, and everybody else goes on.
 */

import { expect } from 'vitest'
import { concat, field, packet } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire } from '../harness.ts'
import {
  connected5,
  expectAcknowledged,
  expectConnectRefused,
  expectFault,
  expectNothingArrives,
  expectRefused,
  malformedOrProtocolError,
  next,
  subscribed,
  taken,
} from './expect.ts'
import { acknowledge, auth, connect, disconnect, property, publish, subscribe, unsubscribe } from './packets.ts'

conformance('5.0', ['MQTT-3.1.4-1'], 'CONNECT with a truncated Session Expiry Interval is refused', async (wire) => {
  for (const properties of ['11', '11 00', '11 00 00', '11 00 00 00']) {
    const bytes = packet(
      0x10,
      field('MQTT'),
      '05 02 00 00',
      Uint8Array.of(properties.split(' ').length),
      properties,
      field(wire.id()),
    )
    await expectConnectRefused(wire, bytes, 0x81)
  }
})

conformance('5.0', ['MQTT-3.1.4-1'], 'CONNECT with a doubled Session Expiry Interval is refused', async (wire) => {
  const one = property.sessionExpiryInterval(10)
  await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: concat(one, one) }), 0x82)
})

conformance('5.0', [], 'PUBLISH with a Response Topic identifier and no value is malformed', async (wire) => {
  for (const properties of ['08', '08 00', '08 00 05', '08 00 05 61']) {
    const length = Uint8Array.of(properties.split(' ').length)
    await expectFault(wire, packet(0x30, field(wire.topic()), length, properties, '78'), 0x81)
  }
})

conformance('5.0', ['MQTT-4.3.3-11'], 'PUBREL twice in quick succession is answered twice', async (wire) => {
  const client = await connected5(wire)
  client.send(publish({ topic: wire.topic(), qos: 2, id: 1 }))
  await expectAcknowledged(client, 'pubrec', 1, taken)
  client.send(acknowledge('pubrel', 1), acknowledge('pubrel', 1))
  await expectAcknowledged(client, 'pubcomp', 1, 0x00)
  await expectAcknowledged(client, 'pubcomp', 1, 0x92)
  await client.expectNothing()
})

conformance('5.0', ['MQTT-4.13.1-1'], 'a CONNECT damaged at any byte stops nobody', async (wire) => {
  const bytes = connect({
    clientId: wire.id('h'),
    properties: concat(property.sessionExpiryInterval(0), property.userProperty('a', 'b')),
    will: { topic: wire.topic('w'), payload: 'p', qos: 1, properties: property.contentType('c') },
    username: 'u',
    password: 'p',
  })
  await damageEach(wire, bytes, async (damaged) => {
    const client = await wire.open()
    // The packet may now be longer than it says, or still right: it is enough that the connection can be ended.
    client.send(damaged)
    client.end()
    return client
  })
})

conformance(
  '5.0',
  ['MQTT-4.13.1-1'],
  'any other packet damaged at any byte stops nobody',
  async (wire) => {
    const topic = wire.topic('h')
    const p = property
    const properties = concat(
      p.contentType('c'),
      p.responseTopic('r'),
      p.correlationData('d'),
      p.userProperty('a', 'b'),
      p.topicAlias(1),
    )
    const packets = [
      publish({ topic, payload: 'p', qos: 2, id: 1, properties }),
      acknowledge('puback', 1, 0, p.reasonString('r')),
      acknowledge('pubrec', 1, 0, p.userProperty('a', 'b')),
      acknowledge('pubrel', 1, 0, p.reasonString('r')),
      subscribe(
        1,
        [
          [topic, 1],
          [`$share/g/${topic}`, 2],
        ],
        p.subscriptionIdentifier(300),
      ),
      unsubscribe(1, [topic], p.userProperty('a', 'b')),
      auth(0x19, concat(p.authenticationMethod('X'), p.authenticationData('d'))),
      disconnect(0x04, p.sessionExpiryInterval(0)),
    ]
    for (const bytes of packets) {
      await damageEach(wire, bytes, async (damaged) => {
        const client = await connected5(wire)
        client.send(damaged)
        client.end()
        return client
      })
    }
  },
  { timeoutMs: 60_000 },
)

/** Sends the packet with each byte in turn replaced by 00, ff, and itself with one bit changed; a witness goes on. */
async function damageEach(
  wire: Wire,
  bytes: Uint8Array,
  send: (damaged: Uint8Array) => Promise<{ destroy(): void }>,
): Promise<void> {
  const witness = await connected5(wire, { clientId: wire.id('witness') })
  await subscribed(witness, wire.topic('witness'))
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0x00, 0xff, bytes[at]! ^ 0x01]) {
      const damaged = bytes.slice()
      damaged[at] = value
      await send(damaged)
    }
  }
  await expectNothingArrives(witness, wire.topic('witness'))
}

conformance('5.0', [], 'packets half sent by many connections hold up nobody', async (wire) => {
  const bytes = publish({ topic: wire.topic(), payload: 'never whole'.repeat(100) })
  for (let i = 0; i < 50; i++)
    (await wire.open()).send(connect({ clientId: wire.id(`h${i}`) }), bytes.subarray(0, 20 * i + 1))
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  await expectNothingArrives(client, wire.topic())
})

conformance(
  '5.0',
  ['MQTT-3.1.4-3'],
  'fifty connections racing for one client identifier leave one, all others are told 0x8E',
  async (wire) => {
    const racers: RawClient[] = []
    for (let i = 0; i < 50; i++) racers.push(await wire.open())
    for (const racer of racers) racer.send(connect({ clientId: wire.id(), clean: false }))
    const endings: { type: string; reasonCode?: number | undefined }[] = []
    const ended = racers.map(async (racer) => {
      expect(await next(racer)).toMatchObject({ type: 'connack', reasonCode: 0 })
      const { type, reasonCode } = await next(racer)
      endings.push({ type, reasonCode })
      // One is left: nothing more can be expected of it.
      if (endings.length === 49) for (const one of racers) one.destroy()
    })
    const outcomes = await Promise.allSettled(ended)
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(1)
    expect(endings).toHaveLength(49)
    for (const ending of endings) expect(ending).toEqual({ type: 'disconnect', reasonCode: 0x8e })
  },
)

conformance('5.0', [], 'a CONNECT refused for its content leaves the connection unusable', async (wire) => {
  const client = await wire.open()
  client.send(connect({ clientId: wire.id(), flags: 0x1e, will: { topic: 'x' } }), subscribe(1, [[wire.topic(), 0]]))
  await expectRefused(client, malformedOrProtocolError)
})
