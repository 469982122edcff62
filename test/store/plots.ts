/** Stores full of this and that, generated: sessions with all they may have, queues, retained and delayed messages. */
import fc from 'fast-check'
import { encodeProperties } from '../../src/mqtt/encoder.ts'
import { PacketType } from '../../src/mqtt/packet.ts'
import type { BatchRecords } from '../../src/store/batch.ts'
import { delayed, reference, session, subscription, will } from '../contract/example-records.ts'

const texts = fc.oneof(fc.constantFrom('ümlaut', 'a "quoted"\\text', '\u0001\u{1f600}'), fc.string({ maxLength: 20 }))
const topics = fc.constantFrom('a', 'plant/lämp/temperature', '/', 'a//b', ' "x"\\y')
const times = fc.integer({ min: 1, max: 4e12 })
const orNever = fc.oneof(times, fc.constant(Infinity))
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  texts.map((text) => new TextEncoder().encode(text)),
)
const encoded = (fields: Parameters<typeof encodeProperties>[1]) =>
  new Uint8Array(encodeProperties(PacketType.publish, fields))
const utf8 = fc.string({ unit: 'grapheme', maxLength: 12 })
const properties = fc.oneof(
  fc.constant(new Uint8Array()),
  utf8.map((contentType) => encoded({ payloadFormatIndicator: 1, contentType, responseTopic: 'back/here' })),
  fc.tuple(bytes, utf8).map(([correlationData, text]) =>
    encoded({
      correlationData,
      userProperties: [
        [text, ''],
        ['b', text],
      ],
    }),
  ),
  // Not in the usual order.
  fc.constant(new Uint8Array([0x26, 0, 1, 97, 0, 1, 98, 0x01, 1])),
)
const body = fc.record({
  id: fc.constant(0),
  topic: topics,
  payload: bytes,
  properties,
  qos,
  expiresAt: orNever,
  publisher: texts,
  publishedAt: times,
})
const owned = fc.record({
  version: fc.constantFrom(3 as const, 4 as const, 5 as const),
  expiryInterval: fc.integer({ min: 0, max: 0xffffffff }),
  expiresAt: fc.oneof(orNever, fc.constant(0)),
  connected: fc.boolean(),
  username: texts,
  namespace: fc.constantFrom('', 'lab'),
  principal: texts,
})
const entries = fc.array(
  fc.record({
    own: body,
    shared: fc.boolean(),
    qos,
    retain: fc.boolean(),
    group: texts,
    identifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }),
  }),
  { maxLength: 6 },
)
/** What a store may hold, so that the parts belong together. */
export const plots = fc.record({
  sessions: fc.array(fc.tuple(owned, entries, fc.option(fc.tuple(topics, bytes, properties, orNever))), {
    maxLength: 4,
  }),
  queues: fc.array(fc.tuple(fc.constantFrom('', 'lab'), entries), { maxLength: 2 }),
  retained: fc.uniqueArray(fc.tuple(fc.constantFrom('', 'lab'), body), {
    maxLength: 4,
    selector: ([name, { topic }]) => `${name} ${topic}`,
  }),
  delayed: fc.array(fc.tuple(fc.constantFrom('steady' as const, 'system' as const), times, body, fc.boolean()), {
    maxLength: 3,
  }),
  shared: body,
})
type Plot = typeof plots extends fc.Arbitrary<infer Value> ? Value : never

export function writePlot(plot: Plot, records: BatchRecords): void {
  const queueNumber = plot.sessions.length + 1
  let messages = 1
  for (const [index, [own, , lastWords]] of plot.sessions.entries()) {
    const number = index + 1
    records.sessionPut(session(number, own))
    records.subscriptionPut(subscription(number, `$share/g${index}/+/#`, { noLocal: index === 1, identifier: index }))
    records.incomingPut(number, 65_535 - index)
    records.release(number, 3)
    records.sent(number, 4)
    if (lastWords === null) continue
    const [topic, payload, own5, dueAt] = lastWords
    records.willPut(will(number, { topic, payload, properties: own5, dueAt, messageExpiryInterval: index - 1 }))
  }
  for (const [index, [namespace]] of plot.queues.entries()) {
    const number = queueNumber + index
    records.logPut({ number, namespace, name: `q${index}`, priority: index, filter: 'jobs/#' })
    records.attemptPut({ log: number, position: 10, failed: 2, returned: 1, dueAt: index * 5000, reason: 'it "broke"' })
    const of = { namespace, log: `$queue/q${index}` }
    records.seenPut({ ...of, id: 'ü "x"', at: 1_700_000_000_000 + index, lane: number, position: 10 })
    records.countedPut({ ...of, publisher: 'pümp', sequence: 2 ** 40 + index, at: 1_700_000_000_000 + index })
  }
  records.messagePut({ ...plot.shared, id: 1 }, 0)
  // Somebody names it in any case.
  records.retainedPut('shared', 1, 5, 'other')
  const all = [...plot.sessions.map(([, own]) => own), ...plot.queues.map(([, own]) => own)]
  for (const [index, waiting] of all.entries()) {
    for (const [at, { own, shared, group, identifiers, ...flags }] of waiting.entries()) {
      const one = reference(index + 1, 10 + 2 * at, 0, {
        ...flags,
        sharedFilter: group,
        subscriptionIdentifiers: identifiers,
      })
      if (shared) records.enqueue({ ...one, messageId: 1 })
      else records.enqueueMessage(one, own)
    }
  }
  for (const [namespace, own] of plot.retained) {
    records.messagePut({ ...own, id: ++messages }, 1)
    records.retainedPut(own.topic, messages, 7, namespace)
  }
  for (const [index, [clock, dueAt, own, named]] of plot.delayed.entries()) {
    const { topic, payload, properties: own5, qos: level, publisher, publishedAt } = own
    const given = { topic, payload, properties: own5, qos: level, publisher, publishedAt }
    records.delayedPut(
      delayed(index + 1, { ...given, clock, dueAt, scheduleId: named ? `s${index}` : '', expirySeconds: index - 1 }),
    )
  }
}
