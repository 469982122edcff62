/** Batches as lists of calls: generated, replayed into a writer or a store, and recorded back. */
import fc from 'fast-check'
import type { BatchRecords } from '../../src/store/batch.ts'

export type BatchCall = {
  [Name in keyof BatchRecords]: [Name, ...Parameters<BatchRecords[Name]>]
}[keyof BatchRecords]

const names = [
  'sessionPut',
  'sessionDelete',
  'subscriptionPut',
  'subscriptionDelete',
  'messagePut',
  'enqueue',
  'enqueueMessage',
  'dequeue',
  'release',
  'complete',
  'move',
  'sent',
  'clock',
  'incomingPut',
  'incomingDelete',
  'retainedPut',
  'retainedDelete',
  'willPut',
  'willDelete',
  'logPut',
  'attemptPut',
  'attemptDelete',
  'delayedPut',
  'delayedDelete',
  'streamPut',
  'streamTrim',
  'segmentPut',
  'cursorPut',
  'cursorDelete',
  'seenPut',
  'seenDelete',
  'seenForget',
  'countedPut',
  'countedDelete',
] as const satisfies readonly (keyof BatchRecords)[]

/** A sink that appends each call, with its own copy of what readers reuse. */
export function recordingSink(calls: BatchCall[]): BatchRecords {
  const sink: Record<string, (...args: unknown[]) => void> = {}
  for (const name of names) {
    sink[name] = (...args) => {
      calls.push([name, ...args.map(copied)] as BatchCall)
    }
  }
  return sink as unknown as BatchRecords
}

export function replay(calls: readonly BatchCall[], into: BatchRecords): void {
  const sink = into as unknown as Record<string, (...args: unknown[]) => void>
  for (const [name, ...args] of calls) sink[name]!(...args)
}

function copied(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      field instanceof Uint8Array ? new Uint8Array(field) : Array.isArray(field) ? [...field] : field,
    ]),
  )
}

const integer = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const session = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const uint32 = fc.integer({ min: 0, max: 0xffffffff })
const text = fc.oneof(
  fc.constantFrom('', 'a/b', 'sensors/+/temperature', '$share/group/#'),
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ maxLength: 80 }),
)
const bytes = fc.uint8Array({ maxLength: 200 })
const seenOf = fc.record({ namespace: text, log: text })
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const)
const time = fc.oneof(integer, fc.constant(Number.POSITIVE_INFINITY))

const message = fc.record({
  id: session,
  topic: text,
  payload: bytes,
  properties: bytes,
  qos,
  expiresAt: time,
  publisher: text,
  publishedAt: integer,
})

const reference = fc.record({
  session,
  position: integer,
  messageId: session,
  qos,
  retain: fc.boolean(),
  sharedFilter: text,
  subscriptionIdentifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 4 }),
})

const cursorKey = { stream: session, session: integer, name: text, filter: text }

const call = <Name extends keyof BatchRecords>(name: Name, ...args: fc.Arbitrary<unknown>[]) =>
  fc.tuple(fc.constant(name), ...args) as unknown as fc.Arbitrary<BatchCall>

/** Any record at all, without a plot. */
export const batchCalls: fc.Arbitrary<BatchCall> = fc.oneof(
  call(
    'sessionPut',
    fc.record({
      number: session,
      clientId: text,
      version: fc.constantFrom(3, 4, 5),
      expiryInterval: uint32,
      expiresAt: time,
      connected: fc.boolean(),
      username: text,
      namespace: text,
      principal: text,
    }),
  ),
  call('sessionDelete', session),
  call(
    'subscriptionPut',
    fc.record({
      session,
      topicFilter: text,
      qos,
      noLocal: fc.boolean(),
      retainAsPublished: fc.boolean(),
      retainHandling: fc.constantFrom(0, 1, 2),
      identifier: fc.integer({ min: 0, max: 268_435_455 }),
    }),
  ),
  call('subscriptionDelete', session, text),
  call('messagePut', message, uint32),
  call('enqueue', reference),
  call(
    'enqueueMessage',
    reference.map((one) => ({ ...one, messageId: 0 })),
    message.map((one) => ({ ...one, id: 0 })),
  ),
  call('dequeue', session, integer),
  call('release', session, integer),
  call('complete', session, integer),
  call('incomingPut', session, fc.integer({ min: 1, max: 65_535 })),
  call('incomingDelete', session, fc.integer({ min: 1, max: 65_535 })),
  call(
    'move',
    session,
    integer,
    reference.map((one) => ({ ...one, messageId: 0 })),
  ),
  call('sent', session, integer),
  call('clock', time, integer),
  call('retainedPut', text, session, integer, text),
  call('retainedDelete', text, integer, text),
  call(
    'willPut',
    fc.record({
      session,
      topic: text,
      payload: bytes,
      properties: bytes,
      qos,
      retain: fc.boolean(),
      delayInterval: uint32,
      messageExpiryInterval: fc.integer({ min: -1, max: 0xffffffff }),
      dueAt: time,
    }),
  ),
  call('willDelete', session),
  call(
    'logPut',
    fc.record({ number: session, namespace: text, name: text, priority: fc.integer({ min: 0, max: 9 }), filter: text }),
  ),
  call(
    'attemptPut',
    fc.record({ log: session, position: integer, failed: uint32, returned: uint32, dueAt: integer, reason: text }),
  ),
  call('attemptDelete', session, integer),
  call('streamPut', fc.record({ number: session, namespace: text, name: text, filter: text, firstOffset: integer })),
  call('streamTrim', session, integer),
  call(
    'segmentPut',
    fc.record({
      stream: session,
      firstOffset: integer,
      firstAt: integer,
      lastAt: integer,
      messages: uint32,
      bytes: integer,
    }),
  ),
  call('cursorPut', fc.record({ ...cursorKey, position: integer, notBefore: integer, open: text })),
  call('cursorDelete', fc.record(cursorKey)),
  call('seenPut', fc.record({ namespace: text, log: text, id: text, at: integer, lane: session, position: integer })),
  call('seenDelete', seenOf, text),
  call('seenForget', seenOf, integer),
  call('countedPut', fc.record({ namespace: text, log: text, publisher: text, sequence: integer, at: integer })),
  call('countedDelete', seenOf, text),
)
