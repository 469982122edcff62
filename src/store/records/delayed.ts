/**
 * Messages that wait until they are due. A due time is one of the gateway's clock or one of the system's (`clock`), never reckoned
 * from one to the other. Each has its body to itself.
 */
import type { Database } from 'better-sqlite3'
import type { Qos } from '../../mqtt/packet.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { DelayedPage, DelayedQuery, RecoveredDelayedCount, Recovery, StoredDelayed } from '../store.ts'
import { noBytes, rowsOf, type StoredTable } from './table.ts'

type DelayClock = StoredDelayed['clock']

const clocks: readonly DelayClock[] = ['steady', 'system']
const retainFlag = 4
const systemClockFlag = 8

export function packDelayed(fields: FieldWriter, delayed: StoredDelayed): void {
  fields.number(delayed.id)
  fields.text(delayed.namespace)
  fields.uint8(delayed.qos | (delayed.retain ? retainFlag : 0) | (delayed.clock === 'system' ? systemClockFlag : 0))
  fields.number(delayed.dueAt)
  fields.text(delayed.principal)
  fields.text(delayed.scheduleId)
  fields.number(delayed.expirySeconds)
  fields.text(delayed.topic)
  fields.text(delayed.publisher)
  fields.number(delayed.publishedAt)
  fields.bytes(delayed.properties)
  fields.bytes(delayed.payload)
}

export function unpackDelayed(fields: FieldReader): StoredDelayed {
  const id = fields.number()
  const namespace = fields.text()
  const flags = fields.uint8()
  return {
    id,
    namespace,
    qos: (flags & 3) as Qos,
    retain: (flags & retainFlag) !== 0,
    clock: (flags & systemClockFlag) !== 0 ? 'system' : 'steady',
    dueAt: fields.number(),
    principal: fields.text(),
    scheduleId: fields.text(),
    expirySeconds: fields.number(),
    topic: fields.text(),
    publisher: fields.text(),
    publishedAt: fields.number(),
    properties: fields.bytes(),
    payload: fields.bytes(),
  }
}

export const delayedTable: StoredTable = { name: 'delayed', key: ['id'] }

const columns = `id, namespace, clock, due_at, schedule_id, publisher, principal, topic, qos, retain, expiry_seconds,
  published_at, properties, payload`

export class DelayedRows {
  readonly #database: Database
  readonly #put
  readonly #delete
  readonly #read

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO delayed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM delayed WHERE id = ?')
    this.#read = database
      .prepare(
        `SELECT ${columns} FROM delayed WHERE clock = ? AND (due_at, id) > (?, ?) AND due_at <= ? ORDER BY due_at, id LIMIT ?`,
      )
      .raw()
  }

  put(delayed: StoredDelayed): void {
    this.#put.run(
      delayed.id,
      delayed.namespace,
      clocks.indexOf(delayed.clock),
      delayed.dueAt,
      delayed.scheduleId === '' ? null : delayed.scheduleId,
      delayed.publisher,
      delayed.principal,
      delayed.topic,
      delayed.qos,
      delayed.retain ? 1 : 0,
      delayed.expirySeconds < 0 ? null : delayed.expirySeconds,
      delayed.publishedAt,
      delayed.properties.length > 0 ? delayed.properties : null,
      delayed.payload,
    )
  }

  delete(id: number): void {
    this.#delete.run(id)
  }

  read(query: DelayedQuery): DelayedPage {
    const { clock, after, untilDueAt, messagesMax } = query
    const rows = this.#read.iterate(
      clocks.indexOf(clock),
      bound(after.dueAt),
      bound(after.id),
      bound(untilDueAt),
      messagesMax + 1,
    ) as IterableIterator<DelayedRow>
    return pageUpTo(delayedOfRows(rows), query)
  }

  recover(recovery: Recovery): void {
    const sums = `
      SELECT namespace, clock, count(*),
        sum(octet_length(topic) + octet_length(payload) + coalesce(octet_length(properties), 0)), max(id)
      FROM delayed GROUP BY namespace, clock`
    for (const [namespace, clock, messages, bytes, lastId] of rowsOf<[string, number, number, number, number]>(
      this.#database,
      sums,
    )) {
      recovery.onDelayed({ namespace, clock: clocks[clock]!, messages, bytes, lastId })
    }
    const named = `
      SELECT id, namespace, clock, principal, publisher, schedule_id,
        octet_length(topic) + octet_length(payload) + coalesce(octet_length(properties), 0)
      FROM delayed WHERE schedule_id IS NOT NULL`
    type Row = [number, string, number, string, string, string, number]
    for (const row of rowsOf<Row>(this.#database, named)) {
      const [id, namespace, clock, principal, publisher, scheduleId, bytes] = row
      recovery.onDelayedName({ id, namespace, clock: clocks[clock]!, principal, publisher, scheduleId, bytes })
    }
  }
}

