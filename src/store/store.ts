/**
 * The port behind which durable state lives.
 *
 * The broker core keeps everything it needs to route in memory and never reads the store on the hot path. What must survive
 * a crash is appended, turn by turn, to a batch of records (`batch.ts`); the engine's committer hands one packed batch at a
 * time to `commit` and releases the frames that the batch backs when it resolves. The store is read at start (`open`), and
 * page by page when a session drains a queue that is larger than memory (`readQueue`).
 *
 * A resolved `commit` is the only promise of safety there is: what has not been committed may be lost, whatever else was called. So
 * a store may stand around another one, to send batches elsewhere as well, and resolves when all of them have what they were given.
 * The buffer is transferred by whoever takes it last: one that stands around copies it before it hands it on.
 *
 * Calls are served in the order in which they are made: a `readQueue` sees every batch handed over before it.
 *
 * All times are absolute, in milliseconds since the epoch; `Infinity` is never.
 */
import type {
  DelayedQuery,
  RecoveredAttempt,
  RecoveredCursor,
  RecoveredDelayed,
  RecoveredDelayedCount,
  RecoveredDelayedName,
  RecoveredDelayedPage,
  RecoveredId,
  RecoveredLog,
  RecoveredMessage,
  RecoveredPage,
  RecoveredReference,
  RecoveredSegment,
  RecoveredSequence,
  RecoveredSession,
  RecoveredStream,
  RecoveredSubscription,
  RecoveredWill,
  SeenOf,
} from '../core/ports/recovered.ts'

export type StoredSession = RecoveredSession
export type StoredSubscription = RecoveredSubscription
export type StoredMessage = RecoveredMessage
export type StoredReference = RecoveredReference
export type StoredWill = RecoveredWill
export type StoredLog = RecoveredLog
export type StoredAttempt = RecoveredAttempt
export type StoredStream = RecoveredStream
export type StoredSegment = RecoveredSegment
export type StoredCursor = RecoveredCursor
export type StoredId = RecoveredId
export type StoredSequence = RecoveredSequence
export type QueuePage = RecoveredPage
export type StoredDelayed = RecoveredDelayed
export type DelayedPage = RecoveredDelayedPage
export type { DelayedQuery, RecoveredDelayedCount, RecoveredDelayedName, SeenOf }

/**
 * What a resolved commit has survived: a power cut (`fsync`), the end of this process (`process`), nothing (`none`). From the
 * strictest on.
 */
export const durabilities = ['fsync', 'process', 'none'] as const
export type Durability = (typeof durabilities)[number]

export interface StoredRetained {
  /** '' for the one that is not named. */
  namespace: string
  topic: string
  /** A time that never repeats, see `records/retained.ts`. */
  version: number
  message: StoredMessage
}

/** Everything that survived, handed over in this order at start; queues are only counted. */
export interface Recovery {
  /**
   * What the engine's clock had reached, and by how much the system's was ahead of it; without a call, it was the system's. All
   * times are the engine's.
   */
  onClock?(time: number, wallOffset: number): void
  onSession(session: StoredSession): void
  onSubscription(subscription: StoredSubscription): void
  onRetained(retained: StoredRetained): void
  onWill(will: StoredWill): void
  /** A QoS 2 packet identifier received from this session's client and not yet released. */
  onIncomingPacketId(session: number, packetId: number): void
  /** A QoS 2 delivery whose PUBREC arrived: PUBREL is due at its position. */
  onReleased(session: number, position: number): void
  /** Every position below this one was sent to the session's client; without a call, none was. */
  onSent(session: number, position: number): void
  /** A queue's log. */
  onLog(log: StoredLog): void
  onAttempt(attempt: StoredAttempt): void
  onStream(stream: StoredStream): void
  /** In order of offset. */
  onSegment(segment: StoredSegment): void
  onCursor(cursor: StoredCursor): void
  /** What a queue has seen, the oldest first. */
  onSeen(id: StoredId): void
  onCounted(sequence: StoredSequence): void
  /** The queue that waits: references not yet released, their number, payload bytes, first and last position. */
  onQueue(session: number, messages: number, bytes: number, firstPosition: number, lastPosition: number): void
  /** How many messages wait until they are due. */
  onDelayed(count: RecoveredDelayedCount): void
  onDelayedName(name: RecoveredDelayedName): void
}

export interface RecoveredNumbers {
  /** The next session number and message id that were never used. */
  nextSessionNumber: number
  nextMessageId: number
  /** The highest version of a retained message; 0 if there is none. */
  retainedVersion: number
}

/** Part of a queue could not be read and is set aside: its messages are lost, everything else goes on. */
export interface DamageReport {
  session: number
  /** 0: not even their number could be read. */
  messages: number
  finding: string
}

export interface StoreStatistics {
  commits: number
  recordsWritten: number
  databaseBytes: number
  walBytes: number
  /** What the database file can use of itself. */
  unusedBytes: number
  diskFreeBytes: number
  /** The disk has too little room: nothing new should be taken in. It ends by itself. */
  full: boolean
}

export interface Store {
  /** False: nothing survives, and the engine does not produce batches at all. */
  readonly durable: boolean
  /** Locks, checks, migrates and loads. Rejects with a `StoreError` that names the file and the remedy. */
  open(recovery: Recovery): Promise<RecoveredNumbers>
  /** Applies one packed batch in one transaction; resolves when it is as safe as `durability` says, however long a full disk takes. The buffer is taken over. */
  commit(batch: ArrayBuffer, durability: Durability): Promise<void>
  /**
   * The references of a session from a position on, unreleased ones only, up to both limits (at least one entry if any); of
   * one `$share` filter if it is given, or of all share groups for `$share/` alone.
   */
  readQueue(
    session: number,
    fromPosition: number,
    messagesMax: number,
    bytesMax: number,
    sharedFilter?: string,
  ): Promise<QueuePage>
  readDelayed(query: DelayedQuery): Promise<DelayedPage>
  statistics(): Promise<StoreStatistics>
  close(): Promise<void>
}

/** A row that SQLite could read and that says nothing sensible. */
export class DamagedRowError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DamagedRowError'
  }
}

/** The store can't go on: the disk is full, the file is damaged, the lock is taken. The text names file, finding and remedy. */
export class StoreError extends Error {
  readonly kind: 'locked' | 'corrupt' | 'version' | 'full' | 'io' | 'permission'

  constructor(kind: StoreError['kind'], message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StoreError'
    this.kind = kind
  }
}
