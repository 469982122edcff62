/**
 * A database that is being filled by an import: what a source says, checked against what it said before, becomes records. Times come as those of
 * the system's clock.
 *
 * Bodies that are shared are rows from the moment they come; each record that names one counts it up, and those that nobody named are deleted at
 * the end. What is kept in memory grows with the number of sessions and queues, not with that of messages.
 */
import type { Database } from 'better-sqlite3'
import { isValidTopicName, parseTopicFilter } from '../../mqtt/topic.ts'
import { DamagedRuns } from '../records/damaged-runs.ts'
import { messageColumns, messageOfRow } from '../records/message.ts'
import { ParsedRuns } from '../records/parsed-runs.ts'
import { nextRetainedVersion } from '../records/retained.ts'
import { finite } from '../records/table.ts'
import { SqliteRecords } from '../sqlite-records.ts'
import type {
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
} from '../store.ts'
import { unnamedNamespace } from './line-values.ts'
import { namespacesWithContent } from './store-export.ts'

/** Records that are written in one transaction. */
const recordsPerTransaction = 10_000
const endedAt = 0

/** What a source says that can't be, in words that come after its place. */
export class ImportFault extends Error {
  override readonly name = 'ImportFault'
}

interface Owner {
  number: number
  kind: 'session' | 'queue' | 'stream'
  lastPosition: number
}

/** By its number in the source, or with its bytes. */
export type ImportedBody = number | (Omit<StoredMessage, 'id'> & { id?: number | undefined })

export interface ImportCounts {
  sessions: number
  subscriptions: number
  retained: number
  queued: number
  wills: number
  queues: number
  streams: number
  delayed: number
}

export class ImportTarget {
  readonly counts: ImportCounts = {
    sessions: 0,
    subscriptions: 0,
    retained: 0,
    queued: 0,
    wills: 0,
    queues: 0,
    streams: 0,
    delayed: 0,
  }
  readonly #database: Database
  readonly #records: SqliteRecords
  readonly #statements: ReturnType<typeof prepareStatements>
  /** Into which everything goes; undefined: each into its own. */
  readonly #into: string | undefined
  #from: string | undefined
  /** Those that have something already. */
  readonly #occupied: ReadonlySet<string>
  /** Sessions, queues and streams by their number in the source. */
  readonly #owners = new Map<number, Owner>()
  readonly #clientIds = new Set<string>()
  readonly #queueNames = new Set<string>()
  readonly #streamNames = new Set<string>()
  readonly #firstMessageId: number
  readonly #wallOffset: number
  #nextNumber: number
  #lastDelayedId: number
  #pending = 0

  constructor(database: Database, into?: string) {
    this.#database = database
    this.#into = into
    this.#records = new SqliteRecords(database, new DamagedRuns(database, () => {}), new ParsedRuns())
    this.#statements = prepareStatements(database)
    this.#occupied = new Set(database.prepare(namespacesWithContent).pluck().all() as string[])
    const [session, message] = this.#statements.numbers.get() as [number, number]
    this.#nextNumber = session
    this.#firstMessageId = message - 1
    this.#wallOffset = (this.#statements.wallOffset.get() as number | undefined) ?? 0
    this.#lastDelayedId = this.#statements.lastDelayedId.get() as number
    this.#begin()
  }

