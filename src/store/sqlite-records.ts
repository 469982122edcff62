/**
 * A batch's records as statements, all within the caller's transaction, and back at start. Each kind of record has its rows in
 * `records/`; here they are put together.
 *
 * Ended sessions. The rows of a long queue are not deleted with their session, which could hold up every commit for seconds:
 * the session is noted in `ended_session`, and `collectEnded` deletes a slice at a time. Session numbers are never
 * given twice, so nobody can meet those rows. What a stream was trimmed of goes in slices too.
 */
import type { Database, Statement } from 'better-sqlite3'
import type { BatchRecords } from './batch.ts'
import { ClockRow } from './records/clock.ts'
import type { DamagedRuns } from './records/damaged-runs.ts'
import { DelayedRows } from './records/delayed.ts'
import { IncomingRows } from './records/incoming.ts'
import { AttemptRows, LogRows } from './records/log.ts'
import { MessageRows } from './records/message.ts'
import type { ParsedRuns } from './records/parsed-runs.ts'
import { recoverQueues } from './records/queue-reader.ts'
import { QueueRows } from './records/queue-rows.ts'
import { ReleasedRows } from './records/released.ts'
import { RetainedRows } from './records/retained.ts'
import { SeenRows } from './records/seen.ts'
import { SentRows } from './records/sent.ts'
import { SessionRows } from './records/session.ts'
import { type CursorKey, StreamRows } from './records/stream.ts'
import { SubscriptionRows } from './records/subscription.ts'
import { WillRows } from './records/will.ts'
import type {
  DelayedPage,
  DelayedQuery,
  RecoveredNumbers,
  Recovery,
  SeenOf,
  StoredAttempt,
  StoredCursor,
  StoredDelayed,
  StoredId,
  StoredLog,
  StoredMessage,
  StoredReference,
  StoredSegment,
  StoredSequence,
  StoredSession,
  StoredStream,
  StoredSubscription,
  StoredWill,
} from './store.ts'

/** Queued messages that one transaction deletes for an ended session, give or take a run. */
const endedMessagesMax = 10_000

export class SqliteRecords implements BatchRecords {
  readonly #database: Database
  readonly #damagedRuns: DamagedRuns
  readonly #statements: ReturnType<typeof prepareStatements>
  readonly #sessions: SessionRows
  readonly #subscriptions: SubscriptionRows
  readonly #messages: MessageRows
  readonly #queues: QueueRows
  readonly #sent: SentRows
  readonly #released: ReleasedRows
  readonly #incoming: IncomingRows
  readonly #retained: RetainedRows
  readonly #wills: WillRows
  readonly #clock: ClockRow
  readonly #logs: LogRows
  readonly #attempts: AttemptRows
  readonly #delayed: DelayedRows
  readonly #streams: StreamRows
  /** Streams with entries before their first offset, each with that. */
  readonly #untrimmed: Map<number, number>
  readonly #seen: SeenRows
  #nextSessionNumber = 0
  #nextMessageId = 0
  #numbersChanged = false
  #hasEnded: boolean

  constructor(database: Database, damagedRuns: DamagedRuns, parsed: ParsedRuns) {
    this.#database = database
    this.#damagedRuns = damagedRuns
    this.#statements = prepareStatements(database)
    this.#sessions = new SessionRows(database)
    this.#subscriptions = new SubscriptionRows(database)
    this.#messages = new MessageRows(database)
    this.#queues = new QueueRows(database, damagedRuns, parsed)
    this.#sent = new SentRows(database)
    this.#released = new ReleasedRows(database)
    this.#incoming = new IncomingRows(database)
    this.#retained = new RetainedRows(database, this.#messages)
    this.#wills = new WillRows(database)
    this.#clock = new ClockRow(database)
    this.#logs = new LogRows(database)
    this.#attempts = new AttemptRows(database)
    this.#delayed = new DelayedRows(database)
    this.#streams = new StreamRows(database)
    this.#untrimmed = new Map(this.#streams.untrimmed)
    this.#seen = new SeenRows(database)
    this.#hasEnded = this.#statements.anyEnded.get() !== undefined
  }

