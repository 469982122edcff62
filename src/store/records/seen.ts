/**
 * What queues have seen: ids of messages (`seenPut`, `seenDelete`, and `seenForget` for all that are too old), and how far publishers have
 * counted (`countedPut`, `countedDelete`). `log` is the queue's address.
 */
import type { Database } from 'better-sqlite3'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, SeenOf, StoredId, StoredSequence } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export function packSeenOf(fields: FieldWriter, { namespace, log }: SeenOf): void {
  fields.text(namespace)
  fields.text(log)
}

export function unpackSeenOf(fields: FieldReader): SeenOf {
  return { namespace: fields.text(), log: fields.text() }
}

export function packSeen(fields: FieldWriter, seen: StoredId): void {
  packSeenOf(fields, seen)
  fields.text(seen.id)
  fields.number(seen.at)
  fields.number(seen.lane)
  fields.number(seen.position)
}

export function unpackSeen(fields: FieldReader): StoredId {
  const of = unpackSeenOf(fields)
  return { ...of, id: fields.text(), at: fields.number(), lane: fields.number(), position: fields.number() }
}

export function packCounted(fields: FieldWriter, counted: StoredSequence): void {
  packSeenOf(fields, counted)
  fields.text(counted.publisher)
  fields.number(counted.sequence)
  fields.number(counted.at)
}

export function unpackCounted(fields: FieldReader): StoredSequence {
  const of = unpackSeenOf(fields)
  return { ...of, publisher: fields.text(), sequence: fields.number(), at: fields.number() }
}

export const seenTables: readonly StoredTable[] = [
  { name: 'seen', key: ['namespace', 'log', 'id'] },
  { name: 'counted', key: ['namespace', 'log', 'publisher'] },
]

export class SeenRows {
  readonly #database: Database
  readonly #put
  readonly #delete
  readonly #forget
  readonly #putCounted
  readonly #deleteCounted

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM seen WHERE namespace = ? AND log = ? AND id = ?')
    this.#forget = database.prepare('DELETE FROM seen WHERE namespace = ? AND log = ? AND at <= ?')
    this.#putCounted = database.prepare('INSERT OR REPLACE INTO counted VALUES (?, ?, ?, ?, ?)')
    this.#deleteCounted = database.prepare('DELETE FROM counted WHERE namespace = ? AND log = ? AND publisher = ?')
  }

  put({ namespace, log, id, at, lane, position }: StoredId): void {
    this.#put.run(namespace, log, id, at, lane, position)
  }

  delete({ namespace, log }: SeenOf, id: string): void {
    this.#delete.run(namespace, log, id)
  }

  forget({ namespace, log }: SeenOf, until: number): void {
    this.#forget.run(namespace, log, until)
  }

  putCounted({ namespace, log, publisher, sequence, at }: StoredSequence): void {
    this.#putCounted.run(namespace, log, publisher, sequence, at)
  }

  deleteCounted({ namespace, log }: SeenOf, publisher: string): void {
    this.#deleteCounted.run(namespace, log, publisher)
  }

  /** The oldest first. */
  recover(recovery: Recovery): void {
    type Row = [string, string, string, number, number, number]
    const ids = 'SELECT namespace, log, id, at, lane, position FROM seen ORDER BY namespace, log, at'
    for (const [namespace, log, id, at, lane, position] of rowsOf<Row>(this.#database, ids)) {
      recovery.onSeen({ namespace, log, id, at, lane, position })
    }
    const sequences = 'SELECT namespace, log, publisher, sequence, at FROM counted ORDER BY namespace, log, at'
    for (const [namespace, log, publisher, sequence, at] of rowsOf<[string, string, string, number, number]>(
      this.#database,
      sequences,
    )) {
      recovery.onCounted({ namespace, log, publisher, sequence, at })
    }
  }
}

/** The same of a store that has them in memory. */
export class SeenMaps {
  readonly #ids: Map<string, StoredId>
  readonly #counted: Map<string, StoredSequence>

  constructor(ids = new Map<string, StoredId>(), counted = new Map<string, StoredSequence>()) {
    this.#ids = ids
    this.#counted = counted
  }

  copy(): SeenMaps {
    return new SeenMaps(new Map(this.#ids), new Map(this.#counted))
  }

  put(seen: StoredId): void {
    this.#ids.set(keyOf(seen, seen.id), seen)
  }

  delete(of: SeenOf, id: string): void {
    this.#ids.delete(keyOf(of, id))
  }

  forget({ namespace, log }: SeenOf, until: number): void {
    for (const [key, one] of this.#ids) {
      if (one.namespace === namespace && one.log === log && one.at <= until) this.#ids.delete(key)
    }
  }

  putCounted(counted: StoredSequence): void {
    this.#counted.set(keyOf(counted, counted.publisher), counted)
  }

  deleteCounted(of: SeenOf, publisher: string): void {
    this.#counted.delete(keyOf(of, publisher))
  }

  recover(recovery: Recovery): void {
    const order = <Row extends SeenOf & { at: number }>(rows: Iterable<Row>): Row[] =>
      [...rows].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.log, b.log) || a.at - b.at)
    for (const seen of order(this.#ids.values())) recovery.onSeen(seen)
    for (const counted of order(this.#counted.values())) recovery.onCounted(counted)
  }
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)

/** No name has what stands between them. */
const keyOf = ({ namespace, log }: SeenOf, name: string): string => `${namespace}\u0000${log}\u0000${name}`
