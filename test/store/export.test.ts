/** Exports and imports: nothing is lost or changed on the way, and what is damaged is refused by its line. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { encodeProperties } from '../../src/mqtt/encoder.ts'
import { PacketType } from '../../src/mqtt/packet.ts'
import { backupStore } from '../../src/store/backup.ts'
import type { BatchRecords } from '../../src/store/batch.ts'
import { checkStore } from '../../src/store/check.ts'
import { sourceOf } from '../../src/store/export/sources.ts'
import { type ExportOrder, exportStore } from '../../src/store/export/store-export.ts'
import { importInto } from '../../src/store/export/store-import.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { StoredDelayed, StoredMessage, StoredReference } from '../../src/store/store.ts'
import { batch, delayed, message, reference, session, subscription, will } from '../contract/example-records.ts'
import { open, plain, type Survived } from '../contract/survived.ts'
import { nothing } from './process.ts'

let folder: string
let dataDir: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-export-'))
  dataDir = join(folder, 'data')
  file = join(folder, 'export.jsonl')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function fill(write: (records: BatchRecords) => void, directory = dataDir): Promise<void> {
  const store = new SqliteInlineStore({ dataDir: directory })
  await store.open(nothing)
  await store.commit(batch(write), 'fsync')
  await store.close()
}

const order = (over: Partial<ExportOrder> = {}): ExportOrder => ({
  from: { dataDir },
  file,
  overwrite: true,
  namespaces: undefined,
  gatewayVersion: '9.9.9',
  ...over,
})

const into = (directory: string, over: { into?: string; dryRun?: boolean } = {}) =>
  importInto(
    { dataDir: directory, file, into: over.into, dryRun: over.dryRun === true },
    sourceOf({ ownedByUsers: false }),
  )

interface Content extends Survived {
  entries: { reference: StoredReference; message: StoredMessage }[]
  delayedMessages: StoredDelayed[]
}

/** All that a store has, in comparable form: without numbers that say nothing to anybody. */
async function contentOf(directory: string): Promise<Omit<Content, 'numbers'>> {
  const store = new SqliteInlineStore({ dataDir: directory })
  const { numbers: _, ...survived } = await open(store)
  const entries: Content['entries'] = []
  for (const { session: owner } of survived.queues) {
    const page = await store.readQueue(owner, 0, 1e6, 1e9)
    for (const { reference: one, message: body } of page.entries) {
      const bytes = { payload: plain(body.payload), properties: plain(body.properties) }
      entries.push({ reference: { ...one, messageId: 0 }, message: { ...body, ...bytes, id: 0 } })
    }
  }
  const delayedMessages: StoredDelayed[] = []
  for (const clock of ['steady', 'system'] as const) {
    const after = { dueAt: -Infinity, id: -Infinity }
    const page = await store.readDelayed({ clock, after, untilDueAt: Infinity, messagesMax: 1e6, bytesMax: 1e9 })
    for (const one of page.entries) {
      delayedMessages.push({ ...one, id: 0, payload: plain(one.payload), properties: plain(one.properties) })
    }
  }
  await store.close()
  const retained = survived.retained.map((one) => ({ ...one, version: 0, message: { ...one.message, id: 0 } }))
  const delayedNames = survived.delayedNames
    .map((one) => ({ ...one, id: 0 }))
    .sort((a, b) => (a.scheduleId < b.scheduleId ? -1 : 1))
  const counts = survived.delayed.map((one) => ({ ...one, lastId: 0 }))
  return { ...survived, retained, delayedNames, delayed: counts, entries, delayedMessages, order: [] }
}

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
const plots = fc.record({
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

function write(plot: Plot, records: BatchRecords): void {
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

describe('an export', () => {
  it('has everything: imported elsewhere it is the same store', async () => {
    let runs = 0
    await fc.assert(
      fc.asyncProperty(plots, async (plot) => {
        const from = join(folder, `from-${runs}`)
        const to = join(folder, `to-${runs++}`)
        await fill((records) => write(plot, records), from)
        exportStore(order({ from: { dataDir: from } }))
        into(to)
        expect(await contentOf(to)).toEqual(await contentOf(from))
        expect(checkStore(to)).toMatchObject({
          findings: [],
          disagreements: { orphanedMessages: 0, missingMessages: 0, wrongCounts: 0, rowsWithoutSession: 0 },
        })
        const first = readFileSync(file, 'utf8')
        exportStore(order({ from: { dataDir: to } }))
        expect(withoutTime(readFileSync(file, 'utf8'))).toEqual(withoutTime(first))
      }),
      { numRuns: 12 },
    )
  })

  const withoutTime = (text: string) => text.split('\n').slice(1)

  it('says times of the system, so that they hold in a store whose clock is another', async () => {
    const lead = 86_400_000
    const none = new Uint8Array()
    await fill((records) => {
      records.clock(1_700_000_000_000, lead)
      records.sessionPut(session(1, { expiresAt: 1_800_000_000_000 }))
      records.delayedPut(delayed(1, { clock: 'steady', dueAt: 1_700_000_100_000, properties: none }))
      records.delayedPut(delayed(2, { clock: 'system', dueAt: 1_700_000_200_000, scheduleId: '', properties: none }))
    })
    exportStore(order())
    expect(readFileSync(file, 'utf8')).toContain(`"expiresAt":"${new Date(1_800_000_000_000 + lead).toISOString()}"`)
    const other = join(folder, 'other')
    await fill((records) => records.clock(1_600_000_000_000, -lead), other)
    into(other)
    const { sessions, delayedMessages } = await contentOf(other)
    expect(sessions[0]!.expiresAt).toBe(1_800_000_000_000 + 2 * lead)
    expect(delayedMessages.map(({ dueAt }) => dueAt)).toEqual([1_700_000_100_000 + 2 * lead, 1_700_000_200_000])
  })

  it('of one namespace has nothing of the others', async () => {
    await twoNamespaces()
    exportStore(order({ namespaces: ['lab'] }))
    const text = readFileSync(file, 'utf8')
    expect(text).toContain('"clientId":"client-2"')
    expect(text).not.toMatch(/client-1|secret|default/)
    expect(() => exportStore(order({ namespaces: ['lab', 'nowhere'] }))).toThrow(
      'nothing of the namespace nowhere; it has something of default, lab',
    )
  })

  it('comes from a backup as from the database, and from one of an older version', async () => {
    await fill((records) => records.sessionPut(session(1)))
    backupStore(dataDir, join(folder, 'b.db'))
    const backup = { backup: join(folder, 'b.db') }
    expect(exportStore(order({ from: backup })).counts).toEqual({ session: 1 })
    expect(() => exportStore(order({ from: { backup: file } }))).toThrow('not a SQLite database')
    expect(() => exportStore(order({ overwrite: false }))).toThrow('exists')
    expect(readdirSync(folder).sort()).toEqual(['b.db', 'data', 'export.jsonl'])
  })

  it('works beside a running store', async () => {
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    expect(exportStore(order()).counts).toEqual({ session: 1 })
    expect(() => into(dataDir)).toThrow('belongs to a running mqtide')
    await store.close()
  })
})

async function twoNamespaces(): Promise<void> {
  await fill((records) => {
    records.sessionPut(session(1))
    records.sessionPut(session(2, { namespace: 'lab' }))
    records.willPut(will(1))
    records.messagePut(message(1), 2)
    records.messagePut(message(2, { payload: new TextEncoder().encode('secret') }), 2)
    records.enqueue(reference(1, 1, 1))
    records.enqueue(reference(2, 1, 1))
    records.enqueue(reference(1, 2, 2))
    records.retainedPut('secret', 2, 1)
  })
}

describe('an import', () => {
  it('goes beside what the store has, in other namespaces, and into one of another name', async () => {
    await twoNamespaces()
    exportStore(order({ namespaces: ['lab'] }))
    const before = await contentOf(dataDir)
    expect(() => into(dataDir)).toThrow('line 2 is of the namespace lab, of which the store has something already')
    expect(await contentOf(dataDir)).toEqual(before)
    const { counts, replaced } = into(dataDir, { into: 'copy' })
    expect(counts).toMatchObject({ sessions: 1, queued: 1, retained: 0 })
    expect(existsSync(join(replaced!, 'mqtide.db'))).toBe(true)
    const { sessions, entries: waiting, retained } = await contentOf(dataDir)
    expect(sessions.map(({ namespace }) => namespace)).toEqual(['', 'lab', 'copy'])
    expect(retained).toEqual(before.retained)
    expect(
      waiting.filter(({ reference: { session: owner } }) => owner === 3).map(({ message: { topic } }) => topic),
    ).toEqual(['plant/1/temperature'])
    expect(checkStore(dataDir).disagreements).toMatchObject({ orphanedMessages: 0, wrongCounts: 0 })
    exportStore(order())
    expect(() => into(join(folder, 'new'), { into: 'one' })).toThrow("they can't go into one")
  })

  it('is only looked at with a dry run', async () => {
    await twoNamespaces()
    exportStore(order())
    const other = join(folder, 'other')
    expect(into(other, { dryRun: true }).counts).toMatchObject({ sessions: 2, retained: 1, queued: 3, wills: 1 })
    expect(readdirSync(other)).toEqual(['lock'])
  })

  it('refuses a file that ends too early, wherever that is, and changes nothing', async () => {
    await twoNamespaces()
    exportStore(order())
    const whole = readFileSync(file)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), (length) => {
        writeFileSync(file, whole.subarray(0, length))
        expect(() => into(join(folder, 'new'))).toThrow(
          /export.jsonl: (the file is empty|line \d+ is cut off|the file ends behind line \d+ without its end)/,
        )
      }),
      { numRuns: 25 },
    )
    expect(readdirSync(join(folder, 'new'))).toEqual(['lock'])
  })

  it('refuses a file in which one bit is another, by its line', async () => {
    await twoNamespaces()
    exportStore(order())
    const whole = readFileSync(file)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: whole.length - 1 }), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const damaged = Buffer.from(whole)
        damaged[at]! ^= 1 << bit
        writeFileSync(file, damaged)
        const line = whole.subarray(0, at).toString().split('\n').length
        let text = ''
        try {
          into(join(folder, 'new'))
        } catch (error) {
          text = (error as Error).message
        }
        expect(text).toMatch(/ line (\d+) /)
        expect(Math.abs(Number(/ line (\d+) /.exec(text)![1]) - line)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 50 },
    )
  })
})
