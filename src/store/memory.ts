/**
 * The store without a disk.
 *
 * As the gateway uses it (`createMemoryStore()`) nothing survives and no batches are made. With `durable: true` it applies
 * them to maps and gives them back at the next `open` of the same object: the reference that the store's contract suite
 * compares the others with, and what tests restart a gateway on.
 */
import type { BatchRecords } from './batch.ts'
import { readBatch } from './batch-reader.ts'
import { MemoryStreams } from './memory-streams.ts'
import { delayedPageOf, delayedSums } from './records/delayed.ts'
import { isAskedFor } from './records/queue-entry.ts'
import type { QueueQuery } from './records/queue-reader.ts'
import { SeenMaps } from './records/seen.ts'
import type { CursorKey } from './records/stream.ts'
import type {
  DelayedPage,
  DelayedQuery,
  Durability,
  QueuePage,
  RecoveredNumbers,
  Recovery,
  SeenOf,
  Store,
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
  StoreStatistics,
} from './store.ts'

export function createMemoryStore(): Store {
  return new MemoryStore({ durable: false })
}

export class MemoryStore implements Store {
  readonly durable: boolean
  #records = new MemoryRecords()
  #commits = 0
  #recordsWritten = 0

  constructor({ durable }: { durable: boolean }) {
    this.durable = durable
  }

  async open(recovery: Recovery): Promise<RecoveredNumbers> {
    return this.#records.recover(recovery)
  }

  /** A batch that fails leaves nothing: its records go to a copy first. */
  async commit(batch: ArrayBuffer, _durability: Durability): Promise<void> {
    const records = this.#records.copy()
    this.#recordsWritten += readBatch(batch, records)
    records.end()
    this.#records = records
    this.#commits++
  }

  async readQueue(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    sharedFilter?: string,
  ): Promise<QueuePage> {
    const query = { session, fromPosition, messagesMax, bytesMax, sharedFilter }
    return this.#records.readQueue(query)
  }

  async readDelayed(query: DelayedQuery): Promise<DelayedPage> {
    return this.#records.readDelayed(query)
  }

  async statistics(): Promise<StoreStatistics> {
    return {
      commits: this.#commits,
      recordsWritten: this.#recordsWritten,
      databaseBytes: 0,
      walBytes: 0,
      unusedBytes: 0,
      diskFreeBytes: Number.POSITIVE_INFINITY,
      full: false,
    }
  }

  async close(): Promise<void> {}
}

/** Keys of several parts: numbers first, so that no text can look like another key. */
const key = (session: number, part: string | number) => `${session} ${part}`

interface MemoryRetained {
  namespace: string
  topic: string
  messageId: number
  version: number
}

interface Entry {
  reference: StoredReference
  /** Unless it is one of `#messages`. */
  own: StoredMessage | undefined
}

function ownMessage(message: StoredMessage): StoredMessage {
  const { payload, properties } = message
  return { ...message, payload: new Uint8Array(payload), properties: new Uint8Array(properties) }
}

class MemoryRecords implements BatchRecords {
  #sessions = new Map<number, StoredSession>()
  #subscriptions = new Map<string, StoredSubscription>()
  #messages = new Map<number, StoredMessage>()
  /** By session, then by position; neither is in order. */
  #queues = new Map<number, Map<number, Entry>>()
  #released = new Map<string, [session: number, position: number]>()
  #incoming = new Map<string, [session: number, packetId: number]>()
  #sent = new Map<number, number>()
  /** By namespace and topic. */
  #retained = new Map<string, MemoryRetained>()
  #wills = new Map<number, StoredWill>()
  #logs = new Map<number, StoredLog>()
  #attempts = new Map<string, StoredAttempt>()
  #delayed = new Map<number, StoredDelayed>()
  #streams = new MemoryStreams()
  #seen = new SeenMaps()
  #clock: [time: number, wallOffset: number] | undefined
  #numbers: RecoveredNumbers = { nextSessionNumber: 1, nextMessageId: 1, retainedVersion: 0 }

  copy(): MemoryRecords {
    const copy = new MemoryRecords()
    copy.#sessions = new Map(this.#sessions)
    copy.#subscriptions = new Map(this.#subscriptions)
    copy.#messages = new Map(this.#messages)
    copy.#queues = new Map([...this.#queues].map(([session, queue]) => [session, new Map(queue)]))
    copy.#sent = new Map(this.#sent)
    copy.#released = new Map(this.#released)
    copy.#incoming = new Map(this.#incoming)
    copy.#retained = new Map(this.#retained)
    copy.#wills = new Map(this.#wills)
    copy.#logs = new Map(this.#logs)
    copy.#attempts = new Map(this.#attempts)
    copy.#delayed = new Map(this.#delayed)
    copy.#streams = this.#streams.copy()
    copy.#seen = this.#seen.copy()
    copy.#clock = this.#clock
    copy.#numbers = { ...this.#numbers }
    return copy
  }

