/**
 * What a store gives back at a start, as lines instead. Which bodies were written already is kept in a table of a database of its own, since
 * there may be millions of them.
 */
import Database from 'better-sqlite3'
import type { QueueReader } from '../records/queue-reader.ts'
import type {
  DelayedPage,
  DelayedQuery,
  RecoveredDelayedCount,
  RecoveredDelayedName,
  Recovery,
  StoredAttempt,
  StoredCursor,
  StoredDelayed,
  StoredId,
  StoredLog,
  StoredMessage,
  StoredReference,
  StoredRetained,
  StoredSegment,
  StoredSequence,
  StoredSession,
  StoredStream,
  StoredSubscription,
  StoredWill,
} from '../store.ts'
import type { Kind, WrittenLine, WrittenMessage } from './line.ts'
import type { LineFile } from './line-text.ts'
import { contentOf, protocols, unnamedNamespace } from './line-values.ts'

const neverExpires = 0xffffffff
const delayedPageMessages = 1000
const delayedPageBytes = 8 * 1024 * 1024

export class LineRecovery implements Recovery {
  readonly counts: Partial<Record<Kind, number>> = {}
  readonly #lines: LineFile
  readonly #namespaces: ReadonlySet<string> | undefined
  readonly #written = new WrittenBodies()
  /** Sessions, queues and streams whose lines are there. */
  readonly #owners = new Set<number>()
  readonly #waiting: [owner: number, firstPosition: number][] = []
  /** By how much the system's clock is ahead of the store's. */
  #wallOffset = 0

  constructor(lines: LineFile, namespaces: readonly string[] | undefined) {
    this.#lines = lines
    this.#namespaces = namespaces && new Set(namespaces)
  }

  close(): void {
    this.#written.close()
  }

  onClock(_time: number, wallOffset: number): void {
    this.#wallOffset = wallOffset
  }

