/*
 * MQTT 3.1.1 section 3.1.2.10: keep alive; and the patience that a broker has with a client that says nothing.
 * Nothing here measures time: closing is awaited, and staying open is shown beside a client that was closed.
 */

import { connect, hex, pingreq, publish } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { subscribed } from './expect.ts'

conformance('3.1.1', ['MQTT-3.1.2-24'], 'a silent client is closed', async (wire) => {
  const client = await wire.connected({ keepAlive: 1 })
  await client.expectClosed()
})

conformance('3.1.1', ['MQTT-3.1.2-24', 'MQTT-3.1.2-8'], 'the will of a silent client is published', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, topic, 0)
  const client = await wire.connected({ keepAlive: 1, will: { topic, payload: 'silent' } })
  await other.expectPacket(publish({ topic, payload: 'silent' }))
  await client.expectClosed()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-24'],
  'keep alive 0 and longer periods outlast a client that was silent',
  async (wire) => {
    const without = await wire.connected({ keepAlive: 0 })
    const minutes = await wire.connected({ keepAlive: 60 })
    const longest = await wire.connected({ keepAlive: 65_535 })
    const silent = await wire.connected({ keepAlive: 1 })
    await silent.expectClosed()
    for (const client of [without, minutes, longest]) await client.expectNothing()
  },
)

conformance('3.1.1', ['MQTT-3.1.2-24'], 'any packet begins the period anew', async (wire) => {
  const active = await wire.connected({ keepAlive: 2 })
  // Three clients fall silent one after the other, about 1.5 seconds each: longer than 3 seconds in total.
  for (const packet of [pingreq, publish({ topic: wire.topic() }), hex('40 02 00 09')]) {
    active.send(packet)
    const silent = await wire.connected({ keepAlive: 1 })
    await silent.expectClosed()
    if (packet === pingreq) await active.expectPacket('d0 00')
  }
  await active.expectNothing()
})

conformance(
  '3.1.1',
  ['MQTT-3.1.2-24'],
  'messages that the client only receives do not count as its life',
  async (wire) => {
    const topic = wire.topic()
    const silent = await subscribed(wire, topic, 0, { keepAlive: 1 })
    const publisher = await wire.connected()
    let rounds = 0
    while (!silent.closed && rounds < 10_000) {
      publisher.send(publish({ topic, payload: 'x' }))
      await publisher.settled()
      if (!silent.closed) await silent.expectPacket(publish({ topic, payload: 'x' })).catch(() => undefined)
      rounds++
    }
    if (!silent.closed) await silent.expectClosed()
  },
)

withGateway({ limits: { connectTimeoutMs: 300 } }, () => {
  conformance(
    '3.1.1',
    ['MQTT-3.1.0-1'],
    'a connection without CONNECT is closed after the connect timeout',
    async (wire) => {
      const client = await wire.open()
      await client.expectClosed()
    },
  )

  conformance('3.1.1', ['MQTT-3.1.0-1'], 'half a CONNECT does not hold the connect timeout', async (wire) => {
    const whole = connect({ clientId: wire.id() })
    const half = await wire.open()
    half.send(whole.subarray(0, 9))
    await half.expectClosed()
  })

  conformance(
    '3.1.1',
    ['MQTT-3.1.4-4'],
    'a connection that sent CONNECT outlasts the connect timeout',
    async (wire) => {
      const client = await wire.connected()
      const silent = await wire.open()
      await silent.expectClosed()
      await client.expectNothing()
    },
  )
})
