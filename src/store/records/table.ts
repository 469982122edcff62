/** What all kinds of record share where they become rows. */
import type { Database } from 'better-sqlite3'

/** What check and salvage know of a table without reading it. */
export interface StoredTable {
  name: string
  /** The columns of its key, the first of which salvage steps along if it is alone. */
  key: readonly string[]
  /** The column with the session number it belongs to; none: it belongs to no session. */
  owner?: string
}

/** Rows as arrays, stepped one at a time. */
export function rowsOf<Row>(database: Database, sql: string): IterableIterator<Row> {
  return database.prepare(sql).raw().iterate() as IterableIterator<Row>
}

/** SQL's NULL stands for never. */
export function finite(time: number): number | null {
  return time === Number.POSITIVE_INFINITY ? null : time
}

export function orNever(time: number | null): number {
  return time ?? Number.POSITIVE_INFINITY
}

export const noBytes: Uint8Array = new Uint8Array(0)
