/*
 * MQTT 5.0 section 2.2.1, packet identifiers at the end of their range.
 */

import { expect } from 'vitest'
import { concat } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import { connected5, expectAcknowledged, expectPublish, next, subscribed, taken } from './expect.ts'
import { acknowledge, publish } from './packets.ts'

const everyIdentifier = 65_535

withGateway({ limits: { inflightMessagesMax: everyIdentifier } }, () => {
  conformance(
    '5.0',
    ['MQTT-2.2.1-4', 'MQTT-4.3.2-1'],
    'with every packet identifier in flight the next message waits for one',
    async (wire) => {
      const client = await connected5(wire)
      await subscribed(client, wire.topic(), 1)
      for (let i = 0; i < everyIdentifier + 2; i++)
        void wire.gateway.publish({ topic: wire.topic(), payload: 'x', qos: 1 })
      const used = new Uint8Array(everyIdentifier + 1)
      let first = 0
      for (let i = 0; i < everyIdentifier; i++) {
        const { packetId = 0 } = await next(client)
        first ||= packetId
        used[packetId]!++
      }
      expect(used[0]).toBe(0)
      expect(used.every((times, identifier) => times === 1 || identifier === 0)).toBe(true)
      await client.expectNothing()
      client.send(acknowledge('puback', first))
      await expectPublish(client, { topic: wire.topic(), payload: 'x', qos: 1, packetId: first })
      await client.expectNothing()
    },
    { transports: ['TCP'] },
  )
})

conformance(
  '5.0',
  ['MQTT-2.2.1-4', 'MQTT-4.3.2-1'],
  'packet identifiers of deliveries go round and skip 0',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    const rounds = everyIdentifier + 100
    let sent = 0
    let delivered = 0
    let zeros = 0
    while (delivered < rounds) {
      const burst = Math.min(500, rounds - sent)
      const bytes = []
      for (let i = 0; i < burst; i++)
        bytes.push(publish({ topic: wire.topic(), qos: 1, id: (sent++ % everyIdentifier) + 1 }))
      client.send(concat(...bytes))
      const answers = []
      for (let i = 0; i < 2 * burst; i++) {
        const { type, packetId = 0 } = await next(client)
        if (packetId === 0) zeros++
        if (type !== 'publish') continue
        delivered++
        answers.push(acknowledge('puback', packetId))
      }
      client.send(concat(...answers))
    }
    expect(zeros).toBe(0)
    await client.expectNothing()
  },
  { transports: ['TCP'], timeoutMs: 60_000 },
)

conformance(
  '5.0',
  ['MQTT-2.2.1-5', 'MQTT-4.3.3-8'],
  'the publisher may use every packet identifier from 1 to 65,535',
  async (wire) => {
    const client = await connected5(wire)
    for (const id of [1, 2, 0x7fff, 0x8000, 0xfffe, 0xffff]) {
      client.send(publish({ topic: wire.topic(), qos: 2, id }))
      await expectAcknowledged(client, 'pubrec', id, taken)
      client.send(acknowledge('pubrel', id))
      await expectAcknowledged(client, 'pubcomp', id)
    }
  },
)