  sessionPut(session: StoredSession): void {
    this.#sessions.set(session.number, session)
    this.#numbers.nextSessionNumber = Math.max(this.#numbers.nextSessionNumber, session.number + 1)
  }

  sessionDelete(session: number): void {
    this.#sessions.delete(session)
    this.#queues.delete(session)
    this.#wills.delete(session)
    this.#sent.delete(session)
    this.#streams.deleteCursorsOf(session)
    for (const [at, subscription] of this.#subscriptions) {
      if (subscription.session === session) this.#subscriptions.delete(at)
    }
    for (const keyed of [this.#released, this.#incoming]) {
      for (const [at, [owner]] of keyed) if (owner === session) keyed.delete(at)
    }
  }

  subscriptionPut(subscription: StoredSubscription): void {
    this.#subscriptions.set(key(subscription.session, subscription.topicFilter), subscription)
  }

  subscriptionDelete(session: number, topicFilter: string): void {
    this.#subscriptions.delete(key(session, topicFilter))
  }

  messagePut(message: StoredMessage): void {
    this.#messages.set(message.id, ownMessage(message))
    this.#numbers.nextMessageId = Math.max(this.#numbers.nextMessageId, message.id + 1)
  }

  enqueue(reference: StoredReference): void {
    this.#requireMessage(reference.messageId)
    this.#append({ reference: { ...reference }, own: undefined })
  }

  enqueueMessage(reference: StoredReference, message: StoredMessage): void {
    this.#append({ reference: { ...reference }, own: ownMessage(message) })
  }

  #append(entry: Entry): void {
    const { session, position } = entry.reference
    const queue = this.#queues.get(session) ?? new Map<number, Entry>()
    if (queue.has(position)) throw new Error(`position ${position} is taken`)
    queue.set(position, entry)
    this.#queues.set(session, queue)
  }

  dequeue(session: number, position: number): void {
    const queue = this.#queues.get(session)
    queue?.delete(position)
    if (queue?.size === 0) this.#queues.delete(session)
  }

  move(session: number, position: number, to: StoredReference): void {
    const entry = this.#queues.get(session)?.get(position)
    if (entry === undefined) return
    this.dequeue(session, position)
    this.#append({ reference: { ...to, messageId: entry.reference.messageId }, own: entry.own })
  }

  sent(session: number, position: number): void {
    this.#sent.set(session, Math.max(this.#sent.get(session) ?? 0, position))
  }

  complete(session: number, position: number): void {
    this.#released.delete(key(session, position))
  }

  release(session: number, position: number): void {
    this.dequeue(session, position)
    this.#released.set(key(session, position), [session, position])
  }

  incomingPut(session: number, packetId: number): void {
    this.#incoming.set(key(session, packetId), [session, packetId])
  }

  incomingDelete(session: number, packetId: number): void {
    this.#incoming.delete(key(session, packetId))
  }

