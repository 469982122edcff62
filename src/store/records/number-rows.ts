/** A table that keeps nothing but numbers of a session: packet identifiers, or positions in its queue. */
import type { Database } from 'better-sqlite3'
import { rowsOf, type StoredTable } from './table.ts'

export class NumberRows {
  readonly #database: Database
  readonly #table: string
  readonly #put
  readonly #delete
  readonly #deleteOf

  constructor(database: Database, { name, key: [session, number] }: StoredTable) {
    this.#database = database
    this.#table = name
    this.#put = database.prepare(`INSERT OR IGNORE INTO ${name} (${session}, ${number}) VALUES (?, ?)`)
    this.#delete = database.prepare(`DELETE FROM ${name} WHERE ${session} = ? AND ${number} = ?`)
    this.#deleteOf = database.prepare(`DELETE FROM ${name} WHERE ${session} = ?`)
  }

  put(session: number, number: number): void {
    this.#put.run(session, number)
  }

  delete(session: number, number: number): void {
    this.#delete.run(session, number)
  }

  deleteOf(session: number): void {
    this.#deleteOf.run(session)
  }

  protected rows(): Iterable<[session: number, number: number]> {
    return rowsOf<[number, number]>(this.#database, `SELECT * FROM ${this.#table}`)
  }
}