  /** Hands over what survived, in the order that `Recovery` asks for. */
  recover(recovery: Recovery): RecoveredNumbers {
    this.#clock.recover(recovery)
    this.#sessions.recover(recovery)
    this.#subscriptions.recover(recovery)
    const retainedVersion = this.#retained.recover(recovery)
    this.#wills.recover(recovery)
    this.#incoming.recover(recovery)
    this.#released.recover(recovery)
    this.#sent.recover(recovery)
    this.#logs.recover(recovery)
    this.#attempts.recover(recovery)
    this.#seen.recover(recovery)
    this.#delayed.recover(recovery)
    this.#streams.recover(recovery)
    recoverQueues(this.#database, recovery, this.#damagedRuns)
    const [nextSessionNumber, nextMessageId] = this.#statements.numbers.get() as [number, number]
    return { nextSessionNumber, nextMessageId, retainedVersion }
  }

  /** Before the first record of a transaction; also forgets what a failed one left. */
  begin(): void {
    this.#queues.begin()
    this.#messages.begin()
    const numbers = this.#statements.numbers.get() as [number, number]
    this.#nextSessionNumber = numbers[0]
    this.#nextMessageId = numbers[1]
    this.#numbersChanged = false
  }

  /** After the last record of a batch, before the commit. */
  end(): void {
    this.#queues.end()
    this.#messages.end()
    if (this.#numbersChanged) this.#statements.numbersPut.run(this.#nextSessionNumber, this.#nextMessageId)
    this.#numbersChanged = false
  }

  sessionPut(session: StoredSession): void {
    this.#numberGiven(session.number)
    this.#sessions.put(session)
  }

  #numberGiven(number: number): void {
    if (number < this.#nextSessionNumber) return
    this.#nextSessionNumber = number + 1
    this.#numbersChanged = true
  }

  sessionDelete(session: number): void {
    this.#sessions.delete(session)
    this.#subscriptions.deleteOf(session)
    this.#incoming.deleteOf(session)
    this.#released.deleteOf(session)
    this.#sent.deleteOf(session)
    this.#wills.delete(session)
    this.#streams.deleteCursorsOf(session)
    if (!this.#deleteSlice(session, Number.MAX_SAFE_INTEGER)) return
    this.#statements.endedPut.run(session)
    this.#hasEnded = true
  }

  subscriptionPut(subscription: StoredSubscription): void {
    this.#subscriptions.put(subscription)
  }

  subscriptionDelete(session: number, topicFilter: string): void {
    this.#subscriptions.delete(session, topicFilter)
  }

  messagePut(message: StoredMessage, references: number): void {
    if (message.id >= this.#nextMessageId) {
      this.#nextMessageId = message.id + 1
      this.#numbersChanged = true
    }
    this.#messages.put(message, references)
  }

  enqueue(reference: StoredReference): void {
    this.#queues.append(reference, this.#messages.name(reference.messageId))
  }

  enqueueMessage(reference: StoredReference, message: StoredMessage): void {
    this.#queues.appendMessage(reference, message)
  }

  dequeue(session: number, position: number): void {
    this.#take(session, position)
  }

  release(session: number, position: number): void {
    this.#take(session, position)
    this.#released.put(session, position)
  }

  complete(session: number, position: number): void {
    this.#released.delete(session, position)
  }

  #take(session: number, position: number): void {
    const messageId = this.#queues.take(session, position)
    if (messageId > 0) this.#messages.unname(messageId)
  }

  /** The body keeps its references: one goes and one comes. */
  move(session: number, position: number, to: StoredReference): void {
    this.#queues.move(session, position, to)
  }

  clock(time: number, wallOffset: number): void {
    this.#clock.put(time, wallOffset)
  }

  sent(session: number, position: number): void {
    this.#sent.put(session, position)
  }

  incomingPut(session: number, packetId: number): void {
    this.#incoming.put(session, packetId)
  }

  incomingDelete(session: number, packetId: number): void {
    this.#incoming.delete(session, packetId)
  }

  retainedPut(topic: string, messageId: number, version: number, namespace = ''): void {
    this.#retained.put(topic, messageId, version, namespace)
  }

  retainedDelete(topic: string, version: number, namespace = ''): void {
    this.#retained.delete(topic, version, namespace)
  }

  willPut(will: StoredWill): void {
    this.#wills.put(will)
  }

  willDelete(session: number): void {
    this.#wills.delete(session)
  }

  logPut(log: StoredLog): void {
    this.#numberGiven(log.number)
    this.#logs.put(log)
  }

  attemptPut(attempt: StoredAttempt): void {
    this.#attempts.put(attempt)
  }

  attemptDelete(log: number, position: number): void {
    this.#attempts.delete(log, position)
  }

  delayedPut(delayed: StoredDelayed): void {
    this.#delayed.put(delayed)
  }

  delayedDelete(id: number): void {
    this.#delayed.delete(id)
  }

  streamPut(stream: StoredStream): void {
    this.#numberGiven(stream.number)
    this.#streams.put(stream)
  }

  streamTrim(stream: number, offset: number): void {
    this.#streams.trim(stream, offset)
    if (this.#deleteSlice(stream, offset)) this.#untrimmed.set(stream, offset)
  }

  segmentPut(segment: StoredSegment): void {
    this.#streams.segmentPut(segment)
  }

  cursorPut(cursor: StoredCursor): void {
    this.#streams.cursorPut(cursor)
  }

  cursorDelete(cursor: CursorKey): void {
    this.#streams.cursorDelete(cursor)
  }

  seenPut(id: StoredId): void {
    this.#seen.put(id)
  }

  seenDelete(of: SeenOf, id: string): void {
    this.#seen.delete(of, id)
  }

  seenForget(of: SeenOf, until: number): void {
    this.#seen.forget(of, until)
  }

  countedPut(sequence: StoredSequence): void {
    this.#seen.putCounted(sequence)
  }

  countedDelete(of: SeenOf, publisher: string): void {
    this.#seen.deleteCounted(of, publisher)
  }

  readDelayed(query: DelayedQuery): DelayedPage {
    return this.#delayed.read(query)
  }

  /** Whether `collect` has something to do. */
  get hasRemains(): boolean {
    return this.#hasEnded || this.#untrimmed.size > 0
  }

  /** Deletes one slice of what nobody can meet any more, between `begin` and `end`. */
  collect(): void {
    for (const [stream, offset] of this.#untrimmed) {
      if (!this.#deleteSlice(stream, offset)) this.#untrimmed.delete(stream)
      return
    }
    const session = this.#statements.anyEnded.get() as number | undefined
    if (session === undefined) this.#hasEnded = false
    else if (!this.#deleteSlice(session, Number.MAX_SAFE_INTEGER)) this.#statements.endedDelete.run(session)
  }

  /** Of the runs that end before the position. Returns whether more may be left. */
  #deleteSlice(session: number, before: number): boolean {
    const slice = { before, messagesMax: endedMessagesMax }
    return this.#queues.deleteSome(session, slice, (messageId) => this.#messages.unname(messageId))
  }
}

function prepareStatements(database: Database) {
  const run = (sql: string): Statement => database.prepare(sql)
  return {
    numbers: database.prepare('SELECT next_session_number, next_message_id FROM counter').raw(),
    numbersPut: run('UPDATE counter SET next_session_number = ?, next_message_id = ?'),
    endedPut: run('INSERT OR IGNORE INTO ended_session VALUES (?)'),
    endedDelete: run('DELETE FROM ended_session WHERE number = ?'),
    anyEnded: database.prepare('SELECT number FROM ended_session LIMIT 1').pluck(),
  }
}