  retainedPut(topic: string, messageId: number, version: number, namespace = ''): void {
    this.#requireMessage(messageId)
    const at = JSON.stringify([namespace, topic])
    if ((this.#retained.get(at)?.version ?? -1) < version) {
      this.#retained.set(at, { namespace, topic, messageId, version })
    }
  }

  retainedDelete(topic: string, version: number, namespace = ''): void {
    const at = JSON.stringify([namespace, topic])
    if ((this.#retained.get(at)?.version ?? version) < version) this.#retained.delete(at)
  }

  willPut(will: StoredWill): void {
    const { payload, properties } = will
    this.#wills.set(will.session, {
      ...will,
      payload: new Uint8Array(payload),
      properties: new Uint8Array(properties),
    })
  }

  willDelete(session: number): void {
    this.#wills.delete(session)
  }

  logPut(log: StoredLog): void {
    this.#logs.set(log.number, log)
    this.#numbers.nextSessionNumber = Math.max(this.#numbers.nextSessionNumber, log.number + 1)
  }

  attemptPut(attempt: StoredAttempt): void {
    this.#attempts.set(key(attempt.log, attempt.position), attempt)
  }

  attemptDelete(log: number, position: number): void {
    this.#attempts.delete(key(log, position))
  }

  delayedPut(delayed: StoredDelayed): void {
    const { payload, properties } = delayed
    this.#delayed.set(delayed.id, {
      ...delayed,
      payload: new Uint8Array(payload),
      properties: new Uint8Array(properties),
    })
  }

  delayedDelete(id: number): void {
    this.#delayed.delete(id)
  }

  streamPut(stream: StoredStream): void {
    this.#streams.put(stream)
    this.#numbers.nextSessionNumber = Math.max(this.#numbers.nextSessionNumber, stream.number + 1)
  }

  streamTrim(stream: number, offset: number): void {
    this.#streams.trim(stream, offset)
    for (const position of this.#queues.get(stream)?.keys() ?? []) if (position < offset) this.dequeue(stream, position)
  }

  segmentPut(segment: StoredSegment): void {
    this.#streams.segmentPut(segment)
  }

  cursorPut(cursor: StoredCursor): void {
    this.#streams.cursorPut(cursor)
  }

  cursorDelete(key: CursorKey): void {
    this.#streams.cursorDelete(key)
  }

  readonly seenPut = (id: StoredId): void => this.#seen.put(id)
  readonly seenDelete = (of: SeenOf, id: string): void => this.#seen.delete(of, id)
  readonly seenForget = (of: SeenOf, until: number): void => this.#seen.forget(of, until)
  readonly countedPut = (sequence: StoredSequence): void => this.#seen.putCounted(sequence)
  readonly countedDelete = (of: SeenOf, publisher: string): void => this.#seen.deleteCounted(of, publisher)

  readDelayed(query: DelayedQuery): DelayedPage {
    return delayedPageOf([...this.#delayed.values()], query)
  }

  /** Drops the bodies that nothing names any more. */
  end(): void {
    const named = new Set([...this.#retained.values()].map(({ messageId }) => messageId))
    for (const queue of this.#queues.values())
      for (const { reference } of queue.values()) named.add(reference.messageId)
    for (const id of this.#messages.keys()) if (!named.has(id)) this.#messages.delete(id)
  }

  clock(time: number, wallOffset: number): void {
    this.#clock = [time, wallOffset]
  }

  recover(recovery: Recovery): RecoveredNumbers {
    if (this.#clock !== undefined) recovery.onClock?.(...this.#clock)
    for (const session of this.#sessions.values()) recovery.onSession(session)
    for (const subscription of this.#subscriptions.values()) recovery.onSubscription(subscription)
    let retainedVersion = 0
    for (const { messageId, ...retained } of this.#retained.values()) {
      recovery.onRetained({ ...retained, message: this.#messages.get(messageId)! })
      retainedVersion = Math.max(retainedVersion, retained.version)
    }
    for (const will of this.#wills.values()) recovery.onWill(will)
    for (const [session, packetId] of this.#incoming.values()) recovery.onIncomingPacketId(session, packetId)
    for (const [session, position] of this.#released.values()) recovery.onReleased(session, position)
    for (const [session, position] of this.#sent) recovery.onSent(session, position)
    for (const log of this.#logs.values()) recovery.onLog(log)
    for (const attempt of this.#attempts.values()) recovery.onAttempt(attempt)
    this.#seen.recover(recovery)
    delayedSums([...this.#delayed.values()], recovery)
    this.#streams.recover(recovery)
    for (const [session, queue] of this.#queues) {
      const positions = [...queue.keys()].sort((a, b) => a - b)
      let bytes = 0
      for (const entry of queue.values()) bytes += this.#messageOf(entry).payload.length
      recovery.onQueue(session, positions.length, bytes, positions[0]!, positions.at(-1)!)
    }
    return { ...this.#numbers, retainedVersion }
  }

  readQueue({ session, fromPosition, messagesMax, bytesMax, sharedFilter }: QueueQuery): QueuePage {
    const waiting = [...(this.#queues.get(session)?.values() ?? [])]
      .filter(({ reference }) => reference.position >= fromPosition)
      .filter(({ reference }) => isAskedFor(reference, sharedFilter))
      .sort((a, b) => a.reference.position - b.reference.position)
    const entries: { reference: StoredReference; message: StoredMessage }[] = []
    let bytes = 0
    for (const entry of waiting) {
      const message = this.#messageOf(entry)
      bytes += message.payload.length
      if (entries.length > 0 && (entries.length >= messagesMax || bytes > bytesMax)) break
      entries.push({ reference: entry.reference, message })
    }
    return { session, entries, more: entries.length < waiting.length }
  }

  #messageOf({ reference, own }: Entry): StoredMessage {
    return own ?? this.#messages.get(reference.messageId)!
  }

  #requireMessage(id: number): void {
    if (!this.#messages.has(id)) throw new Error(`a record names message ${id}, which the store does not hold`)
  }
}
