/**
 * Logs that queues have: `logPut` names them, `attemptPut` and `attemptDelete` say what became of their messages so far.
 *
 * Their entries are those of `queue-entry.ts`, under the log's number, which comes from the same counter as the numbers of
 * sessions. A row of `log` with a name is a queue's; the others say how far a session's queue was sent (`sent.ts`).
 */
import type { Database } from 'better-sqlite3'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, StoredAttempt, StoredLog } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export function packLog(fields: FieldWriter, { number, namespace, name, priority, filter }: StoredLog): void {
  fields.number(number)
  fields.text(namespace)
  fields.text(name)
  fields.uint8(priority)
  fields.text(filter)
}

export function unpackLog(fields: FieldReader): StoredLog {
  return {
    number: fields.number(),
    namespace: fields.text(),
    name: fields.text(),
    priority: fields.uint8(),
    filter: fields.text(),
  }
}

export function packAttempt(fields: FieldWriter, attempt: StoredAttempt): void {
  fields.number(attempt.log)
  fields.number(attempt.position)
  fields.uint32(attempt.failed)
  fields.uint32(attempt.returned)
  fields.number(attempt.dueAt)
  fields.text(attempt.reason)
}

export function unpackAttempt(fields: FieldReader): StoredAttempt {
  return {
    log: fields.number(),
    position: fields.number(),
    failed: fields.uint32(),
    returned: fields.uint32(),
    dueAt: fields.number(),
    reason: fields.text(),
  }
}

export class LogRows {
  readonly #database: Database
  readonly #put

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare(
      `INSERT INTO log (number, namespace, name, priority, filter) VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (number) DO UPDATE SET filter = excluded.filter`,
    )
  }

  put({ number, namespace, name, priority, filter }: StoredLog): void {
    this.#put.run(number, namespace, name, priority, filter)
  }

  recover(recovery: Recovery): void {
    type Row = [number, string, string, number, string]
    const sql = 'SELECT number, namespace, name, priority, filter FROM log WHERE name IS NOT NULL ORDER BY number'
    for (const [number, namespace, name, priority, filter] of rowsOf<Row>(this.#database, sql)) {
      recovery.onLog({ number, namespace, name, priority, filter })
    }
  }
}

export const attemptTable: StoredTable = { name: 'log_attempt', key: ['log', 'position'], owner: 'log' }

export class AttemptRows {
  readonly #database: Database
  readonly #put
  readonly #delete

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO log_attempt VALUES (?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM log_attempt WHERE log = ? AND position = ?')
  }

  put({ log, position, failed, returned, dueAt, reason }: StoredAttempt): void {
    this.#put.run(log, position, failed, returned, dueAt, reason)
  }

  delete(log: number, position: number): void {
    this.#delete.run(log, position)
  }

  recover(recovery: Recovery): void {
    type Row = [number, number, number, number, number, string]
    const sql = 'SELECT log, position, failed, returned, due_at, reason FROM log_attempt'
    for (const [log, position, failed, returned, dueAt, reason] of rowsOf<Row>(this.#database, sql)) {
      recovery.onAttempt({ log, position, failed, returned, dueAt, reason })
    }
  }
}
