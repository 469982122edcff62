/*
 * MQTT 5.0 sections 3.15 AUTH and 4.12 Enhanced authentication.
 *
 * The method LETTERS takes the letters of each client message as instructions: m asks for more, y accepts, n refuses,
 * w answers later (on a promise). It lets a test steer every step of an exchange from its own side.
 */

import { expect } from 'vitest'
import { concat, hex, noProperties, pingreq } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, type Wire, withGateway } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectConnectRefused,
  expectDisconnected,
  expectFault,
  expectPublish,
  expectRefused,
  malformedOrProtocolError,
  next,
  subscribed,
} from './expect.ts'
import { auth, connect, type Decoded, decode, disconnect, property, publish, subscribe, valuesOf } from './packets.ts'

const authenticationMethod = 21
const authenticationData = 22

type Step =
  | { type: 'continue' | 'success'; data: Uint8Array }
  | { type: 'failure'; reasonCode: number; reasonString?: string }

function letters(): { next(data: Uint8Array | undefined): Step | Promise<Step> } {
  let step = 0
  return {
    next(data) {
      step++
      const text = Buffer.from(data ?? []).toString()
      const answer = answerTo(text, step)
      return text.startsWith('w') ? new Promise((resolve) => setImmediate(resolve, answer)) : answer
    },
  }
}

function answerTo(text: string, step: number): Step {
  if (text.includes('n')) return { type: 'failure', reasonCode: 0x87, reasonString: `no at step ${step}` }
  const data = new TextEncoder().encode(`${text} ${step}`)
  return { type: text.includes('y') ? 'success' : 'continue', data }
}

const options = { authenticationMethods: { LETTERS: { begin: letters } }, allowAnonymous: true }

function withData(data: string, method = 'LETTERS'): Uint8Array {
  return concat(property.authenticationMethod(method), property.authenticationData(data))
}

/** Opens a connection, sends CONNECT with the method, and expects the AUTH that asks for more. */
async function halfAuthenticated(wire: Wire, fields = {}): Promise<RawClient> {
  const client = await wire.open()
  client.send(connect({ clientId: wire.id(), properties: withData('m'), ...fields }))
  expectAuth(await next(client), 0x18, 'm 1')
  return client
}

function expectAuth(decoded: Decoded, reasonCode: number, data: string): void {
  expect(decoded).toMatchObject({ type: 'auth', flags: 0, reasonCode })
  expect(valuesOf(decoded, authenticationMethod)).toEqual(['LETTERS'])
  expect(Buffer.from(valuesOf(decoded, authenticationData)[0] as Uint8Array).toString()).toBe(data)
}

async function authenticated(wire: Wire, clientId = wire.id()): Promise<RawClient> {
  const client = await wire.open()
  client.send(connect({ clientId, properties: withData('y') }))
  const connack = await next(client)
  expect(connack).toMatchObject({ type: 'connack', reasonCode: 0 })
  return client
}

conformance(
  '5.0',
  ['MQTT-4.12.0-1'],
  'an authentication method that is not served is refused with 0x8C',
  async (wire) => {
    await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: withData('y', 'UNKNOWN') }), 0x8c)
    await expectConnectRefused(
      wire,
      connect({ clientId: wire.id(), properties: property.authenticationMethod('') }),
      0x8c,
    )
  },
)

conformance(
  '5.0',
  ['MQTT-4.12.0-6'],
  'without a method in CONNECT there is none in the CONNACK, and no AUTH',
  async (wire) => {
    const client = await connected5(wire)
    expect(valuesOf(decode(client.connack), authenticationMethod)).toEqual([])
    expect(valuesOf(decode(client.connack), authenticationData)).toEqual([])
    await client.expectNothing()
  },
)

conformance('5.0', ['MQTT-4.12.0-7'], 'AUTH from a client that named no method is a protocol error', async (wire) => {
  for (const reason of [0x18, 0x19]) await expectFault(wire, auth(reason, withData('y')), 0x82)
})

