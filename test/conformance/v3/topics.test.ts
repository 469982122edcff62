/*
 * MQTT 3.1.1 section 4.7: topic names, topic filters and how they match.
 */

import { concat, puback, publish, suback, subscribe, text, unsuback, unsubscribe } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, withGateway } from '../harness.ts'
import { closesConnection, subscribed, subscribeOn } from './expect.ts'

/** Publishes on each topic at QoS 0 and expects exactly those in `matching` back, in this order. */
async function matches(client: RawClient, filter: string, topics: string[], matching: string[]): Promise<void> {
  await subscribeOn(client, filter, 0)
  client.send(...topics.map((topic) => publish({ topic, payload: filter })))
  await client.expectPackets(...matching.map((topic) => publish({ topic, payload: filter })))
  await client.expectNothing()
  client.send(unsubscribe(1, [filter]))
  await client.expectPacket(unsuback(1))
}

conformance(
  '3.1.1',
  ['MQTT-4.7.1-2'],
  'a multi-level wildcard within a level or before the end closes',
  async (wire) => {
    const filters = ['a#', '#a', 'a/#b', 'a/b#', '#/', '#/a', 'a/#/b', '##', 'a/##', '+#', '#+']
    await closesConnection(wire, ...filters.map((filter) => subscribe(1, [[filter, 0]])))
  },
)

conformance('3.1.1', ['MQTT-4.7.1-3'], 'a single-level wildcard that is not a whole level closes', async (wire) => {
  const filters = ['a+', '+a', 'a/+b', 'a/b+/c', '++', 'a/++/b', '+a/#']
  await closesConnection(wire, ...filters.map((filter) => subscribe(1, [[filter, 0]])))
})