type DelayedRow = [
  ...[id: number, namespace: string, clock: number, dueAt: number, scheduleId: string | null],
  ...[publisher: string, principal: string, topic: string, qos: Qos, retain: number, expirySeconds: number | null],
  ...[publishedAt: number, properties: Uint8Array | null, payload: Uint8Array],
]

function* delayedOfRows(rows: Iterable<DelayedRow>): Iterable<StoredDelayed> {
  for (const row of rows) {
    yield {
      id: row[0],
      namespace: row[1],
      clock: clocks[row[2]]!,
      dueAt: row[3],
      scheduleId: row[4] ?? '',
      publisher: row[5],
      principal: row[6],
      topic: row[7],
      qos: row[8],
      retain: row[9] === 1,
      expirySeconds: row[10] ?? -1,
      publishedAt: row[11],
      properties: row[12] ?? noBytes,
      payload: row[13],
    }
  }
}

/** SQLite's integers know no infinity. */
function bound(value: number): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
}

const bytesOf = ({ payload, properties }: StoredDelayed): number => payload.length + properties.length

function pageUpTo(rows: Iterable<StoredDelayed>, { messagesMax, bytesMax }: DelayedQuery): DelayedPage {
  const entries: StoredDelayed[] = []
  let bytes = 0
  for (const row of rows) {
    bytes += bytesOf(row)
    if (entries.length >= messagesMax || (entries.length > 0 && bytes > bytesMax)) return { entries, more: true }
    entries.push(row)
  }
  return { entries, more: false }
}

/** The same of a store that has them in memory. */
export function delayedPageOf(all: readonly StoredDelayed[], query: DelayedQuery): DelayedPage {
  const { clock, after, untilDueAt } = query
  const isAfter = ({ dueAt, id }: StoredDelayed) => dueAt > after.dueAt || (dueAt === after.dueAt && id > after.id)
  const asked = all.filter((one) => one.clock === clock && one.dueAt <= untilDueAt && isAfter(one))
  return pageUpTo(
    asked.sort((a, b) => a.dueAt - b.dueAt || a.id - b.id),
    query,
  )
}

export function delayedSums(all: readonly StoredDelayed[], recovery: Recovery): void {
  const sums = new Map<string, RecoveredDelayedCount>()
  const size = (one: StoredDelayed) => Buffer.byteLength(one.topic) + bytesOf(one)
  for (const one of all) {
    const { namespace, clock, id } = one
    const key = `${clock} ${namespace}`
    const sum = sums.get(key) ?? { namespace, clock, messages: 0, bytes: 0, lastId: 0 }
    sum.messages++
    sum.bytes += size(one)
    sum.lastId = Math.max(sum.lastId, id)
    sums.set(key, sum)
  }
  for (const sum of sums.values()) recovery.onDelayed(sum)
  for (const one of all) {
    const { id, namespace, clock, principal, publisher, scheduleId } = one
    if (scheduleId === '') continue
    recovery.onDelayedName({ id, namespace, clock, principal, publisher, scheduleId, bytes: size(one) })
  }
}
