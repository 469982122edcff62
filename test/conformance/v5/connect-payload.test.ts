/*
 * MQTT 5.0 section 3.1.3, the payload of CONNECT, and 3.1.4, what is checked beyond the form.
 */

import { expect } from 'vitest'
import type { AuthenticationRequest } from '../../../src/auth/authenticator.ts'
import { concat, field, hex, packet } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectConnectRefused,
  expectPublish,
  expectRefused,
  leave,
  next,
  subscribed,
} from './expect.ts'
import { connect, decode, property, publish, valuesOf } from './packets.ts'

const assignedClientIdentifier = 18

conformance('5.0', ['MQTT-3.1.3-3'], 'the client identifier is the first field, and must be there', async (wire) => {
  await expectConnectRefused(wire, packet(0x10, field('MQTT'), '05 02 00 00 00'), 0x81)
  await expectConnectRefused(wire, packet(0x10, field('MQTT'), '05 02 00 00 00', '00 05 61'), 0x81)
  const client = await wire.open()
  client.send(packet(0x10, field('MQTT'), '05 02 00 00 00', field(wire.id())))
  expect(await next(client)).toMatchObject({ type: 'connack', reasonCode: 0, sessionPresent: false })
})

conformance('5.0', ['MQTT-3.1.3-5'], 'letters and digits of 1 to 23 bytes are accepted', async (wire) => {
  const letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
  const ids = ['7', letters.slice(0, 23), letters.slice(23, 46), letters.slice(39)]
  for (const clientId of ids) {
    const client = await connected5(wire, { clientId })
    expect(valuesOf(decode(client.connack), assignedClientIdentifier)).toEqual([])
    await leave(client)
  }
})

conformance(
  '5.0',
  ['MQTT-3.1.3-6', 'MQTT-3.1.3-7', 'MQTT-3.2.2-16'],
  'an empty client identifier is answered with a unique assigned one',
  async (wire) => {
    const ids = new Set<unknown>()
    for (let i = 0; i < 5; i++) {
      const client = await connected5(wire, { clientId: '' })
      const [id] = valuesOf(decode(client.connack), assignedClientIdentifier)
      expect(id).toEqual(expect.any(String))
      expect(id).not.toBe('')
      ids.add(id)
    }
    expect(ids.size).toBe(5)
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.3-7'],
  'the session of an assigned client identifier is found again by it',
  async (wire) => {
    const properties = property.sessionExpiryInterval(60)
    const client = await connected5(wire, { clientId: '', clean: false, properties })
    const [id] = valuesOf(decode(client.connack), assignedClientIdentifier)
    await subscribed(client, wire.topic(), 1)
    await leave(client)
    const again = await connected5(wire, { clientId: String(id), clean: false }, true)
    expect(valuesOf(decode(again.connack), assignedClientIdentifier)).toEqual([])
    again.send(publish({ topic: wire.topic(), payload: 'still subscribed' }))
    await expectPublish(again, { topic: wire.topic(), payload: 'still subscribed' })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.3-8'],
  'a client identifier that no string can be is refused, not accepted in part',
  async (wire) => {
    await expectConnectRefused(wire, connect({ clientId: hex('61 00 62') }), [0x81, 0x85])
  },
)

conformance('5.0', ['MQTT-3.1.3-2'], 'sessions of different client identifiers are apart', async (wire) => {
  const properties = property.sessionExpiryInterval(60)
  const one = await connected5(wire, { clientId: wire.id('x'), properties })
  await subscribed(one, wire.topic(), 1)
  await leave(one)
  const upper = await connected5(wire, { clientId: wire.id('X'), clean: false, properties })
  upper.send(publish({ topic: wire.topic(), payload: 'kept for x', qos: 0 }))
  await upper.expectNothing()
  const back = await connected5(wire, { clientId: wire.id('x'), clean: false, properties }, true)
  back.send(publish({ topic: wire.topic(), payload: 'now' }))
  await expectPublish(back, { topic: wire.topic(), payload: 'now' })
})

withGateway({ authenticator: { authenticate: refuseEveryoneButAlice } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.1.4-2'],
    'a CONNECT that fails authentication is refused with the reason and closed',
    async (wire) => {
      await expectConnectRefused(wire, connect({ clientId: wire.id(), username: 'bob', password: 'x' }), 0x86)
      await expectConnectRefused(wire, connect({ clientId: wire.id(), username: 'alice', password: 'wrong' }), 0x86)
      await expectConnectRefused(wire, connect({ clientId: wire.id() }), 0x86)
      const alice = await connected5(wire, { clientId: wire.id(), username: 'alice', password: 'secret' })
      await alice.expectNothing()
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.1.4-6'],
    'a client that fails authentication can neither publish nor take a session over',
    async (wire) => {
      const fields = { clientId: wire.id(), username: 'alice', password: 'secret' }
      const alice = await connected5(wire, fields)
      await subscribed(alice, wire.topic())
      const intruder = await wire.open()
      intruder.send(connect({ ...fields, password: 'wrong' }), publish({ topic: wire.topic(), payload: 'intruder' }))
      await expectRefused(intruder, 0x86)
      await alice.expectNothing()
    },
  )

  conformance('5.0', ['MQTT-3.1.4-6'], 'a client that fails authentication leaves no will', async (wire) => {
    const alice = await connected5(wire, { clientId: wire.id(), username: 'alice', password: 'secret' })
    await subscribed(alice, wire.topic())
    await expectConnectRefused(
      wire,
      connect({ clientId: wire.id('b'), username: 'bob', will: { topic: wire.topic() } }),
      0x86,
    )
    await alice.expectNothing()
  })
})

function refuseEveryoneButAlice(request: AuthenticationRequest): { reasonCode: number } {
  const accepted = request.username === 'alice' && Buffer.from(request.password ?? []).toString() === 'secret'
  return { reasonCode: accepted ? 0x00 : 0x86 }
}

conformance(
  '5.0',
  ['MQTT-3.1.3-1'],
  'a password and a will payload may be any bytes, a user name with them',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const dying = await connected5(wire, {
      clientId: wire.id('d'),
      username: 'ü',
      password: hex('00 ff c0 80'),
      will: { topic: wire.topic(), payload: hex('00 ff fe c0') },
    })
    dying.destroy()
    await expectPublish(watcher, { topic: wire.topic(), payload: '\x00\xff\xfe\xc0' })
  },
)

conformance('5.0', [], 'strings of 65,535 bytes are accepted in CONNECT', async (wire) => {
  const long = 'x'.repeat(65_535)
  const cases = {
    'user name': { username: long },
    password: { username: 'u', password: long },
    'will payload': { will: { topic: wire.topic(), payload: long } },
    'user property': { properties: concat(property.userProperty(long, long)) },
  }
  await eachCase(cases, async (fields) => {
    const client = await connected5(wire, { clientId: wire.id(), ...fields })
    await leave(client)
  })
})
