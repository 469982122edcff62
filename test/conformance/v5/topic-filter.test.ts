/*
 * MQTT 5.0 section 4.7, topic names and topic filters.
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { connected5, eachCase, expectFault, expectFilterRefused, expectPublish, next, subscribed } from './expect.ts'
import { publish, subscribe, unsubscribe } from './packets.ts'

conformance(
  '5.0',
  ['MQTT-4.7.1-1', 'MQTT-4.7.0-1'],
  '# stands alone in the last level, else the filter is refused',
  async (wire) => {
    for (const filter of ['a/#/b', 'a#', 'a/b#', '#/a', '##', 'a/##', '#a', 'a/+#'])
      await expectFilterRefused(wire, filter)
  },
)

conformance('5.0', ['MQTT-4.7.1-2'], '+ fills a level, else the filter is refused', async (wire) => {
  for (const filter of ['a+', '+a', 'a/b+', 'a/+b/c', '++', 'a/++']) await expectFilterRefused(wire, filter)
})

conformance('5.0', ['MQTT-4.7.3-1'], 'an empty topic filter is refused', async (wire) => {
  await expectFilterRefused(wire, '')
  await expectFault(wire, unsubscribe(1, ['']), [0x81, 0x82, 0x8f])
})

/** Relative to a unique first level: filter, topics that match, topics that do not. */
const matching: Record<string, [string, string[], string[]]> = {
  exact: ['/a', ['/a'], ['', '/', '/a/', '/a/b', '/A', '/aa']],
  'multi-level': ['/#', ['', '/', '/a', '/a/b', '//'], ['x', 'x/a']],
  'multi-level below a level': ['/a/#', ['/a', '/a/', '/a/b/c'], ['', '/b', '/ab', '/ab/c']],
  'single level': ['/+', ['/a', '/', '/b'], ['', '/a/b', '/a/', 'x']],
  'single level between': ['/+/c', ['/a/c', '//c'], ['/c', '/a/b/c', '/a/c/', '/a/C']],
  'single and multi': ['/+/b/#', ['/a/b', '/a/b/c', '//b/c/d'], ['/b', '/a/c', '/a/bb']],
  'two single levels': ['/+/+', ['/a/b', '//'], ['/a', '/a/b/c']],
  'an empty level': ['//a', ['//a'], ['/a', '///a', '/x/a']],
  'a trailing separator': ['/a/', ['/a/'], ['/a', '/a//']],
  'spaces and case': ['/A b', ['/A b'], ['/a b', '/Ab', '/A  b']],
}

conformance(
  '5.0',
  ['MQTT-4.7.1-1', 'MQTT-4.7.1-2', 'MQTT-3.3.2-3'],
  'filters match what section 4.7.1 says, and nothing else',
  async (wire) => {
    const root = wire.topic()
    const publisher = await connected5(wire)
    await eachCase(matching, async ([filter, yes, no]) => {
      const client = await connected5(wire)
      await subscribed(client, `${root}${filter}`)
      for (const name of [...no, ...yes]) publisher.send(publish({ topic: `${root}${name}` }))
      for (const name of yes) await expectPublish(client, { topic: `${root}${name}` })
      await publisher.settled()
      await client.expectNothing()
    })
  },
)