withGateway(options, () => {
  conformance(
    '5.0',
    ['MQTT-4.12.0-2', 'MQTT-4.12.0-3', 'MQTT-4.12.0-5', 'MQTT-3.15.2-1'],
    'an exchange of several steps ends in a CONNACK, each packet with the method',
    async (wire) => {
      const client = await halfAuthenticated(wire)
      client.send(auth(0x18, withData('mm')))
      expectAuth(await next(client), 0x18, 'mm 2')
      client.send(auth(0x18, withData('wm')))
      expectAuth(await next(client), 0x18, 'wm 3')
      client.send(auth(0x18, withData('y')))
      const connack = await next(client)
      expect(connack).toMatchObject({ type: 'connack', reasonCode: 0, sessionPresent: false })
      expect(valuesOf(connack, authenticationMethod)).toEqual(['LETTERS'])
      expect(Buffer.from(valuesOf(connack, authenticationData)[0] as Uint8Array).toString()).toBe('y 4')
      await subscribed(client, wire.topic())
    },
  )

  conformance('5.0', ['MQTT-4.12.0-5'], 'an exchange without steps has the method in the CONNACK', async (wire) => {
    for (const data of ['y', 'wy']) {
      const client = await wire.open()
      client.send(connect({ clientId: wire.id(), properties: withData(data) }))
      const connack = await next(client)
      expect(connack).toMatchObject({ type: 'connack', reasonCode: 0 })
      expect(valuesOf(connack, authenticationMethod)).toEqual(['LETTERS'])
    }
  })

  conformance(
    '5.0',
    ['MQTT-4.12.0-4'],
    'a method that refuses ends in a CONNACK with its reason, at any step',
    async (wire) => {
      await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: withData('n') }), 0x87)
      await expectConnectRefused(wire, connect({ clientId: wire.id(), properties: withData('wn') }), 0x87)
      const client = await halfAuthenticated(wire)
      client.send(auth(0x18, withData('n')))
      await expectRefused(client, 0x87)
    },
  )

  conformance('5.0', ['MQTT-4.12.0-4'], 'a refused client leaves no will and takes no session over', async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const owner = await authenticated(wire)
    const intruder = await halfAuthenticated(wire, { will: { topic: wire.topic(), payload: 'intruder' } })
    await owner.expectNothing()
    intruder.send(auth(0x18, withData('n')))
    await expectRefused(intruder, 0x87)
    await owner.expectNothing()
    await watcher.expectNothing()
  })

  conformance(
    '5.0',
    ['MQTT-4.12.0-3'],
    'AUTH with another reason than 0x18 during authentication is a protocol error',
    async (wire) => {
      for (const reason of [0x00, 0x19]) {
        const client = await halfAuthenticated(wire)
        client.send(auth(reason, withData('y')))
        await expectRefused(client, 0x82)
      }
    },
  )

  conformance(
    '5.0',
    ['MQTT-4.12.0-5'],
    'AUTH with another method than that of the CONNECT is refused',
    async (wire) => {
      const client = await halfAuthenticated(wire)
      client.send(auth(0x18, withData('y', 'OTHER')))
      await expectRefused(client, [0x82, 0x8c])
      const late = await authenticated(wire)
      late.send(auth(0x19, withData('y', 'OTHER')))
      await expectDisconnected(late, [0x82, 0x8c])
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.1.2-30', 'MQTT-3.1.4-6'],
    'other packets during authentication are protocol errors and have no effect',
    async (wire) => {
      const watcher = await connected5(wire)
      await subscribed(watcher, wire.topic())
      const packets = {
        PUBLISH: publish({ topic: wire.topic(), payload: 'early' }),
        SUBSCRIBE: subscribe(1, [[wire.topic(), 0]]),
        PINGREQ: pingreq,
        CONNECT: connect({ clientId: wire.id() }),
      }
      await eachCase(packets, async (bytes) => {
        const client = await halfAuthenticated(wire)
        client.send(bytes)
        await expectRefused(client, 0x82)
      })
      await watcher.expectNothing()
    },
  )

  conformance(
    '5.0',
    ['MQTT-3.1.2-30', 'MQTT-3.14.0-1'],
    'DISCONNECT during authentication ends it without a word',
    async (wire) => {
      const client = await halfAuthenticated(wire)
      client.send(disconnect(0))
      await client.expectClosed()
    },
  )

  conformance('5.0', [], 'a connection that breaks during authentication leaves the server unharmed', async (wire) => {
    const client = await halfAuthenticated(wire)
    client.send(auth(0x18, withData('wy')))
    client.destroy()
    await (await authenticated(wire)).expectNothing()
  })

  conformance(
    '5.0',
    ['MQTT-4.12.1-1', 'MQTT-3.15.2-1'],
    'a client authenticates again, while its other packets are served',
    async (wire) => {
      const client = await authenticated(wire)
      await subscribed(client, wire.topic())
      for (let i = 0; i < 2; i++) {
        client.send(auth(0x19, withData('m')))
        expectAuth(await next(client), 0x18, 'm 1')
        client.send(publish({ topic: wire.topic(), payload: 'meanwhile' }))
        await expectPublish(client, { topic: wire.topic(), payload: 'meanwhile' })
        client.send(auth(0x18, withData('y')))
        expectAuth(await next(client), 0x00, 'y 2')
      }
      client.send(auth(0x19, withData('y')))
      expectAuth(await next(client), 0x00, 'y 1')
      await client.expectNothing()
    },
  )

  conformance(
    '5.0',
    ['MQTT-4.12.1-2'],
    'a failed re-authentication ends with DISCONNECT and its reason',
    async (wire) => {
      const atOnce = await authenticated(wire, wire.id('a'))
      atOnce.send(auth(0x19, withData('n')))
      await expectDisconnected(atOnce, 0x87)
      const later = await authenticated(wire, wire.id('b'))
      later.send(auth(0x19, withData('m')))
      expectAuth(await next(later), 0x18, 'm 1')
      later.send(auth(0x18, withData('wn')))
      await expectDisconnected(later, 0x87)
    },
  )

  conformance('5.0', ['MQTT-4.12.1-1'], 'AUTH 0x18 outside of an exchange is a protocol error', async (wire) => {
    const outside = await authenticated(wire, wire.id('a'))
    outside.send(auth(0x18, withData('y')))
    await expectDisconnected(outside, 0x82)
  })

  conformance('5.0', ['MQTT-3.15.1-1'], 'flags of AUTH other than 0 are malformed', async (wire) => {
    const bytes = auth(0x18, withData('y'))
    for (const first of [0xf1, 0xf2, 0xf4, 0xf8]) {
      const half = await halfAuthenticated(wire)
      half.send(concat(Uint8Array.of(first), bytes.subarray(1)))
      await expectRefused(half, 0x81)
      const whole = await authenticated(wire)
      whole.send(concat(Uint8Array.of(first), bytes.subarray(1)))
      await expectDisconnected(whole, 0x81)
    }
  })

  conformance('5.0', ['MQTT-3.15.2-1'], 'a reason code that is none of AUTH is refused', async (wire) => {
    for (const reason of [0x01, 0x1a, 0x80, 0xff]) {
      const client = await authenticated(wire)
      client.send(auth(reason, withData('y')))
      await expectDisconnected(client, malformedOrProtocolError)
    }
  })

  conformance('5.0', [], 'AUTH without a method, with properties twice or out of place, is refused', async (wire) => {
    const method = property.authenticationMethod('LETTERS')
    const data = property.authenticationData('y')
    const cases = {
      'no properties': [noProperties, 0x82],
      'data only': [data, 0x82],
      'method twice': [concat(method, method), 0x82],
      'data twice': [concat(method, data, data), 0x82],
      'Topic Alias': [concat(method, property.topicAlias(1)), 0x81],
      'data cut short': [concat(method, hex('16 00 09 61')), 0x81],
    } as const
    await eachCase(cases, async ([properties, reason]) => {
      const client = await authenticated(wire)
      client.send(auth(0x19, properties))
      await expectDisconnected(client, reason)
    })
  })

  conformance(
    '5.0',
    ['MQTT-3.15.2-2', 'MQTT-3.15.2-3'],
    'AUTH packets stay within the Maximum Packet Size',
    async (wire) => {
      const plain = await halfAuthenticated(wire)
      plain.send(auth(0x18, withData('y')))
      const { length } = await next(plain)
      const client = await wire.open()
      client.send(
        connect({ clientId: wire.id('b'), properties: concat(withData('m'), property.maximumPacketSize(length)) }),
      )
      const asking = await next(client)
      expectAuth(asking, 0x18, 'm 1')
      expect(asking.length).toBeLessThanOrEqual(length)
      client.send(auth(0x18, withData('y')))
      const connack = await next(client)
      expect(connack).toMatchObject({ type: 'connack', reasonCode: 0 })
      client.send(auth(0x19, withData('y')))
      const done = await next(client)
      expectAuth(done, 0x00, 'y 1')
      expect(done.length).toBeLessThanOrEqual(length)
    },
  )
})
