/** QoS 2 packet identifiers received from a client whose PUBREL has not come yet. */
import type { Database } from 'better-sqlite3'
import type { Recovery } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export const incomingTable: StoredTable = { name: 'incoming', key: ['session', 'packet_id'], owner: 'session' }

export class IncomingRows {
  readonly #database: Database
  readonly #put
  readonly #delete
  readonly #deleteOf

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR IGNORE INTO incoming VALUES (?, ?)')
    this.#delete = database.prepare('DELETE FROM incoming WHERE session = ? AND packet_id = ?')
    this.#deleteOf = database.prepare('DELETE FROM incoming WHERE session = ?')
  }

  put(session: number, packetId: number): void {
    this.#put.run(session, packetId)
  }

  delete(session: number, packetId: number): void {
    this.#delete.run(session, packetId)
  }

  deleteOf(session: number): void {
    this.#deleteOf.run(session)
  }

  recover(recovery: Recovery): void {
    for (const [session, packetId] of rowsOf<[number, number]>(
      this.#database,
      'SELECT session, packet_id FROM incoming',
    )) {
      recovery.onIncomingPacketId(session, packetId)
    }
  }
}
