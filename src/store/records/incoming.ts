/** QoS 2 packet identifiers received from a client whose PUBREL has not come yet. */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { NumberRows } from './number-rows.ts'
import type { StoredTable } from './table.ts'

export const incomingTable: StoredTable = { name: 'incoming', key: ['session', 'packet_id'], owner: 'session' }

export class IncomingRows extends NumberRows {
  constructor(database: Database) {
    super(database, incomingTable)
  }

  recover(recovery: Recovery): void {
    for (const [session, packetId] of this.rows()) recovery.onIncomingPacketId(session, packetId)
  }
}