  onSession(session: StoredSession): void {
    const namespace = session.namespace || unnamedNamespace
    if (!this.#wants(namespace)) return
    this.#owners.add(session.number)
    const { number, clientId, expiryInterval, connected, username, principal } = session
    // A time of 0 says that it has ended.
    const ended = session.expiresAt === 0
    this.#add({
      kind: 'session',
      number,
      namespace,
      clientId,
      protocol: protocols[session.version],
      expirySeconds: expiryInterval === neverExpires ? null : expiryInterval,
      expiresAt: ended ? null : this.#wall(session.expiresAt),
      connected,
      ...(username !== '' && { username }),
      ...(principal !== '' && { principal }),
      ...(ended && { ended }),
    })
  }

  onSubscription(subscription: StoredSubscription): void {
    const { session, topicFilter: filter, qos, noLocal, retainAsPublished, retainHandling, identifier } = subscription
    if (!this.#owners.has(session)) return
    this.#add({
      kind: 'subscription',
      session,
      filter,
      qos,
      ...(noLocal && { noLocal }),
      ...(retainAsPublished && { retainAsPublished }),
      ...(retainHandling > 0 && { retainHandling }),
      ...(identifier > 0 && { identifier }),
    })
  }

  onRetained({ namespace: stored, topic, message }: StoredRetained): void {
    const namespace = stored || unnamedNamespace
    if (this.#wants(namespace)) this.#add({ kind: 'retained', namespace, topic, message: this.#body(message) })
  }

  onWill(will: StoredWill): void {
    const { session, topic, qos, retain, delayInterval, messageExpiryInterval } = will
    if (!this.#owners.has(session)) return
    this.#add({
      kind: 'will',
      session,
      topic,
      ...contentOf(will.payload, will.properties),
      qos,
      retain,
      ...(delayInterval > 0 && { delaySeconds: delayInterval }),
      ...(messageExpiryInterval >= 0 && { expirySeconds: messageExpiryInterval }),
      dueAt: this.#wall(will.dueAt),
    })
  }

  onIncomingPacketId(session: number, packetId: number): void {
    if (this.#owners.has(session)) this.#add({ kind: 'incoming', session, packetId })
  }

  onReleased(session: number, position: number): void {
    if (this.#owners.has(session)) this.#add({ kind: 'released', session, position })
  }

  onSent(session: number, position: number): void {
    if (this.#owners.has(session)) this.#add({ kind: 'sent', session, position })
  }

  onLog({ number, namespace: stored, name, priority, filter }: StoredLog): void {
    const namespace = stored || unnamedNamespace
    if (!this.#wants(namespace)) return
    this.#owners.add(number)
    this.#add({ kind: 'queue', number, namespace, name, priority, ...(filter !== '' && { filter }) })
  }

  onAttempt({ log: queue, position, failed, returned, dueAt, reason }: StoredAttempt): void {
    if (!this.#owners.has(queue)) return
    const due = dueAt === 0 ? null : this.#wall(dueAt)
    this.#add({ kind: 'attempt', queue, position, failed, returned, dueAt: due, ...(reason !== '' && { reason }) })
  }

  onStream({ number, namespace: stored, name, filter, firstOffset }: StoredStream): void {
    const namespace = stored || unnamedNamespace
    if (!this.#wants(namespace)) return
    this.#owners.add(number)
    this.#add({ kind: 'stream', number, namespace, name, filter, firstOffset })
  }

  onSegment({ stream, firstOffset, firstAt, lastAt, messages, bytes }: StoredSegment): void {
    if (!this.#owners.has(stream)) return
    const times = { firstAt: iso(firstAt + this.#wallOffset), lastAt: iso(lastAt + this.#wallOffset) }
    this.#add({ kind: 'segment', stream, firstOffset, ...times, messages, bytes })
  }

  onCursor({ stream, session, name: group, filter, position, notBefore, open }: StoredCursor): void {
    if (!this.#owners.has(stream)) return
    this.#add({
      kind: 'cursor',
      stream,
      ...(session > 0 && { session }),
      ...(group !== '' && { group }),
      ...(filter !== '' && { filter }),
      position,
      ...(notBefore > 0 && { notBefore: iso(notBefore + this.#wallOffset) }),
      ...(open !== '' && { open }),
    })
  }

  onSeen({ namespace: stored, log: address, id, at, lane: queue, position }: StoredId): void {
    const namespace = stored || unnamedNamespace
    if (!this.#owners.has(queue)) return
    this.#add({ kind: 'seen', namespace, address, id, at: this.#wall(at)!, queue, position })
  }

  onCounted({ namespace: stored, log: address, publisher, sequence, at }: StoredSequence): void {
    const namespace = stored || unnamedNamespace
    if (!this.#wants(namespace)) return
    this.#add({ kind: 'counted', namespace, address, publisher, sequence, at: this.#wall(at)! })
  }

  onQueue(owner: number, _messages: number, _bytes: number, firstPosition: number): void {
    if (this.#owners.has(owner)) this.#waiting.push([owner, firstPosition])
  }

  /** Read by their pages, once it is known which there are. */
  onDelayed(_count: RecoveredDelayedCount): void {}

  onDelayedName(_name: RecoveredDelayedName): void {}

  /** What waits for sessions and in queues, and what streams have. */
  queues(reader: QueueReader): void {
    const all = { messagesMax: Number.POSITIVE_INFINITY, bytesMax: Number.POSITIVE_INFINITY }
    for (const [session, fromPosition] of this.#waiting) {
      reader.read({ session, fromPosition, ...all }, (reference, message) => this.#entry(reference, message))
    }
  }

  #entry(reference: StoredReference, message: StoredMessage): void {
    const { session: log, position, qos, retain, sharedFilter, subscriptionIdentifiers } = reference
    this.#add({
      kind: 'entry',
      log,
      position,
      qos,
      retain,
      ...(sharedFilter !== '' && { sharedFilter }),
      ...(subscriptionIdentifiers.length > 0 && { subscriptionIdentifiers: [...subscriptionIdentifiers] }),
      message: this.#body(message),
    })
  }

  delayed(read: (query: DelayedQuery) => DelayedPage): void {
    for (const clock of ['steady', 'system'] as const) {
      let after = { dueAt: Number.NEGATIVE_INFINITY, id: Number.NEGATIVE_INFINITY }
      for (let more = true; more; ) {
        const page = read({
          clock,
          after,
          untilDueAt: Number.POSITIVE_INFINITY,
          messagesMax: delayedPageMessages,
          bytesMax: delayedPageBytes,
        })
        for (const one of page.entries) this.#delayed(one)
        after = page.entries.at(-1) ?? after
        more = page.more
      }
    }
  }

  #delayed(one: StoredDelayed): void {
    const namespace = one.namespace || unnamedNamespace
    if (!this.#wants(namespace)) return
    const { clock, dueAt, topic, qos, retain, publisher, principal, scheduleId, expirySeconds } = one
    this.#add({
      kind: 'delayed',
      namespace,
      clock,
      dueAt: clock === 'system' ? iso(dueAt) : iso(dueAt + this.#wallOffset),
      topic,
      ...contentOf(one.payload, one.properties),
      qos,
      retain,
      ...(publisher !== '' && { publisher }),
      ...(principal !== '' && { principal }),
      ...(scheduleId !== '' && { scheduleId }),
      ...(expirySeconds >= 0 && { expirySeconds }),
      publishedAt: iso(one.publishedAt + this.#wallOffset),
    })
  }

  #body(message: StoredMessage): number | WrittenMessage {
    const { id, topic, qos, publisher } = message
    if (id > 0 && !this.#written.add(id)) return id
    return {
      ...(id > 0 && { id }),
      topic,
      ...contentOf(message.payload, message.properties),
      qos,
      ...(publisher !== '' && { publisher }),
      publishedAt: iso(message.publishedAt + this.#wallOffset),
      expiresAt: this.#wall(message.expiresAt),
    }
  }

  #wants(namespace: string): boolean {
    return this.#namespaces?.has(namespace) ?? true
  }

  #wall(time: number): string | null {
    return time === Number.POSITIVE_INFINITY ? null : iso(time + this.#wallOffset)
  }

  #add(line: WrittenLine): void {
    this.counts[line.kind] = (this.counts[line.kind] ?? 0) + 1
    this.#lines.add(line)
  }
}

const iso = (time: number): string => new Date(time).toISOString()

/** Ids of bodies, in a temporary database that SQLite keeps on the disk. */
class WrittenBodies {
  readonly #database = new Database('')
  readonly #put

  constructor() {
    this.#database.pragma('synchronous = OFF')
    this.#database.pragma('journal_mode = OFF')
    this.#database.exec('CREATE TABLE body (id INTEGER PRIMARY KEY); BEGIN')
    this.#put = this.#database.prepare('INSERT OR IGNORE INTO body VALUES (?)')
  }

  /** Whether it was not there. */
  add(id: number): boolean {
    return this.#put.run(id).changes === 1
  }

  close(): void {
    this.#database.close()
  }
}
