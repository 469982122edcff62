/**
 * What the engine's clock has reached, and by how much the system's clock was ahead of it. The times in all other records are the
 * engine's: with this a later process goes on with the same clock, whatever the system's has been set to meanwhile.
 */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export const clockTable: StoredTable = { name: 'clock', key: ['id'] }

export class ClockRow {
  readonly #database: Database
  readonly #put

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO clock (id, time, wall_offset) VALUES (1, ?, ?)')
  }

  put(time: number, wallOffset: number): void {
    this.#put.run(time, wallOffset)
  }

  recover(recovery: Recovery): void {
    for (const [time, wallOffset] of rowsOf<[number, number]>(this.#database, 'SELECT time, wall_offset FROM clock')) {
      recovery.onClock?.(time, wallOffset)
    }
  }
}