  session(session: StoredSession, ended = false): void {
    const namespace = this.#namespaceOf(session.namespace)
    if (!ended) this.#once(this.#clientIds, `${namespace}\0${session.clientId}`, `the client id ${session.clientId}`)
    const number = this.#owner(session.number, 'session')
    this.#records.sessionPut({
      ...session,
      number,
      namespace,
      expiresAt: ended ? endedAt : this.#time(session.expiresAt),
    })
    this.counts.sessions++
    this.#written()
  }

  subscription(subscription: StoredSubscription): void {
    if (parseTopicFilter(subscription.topicFilter) === undefined) {
      throw new ImportFault(`has a topic filter that is none: ${JSON.stringify(subscription.topicFilter)}`)
    }
    const { number } = this.#ownerOf(subscription.session, 'session')
    this.#records.subscriptionPut({ ...subscription, session: number })
    this.counts.subscriptions++
    this.#written()
  }

  will(will: StoredWill): void {
    requireTopic(will.topic)
    const { number } = this.#ownerOf(will.session, 'session')
    this.#records.willPut({ ...will, session: number, dueAt: this.#time(will.dueAt) })
    this.counts.wills++
    this.#written()
  }

  /** A QoS 2 packet identifier that its client has not released yet. */
  incoming(session: number, packetId: number): void {
    this.#records.incomingPut(this.#ownerOf(session, 'session').number, packetId)
    this.#written()
  }

  released(session: number, position: number): void {
    this.#records.release(this.#ownerOf(session, 'session').number, position)
    this.#written()
  }

  sent(session: number, position: number): void {
    this.#records.sent(this.#ownerOf(session, 'session').number, position)
    this.#written()
  }

  queue(queue: StoredLog): void {
    const namespace = this.#namespaceOf(queue.namespace)
    this.#once(this.#queueNames, `${namespace}\0${queue.name}\0${queue.priority}`, `the queue ${queue.name}`)
    this.#records.logPut({ ...queue, number: this.#owner(queue.number, 'queue'), namespace })
    this.counts.queues++
    this.#written()
  }

  attempt(attempt: StoredAttempt): void {
    const log = this.#ownerOf(attempt.log, 'queue').number
    this.#records.attemptPut({ ...attempt, log, dueAt: attempt.dueAt === 0 ? 0 : this.#time(attempt.dueAt) })
    this.#written()
  }

  stream(stream: StoredStream): void {
    const namespace = this.#namespaceOf(stream.namespace)
    this.#once(this.#streamNames, `${namespace}\0${stream.name}`, `the stream ${stream.name}`)
    this.#records.streamPut({ ...stream, number: this.#owner(stream.number, 'stream'), namespace })
    this.counts.streams++
    this.#written()
  }

  segment(segment: StoredSegment): void {
    const { number: stream } = this.#ownerOf(segment.stream, 'stream')
    const { firstAt, lastAt } = segment
    this.#records.segmentPut({ ...segment, stream, firstAt: this.#time(firstAt), lastAt: this.#time(lastAt) })
    this.#written()
  }

  /** Of a session that did not come, it would be nobody's. */
  cursor(cursor: StoredCursor): void {
    const { number: stream } = this.#ownerOf(cursor.stream, 'stream')
    const session = cursor.session === 0 ? 0 : this.#ownerOf(cursor.session, 'session').number
    const notBefore = cursor.notBefore === 0 ? 0 : this.#time(cursor.notBefore)
    this.#records.cursorPut({ ...cursor, stream, session, notBefore })
  }

  seen(seen: StoredId): void {
    const lane = this.#ownerOf(seen.lane, 'queue').number
    this.#records.seenPut({ ...seen, namespace: this.#namespaceOf(seen.namespace), lane, at: this.#time(seen.at) })
    this.#written()
  }

  counted(counted: StoredSequence): void {
    const namespace = this.#namespaceOf(counted.namespace)
    this.#records.countedPut({ ...counted, namespace, at: this.#time(counted.at) })
    this.#written()
  }

  /** A body that later records name by its id. */
  message(id: number, message: Omit<StoredMessage, 'id'>): void {
    requireTopic(message.topic)
    if (this.#statements.hasMessage.get(this.#idOf(id)) !== undefined) {
      throw new ImportFault(`gives a message the id ${id}, which another one has`)
    }
    this.#statements.messagePut.run(
      this.#idOf(id),
      message.topic,
      message.qos,
      this.#time(message.publishedAt),
      finite(this.#time(message.expiresAt)),
      message.publisher,
      message.properties.length > 0 ? message.properties : null,
      message.payload,
    )
  }

  /** One that came before, as the store has it. */
  body(id: number): StoredMessage {
    const row = this.#statements.message.get(this.#idOf(id)) as readonly unknown[] | undefined
    if (row === undefined) throw new ImportFault(`names message ${id}, which did not come before`)
    const message = messageOfRow(row, 0)
    const { publishedAt, expiresAt } = message
    return { ...message, publishedAt: publishedAt + this.#wallOffset, expiresAt: expiresAt + this.#wallOffset }
  }

  entry(reference: StoredReference, body: ImportedBody): void {
    const owner = this.#owners.get(reference.session)
    if (owner === undefined)
      throw new ImportFault(`is of session, queue or stream ${reference.session}, which did not come before`)
    if (reference.position <= owner.lastPosition) {
      throw new ImportFault(`has position ${reference.position}, which does not come behind ${owner.lastPosition}`)
    }
    owner.lastPosition = reference.position
    const own = { ...reference, session: owner.number }
    const id = this.#named(body)
    if (id > 0) this.#records.enqueue({ ...own, messageId: id })
    else this.#records.enqueueMessage({ ...own, messageId: 0 }, this.#ownMessage(body as Omit<StoredMessage, 'id'>))
    this.counts.queued++
    this.#written()
  }

  retained(namespace: string, topic: string, body: ImportedBody): void {
    requireTopic(topic)
    const id = this.#named(body)
    if (id === 0) throw new ImportFault('has a retained message without an id')
    const publishedAt = this.#statements.publishedAt.get(id) as number
    this.#records.retainedPut(topic, id, nextRetainedVersion(0, publishedAt), this.#namespaceOf(namespace))
    this.counts.retained++
    this.#written()
  }

  delayed(delayed: Omit<StoredDelayed, 'id'>): void {
    requireTopic(delayed.topic)
    const publishedAt = this.#time(delayed.publishedAt)
    // As its version is reckoned: a time that never repeats.
    this.#lastDelayedId = nextRetainedVersion(this.#lastDelayedId, publishedAt)
    this.#records.delayedPut({
      ...delayed,
      id: this.#lastDelayedId,
      namespace: this.#namespaceOf(delayed.namespace),
      dueAt: delayed.clock === 'system' ? delayed.dueAt : this.#time(delayed.dueAt),
      publishedAt,
    })
    this.counts.delayed++
    this.#written()
  }

  /** After the last record. */
  end(): void {
    this.#records.end()
    this.#statements.deleteUnnamed.run()
    this.#statements.nextMessageId.run()
    this.#database.exec('COMMIT')
  }

  #begin(): void {
    this.#database.exec('BEGIN')
    this.#records.begin()
  }

  #written(): void {
    if (++this.#pending < recordsPerTransaction) return
    this.#pending = 0
    this.#records.end()
    this.#database.exec('COMMIT')
    this.#begin()
  }

  /** As the store calls it. */
  #namespaceOf(name: string): string {
    this.#from ??= name
    if (this.#into !== undefined && name !== this.#from) {
      throw new ImportFault(`is of the namespace ${name}, and others are of ${this.#from}: they can't go into one`)
    }
    const wanted = this.#into ?? name
    const stored = wanted === unnamedNamespace ? '' : wanted
    if (!this.#occupied.has(stored)) return stored
    throw new ImportFault(`is of the namespace ${wanted}, of which the store has something already`)
  }

  #once(seen: Set<string>, key: string, what: string): void {
    if (seen.has(key)) throw new ImportFault(`has ${what} a second time`)
    seen.add(key)
  }

  #owner(number: number, kind: Owner['kind']): number {
    if (this.#owners.has(number)) throw new ImportFault(`has the number ${number} a second time`)
    const own = this.#nextNumber++
    this.#owners.set(number, { number: own, kind, lastPosition: -1 })
    return own
  }

  #ownerOf(number: number, kind: Owner['kind']): Owner {
    const owner = this.#owners.get(number)
    if (owner?.kind === kind) return owner
    throw new ImportFault(`is of ${kind} ${number}, which did not come before`)
  }

  /** The body's id in the store; 0: it lies with its entry. */
  #named(body: ImportedBody): number {
    const id = typeof body === 'number' ? body : body.id
    if (id === undefined) {
      requireTopic((body as StoredMessage).topic)
      return 0
    }
    if (typeof body !== 'number') this.message(id, body)
    else if (this.#statements.hasMessage.get(this.#idOf(id)) === undefined) {
      throw new ImportFault(`names message ${id}, which did not come before`)
    }
    return this.#idOf(id)
  }

  #idOf(id: number): number {
    const own = id + this.#firstMessageId
    if (Number.isSafeInteger(own)) return own
    throw new ImportFault(`has the id ${id}, which is too high`)
  }

  #ownMessage(message: Omit<StoredMessage, 'id'>): StoredMessage {
    const { publishedAt, expiresAt } = message
    return { ...message, id: 0, publishedAt: this.#time(publishedAt), expiresAt: this.#time(expiresAt) }
  }

  /** On the store's clock, and no time before it began. */
  #time(wall: number): number {
    return wall === Number.POSITIVE_INFINITY ? wall : Math.max(1, wall - this.#wallOffset)
  }
}

function requireTopic(topic: string): void {
  if (!isValidTopicName(topic)) throw new ImportFault(`has a topic that is none: ${JSON.stringify(topic)}`)
}

function prepareStatements(database: Database) {
  return {
    numbers: database.prepare('SELECT next_session_number, next_message_id FROM counter').raw(),
    wallOffset: database.prepare('SELECT wall_offset FROM clock').pluck(),
    lastDelayedId: database.prepare('SELECT coalesce(max(id), 0) FROM delayed').pluck(),
    hasMessage: database.prepare('SELECT 1 FROM message WHERE id = ?').pluck(),
    message: database.prepare(`SELECT ${messageColumns} FROM message m WHERE m.id = ?`).raw(),
    publishedAt: database.prepare('SELECT published_at FROM message WHERE id = ?').pluck(),
    messagePut: database.prepare('INSERT INTO message VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?)'),
    deleteUnnamed: database.prepare('DELETE FROM message WHERE reference_count <= 0'),
    nextMessageId: database.prepare(
      'UPDATE counter SET next_message_id = max(next_message_id, (SELECT coalesce(max(id), 0) + 1 FROM message))',
    ),
  }
}