conformance(
  '5.0',
  ['MQTT-4.7.1-1'],
  'a level before # or + may be empty, and a leading separator is a level',
  async (wire) => {
    const name = wire.topic()
    const client = await connected5(wire)
    await subscribed(client, `+/${name}`)
    client.send(publish({ topic: name }), publish({ topic: `/${name}` }), publish({ topic: `x/${name}` }))
    await expectPublish(client, { topic: `/${name}` })
    await expectPublish(client, { topic: `x/${name}` })
    await client.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.7.2-1'],
  'filters that begin with a wildcard do not match topics that begin with $',
  async (wire) => {
    const tail = wire.topic()
    const client = await connected5(wire)
    client.send(
      subscribe(1, [
        ['#', 0],
        ['+/#', 0],
        [`+/${tail}`, 0],
      ]),
    )
    expect(await next(client)).toMatchObject({ type: 'suback', reasonCodes: [0, 0, 0] })
    const publisher = await connected5(wire)
    publisher.send(
      publish({ topic: `$other/${tail}`, payload: 'hidden' }),
      publish({ topic: `$/${tail}`, payload: 'hidden' }),
      publish({ topic: `x/${tail}`, payload: 'seen' }),
    )
    for (;;) {
      const { type, topic, payload } = await next(client)
      expect(type).toBe('publish')
      expect(topic).not.toMatch(/^\$/)
      if (topic === `x/${tail}` && payload === 'seen') break
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.7.2-1'],
  'retained messages under $ are not sent for a filter that begins with a wildcard',
  async (wire) => {
    const tail = wire.topic()
    const client = await connected5(wire)
    for (const root of ['$hidden', 'seen'])
      client.send(publish({ topic: `${root}/${tail}`, payload: root, retain: true }))
    await client.settled()
    for (const [i, filter] of [`+/${tail}`, `+/${tail}/#`].entries()) {
      await subscribed(client, filter, 0, noProperties, i + 1)
      await expectPublish(client, { topic: `seen/${tail}`, payload: 'seen', retain: true })
      await client.expectNothing()
    }
    await subscribed(client, `$hidden/#`, 0, noProperties, 9)
    await expectPublish(client, { topic: `$hidden/${tail}`, payload: '$hidden', retain: true })
    for (const root of ['$hidden', 'seen']) client.send(publish({ topic: `${root}/${tail}`, retain: true }))
  },
)

conformance('5.0', ['MQTT-4.7.2-1'], 'a $ inside a level is a character like others', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, `${wire.topic()}/#`)
  client.send(publish({ topic: `${wire.topic()}/$SYS/a` }))
  await expectPublish(client, { topic: `${wire.topic()}/$SYS/a` })
})

conformance('5.0', ['MQTT-4.7.3-3'], 'a topic filter of 65,535 bytes is accepted and matches', async (wire) => {
  const topic = `${wire.topic()}/`.padEnd(65_535, 'y')
  const client = await connected5(wire)
  client.send(subscribe(1, [[topic, 0]]))
  expect(await next(client)).toMatchObject({ type: 'suback', reasonCodes: [0] })
  client.send(publish({ topic, payload: 'far' }))
  expect(await next(client)).toMatchObject({ type: 'publish', payload: 'far' })
})

conformance('5.0', ['MQTT-4.7.3-3'], 'thousands of levels harm nobody', async (wire) => {
  const other = await connected5(wire)
  const topic = `${wire.topic()}${'/'.repeat(30_000)}`
  for (const filter of [topic, `${wire.topic()}${'/+'.repeat(15_000)}`]) {
    const client = await connected5(wire)
    client.send(subscribe(1, [[filter, 0]]))
    const { type } = await next(client)
    expect(['suback', 'disconnect']).toContain(type)
  }
  other.send(publish({ topic, qos: 1, id: 1 }))
  expect(['puback', 'disconnect']).toContain((await next(other)).type)
  await (await connected5(wire)).expectNothing()
})

conformance('5.0', ['MQTT-4.7.3-4'], 'matching neither normalises nor folds characters', async (wire) => {
  const root = wire.topic()
  const client = await connected5(wire)
  // Composed é; then its decomposed form, another case, a full-width letter, dot segments and a percent escape.
  await subscribed(client, `${root}/é/k`)
  const lookalikes = [
    'e\u0301/k',
    'É/k',
    'é/K',
    'é/\uff4b',
    'é/\u212a',
    './é/k',
    'x/../é/k',
    '%C3%A9/k',
    'é\u200b/k',
    'é/k ',
  ]
  for (const name of lookalikes) client.send(publish({ topic: `${root}/${name}`, payload: 'not equal' }))
  client.send(publish({ topic: `${root}/é/k`, payload: 'equal' }))
  await expectPublish(client, { topic: `${root}/é/k`, payload: 'equal' })
  await client.expectNothing()
})
