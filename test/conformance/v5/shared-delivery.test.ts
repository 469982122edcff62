/*
 * MQTT 5.0 section 4.8.2, shared subscriptions: the QoS of a delivery, and what happens when a member leaves or refuses.
 */

import { expect } from 'vitest'
import { noProperties } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { completeQos2, connected5, expectAcknowledged, expectPublish, leave, next, subscribed } from './expect.ts'
import { acknowledge, property, publish } from './packets.ts'
import { arrived, members, shared, sixtySeconds } from './shared-group.ts'

conformance('5.0', ['MQTT-4.8.2-3'], 'a member gets a message at no more than the QoS granted to it', async (wire) => {
  const publisher = await connected5(wire)
  for (const granted of [0, 1, 2]) {
    const client = await connected5(wire, { clientId: wire.id(`q${granted}`) })
    await subscribed(client, shared(wire), granted)
    for (const qos of [0, 1, 2]) {
      publisher.send(
        publish({ topic: wire.topic(), qos, ...(qos > 0 && { id: qos }) }),
        qos === 2 ? acknowledge('pubrel', qos) : noProperties,
      )
      await expectPublish(client, { topic: wire.topic(), qos: Math.min(qos, granted) })
    }
    await leave(client)
  }
})

conformance('5.0', ['MQTT-4.8.2-3'], 'members of one group each have the QoS granted to them', async (wire) => {
  const low = await connected5(wire)
  const high = await connected5(wire)
  await subscribed(low, shared(wire), 0)
  await subscribed(high, shared(wire), 1)
  const publisher = await connected5(wire)
  for (let id = 1; id <= 20; id++) publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 1, id }))
  for (let id = 1; id <= 20; id++) await expectAcknowledged(publisher, 'puback', id)
  const [lower, higher] = [await arrived(low), await arrived(high)]
  expect(lower.length + higher.length).toBe(20)
  for (const { flags } of lower) expect(flags).toBe(0)
  for (const { flags } of higher) expect(flags).toBe(2)
})

conformance(
  '5.0',
  ['MQTT-4.8.2-4'],
  'a QoS 2 delivery cut before its PUBREC is completed to the same client',
  async (wire) => {
    const [one, two] = await members(wire, 2, 2)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'mine', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    await expectAcknowledged(publisher, 'pubrec', 1)
    await expectAcknowledged(publisher, 'pubcomp', 1)
    const first = await arrived(one!)
    const [chosen, other, name] = first.length > 0 ? [one!, two!, 'm0'] : [two!, one!, 'm1']
    const [delivered] = first.length > 0 ? first : await arrived(two!)
    chosen.destroy()
    await other.expectNothing()
    const back = await connected5(wire, { clientId: wire.id(name), clean: false, properties: sixtySeconds }, true)
    const { packetId } = await expectPublish(back, {
      topic: wire.topic(),
      payload: 'mine',
      qos: 2,
      dup: true,
      packetId: delivered!.packetId!,
    })
    await completeQos2(back, packetId)
    await back.expectNothing()
    await other.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.8.2-4'],
  'a QoS 2 delivery cut after its PUBREC is completed to the same client',
  async (wire) => {
    const [one] = await members(wire, 1, 2)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'mine', qos: 2, id: 1 }), acknowledge('pubrel', 1))
    const { packetId } = await expectPublish(one!, { topic: wire.topic(), payload: 'mine', qos: 2 })
    const two = await connected5(wire, { clientId: wire.id('m1') })
    await subscribed(two, shared(wire), 2)
    one!.send(acknowledge('pubrec', packetId))
    await expectAcknowledged(one!, 'pubrel', packetId)
    one!.destroy()
    await two.expectNothing()
    const back = await connected5(wire, { clientId: wire.id('m0'), clean: false, properties: noProperties }, true)
    await expectAcknowledged(back, 'pubrel', packetId)
    back.send(acknowledge('pubcomp', packetId))
    await back.expectNothing()
    await two.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-4.8.2-5'],
  'a QoS 2 delivery cut short goes to nobody else when the session ends',
  async (wire) => {
    for (const withPubrec of [false, true]) {
      const one = await connected5(wire, { clientId: wire.id('one') })
      await subscribed(one, shared(wire), 2)
      const publisher = await connected5(wire)
      publisher.send(publish({ topic: wire.topic(), payload: 'lost with it', qos: 2, id: 1 }), acknowledge('pubrel', 1))
      const { packetId } = await expectPublish(one, { topic: wire.topic(), payload: 'lost with it', qos: 2 })
      if (withPubrec) {
        one.send(acknowledge('pubrec', packetId))
        await expectAcknowledged(one, 'pubrel', packetId)
      }
      const two = await connected5(wire, { clientId: wire.id('two') })
      await subscribed(two, shared(wire), 2)
      await leave(one)
      await two.expectNothing()
      publisher.send(publish({ topic: wire.topic(), payload: 'next' }))
      await expectPublish(two, { topic: wire.topic(), payload: 'next' })
      await leave(two)
    }
  },
)

