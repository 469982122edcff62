/** QoS 2 deliveries whose PUBREC arrived: of each, only its position is left, until its PUBCOMP. */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export const releasedTable: StoredTable = { name: 'released', key: ['session', 'position'], owner: 'session' }

export class ReleasedRows {
  readonly #database: Database
  readonly #put
  readonly #delete
  readonly #deleteOf

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR IGNORE INTO released VALUES (?, ?)')
    this.#delete = database.prepare('DELETE FROM released WHERE session = ? AND position = ?')
    this.#deleteOf = database.prepare('DELETE FROM released WHERE session = ?')
  }

  put(session: number, position: number): void {
    this.#put.run(session, position)
  }

  delete(session: number, position: number): void {
    this.#delete.run(session, position)
  }

  deleteOf(session: number): void {
    this.#deleteOf.run(session)
  }

  recover(recovery: Recovery): void {
    for (const [session, position] of rowsOf<[number, number]>(
      this.#database,
      'SELECT session, position FROM released',
    )) {
      recovery.onReleased(session, position)
    }
  }
}
