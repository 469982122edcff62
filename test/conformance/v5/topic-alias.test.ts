/*
 * MQTT 5.0 section 3.3.2.3.4, Topic Alias, in both directions.
 */

import { expect } from 'vitest'
import { concat } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { connected5, expectDisconnected, expectFault, expectPublish, next, subscribed } from './expect.ts'
import { type Decoded, decode, property, publish, valuesOf } from './packets.ts'

const topicAliasMaximum = 34
const topicAlias = 35

function announced(connack: Uint8Array): number {
  return Number(valuesOf(decode(connack), topicAliasMaximum)[0] ?? 0)
}

conformance(
  '5.0',
  ['MQTT-3.3.2-12'],
  'every alias from 1 to the announced maximum is accepted and resolved',
  async (wire) => {
    const client = await connected5(wire)
    const maximum = announced(client.connack)
    expect(maximum).toBeGreaterThan(0)
    await subscribed(client, `${wire.topic()}/#`)
    for (let alias = 1; alias <= Math.min(maximum, 100); alias++) {
      const topic = `${wire.topic()}/${alias}`
      client.send(publish({ topic, payload: 'set', properties: property.topicAlias(alias) }))
      await expectPublish(client, { topic, payload: 'set' })
    }
    for (const alias of [1, Math.min(maximum, 100)]) {
      client.send(publish({ topic: '', payload: 'used', properties: property.topicAlias(alias) }))
      await expectPublish(client, { topic: `${wire.topic()}/${alias}`, payload: 'used' })
    }
    client.send(publish({ topic: `${wire.topic()}/last`, properties: property.topicAlias(maximum) }))
    await expectPublish(client, { topic: `${wire.topic()}/last` })
  },
)

conformance('5.0', ['MQTT-3.3.2-12'], 'an alias may be given another topic', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, `${wire.topic()}/#`)
  for (const name of ['one', 'two', 'one']) {
    client.send(publish({ topic: `${wire.topic()}/${name}`, properties: property.topicAlias(1) }))
    await expectPublish(client, { topic: `${wire.topic()}/${name}` })
    client.send(publish({ topic: '', payload: 'again', properties: property.topicAlias(1) }))
    await expectPublish(client, { topic: `${wire.topic()}/${name}`, payload: 'again' })
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.2-12'],
  'an alias with other properties and QoS is resolved and not passed on',
  async (wire) => {
    const client = await connected5(wire)
    const publisher = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    const properties = concat(property.contentType('c'), property.topicAlias(1), property.userProperty('a', 'b'))
    publisher.send(
      publish({ topic: wire.topic(), qos: 1, id: 1, properties }),
      publish({ topic: '', qos: 1, id: 2, properties }),
    )
    for (let i = 0; i < 2; i++) {
      const decoded = await next(client)
      expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic() })
      expect(decoded.properties.toSorted((a, b) => a[0] - b[0])).toEqual([
        [3, 'c'],
        [38, ['a', 'b']],
      ])
    }
  },
)

