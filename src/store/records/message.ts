/**
 * Message bodies that more than one queue entry or retained topic may name, and how many do.
 *
 * Reference counts. `messagePut` announces how many records of its batch will name the message, and the row starts with that
 * count, so that the usual enqueue is one insert and no update. The announcement is a budget: each record that names the
 * message draws from it; one that finds none left, or a message of an earlier batch, adds one to the row; what is left
 * at the batch's end is subtracted. So the counts are exact whatever was announced.
 *
 * References that go are collected and counted down at the batch's end, not at once: a message that is named anew within the
 * batch keeps its body, in whichever order the two records come.
 *
 * In a batch, a byte of flags follows the publisher's QoS. None is known yet: a body with one was written by a newer mqtide.
 */
import type { Database } from 'better-sqlite3'
import type { Qos } from '../../mqtt/packet.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { StoredMessage } from '../store.ts'
import { finite, noBytes, orNever, type StoredTable } from './table.ts'

export function packBody(fields: FieldWriter, message: StoredMessage): void {
  fields.uint8(message.qos)
  fields.uint8(0)
  fields.number(message.expiresAt)
  fields.number(message.publishedAt)
  fields.text(message.topic)
  fields.text(message.publisher)
  fields.bytes(message.properties)
  fields.bytes(message.payload)
}

/** Into an object that is filled again for each record. */
export function unpackBody(fields: FieldReader, id: number, into: StoredMessage): void {
  into.id = id
  into.qos = fields.uint8() as Qos
  const flags = fields.uint8()
  if (flags !== 0) throw new Error(`a message has flags ${flags}, which this mqtide does not know`)
  into.expiresAt = fields.number()
  into.publishedAt = fields.number()
  into.topic = fields.text()
  into.publisher = fields.text()
  into.properties = fields.bytes()
  into.payload = fields.bytes()
}

export function emptyMessage(): StoredMessage {
  return {
    id: 0,
    topic: '',
    payload: noBytes,
    properties: noBytes,
    qos: 0,
    expiresAt: 0,
    publisher: '',
    publishedAt: 0,
  }
}

export const messageTable: StoredTable = { name: 'message', key: ['id'] }

/** Of the table `message`, there named `m`. */
export const messageColumns = 'm.id, m.topic, m.qos, m.published_at, m.expires_at, m.publisher, m.properties, m.payload'
export type MessageRow = [number, string, Qos, number, number | null, string, Uint8Array | null, Uint8Array]

/** The message in a row's columns from an index on. */
export function messageOfRow(row: readonly unknown[], at: number): StoredMessage {
  const [id, topic, qos, publishedAt, expiresAt, publisher, properties, payload] = row.slice(at) as MessageRow
  return {
    id,
    topic,
    payload,
    properties: properties ?? noBytes,
    qos,
    expiresAt: orNever(expiresAt),
    publisher,
    publishedAt,
  }
}

interface Announced {
  id: number
  payloadBytes: number
  /** References still to come. */
  budget: number
  /** Whether any record named it. */
  named: boolean
}

const nothingAnnounced: Announced = { id: 0, payloadBytes: 0, budget: 0, named: true }

export class MessageRows {
  readonly #put
  readonly #deleteLast
  readonly #deleteUnnamed
  readonly #countUp
  readonly #countUpBytes
  #current = nothingAnnounced
  /** Announced earlier in this batch, with budget left. */
  readonly #announced = new Map<number, Announced>()
  readonly #unreferenced: number[] = []

  constructor(database: Database) {
    this.#put = database.prepare('INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#deleteLast = database.prepare('DELETE FROM message WHERE id = ? AND reference_count <= 1')
    this.#deleteUnnamed = database.prepare('DELETE FROM message WHERE id = ? AND reference_count <= 0')
    this.#countUp = database.prepare('UPDATE message SET reference_count = reference_count + ? WHERE id = ?')
    this.#countUpBytes = database
      .prepare('UPDATE message SET reference_count = reference_count + 1 WHERE id = ? RETURNING length(payload)')
      .pluck()
  }

  /** Forgets what a failed batch left. */
  begin(): void {
    this.#current = nothingAnnounced
    this.#announced.clear()
    this.#unreferenced.length = 0
  }

  /** Makes the counts exact, and deletes what nothing names any more. */
  end(): void {
    this.#settle(this.#current)
    for (const announced of this.#announced.values()) this.#settle(announced)
    for (const id of this.#unreferenced) this.#countDown(id)
    this.begin()
  }

  put(message: StoredMessage, references: number): void {
    const previous = this.#current
    if (previous.budget > 0 || !previous.named) this.#announced.set(previous.id, previous)
    this.#current = { id: message.id, payloadBytes: message.payload.length, budget: references, named: false }
    this.#put.run(
      message.id,
      references,
      message.topic,
      message.qos,
      message.publishedAt,
      finite(message.expiresAt),
      message.publisher,
      message.properties.length > 0 ? message.properties : null,
      message.payload,
    )
  }

  /** Counts one reference to the message and returns its payload's bytes. */
  name(id: number): number {
    const announced = id === this.#current.id ? this.#current : this.#announced.get(id)
    if (announced !== undefined) {
      announced.named = true
      if (announced.budget > 0) announced.budget--
      else this.#countUp.run(1, id)
      return announced.payloadBytes
    }
    const payloadBytes = this.#countUpBytes.get(id) as number | undefined
    if (payloadBytes === undefined) throw new Error(`a record names message ${id}, which the store does not hold`)
    return payloadBytes
  }

  /** One reference to the message goes. */
  unname(id: number): void {
    this.#unreferenced.push(id)
  }

  #settle(announced: Announced): void {
    if (announced.budget === 0 && announced.named) return
    this.#countUp.run(-announced.budget, announced.id)
    this.#deleteUnnamed.run(announced.id)
  }

  #countDown(id: number): void {
    if (this.#deleteLast.run(id).changes === 0) this.#countUp.run(-1, id)
  }
}