conformance(
  '5.0',
  ['MQTT-4.8.2-6'],
  'a message refused with PUBACK or PUBREC 0x80 goes to nobody else',
  async (wire) => {
    for (const [qos, type] of [
      [1, 'puback'],
      [2, 'pubrec'],
    ] as const) {
      const one = await connected5(wire, { clientId: wire.id('one') })
      await subscribed(one, shared(wire), 2)
      const publisher = await connected5(wire)
      publisher.send(
        publish({ topic: wire.topic(), payload: 'refused', qos, id: 1 }),
        qos === 2 ? acknowledge('pubrel', 1) : noProperties,
      )
      const { packetId } = await expectPublish(one, { topic: wire.topic(), payload: 'refused', qos })
      const two = await connected5(wire, { clientId: wire.id('two') })
      await subscribed(two, shared(wire), 2)
      one.send(acknowledge(type, packetId, 0x80))
      await one.settled()
      await two.expectNothing()
      await leave(one)
      await two.expectNothing()
      await leave(two)
    }
  },
)

conformance(
  '5.0',
  [],
  'a QoS 1 message that a leaving member did not acknowledge goes to another member',
  async (wire) => {
    const one = await connected5(wire, { clientId: wire.id('one') })
    await subscribed(one, shared(wire), 1)
    const publisher = await connected5(wire)
    publisher.send(publish({ topic: wire.topic(), payload: 'handed on', qos: 1, id: 1 }))
    await expectPublish(one, { topic: wire.topic(), payload: 'handed on', qos: 1 })
    const two = await connected5(wire, { clientId: wire.id('two') })
    await subscribed(two, shared(wire), 1)
    await leave(one)
    const handedOn = await next(two)
    expect(handedOn).toMatchObject({ type: 'publish', topic: wire.topic(), payload: 'handed on' })
    expect(handedOn.flags & 0x06).toBe(2)
    two.send(acknowledge('puback', handedOn.packetId!))
    await two.expectNothing()
  },
)

conformance('5.0', [], 'what was not yet sent to a leaving member goes to another member', async (wire) => {
  const one = await connected5(wire, { clientId: wire.id('one'), properties: property.receiveMaximum(1) })
  await subscribed(one, shared(wire), 2)
  const publisher = await connected5(wire)
  for (let id = 1; id <= 4; id++)
    publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 2, id }), acknowledge('pubrel', id))
  await expectPublish(one, { topic: wire.topic(), payload: '1', qos: 2 })
  await one.expectNothing()
  const two = await connected5(wire, { clientId: wire.id('two') })
  await subscribed(two, shared(wire), 2)
  await leave(one)
  // The first was sent at QoS 2: it is lost with its session [MQTT-4.8.2-5].
  const identifiers = []
  for (let id = 2; id <= 4; id++) {
    identifiers.push((await expectPublish(two, { topic: wire.topic(), payload: `${id}`, qos: 2 })).packetId)
  }
  for (const packetId of identifiers) await completeQos2(two, packetId)
  await two.expectNothing()
})

conformance('5.0', [], 'members that are offline get messages only when none is online', async (wire) => {
  const [one, two] = await members(wire, 2, 1)
  await leave(two!)
  const publisher = await connected5(wire)
  for (let id = 1; id <= 6; id++) publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 1, id }))
  for (let id = 1; id <= 6; id++)
    one!.send(
      acknowledge('puback', (await expectPublish(one!, { topic: wire.topic(), payload: `${id}`, qos: 1 })).packetId),
    )
  await leave(one!)
  for (let id = 7; id <= 10; id++) publisher.send(publish({ topic: wire.topic(), payload: `${id}`, qos: 1, id }))
  for (let id = 1; id <= 10; id++) await expectAcknowledged(publisher, 'puback', id)
  const payloads = []
  for (const name of ['m0', 'm1']) {
    const back = await connected5(wire, { clientId: wire.id(name), clean: false, properties: noProperties }, true)
    for (const packet of await arrived(back)) {
      payloads.push(Number(packet.payload))
      back.send(acknowledge('puback', packet.packetId!))
    }
    await back.settled()
  }
  expect(payloads.toSorted((a, b) => a - b)).toEqual([7, 8, 9, 10])
})
