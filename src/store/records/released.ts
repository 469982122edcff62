/** QoS 2 deliveries whose PUBREC arrived: of each, only its position is left, until its PUBCOMP. */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { NumberRows } from './number-rows.ts'
import type { StoredTable } from './table.ts'

export const releasedTable: StoredTable = { name: 'released', key: ['session', 'position'], owner: 'session' }

export class ReleasedRows extends NumberRows {
  constructor(database: Database) {
    super(database, releasedTable)
  }

  recover(recovery: Recovery): void {
    for (const [session, position] of this.rows()) recovery.onReleased(session, position)
  }
}
