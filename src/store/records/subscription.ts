/** Subscriptions of stored sessions. */
import type { Database } from 'better-sqlite3'
import type { Qos } from '../../mqtt/packet.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, StoredSubscription } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

const noLocalFlag = 4
const retainAsPublishedFlag = 8

export function packSubscription(fields: FieldWriter, subscription: StoredSubscription): void {
  fields.number(subscription.session)
  fields.text(subscription.topicFilter)
  fields.uint8(
    subscription.qos |
      (subscription.noLocal ? noLocalFlag : 0) |
      (subscription.retainAsPublished ? retainAsPublishedFlag : 0) |
      (subscription.retainHandling << 4),
  )
  fields.uint32(subscription.identifier)
}

export function unpackSubscription(fields: FieldReader): StoredSubscription {
  const session = fields.number()
  const topicFilter = fields.text()
  const flags = fields.uint8()
  return {
    session,
    topicFilter,
    qos: (flags & 3) as Qos,
    noLocal: (flags & noLocalFlag) !== 0,
    retainAsPublished: (flags & retainAsPublishedFlag) !== 0,
    retainHandling: (flags >> 4) as 0 | 1 | 2,
    identifier: fields.uint32(),
  }
}

export const subscriptionTable: StoredTable = {
  name: 'subscription',
  key: ['session', 'topic_filter'],
  owner: 'session',
}

export class SubscriptionRows {
  readonly #database: Database
  readonly #put
  readonly #delete
  readonly #deleteOf

  constructor(database: Database) {
    this.#database = database
    this.#put = database.prepare('INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#delete = database.prepare('DELETE FROM subscription WHERE session = ? AND topic_filter = ?')
    this.#deleteOf = database.prepare('DELETE FROM subscription WHERE session = ?')
  }

  put(subscription: StoredSubscription): void {
    this.#put.run(
      subscription.session,
      subscription.topicFilter,
      subscription.qos,
      subscription.noLocal ? 1 : 0,
      subscription.retainAsPublished ? 1 : 0,
      subscription.retainHandling,
      subscription.identifier,
    )
  }

  delete(session: number, topicFilter: string): void {
    this.#delete.run(session, topicFilter)
  }

  deleteOf(session: number): void {
    this.#deleteOf.run(session)
  }

  recover(recovery: Recovery): void {
    type Row = [number, string, Qos, number, number, 0 | 1 | 2, number]
    const sql = `
      SELECT session, topic_filter, qos, no_local, retain_as_published, retain_handling, identifier FROM subscription`
    for (const row of rowsOf<Row>(this.#database, sql)) {
      recovery.onSubscription({
        session: row[0],
        topicFilter: row[1],
        qos: row[2],
        noLocal: row[3] === 1,
        retainAsPublished: row[4] === 1,
        retainHandling: row[5],
        identifier: row[6],
      })
    }
  }
}
