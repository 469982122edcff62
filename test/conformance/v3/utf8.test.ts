/*
 * MQTT 3.1.1 section 1.5.3: UTF-8 encoded strings, in every field that has one.
 */

import { concat, connect, hex, publish, subscribe, text, toHex, unsubscribe } from '../bytes.ts'
import { conformance } from '../harness.ts'
import { closesConnection, closesUnanswered, subscribed, subscribeOn } from './expect.ts'

/** Byte sequences that RFC 3629 section 3 excludes, each for another reason. */
const illFormed = [
  '80', // a continuation byte alone
  'c3', // the second byte is missing
  'c3 28', // the second byte is no continuation
  'c0 af', // overlong, two bytes
  'c1 bf', // overlong, two bytes
  'e0 80 af', // overlong, three bytes
  'f0 80 80 af', // overlong, four bytes
  'ed a0 80', // U+D800
  'ed bf bf', // U+DFFF
  'ed a0 bd ed b8 80', // a surrogate pair, CESU-8
  'f4 90 80 80', // U+110000
  'f8 88 80 80 80', // five bytes
  'fe',
  'ff',
].map(hex)

/** U+0000, as RFC 3629 writes it and as modified UTF-8 does. */
const nul = [hex('00'), hex('c0 80')]

const inTopic = (bad: Uint8Array): Uint8Array => concat(text('a/'), bad, text('/b'))

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.1.3-4'], 'an ill-formed client identifier closes', async (wire) => {
  await closesUnanswered(wire, ...illFormed.map((bad) => connect({ clientId: concat(text('id'), bad) })))
})

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.1.3-10'], 'an ill-formed will topic closes', async (wire) => {
  await closesUnanswered(
    wire,
    ...illFormed.map((bad) => connect({ clientId: wire.id(), will: { topic: inTopic(bad), payload: 'x' } })),
  )
})

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.1.3-11'], 'an ill-formed user name closes', async (wire) => {
  await closesUnanswered(
    wire,
    ...illFormed.map((bad) => connect({ clientId: wire.id(), username: bad, password: 'p' })),
  )
})

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.3.2-1'], 'an ill-formed topic name closes', async (wire) => {
  await closesConnection(wire, ...illFormed.map((bad) => publish({ topic: inTopic(bad), qos: 1, id: 1 })))
})

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.8.3-1'], 'an ill-formed filter in SUBSCRIBE closes', async (wire) => {
  await closesConnection(wire, ...illFormed.map((bad) => subscribe(1, [[inTopic(bad), 0]])))
})

conformance('3.1.1', ['MQTT-1.5.3-1', 'MQTT-3.10.3-1'], 'an ill-formed filter in UNSUBSCRIBE closes', async (wire) => {
  await closesConnection(wire, ...illFormed.map((bad) => unsubscribe(1, [inTopic(bad)])))
})

conformance('3.1.1', ['MQTT-1.5.3-2'], 'U+0000 in a string of CONNECT closes', async (wire) => {
  for (const bad of nul) {
    const clientId = wire.id()
    await closesUnanswered(
      wire,
      connect({ clientId: concat(text('id'), bad) }),
      connect({ clientId, will: { topic: inTopic(bad) } }),
      connect({ clientId, username: bad }),
    )
  }
})

conformance('3.1.1', ['MQTT-1.5.3-2', 'MQTT-4.7.3-2'], 'U+0000 in a topic name or filter closes', async (wire) => {
  for (const bad of nul) {
    await closesConnection(
      wire,
      publish({ topic: inTopic(bad) }),
      subscribe(1, [[inTopic(bad), 0]]),
      unsubscribe(1, [inTopic(bad)]),
    )
  }
})

conformance('3.1.1', ['MQTT-1.5.3-1'], 'nobody receives a message whose topic name is ill-formed', async (wire) => {
  const topic = wire.topic()
  const other = await subscribed(wire, `${topic}/#`, 0)
  await closesConnection(wire, publish({ topic: concat(text(`${topic}/`), hex('ff')), payload: 'x' }))
  await other.expectNothing()
})

conformance('3.1.1', ['MQTT-1.5.3-3', 'MQTT-4.7.3-4'], 'EF BB BF is a character of the topic name', async (wire) => {
  const plain = text(wire.topic())
  const marked = concat(hex('ef bb bf'), plain)
  const client = await subscribed(wire, marked, 0)
  client.send(publish({ topic: plain, payload: 'without' }), publish({ topic: marked, payload: 'with' }))
  await client.expectPacket(publish({ topic: marked, payload: 'with' }))
  await client.expectNothing()
})

conformance('3.1.1', ['MQTT-1.5.3-3'], 'EF BB BF is not stripped inside a string either', async (wire) => {
  const topic = concat(text(wire.topic()), hex('ef bb bf'), text('/b'))
  const client = await subscribed(wire, topic, 0)
  client.send(publish({ topic, payload: 'x' }))
  await client.expectPacket(publish({ topic, payload: 'x' }))
})

conformance('3.1.1', ['MQTT-4.7.3-4'], 'characters of one to four bytes arrive as they were sent', async (wire) => {
  const client = await wire.connected()
  for (const character of ['7e', 'c2 a0', 'df bf', 'e0 a0 80', 'ed 9f bf', 'ee 80 80', 'f0 90 80 80', 'f4 8f bf bd']) {
    const topic = concat(text(`${wire.topic()}/`), hex(character))
    await subscribeOn(client, topic, 0)
    client.send(publish({ topic, payload: character }))
    await client.expectPacket(publish({ topic, payload: character }))
  }
})

conformance('3.1.1', ['MQTT-4.7.3-4'], 'composed and decomposed characters are different topics', async (wire) => {
  const composed = `${wire.topic()}/\u00e9`
  const decomposed = `${wire.topic()}/e\u0301`
  if (toHex(text(composed)) === toHex(text(decomposed))) throw new Error('this source file was normalized')
  const client = await subscribed(wire, composed, 0)
  client.send(publish({ topic: decomposed, payload: 'no' }), publish({ topic: composed, payload: 'yes' }))
  await client.expectPacket(publish({ topic: composed, payload: 'yes' }))
  await client.expectNothing()
})
