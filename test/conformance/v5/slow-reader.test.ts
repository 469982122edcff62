/*
 * A client of MQTT 5.0 that stops reading: it costs its own session, and nobody else (4.9 leaves this to the server).
 */

import { expect } from 'vitest'
import { pingreq } from '../bytes.ts'
import type { RawClient } from '../client.ts'
import { conformance, withGateway } from '../harness.ts'
import { connected5, expectAcknowledged, expectPublish, next, subscribed } from './expect.ts'
import { acknowledge, property, publish } from './packets.ts'

/** More than the buffers of both kernels and of the gateway take for one connection. */
const messages = 250
const filler = '-'.repeat(64 * 1024)

async function publishAll(publisher: RawClient, topic: string): Promise<void> {
  for (let id = 1; id <= messages; id++) {
    publisher.send(publish({ topic, payload: `${id}${filler}`, qos: 1, id }))
    await expectAcknowledged(publisher, 'puback', id)
  }
}

withGateway({ limits: { outputBufferBytesMax: 256 * 1024 } }, () => {
  conformance(
    '5.0',
    ['MQTT-4.6.0-5', 'MQTT-4.5.0-1'],
    'a reader that pauses gets every QoS 1 message in order when it goes on, others meanwhile',
    async (wire) => {
      const slow = await connected5(wire, { clientId: wire.id('slow'), properties: property.sessionExpiryInterval(60) })
      const quick = await connected5(wire, { clientId: wire.id('quick') })
      const publisher = await connected5(wire)
      for (const client of [slow, quick]) await subscribed(client, wire.topic(), 1)
      slow.link.pause()
      const publishing = publishAll(publisher, wire.topic())
      for (const client of [quick, slow]) {
        if (client === slow) {
          await publishing
          slow.link.resume()
        }
        for (let id = 1; id <= messages; id++) {
          const { payload, packetId } = await next(client)
          expect(Number.parseInt(payload!, 10)).toBe(id)
          client.send(acknowledge('puback', packetId!))
        }
      }
    },
    { timeoutMs: 60_000 },
  )

  conformance(
    '5.0',
    [],
    'QoS 0 messages that a paused reader has no room for are dropped, and its connection lives',
    async (wire) => {
      const slow = await connected5(wire, { clientId: wire.id('slow') })
      const quick = await connected5(wire, { clientId: wire.id('quick') })
      const publisher = await connected5(wire)
      for (const client of [slow, quick]) await subscribed(client, wire.topic(), 0)
      slow.link.pause()
      for (let id = 1; id <= messages; id++) {
        publisher.send(publish({ topic: wire.topic(), payload: `${id}${filler}` }))
        expect(Number.parseInt((await next(quick)).payload!, 10)).toBe(id)
      }
      slow.send(pingreq)
      slow.link.resume()
      let last = 0
      for (let decoded = await next(slow); decoded.type === 'publish'; decoded = await next(slow)) {
        const id = Number.parseInt(decoded.payload!, 10)
        expect(id).toBeGreaterThan(last)
        last = id
      }
      expect(last).toBeLessThan(messages)
      publisher.send(publish({ topic: wire.topic(), payload: 'after' }))
      await expectPublish(slow, { topic: wire.topic(), payload: 'after' })
    },
    { timeoutMs: 60_000 },
  )
})
