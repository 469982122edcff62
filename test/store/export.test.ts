/** Exports and imports: nothing is lost or changed on the way, and what is damaged is refused by its line. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backupStore } from '../../src/store/backup.ts'
import type { BatchRecords } from '../../src/store/batch.ts'
import { checkStore } from '../../src/store/check.ts'
import { sourceOf } from '../../src/store/export/sources.ts'
import { type ExportOrder, exportStore } from '../../src/store/export/store-export.ts'
import { importInto } from '../../src/store/export/store-import.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { StoredDelayed, StoredMessage, StoredReference } from '../../src/store/store.ts'
import { batch, delayed, message, reference, session, will } from '../contract/example-records.ts'
import { open, plain, type Survived } from '../contract/survived.ts'
import { plots, writePlot } from './plots.ts'
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

describe('an export', () => {
  it('has everything: imported elsewhere it is the same store', async () => {
    let runs = 0
    await fc.assert(
      fc.asyncProperty(plots, async (plot) => {
        const from = join(folder, `from-${runs}`)
        const to = join(folder, `to-${runs++}`)
        await fill((records) => writePlot(plot, records), from)
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

  it('comes from a backup as from the database', async () => {
    await fill((records) => records.sessionPut(session(1)))
    backupStore(dataDir, join(folder, 'b.db'))
    const backup = { backup: join(folder, 'b.db') }
    expect(exportStore(order({ from: backup })).counts).toEqual({ session: 1 })
    expect(() => exportStore(order({ from: { backup: file } }))).toThrow('not a SQLite database')
    expect(() => exportStore(order({ overwrite: false }))).toThrow('exists')
    expect(readdirSync(folder).sort()).toEqual(['b.db', 'data', 'export.jsonl'])
  })

  it('comes from a database of an older version, which stays as it is', async () => {
    mkdirSync(dataDir)
    const path = join(dataDir, 'mqtide.db')
    writeFileSync(path, gunzipSync(readFileSync(join(import.meta.dirname, 'files/version-2.db.gz'))))
    const before = readFileSync(path)
    const { counts } = exportStore(order())
    expect(counts.session).toBeGreaterThan(0)
    expect(readFileSync(path).equals(before)).toBe(true)
    expect(readdirSync(folder).sort()).toEqual(['data', 'export.jsonl'])
    into(join(folder, 'new'))
    expect(await contentOf(join(folder, 'new'))).toEqual(await contentOf(dataDir))
  })

  it('of a damaged database fails, and leaves no file behind', async () => {
    await fill((records) => {
      records.sessionPut(session(1))
      records.enqueueMessage(reference(1, 1, 0), message(0))
    })
    const database = new Database(join(dataDir, 'mqtide.db'))
    database.exec("UPDATE queue_run SET entries = replace(entries, 'plant', 'plänt')")
    database.close()
    expect(() => exportStore(order())).toThrow('is damaged: the checksum of a run in the queue of session 1')
    expect(readdirSync(folder)).toEqual(['data'])
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

  it('that was interrupted leaves the store as it was, and can be made again', async () => {
    await twoNamespaces()
    exportStore(order())
    const before = await contentOf(dataDir)
    const leftover = (directory: string) => writeFileSync(join(directory, 'mqtide.db.restoring'), 'half of a database')
    leftover(dataDir)
    expect(await contentOf(dataDir)).toEqual(before)
    const empty = join(folder, 'empty')
    mkdirSync(empty)
    leftover(empty)
    await expect(contentOf(empty)).rejects.toThrow('`mqtide import` again')
    into(empty)
    expect((await contentOf(empty)).sessions).toEqual(before.sessions)
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