conformance(
  '3.1.1',
  ['MQTT-4.7.1-2'],
  'the multi-level wildcard matches the parent and every level below',
  async (wire) => {
    const root = wire.topic()
    const below = ['', '/', '/b', '/b/c', '//', '/b/', '/$b'].map((tail) => root + tail)
    const beside = [`${root}x`, `${root}x/b`, root.slice(0, -1), `/${root}`]
    const client = await wire.connected()
    await matches(client, `${root}/#`, [...below, ...beside], below)
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.7.1-3'],
  'the single-level wildcard matches one level, an empty one too',
  async (wire) => {
    const root = wire.topic()
    const topics = ['', '/', '/b', '/b/', '/b/c', '//c', '//', '/b/c/d', '/$b', '/+b'.replace('+', '-')].map(
      (tail) => root + tail,
    )
    const client = await wire.connected()
    const only = (...tails: string[]): string[] => tails.map((tail) => root + tail)
    await matches(client, `${root}/+`, topics, only('/', '/b', '/$b', '/-b'))
    await matches(client, `${root}/+/`, topics, only('/b/', '//'))
    await matches(client, `${root}/+/c`, topics, only('/b/c', '//c'))
    await matches(client, `${root}/+/+`, topics, only('/b/', '/b/c', '//c', '//'))
    await matches(client, `${root}/+/#`, topics, only('/', '/b', '/b/', '/b/c', '//c', '//', '/b/c/d', '/$b', '/-b'))
    await matches(client, `${root}/b/+/d`, topics, only('/b/c/d'))
  },
)

conformance('3.1.1', ['MQTT-4.7.1-3'], 'the single-level wildcard may be the first level', async (wire) => {
  const level = wire.id()
  const client = await wire.connected()
  const topics = [`a/${level}`, `/${level}`, `a/b/${level}`, level, `b/${level}/c`, `A/${level}`]
  await matches(client, `+/${level}`, topics, [`a/${level}`, `/${level}`, `A/${level}`])
  await matches(client, `/${level}`, topics, [`/${level}`])
  await matches(client, `+/+/${level}`, topics, [`a/b/${level}`])
})

conformance(
  '3.1.1',
  ['MQTT-4.7.3-4', 'MQTT-4.7.1-1'],
  'a filter without wildcards matches its own characters alone',
  async (wire) => {
    const root = wire.topic()
    const tails = [
      '',
      '/',
      '//',
      ' ',
      '/ ',
      'A',
      'a',
      '/.',
      '/..',
      '/%61',
      '/a',
      '/A',
      '/*',
      '/?',
      '/\u00e4',
      '/a\u0308',
    ]
    const topics = tails.map((tail) => root + tail)
    const client = await wire.connected()
    for (const topic of topics) await matches(client, topic, topics, [topic])
  },
)

withGateway({}, () => {
  conformance(
    '3.1.1',
    ['MQTT-4.7.2-1'],
    'a leading wildcard does not match a topic name that begins with $',
    async (wire) => {
      const level = wire.id()
      const client = await wire.connected()
      client.send(
        subscribe(1, [
          ['#', 0],
          [`+/${level}`, 0],
          [`+/${level}/#`, 0],
          ['+/#', 0],
        ]),
      )
      await client.expectPacket(suback(1, 0, 0, 0, 0))
      client.send(
        publish({ topic: `$x/${level}`, payload: 'hidden' }),
        publish({ topic: `$/${level}`, payload: 'hidden' }),
      )
      client.send(publish({ topic: `x/${level}/$x`, payload: 'seen' }))
      await client.expectPacket(publish({ topic: `x/${level}/$x`, payload: 'seen' }))
      await client.expectNothing()
    },
  )

  conformance(
    '3.1.1',
    ['MQTT-4.7.1-2', 'MQTT-4.7.1-3'],
    'the filters # and + alone match every topic of any and of one level',
    async (wire) => {
      const one = wire.id()
      const topics = [one, `${one}/b`, `/${one}`, '/', ' ']
      const client = await wire.connected()
      await matches(client, '#', topics, topics)
      await matches(client, '+', topics, [one, ' '])
      await matches(client, '+/+', topics, [`${one}/b`, `/${one}`, '/'])
      await matches(client, '/+', topics, [`/${one}`, '/'])
      await matches(client, '/', topics, ['/'])
    },
  )

  conformance('3.1.1', ['MQTT-4.7.2-1'], 'nothing of $SYS comes to a client that subscribed to #', async (wire) => {
    const client = await subscribed(wire, '#', 0)
    await client.expectNothing()
  })
})

conformance('3.1.1', ['MQTT-4.7.2-1'], 'a filter that begins with the same $ level matches', async (wire) => {
  const level = wire.id()
  const client = await wire.connected()
  const topic = `$x/${level}/b`
  await matches(client, `$x/${level}/b`, [topic], [topic])
  await matches(client, `$x/${level}/#`, [topic], [topic])
  await matches(client, `$x/${level}/+`, [topic], [topic])
  await matches(client, `$x/+/b`, [topic], [topic])
})

conformance('3.1.1', ['MQTT-4.7.3-3'], 'topic names and filters of 65535 bytes are possible', async (wire) => {
  const root = text(`${wire.topic()}/`)
  const topic = concat(root, new Uint8Array(65_535 - root.length).fill(0x78))
  const client = await subscribed(wire, topic, 0)
  client.send(publish({ topic, payload: 'x' }))
  await client.expectPacket(publish({ topic, payload: 'x' }))
})

conformance('3.1.1', ['MQTT-4.7.1-3'], 'filters of two hundred levels match level by level', async (wire) => {
  const levels = 197
  const root = wire.topic()
  const client = await wire.connected()
  const wild = `${root}${'/+'.repeat(levels)}`
  const name = `${root}${'/'.repeat(levels)}`
  await matches(client, wild, [name, `${name}/`, name.slice(0, -1)], [name])
  await matches(client, `${wild}/#`, [name, `${name}/`, name.slice(0, -1)], [name, `${name}/`])
})

conformance(
  '3.1.1',
  ['MQTT-4.7.3-3'],
  'topics of 65535 separators are taken or refused, and hurt nobody',
  async (wire) => {
    const topic = '/'.repeat(65_535)
    const other = await wire.connected()
    const subscriber = await wire.connected()
    subscriber.send(subscribe(1, [[topic, 0]]))
    const granted = (await subscriber.expectPacket()).at(-1)
    if (granted !== 0 && granted !== 0x80) throw new Error(`return code ${granted}`)
    const publisher = await wire.connected()
    publisher.send(publish({ topic, payload: 'x', qos: 1, id: 1 }))
    const taken = await publisher.expectPacket(puback(1)).then(
      () => true,
      () => false,
    )
    if (!taken && !publisher.closed) throw new Error('neither acknowledged nor closed')
    if (taken && granted === 0) await subscriber.expectPacket(publish({ topic, payload: 'x' }))
    await subscriber.expectNothing()
    await other.expectNothing()
  },
)

conformance(
  '3.1.1',
  ['MQTT-4.7.1-2', 'MQTT-4.7.1-3'],
  'many wildcards on one path match without delay',
  async (wire) => {
    const root = wire.topic()
    const depth = 12
    const client = await wire.connected()
    // Every combination of the level itself and a wildcard at each of the levels: 4096 filters on one topic.
    const filters = Array.from({ length: 2 ** depth }, (_, bits): [string, number] => [
      `${root}/${Array.from({ length: depth }, (__, level) => ((bits >> level) & 1 ? '+' : 'a')).join('/')}`,
      0,
    ])
    client.send(subscribe(1, filters))
    await client.expectPacket(suback(1, ...filters.map(() => 0)))
    const topic = `${root}${'/a'.repeat(depth)}`
    client.send(publish({ topic, payload: 'x' }))
    await client.expectPacket(publish({ topic, payload: 'x' }))
    await client.expectNothing()
  },
)

conformance(
  '3.1.1',
  [],
  'a shared subscription works for 3.1.1: one member of the group has each message',
  async (wire) => {
    const topic = wire.topic()
    const members = [await subscribed(wire, `$share/g/${topic}`, 0), await subscribed(wire, `$share/g/${topic}`, 0)]
    const plain = await subscribed(wire, topic, 0)
    const messages = Array.from({ length: 10 }, (_, i) => publish({ topic, payload: `${i}` }))
    plain.send(...messages)
    await plain.expectPackets(...messages)
    let delivered = 0
    for (const member of members) {
      member.send('c0 00')
      for (let packet = await member.expectPacket(); packet[0] !== 0xd0; packet = await member.expectPacket())
        delivered++
    }
    if (delivered !== messages.length) throw new Error(`${delivered} of ${messages.length} messages reached the group`)
  },
)

conformance('3.1.1', [], 'a shared subscription is sent no retained message', async (wire) => {
  const topic = wire.topic()
  const client = await wire.connected()
  client.send(publish({ topic, payload: 'kept', retain: true }))
  await subscribeOn(client, `$share/g/${topic}`, 0)
  await client.expectNothing()
  client.send(publish({ topic, retain: true }))
})

conformance(
  '3.1.1',
  [],
  'a shared subscription without group or filter, or with a wildcard as group, closes',
  async (wire) => {
    const filters = [
      '$share/',
      '$share/g',
      '$share/g/',
      '$share//a',
      '$share/+/a',
      '$share/g+/a',
      '$share/#',
      '$share/g/a#',
    ]
    await closesConnection(wire, ...filters.map((filter) => subscribe(1, [[filter, 0]])))
  },
)
