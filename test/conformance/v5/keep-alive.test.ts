/*
 * MQTT 5.0 section 3.1.2.10, Keep Alive, and 3.2.2.3.14, Server Keep Alive.
 */

import { expect } from 'vitest'
import { pingreq, pingresp } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { connected5, expectDisconnected, expectPublish, leave, next, subscribed } from './expect.ts'
import { decode, property, publish, valuesOf } from './packets.ts'

const serverKeepAlive = 19

conformance(
  '5.0',
  ['MQTT-3.1.2-22', 'MQTT-3.2.2-22'],
  'silence beyond the keep alive of the client closes and publishes the will',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const silent = await connected5(wire, {
      clientId: wire.id('s'),
      keepAlive: 1,
      will: { topic: wire.topic(), payload: 'silent' },
    })
    expect(valuesOf(decode(silent.connack), serverKeepAlive)).toEqual([])
    await expectDisconnected(silent, 0x8d)
    await expectPublish(watcher, { topic: wire.topic(), payload: 'silent' })
  },
)

conformance(
  '5.0',
  ['MQTT-3.1.2-22'],
  'a client that sends within its keep alive stays, one that does not goes first',
  async (wire) => {
    const busy = await connected5(wire, { clientId: wire.id('b'), keepAlive: 1 })
    const silent = await connected5(wire, { clientId: wire.id('s'), keepAlive: 1 })
    const beat = setInterval(() => busy.send(pingreq), 300)
    try {
      await expectDisconnected(silent, 0x8d)
      await busy.expectPackets(pingresp, pingresp, pingresp)
    } finally {
      clearInterval(beat)
    }
    expect(busy.closed).toBe(false)
  },
)

conformance('5.0', ['MQTT-3.1.2-22'], 'the beginning of a packet is no packet: keep alive runs on', async (wire) => {
  const client = await connected5(wire, { clientId: wire.id(), keepAlive: 1 })
  const bytes = publish({ topic: wire.topic(), payload: 'never whole '.repeat(20) })
  let at = 0
  const drip = setInterval(() => client.send(bytes.subarray(at, ++at)), 300)
  try {
    await expectDisconnected(client, 0x8d)
  } finally {
    clearInterval(drip)
  }
})

conformance('5.0', ['MQTT-3.1.2-22'], 'a keep alive of 0 or 65,535 closes nobody', async (wire) => {
  const off = await connected5(wire, { clientId: wire.id('o'), keepAlive: 0 })
  const most = await connected5(wire, { clientId: wire.id('m'), keepAlive: 65_535 })
  const silent = await connected5(wire, { clientId: wire.id('s'), keepAlive: 1 })
  await expectDisconnected(silent, 0x8d)
  await off.expectNothing()
  await most.expectNothing()
})

conformance(
  '5.0',
  ['MQTT-3.1.2-22'],
  'a keep alive of one second ends after one second and before three',
  async (wire) => {
    const watcher = await connected5(wire)
    await subscribed(watcher, wire.topic())
    const clocks = []
    for (const seconds of [1, 3]) {
      const will = { topic: wire.topic(), payload: `${seconds} s`, properties: property.willDelayInterval(seconds) }
      const properties = property.sessionExpiryInterval(60)
      clocks.push(await connected5(wire, { clientId: wire.id(`c${seconds}`), properties, will }))
    }
    await connected5(wire, { clientId: wire.id('s'), keepAlive: 1, will: { topic: wire.topic(), payload: 'silent' } })
    for (const clock of clocks) clock.destroy()
    for (const payload of ['1 s', 'silent', '3 s']) await expectPublish(watcher, { topic: wire.topic(), payload })
  },
)

withGateway({ protocol: { serverKeepAliveSeconds: 1 } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.1.2-22'],
    'a Server Keep Alive is announced and enforced in place of the value of the client',
    async (wire) => {
      for (const keepAlive of [0, 600]) {
        const client = await connected5(wire, { clientId: wire.id(), keepAlive })
        expect(valuesOf(decode(client.connack), serverKeepAlive)).toEqual([1])
        await expectDisconnected(client, 0x8d)
      }
    },
  )
})

conformance('5.0', ['MQTT-3.12.4-1'], 'PINGREQ is answered with PINGRESP', async (wire) => {
  const client = await connected5(wire)
  client.send(pingreq)
  await client.expectPacket('d0 00')
  client.send(pingreq, pingreq, pingreq)
  await client.expectPackets(pingresp, pingresp, pingresp)
  await leave(client)
})

conformance('5.0', ['MQTT-3.12.4-1'], 'PINGREQ is answered in its place between other packets', async (wire) => {
  const client = await connected5(wire)
  client.send(
    publish({ topic: wire.topic(), qos: 1, id: 1 }),
    pingreq,
    publish({ topic: wire.topic(), qos: 2, id: 2 }),
    pingreq,
  )
  const types = []
  for (let i = 0; i < 4; i++) types.push((await next(client)).type)
  expect(types.toSorted()).toEqual(['pingresp', 'pingresp', 'puback', 'pubrec'])
})
