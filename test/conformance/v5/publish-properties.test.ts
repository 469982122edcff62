/*
 * MQTT 5.0 section 3.3.2.3, the properties of PUBLISH on their way to subscribers, and 4.10, request and response.
 */

import { expect } from 'vitest'
import { concat, hex, noProperties } from '../bytes.ts'
import { conformance, withGateway } from '../harness.ts'
import {
  connected5,
  eachCase,
  expectAcknowledged,
  expectFault,
  expectPublish,
  leave,
  malformedOrProtocolError,
  next,
  subscribed,
} from './expect.ts'
import { acknowledge, decode, type PropertyValue, property, publish, valuesOf } from './packets.ts'

const responseInformation = 26

conformance(
  '5.0',
  ['MQTT-3.3.2-4', 'MQTT-3.3.2-15', 'MQTT-3.3.2-16', 'MQTT-3.3.2-17', 'MQTT-3.3.2-20'],
  'all properties of a message reach every subscriber unaltered',
  async (wire) => {
    const p = property
    const before = concat(p.payloadFormatIndicator(1), p.contentType('text/plain; é'), p.userProperty('', ''))
    const behind = concat(p.responseTopic('answer/to'), p.correlationData(hex('00 01 ff 80')), p.userProperty('k', 'v'))
    const forwarded: [number, PropertyValue][] = [
      [1, 1],
      [3, 'text/plain; é'],
      [8, 'answer/to'],
      [9, hex('00 01 ff 80')],
      [38, ['', '']],
      [38, ['k', 'v']],
    ]
    // Between them what is made anew for each hop: nothing, an alias, an expiry interval.
    const between = {
      nothing: [noProperties, forwarded],
      alias: [p.topicAlias(1), forwarded],
      expiry: [p.messageExpiryInterval(1000), forwarded.toSpliced(1, 0, [2, 1000])],
    } as const
    const publisher = await connected5(wire)
    await eachCase(between, async ([middle, expected]) => {
      for (const qos of [0, 1, 2]) {
        const clients = [await connected5(wire), await connected5(wire)]
        for (const client of clients) await subscribed(client, wire.topic(), qos)
        const properties = concat(before, middle, behind)
        const message = publish({ topic: wire.topic(), payload: 'text', qos: 2, id: 1, properties })
        publisher.send(message, acknowledge('pubrel', 1))
        for (const client of clients) {
          const decoded = await next(client)
          expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic(), payload: 'text', flags: qos << 1 })
          expect(decoded.properties.toSorted((a, b) => a[0] - b[0])).toEqual(expected)
        }
      }
    })
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.2-4'],
  'a Payload Format Indicator of 0 is sent on, an absent one is not invented',
  async (wire) => {
    const client = await connected5(wire)
    await subscribed(client, wire.topic())
    client.send(publish({ topic: wire.topic(), properties: property.payloadFormatIndicator(0) }))
    await expectPublish(client, { topic: wire.topic(), properties: [[1, 0]] })
    client.send(publish({ topic: wire.topic() }))
    await expectPublish(client, { topic: wire.topic(), properties: [] })
  },
)

