/**
 * A batch's records as statements, all within the caller's transaction.
 *
 * Reference counts. `messagePut` announces how many records of its batch will name the message, and the row starts with that
 * count, so that the usual enqueue is one insert and no update. The announcement is a budget: each record that names the
 * message draws from it; one that finds none left, or a message of an earlier batch, adds one to the row; what is left
 * at the batch's end is subtracted. So the counts are exact whatever was announced.
 *
 * References that go are collected and counted down at the batch's end, not at once: a message that moves from one session
 * to another within a batch keeps its body, in whichever order the two records come.
 *
 * Ended sessions. The rows of a long queue are not deleted with their session, which could hold up every commit for seconds:
 * the session is noted in `ended_session`, and `collectEnded` deletes a slice at a time. Session numbers are never
 * given twice, so nobody can meet those rows.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { BatchRecords } from './batch.ts'
import { SqliteQueues } from './sqlite-queues.ts'
import type { StoredMessage, StoredReference, StoredSession, StoredSubscription, StoredWill } from './store.ts'

/** Queued messages that one transaction deletes for an ended session, give or take a run. */
const endedMessagesMax = 10_000

interface Announced {
  id: number
  payloadBytes: number
  /** References still to come. */
  budget: number
  /** Whether any record named it. */
  named: boolean
}

const nothingAnnounced: Announced = { id: 0, payloadBytes: 0, budget: 0, named: true }

export class SqliteRecords implements BatchRecords {
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #queues: SqliteQueues
  #current = nothingAnnounced
  /** Announced earlier in this batch, with budget left. */
  readonly #announced = new Map<number, Announced>()
  readonly #unreferenced: number[] = []
  #nextSessionNumber = 0
  #nextMessageId = 0
  #numbersChanged = false
  /** Whether `collectEnded` has something to do. */
  hasEnded: boolean

  constructor(database: Database) {
    this.#statements = prepareStatements(database)
    this.#queues = new SqliteQueues(database)
    this.hasEnded = this.#statements.anyEnded.get() !== undefined
  }

  /** Before the first record of a transaction; also forgets what a failed one left. */
  begin(): void {
    this.#queues.begin()
    this.#current = nothingAnnounced
    this.#announced.clear()
    this.#unreferenced.length = 0
    const numbers = this.#statements.numbers.get() as [number, number]
    this.#nextSessionNumber = numbers[0]
    this.#nextMessageId = numbers[1]
    this.#numbersChanged = false
  }

