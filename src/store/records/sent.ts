/**
 * How far a session's queue was sent: each position below this one left for the client in this or an earlier process. It only
 * grows; what is acknowledged goes from the queue whatever this says.
 */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export const logTable: StoredTable = { name: 'log', key: ['number'], owner: 'number' }

export class SentRows {
  readonly #database: Database
  readonly #put
  readonly #deleteOf

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare(
      `INSERT INTO log (number, sent) VALUES (?, ?)
      ON CONFLICT (number) DO UPDATE SET sent = max(sent, excluded.sent)`,
    )
    this.#deleteOf = database.prepare('DELETE FROM log WHERE number = ?')
  }

  put(session: number, position: number): void {
    this.#put.run(session, position)
  }

  deleteOf(session: number): void {
    this.#deleteOf.run(session)
  }

  recover(recovery: Recovery): void {
    const sql = 'SELECT number, sent FROM log WHERE name IS NULL'
    for (const [session, position] of rowsOf<[number, number]>(this.#database, sql)) {
      recovery.onSent(session, position)
    }
  }
}