conformance('5.0', [], 'a Payload Format Indicator other than 0 and 1 is refused', async (wire) => {
  for (const value of [2, 255]) {
    await expectFault(
      wire,
      publish({ topic: wire.topic(), properties: property.payloadFormatIndicator(value) }),
      malformedOrProtocolError,
    )
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.2-18', 'MQTT-3.3.2-17'],
  'user properties keep their order and their repetitions',
  async (wire) => {
    const pairs = [
      ['z', '1'],
      ['a', '2'],
      ['z', '3'],
      ['a', '2'],
      ['', 'x'],
      ['m', ''],
      ['a', '0'],
    ] as const
    const client = await connected5(wire)
    await subscribed(client, wire.topic(), 1)
    // Other properties between them, as a sender may order them.
    const properties = concat(
      ...pairs.slice(0, 3).map(([name, value]) => property.userProperty(name, value)),
      property.contentType('c'),
      ...pairs.slice(3).map(([name, value]) => property.userProperty(name, value)),
    )
    client.send(publish({ topic: wire.topic(), properties }))
    expect(valuesOf(await next(client), 38)).toEqual(pairs)
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.2-18'],
  'properties survive in a retained message and in an offline queue',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const sleeper = await connected5(wire, fields)
    await subscribed(sleeper, wire.topic(), 1)
    await leave(sleeper)
    const publisher = await connected5(wire)
    const properties = concat(property.userProperty('b', '1'), property.userProperty('a', '2'))
    publisher.send(publish({ topic: wire.topic(), payload: 'kept', qos: 1, id: 1, retain: true, properties }))
    await expectAcknowledged(publisher, 'puback', 1)
    const expected = {
      topic: wire.topic(),
      payload: 'kept',
      qos: 1,
      properties: [
        [38, ['b', '1']],
        [38, ['a', '2']],
      ] as [number, [string, string]][],
    }
    const back = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    await expectPublish(back, expected)
    const late = await connected5(wire)
    await subscribed(late, wire.topic(), 1)
    await expectPublish(late, { ...expected, retain: true })
    publisher.send(publish({ topic: wire.topic(), retain: true }))
  },
)

conformance('5.0', ['MQTT-3.3.2-14'], 'a Response Topic that is no topic name is refused', async (wire) => {
  await eachCase({ plus: 'a/+', hash: 'a/#', 'plus inside': 'a+b', 'hash alone': '#', empty: '' }, (topic) =>
    expectFault(wire, publish({ topic: wire.topic(), properties: property.responseTopic(topic) }), [0x81, 0x82, 0x90]),
  )
})

conformance(
  '5.0',
  ['MQTT-3.3.2-15', 'MQTT-3.3.2-16'],
  'a request is answered through its Response Topic and Correlation Data',
  async (wire) => {
    const requester = await connected5(wire)
    const responder = await connected5(wire)
    await subscribed(requester, wire.topic('answers'), 1)
    await subscribed(responder, wire.topic('requests'), 1)
    const properties = concat(property.responseTopic(wire.topic('answers')), property.correlationData(hex('07 00')))
    requester.send(publish({ topic: wire.topic('requests'), payload: 'what?', properties }))
    const request = await next(responder)
    const answer = publish({
      topic: String(valuesOf(request, 8)[0]),
      payload: 'that',
      properties: property.correlationData(valuesOf(request, 9)[0] as Uint8Array),
    })
    responder.send(answer)
    await expectPublish(requester, { topic: wire.topic('answers'), payload: 'that', properties: [[9, hex('07 00')]] })
  },
)

withGateway({ protocol: { responseInformation: 'answers/' } }, () => {
  conformance(
    '5.0',
    ['MQTT-3.1.2-28'],
    'Response Information is returned only to a client that requests it',
    async (wire) => {
      const asking = await connected5(wire, { properties: property.requestResponseInformation(1) })
      expect(valuesOf(decode(asking.connack), responseInformation)).toEqual(['answers/'])
      const refusing = await connected5(wire, { properties: property.requestResponseInformation(0) })
      expect(valuesOf(decode(refusing.connack), responseInformation)).toEqual([])
      const silent = await connected5(wire)
      expect(valuesOf(decode(silent.connack), responseInformation)).toEqual([])
    },
  )
})

conformance('5.0', ['MQTT-3.1.2-28'], 'without Response Information to give, none is returned', async (wire) => {
  const client = await connected5(wire, { properties: property.requestResponseInformation(1) })
  expect(valuesOf(decode(client.connack), responseInformation)).toEqual([])
})

conformance('5.0', ['MQTT-3.3.2-6'], 'a message delivered at once keeps its Message Expiry Interval', async (wire) => {
  const client = await connected5(wire)
  await subscribed(client, wire.topic())
  for (const seconds of [1, 100, 0xffffffff]) {
    client.send(publish({ topic: wire.topic(), properties: property.messageExpiryInterval(seconds) }))
    await expectPublish(client, { topic: wire.topic(), properties: [[2, seconds]] })
  }
})

conformance(
  '5.0',
  ['MQTT-3.3.2-5', 'MQTT-3.3.2-6'],
  'in an offline queue messages expire, and the others are sent with less time left',
  async (wire) => {
    const fields = { clientId: wire.id(), properties: property.sessionExpiryInterval(60) }
    const sleeper = await connected5(wire, fields)
    await subscribed(sleeper, wire.topic(), 1)
    await leave(sleeper)
    const publisher = await connected5(wire)
    await subscribed(publisher, wire.topic('clock'))
    for (const [id, seconds] of [
      [1, 1],
      [2, 100],
      [3, 1],
      [4, 0xffffffff],
    ] as const) {
      publisher.send(
        publish({
          topic: wire.topic(),
          payload: `${seconds}`,
          qos: 1,
          id,
          properties: property.messageExpiryInterval(seconds),
        }),
      )
      await expectAcknowledged(publisher, 'puback', id)
    }
    await twoSecondsPass(wire)
    const back = await connected5(wire, { ...fields, clean: false, properties: noProperties }, true)
    for (const seconds of [100, 0xffffffff]) {
      const decoded = await next(back)
      expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic(), payload: `${seconds}` })
      const [left] = valuesOf(decoded, 2)
      expect(left).toBeLessThan(seconds)
      expect(left).toBeGreaterThan(seconds - 60)
    }
    await back.expectNothing()
  },
)

conformance(
  '5.0',
  ['MQTT-3.3.2-5', 'MQTT-3.3.2-6'],
  'retained messages expire, and the others are sent with less time left',
  async (wire) => {
    const publisher = await connected5(wire)
    for (const [name, seconds] of [
      ['short', 1],
      ['long', 100],
    ] as const) {
      const properties = property.messageExpiryInterval(seconds)
      publisher.send(publish({ topic: wire.topic(name), payload: name, retain: true, properties }))
    }
    await publisher.settled()
    await twoSecondsPass(wire)
    const late = await connected5(wire)
    await subscribed(late, wire.topic('short'))
    await late.expectNothing()
    await subscribed(late, wire.topic('long'))
    const decoded = await next(late)
    expect(decoded).toMatchObject({ type: 'publish', topic: wire.topic('long'), payload: 'long', flags: 1 })
    const [left] = valuesOf(decoded, 2)
    expect(left).toBeLessThan(100)
    expect(left).toBeGreaterThan(40)
    publisher.send(publish({ topic: wire.topic('long'), retain: true }))
  },
)

/** The gateway's own clock tells the time: a will that it delays by two seconds. */
async function twoSecondsPass(wire: Parameters<typeof connected5>[0]): Promise<void> {
  const watcher = await connected5(wire)
  await subscribed(watcher, wire.topic('time'))
  const clock = await connected5(wire, {
    clientId: wire.id('clock'),
    properties: property.sessionExpiryInterval(60),
    will: { topic: wire.topic('time'), properties: property.willDelayInterval(2) },
  })
  clock.destroy()
  await expectPublish(watcher, { topic: wire.topic('time') })
}