  /** After the last record of a batch, before the commit. */
  end(): void {
    this.#queues.end()
    this.#settle(this.#current)
    for (const announced of this.#announced.values()) this.#settle(announced)
    this.#current = nothingAnnounced
    this.#announced.clear()
    for (const id of this.#unreferenced) this.#countDown(id)
    this.#unreferenced.length = 0
    if (this.#numbersChanged) this.#statements.numbersPut.run(this.#nextSessionNumber, this.#nextMessageId)
    this.#numbersChanged = false
  }

  sessionPut(session: StoredSession): void {
    if (session.number >= this.#nextSessionNumber) {
      this.#nextSessionNumber = session.number + 1
      this.#numbersChanged = true
    }
    this.#statements.sessionPut.run(
      session.number,
      session.clientId,
      session.version,
      session.expiryInterval,
      finite(session.expiresAt),
      session.connected ? 1 : 0,
      session.username,
    )
  }

  sessionDelete(session: number): void {
    const statements = this.#statements
    statements.sessionDelete.run(session)
    statements.subscriptionsDelete.run(session)
    statements.incomingsDelete.run(session)
    statements.releasedsDelete.run(session)
    statements.willDelete.run(session)
    if (!this.#deleteQueueSlice(session)) return
    statements.endedPut.run(session)
    this.hasEnded = true
  }

  subscriptionPut(subscription: StoredSubscription): void {
    this.#statements.subscriptionPut.run(
      subscription.session,
      subscription.topicFilter,
      subscription.qos,
      subscription.noLocal ? 1 : 0,
      subscription.retainAsPublished ? 1 : 0,
      subscription.retainHandling,
      subscription.identifier,
    )
  }

  subscriptionDelete(session: number, topicFilter: string): void {
    this.#statements.subscriptionDelete.run(session, topicFilter)
  }

  messagePut(message: StoredMessage, references: number): void {
    if (message.id >= this.#nextMessageId) {
      this.#nextMessageId = message.id + 1
      this.#numbersChanged = true
    }
    const previous = this.#current
    if (previous.budget > 0 || !previous.named) this.#announced.set(previous.id, previous)
    this.#current = { id: message.id, payloadBytes: message.payload.length, budget: references, named: false }
    this.#statements.messagePut.run(
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

  enqueue(reference: StoredReference): void {
    this.#queues.append(reference, this.#name(reference.messageId))
  }

  enqueueMessage(reference: StoredReference, message: StoredMessage): void {
    this.#queues.appendMessage(reference, message)
  }

  dequeue(session: number, position: number): void {
    this.#take(session, position)
  }

  release(session: number, position: number): void {
    this.#take(session, position)
    this.#statements.releasedPut.run(session, position)
  }

  complete(session: number, position: number): void {
    this.#statements.releasedDelete.run(session, position)
  }

  #take(session: number, position: number): void {
    const messageId = this.#queues.take(session, position)
    if (messageId > 0) this.#unreferenced.push(messageId)
  }

  incomingPut(session: number, packetId: number): void {
    this.#statements.incomingPut.run(session, packetId)
  }

  incomingDelete(session: number, packetId: number): void {
    this.#statements.incomingDelete.run(session, packetId)
  }

  retainedPut(topic: string, messageId: number): void {
    this.#name(messageId)
    const previous = this.#statements.retainedGet.get(topic) as number | undefined
    if (previous !== undefined) this.#unreferenced.push(previous)
    this.#statements.retainedPut.run(topic, messageId)
  }

  retainedDelete(topic: string): void {
    const previous = this.#statements.retainedDelete.get(topic) as number | undefined
    if (previous !== undefined) this.#unreferenced.push(previous)
  }

  willPut(will: StoredWill): void {
    this.#statements.willPut.run(
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

  willDelete(session: number): void {
    this.#statements.willDelete.run(session)
  }

  /** Deletes one slice of an ended session's queue, between `begin` and `end`. */
  collectEnded(): void {
    const session = this.#statements.anyEnded.get() as number | undefined
    if (session === undefined) {
      this.hasEnded = false
      return
    }
    if (!this.#deleteQueueSlice(session)) this.#statements.endedDelete.run(session)
  }

  /** Returns whether more may be left. */
  #deleteQueueSlice(session: number): boolean {
    return this.#queues.deleteSome(session, endedMessagesMax, (messageId) => this.#unreferenced.push(messageId))
  }

  /** Counts one reference to the message and returns its payload's bytes. */
  #name(messageId: number): number {
    const announced = messageId === this.#current.id ? this.#current : this.#announced.get(messageId)
    if (announced !== undefined) {
      announced.named = true
      if (announced.budget > 0) announced.budget--
      else this.#statements.countUp.run(1, messageId)
      return announced.payloadBytes
    }
    const payloadBytes = this.#statements.countUpBytes.get(messageId) as number | undefined
    if (payloadBytes === undefined)
      throw new Error(`a record names message ${messageId}, which the store does not hold`)
    return payloadBytes
  }

  #settle(announced: Announced): void {
    if (announced.budget === 0 && announced.named) return
    this.#statements.countUp.run(-announced.budget, announced.id)
    this.#statements.messageDeleteUnnamed.run(announced.id)
  }

  #countDown(messageId: number): void {
    if (this.#statements.messageDeleteLast.run(messageId).changes === 0) this.#statements.countUp.run(-1, messageId)
  }
}

/** SQL's NULL stands for never. */
function finite(time: number): number | null {
  return time === Number.POSITIVE_INFINITY ? null : time
}

function prepareStatements(database: Database) {
  const run = (sql: string): Statement => database.prepare(sql)
  const value = (sql: string): Statement => database.prepare(sql).pluck()
  return {
    numbers: database.prepare('SELECT next_session_number, next_message_id FROM counter').raw(),
    numbersPut: run('UPDATE counter SET next_session_number = ?, next_message_id = ?'),
    sessionPut: run('INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?, ?, ?)'),
    sessionDelete: run('DELETE FROM session WHERE number = ?'),
    subscriptionPut: run('INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?, ?, ?)'),
    subscriptionDelete: run('DELETE FROM subscription WHERE session = ? AND topic_filter = ?'),
    subscriptionsDelete: run('DELETE FROM subscription WHERE session = ?'),
    messagePut: run('INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    messageDeleteLast: run('DELETE FROM message WHERE id = ? AND reference_count <= 1'),
    messageDeleteUnnamed: run('DELETE FROM message WHERE id = ? AND reference_count <= 0'),
    countUp: run('UPDATE message SET reference_count = reference_count + ? WHERE id = ?'),
    countUpBytes: value(
      'UPDATE message SET reference_count = reference_count + 1 WHERE id = ? RETURNING length(payload)',
    ),
    endedPut: run('INSERT OR IGNORE INTO ended_session VALUES (?)'),
    endedDelete: run('DELETE FROM ended_session WHERE number = ?'),
    anyEnded: value('SELECT number FROM ended_session LIMIT 1'),
    releasedPut: run('INSERT OR IGNORE INTO released VALUES (?, ?)'),
    releasedDelete: run('DELETE FROM released WHERE session = ? AND position = ?'),
    releasedsDelete: run('DELETE FROM released WHERE session = ?'),
    incomingPut: run('INSERT OR IGNORE INTO incoming VALUES (?, ?)'),
    incomingDelete: run('DELETE FROM incoming WHERE session = ? AND packet_id = ?'),
    incomingsDelete: run('DELETE FROM incoming WHERE session = ?'),
    retainedGet: value('SELECT message_id FROM retained WHERE topic = ?'),
    retainedPut: run('INSERT OR REPLACE INTO retained VALUES (?, ?)'),
    retainedDelete: value('DELETE FROM retained WHERE topic = ? RETURNING message_id'),
    willPut: run('INSERT OR REPLACE INTO will VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    willDelete: run('DELETE FROM will WHERE session = ?'),
  }
}