conformance('5.0', ['MQTT-3.3.2-8'], 'alias 0 is invalid', async (wire) => {
  for (const topic of [wire.topic(), '']) {
    await expectFault(wire, publish({ topic, properties: property.topicAlias(0) }), 0x94)
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.2-9', 'MQTT-3.2.2-17'],
  'an alias above the announced maximum is invalid',
  async (wire) => {
    const client = await connected5(wire)
    const maximum = announced(client.connack)
    client.send(publish({ topic: wire.topic(), properties: property.topicAlias(maximum + 1) }))
    await expectDisconnected(client, 0x94)
    if (maximum < 65_535)
      await expectFault(wire, publish({ topic: wire.topic(), properties: property.topicAlias(65_535) }), 0x94)
  },
)

conformance('5.0', [], 'an alias that was never set is a protocol error', async (wire) => {
  await expectFault(wire, publish({ topic: '', properties: property.topicAlias(1) }), 0x82)
})

conformance('5.0', ['MQTT-3.3.2-7'], 'aliases end with their connection, though the session goes on', async (wire) => {
  const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
  const first = await connected5(wire, fields)
  first.send(publish({ topic: wire.topic(), properties: property.topicAlias(1) }))
  await first.settled()
  first.destroy()
  const second = await connected5(wire, { clientId: wire.id(), clean: false }, true)
  second.send(publish({ topic: '', properties: property.topicAlias(1) }))
  await expectDisconnected(second, 0x82)
})

conformance('5.0', ['MQTT-3.3.2-7'], 'aliases of one client are unknown to another', async (wire) => {
  const one = await connected5(wire)
  one.send(publish({ topic: wire.topic(), properties: property.topicAlias(1) }))
  await one.settled()
  await expectFault(wire, publish({ topic: '', properties: property.topicAlias(1) }), 0x82)
})

conformance(
  '5.0',
  ['MQTT-3.1.2-27'],
  'a client without Topic Alias Maximum, or with 0, gets whole topic names',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const properties of [new Uint8Array(0), property.topicAliasMaximum(0)]) {
      const client = await connected5(wire, { properties })
      await subscribed(client, wire.topic())
      for (let i = 0; i < 5; i++) {
        publisher.send(publish({ topic: wire.topic(), payload: `${i}` }))
        await expectPublish(client, { topic: wire.topic(), payload: `${i}`, properties: [] })
      }
    }
  },
)

/** Resolves the topic of a delivery as a client does; fails on an alias that is unknown or above the maximum. */
function resolve(decoded: Decoded, aliases: Map<number, string>, maximum: number): string | undefined {
  const [alias] = valuesOf(decoded, topicAlias)
  if (alias === undefined) return decoded.topic
  expect(alias).toBeGreaterThan(0)
  expect(alias).toBeLessThanOrEqual(maximum)
  if (decoded.topic !== '') aliases.set(Number(alias), decoded.topic!)
  return aliases.get(Number(alias))
}

conformance(
  '5.0',
  ['MQTT-3.1.2-26', 'MQTT-3.3.2-11'],
  'aliases towards a client stay within its maximum and stand for the right topics',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const maximum of [1, 2, 10]) {
      const client = await connected5(wire, { properties: property.topicAliasMaximum(maximum) })
      await subscribed(client, `${wire.topic()}/#`)
      const aliases = new Map<number, string>()
      for (let i = 0; i < 60; i++) {
        const topic = `${wire.topic()}/${i % 4}`
        publisher.send(publish({ topic, payload: `${i}` }))
        const decoded = await next(client)
        expect(decoded).toMatchObject({ type: 'publish', payload: `${i}` })
        expect(resolve(decoded, aliases, maximum)).toBe(topic)
      }
      expect(aliases.size).toBeLessThanOrEqual(maximum)
    }
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.2-7', 'MQTT-3.3.2-11'],
  'aliases towards a client begin anew on its next connection',
  async (wire) => {
    const publisher = await connected5(wire)
    const fields = {
      clientId: wire.id(),
      properties: concat(property.sessionExpiryInterval(60), property.topicAliasMaximum(5)),
    }
    const first = await connected5(wire, fields)
    await subscribed(first, wire.topic())
    for (let i = 0; i < 5; i++) {
      publisher.send(publish({ topic: wire.topic() }))
      await first.expectPacket()
    }
    first.destroy()
    const second = await connected5(wire, { ...fields, clean: false }, true)
    publisher.send(publish({ topic: wire.topic(), payload: 'new connection' }))
    const decoded = await next(second)
    expect(decoded).toMatchObject({ topic: wire.topic(), payload: 'new connection' })
  },
)

withGateway({ limits: { topicAliasMaximum: 0 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.2.2-18'],
    'where the server announces no aliases, every alias is invalid',
    async (wire) => {
      const client = await connected5(wire)
      expect(announced(client.connack)).toBe(0)
      client.send(publish({ topic: wire.topic(), properties: property.topicAlias(1) }))
      await expectDisconnected(client, 0x94)
    },
  )
})
