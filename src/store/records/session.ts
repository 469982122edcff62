/** Sessions: who they belong to, and when they end. */
import type { Database } from 'better-sqlite3'
import type { ProtocolVersion } from '../../mqtt/packet.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, StoredSession } from '../store.ts'
import { finite, orNever, rowsOf, type StoredTable } from './table.ts'

export function packSession(fields: FieldWriter, session: StoredSession): void {
  fields.number(session.number)
  fields.text(session.clientId)
  fields.uint8(session.version)
  fields.uint32(session.expiryInterval)
  fields.number(session.expiresAt)
  fields.uint8(session.connected ? 1 : 0)
  fields.text(session.username)
  fields.text(session.namespace)
  fields.text(session.principal)
}

export function unpackSession(fields: FieldReader): StoredSession {
  return {
    number: fields.number(),
    clientId: fields.text(),
    version: fields.uint8() as ProtocolVersion,
    expiryInterval: fields.uint32(),
    expiresAt: fields.number(),
    connected: fields.uint8() === 1,
    username: fields.text(),
    namespace: fields.text(),
    principal: fields.text(),
  }
}

export const sessionTable: StoredTable = { name: 'session', key: ['number'] }

export class SessionRows {
  readonly #database: Database
  readonly #put
  readonly #delete

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM session WHERE number = ?')
  }

  put(session: StoredSession): void {
    this.#put.run(
      session.number,
      session.clientId,
      session.version,
      session.expiryInterval,
      finite(session.expiresAt),
      session.connected ? 1 : 0,
      session.username,
      session.namespace,
      session.principal,
    )
  }

  delete(number: number): void {
    this.#delete.run(number)
  }

  recover(recovery: Recovery): void {
    type Row = [number, string, ProtocolVersion, number, number | null, number, string, string, string]
    const sql = `
      SELECT number, client_id, protocol_version, expiry_interval, expires_at, connected, username, namespace, principal
      FROM session`
    for (const row of rowsOf<Row>(this.#database, sql)) {
      recovery.onSession({
        number: row[0],
        clientId: row[1],
        version: row[2],
        expiryInterval: row[3],
        expiresAt: orNever(row[4]),
        connected: row[5] === 1,
        username: row[6],
        namespace: row[7],
        principal: row[8],
      })
    }
  }
}
