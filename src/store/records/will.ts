/** Wills of stored sessions, until they are published or withdrawn. */
import type { Database } from 'better-sqlite3'
import type { Qos } from '../../mqtt/packet.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, StoredWill } from '../store.ts'
import { finite, noBytes, orNever, rowsOf, type StoredTable } from './table.ts'

const retainFlag = 4

export function packWill(fields: FieldWriter, will: StoredWill): void {
  fields.number(will.session)
  fields.text(will.topic)
  fields.bytes(will.payload)
  fields.bytes(will.properties)
  fields.uint8(will.qos | (will.retain ? retainFlag : 0))
  fields.number(will.delayInterval)
  fields.number(will.messageExpiryInterval)
  fields.number(will.dueAt)
}

export function unpackWill(fields: FieldReader): StoredWill {
  const session = fields.number()
  const topic = fields.text()
  const payload = fields.bytes()
  const properties = fields.bytes()
  const flags = fields.uint8()
  return {
    session,
    topic,
    payload,
    properties,
    qos: (flags & 3) as Qos,
    retain: (flags & retainFlag) !== 0,
    delayInterval: fields.number(),
    messageExpiryInterval: fields.number(),
    dueAt: fields.number(),
  }
}

export const willTable: StoredTable = { name: 'will', key: ['session'], owner: 'session' }

export class WillRows {
  readonly #database: Database
  readonly #put
  readonly #delete

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO will VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM will WHERE session = ?')
  }

  put(will: StoredWill): void {
    this.#put.run(
      will.session,
      will.topic,
      will.payload,
      will.properties.length > 0 ? will.properties : null,
      will.qos,
      will.retain ? 1 : 0,
      will.delayInterval,
      will.messageExpiryInterval,
      finite(will.dueAt),
    )
  }

  delete(session: number): void {
    this.#delete.run(session)
  }

  recover(recovery: Recovery): void {
    type Row = [number, string, Uint8Array, Uint8Array | null, Qos, number, number, number, number | null]
    const sql = `
      SELECT session, topic, payload, properties, qos, retain, delay_interval, message_expiry_interval, due_at FROM will`
    for (const row of rowsOf<Row>(this.#database, sql)) {
      recovery.onWill({
        session: row[0],
        topic: row[1],
        payload: row[2],
        properties: row[3] ?? noBytes,
        qos: row[4],
        retain: row[5] === 1,
        delayInterval: row[6],
        messageExpiryInterval: row[7],
        dueAt: orNever(row[8]),
      })
    }
  }
}
