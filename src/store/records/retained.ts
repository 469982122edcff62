/**
 * Which message a topic retains.
 *
 * Each change has a version, a time that never repeats: milliseconds since the epoch times `versionsPerMs`, plus a count within
 * the millisecond. What is there stays if its version is not lower, so that changes may be applied again and in any order.
 * A deletion leaves no trace to be compared with.
 */
import type { Database } from 'better-sqlite3'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery } from '../store.ts'
import { type MessageRow, type MessageRows, messageColumns, messageOfRow } from './message.ts'
import { rowsOf, type StoredTable } from './table.ts'

/** The highest version is a safe integer until the year 2248. */
export const versionsPerMs = 1024

/** The version of a change that is made now, after the one with version `last`. */
export function nextRetainedVersion(last: number, now: number): number {
  return Math.max(last + 1, Math.floor(now) * versionsPerMs)
}

export interface RetainedKey {
  namespace: string
  topic: string
  version: number
}

export function packRetainedKey(fields: FieldWriter, topic: string, version: number, namespace: string): void {
  fields.text(namespace)
  fields.text(topic)
  fields.number(version)
}

export function unpackRetainedKey(fields: FieldReader): RetainedKey {
  return { namespace: fields.text(), topic: fields.text(), version: fields.number() }
}

export const retainedTable: StoredTable = { name: 'retained', key: ['namespace', 'topic'] }

export class RetainedRows {
  readonly #database: Database
  readonly #messages: MessageRows
  readonly #get
  readonly #put
  readonly #delete

  constructor(database: Database, messages: MessageRows) {
    this.#database = database
    this.#messages = messages
    this.#get = database.prepare('SELECT message_id, version FROM retained WHERE namespace = ? AND topic = ?').raw()
    this.#put = database.prepare('INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?)')
    this.#delete = database
      .prepare('DELETE FROM retained WHERE namespace = ? AND topic = ? AND version < ? RETURNING message_id')
      .pluck()
  }

  put(topic: string, messageId: number, version: number, namespace: string): void {
    this.#messages.name(messageId)
    const previous = this.#get.get(namespace, topic) as [messageId: number, version: number] | undefined
    if (previous !== undefined && previous[1] >= version) {
      this.#messages.unname(messageId)
      return
    }
    if (previous !== undefined) this.#messages.unname(previous[0])
    this.#put.run(namespace, topic, messageId, version)
  }

  delete(topic: string, version: number, namespace: string): void {
    const previous = this.#delete.get(namespace, topic, version) as number | undefined
    if (previous !== undefined) this.#messages.unname(previous)
  }

  /** Returns the highest version. */
  recover(recovery: Recovery): number {
    const sql = `
      SELECT r.namespace, r.topic, r.version, ${messageColumns} FROM retained r JOIN message m ON m.id = r.message_id`
    let highest = 0
    for (const row of rowsOf<[string, string, number, ...MessageRow]>(this.#database, sql)) {
      const [namespace, topic, version] = row
      highest = Math.max(highest, version)
      recovery.onRetained({ namespace, topic, version, message: messageOfRow(row, 3) })
    }
    return highest
  }
}
