/**
 * Where the core writes down what must survive. All calls are synchronous and append to the records of the turn; a frame
 * that says "it is safe" is held until its turn, whose number is `ticket`, is committed. The core knows nothing of commits beyond
 * these two numbers, and hands on how much each connection's records have to survive. Without a durable store nothing is
 * ever appended.
 */

import type { DelayedMessage } from '../delayed/delayed-message.ts'
import type { Lane } from '../logs/lane.ts'
import type { QueuedMessage } from '../logs/queued-message.ts'
import type { Counted } from '../logs/seen.ts'
import type { Segment } from '../logs/segments.ts'
import type { Stream } from '../logs/stream.ts'
import type { Message } from '../publish/message.ts'
import type { Delivery } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import type { PendingWill } from '../session/will.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import type { Link } from './link.ts'
import type { DelayedQuery, RecoveredCursor, RecoveredDelayedPage, RecoveredId, SeenOf } from './recovered.ts'

/** Whose log it is: a session's, that of one priority of a queue, a stream's. */
export interface LogOwner {
  /** No two have the same, whatever their kind. */
  readonly number: number
  /** Of somebody who may have an entry acknowledged before it is written; null: nobody is there. */
  readonly link: Link | null
}

/** As `RecoveredCursor` has it. */
export type StreamCursor = Omit<RecoveredCursor, 'stream'>

/** A delivery at its place in a log. */
export interface QueuePlace {
  readonly owner: LogOwner
  readonly position: number
  readonly delivery: Delivery
}

/** How far a session's queue was sent, as one turn records it. */
export interface SentMark {
  ticket: number
  /** The first position that was not sent. */
  end: number
}

export interface Journal {
  readonly durable: boolean
  /** Number of the turn being gathered, from 1. */
  readonly ticket: number
  /** Every turn up to this number is committed. */
  readonly committed: number
  /** Counts appended records: unchanged means that nothing needs a commit. */
  readonly appended: number
  /**
   * From here on, what is appended has to survive this much: more for higher numbers, and only whoever commits knows what
   * they stand for. Returns what was asked for before, to be put back.
   */
  requireDurability(durability: number): number
  session(session: Session, expiresAt: number): void
  sessionEnd(session: Session): void
  subscription(session: Session, subscription: Subscription): void
  unsubscription(session: Session, filter: string): void
  /**
   * A filter, without its share group, got its first subscriber or lost its last one, of whatever kind and also while sessions
   * are recovered. For whoever routes from elsewhere; SUBACK and UNSUBACK wait for the ticket where this appended anything.
   */
  interest(namespace: string, filter: string, added: boolean): void
  enqueue(owner: LogOwner, position: number, delivery: Delivery): void
  /** `delivery` is null for a reference that is in the store only. */
  dequeue(owner: LogOwner, position: number, delivery: Delivery | null): void
  release(session: Session, position: number, delivery: Delivery): void
  /** One reference leaves a queue and joins another. `delivery`: as it was; null: it is in the store only. */
  move(owner: LogOwner, position: number, delivery: Delivery | null, to: QueuePlace): void
  incoming(session: Session, packetId: number): void
  incomingEnd(session: Session, packetId: number): void
  /** A queue has this log from here on. */
  log(lane: Lane): void
  /** What became of the message so far, that it failed or was given back; `attempted` says that this was written. */
  attempt(queued: QueuedMessage): void
  attemptEnd(lane: Lane, position: number): void
  /** There is this stream, with this filter, from here on. */
  stream(stream: Stream): void
  /** A segment of it is complete. */
  segment(stream: Stream, segment: Segment): void
  /** Everything before this offset has gone from it. */
  trim(stream: Stream, offset: number): void
  /** How far a session or a group has read it. */
  cursor(stream: Stream, cursor: StreamCursor): void
  cursorEnd(stream: Stream, session: number, name: string, filter: string): void
  /** A queue has seen a message of this id, or no longer knows that it has; `seenForget`: of all that came at that time or before. */
  seen(id: RecoveredId): void
  seenEnd(of: SeenOf, id: string): void
  seenForget(of: SeenOf, until: number): void
  /** A publisher has counted up to this. What `counted` says may still grow, until the turn is over. */
  counted(of: SeenOf, publisher: string, counted: Counted): void
  countedEnd(of: SeenOf, publisher: string): void
  retain(namespace: string, topic: string, message: Message | null, previous: Message | null): void
  will(session: Session, will: PendingWill): void
  willEnd(session: Session): void
  /**
   * The delivery at this position, and all before it, was sent, and `queue.marked` says so. Null: the next ones will be as soon
   * as this turn is committed. Of a delivery whose reference is still to be written it is written with that, if it is.
   */
  sent(session: Session, position: number, delivery: Delivery | null): void
  /** Asks for a page of the log from a position on, of one share group's messages if given; `onQueuePage` gets it. */
  requestPage(owner: LogOwner, fromPosition: number, sharedFilter?: string): void
  /** A message waits until it is due. */
  delayed(delayed: DelayedMessage): void
  /** It does no longer: published, replaced or taken back. */
  delayedEnd(id: number): void
  /** Asks for a page of those that wait, behind everything that was recorded so far. */
  requestDelayed(query: DelayedQuery, use: (page: RecoveredDelayedPage) => void): void
}

const nothing = (): void => {}

/** For a store that keeps nothing. */
export const noJournal: Journal = {
  durable: false,
  ticket: 0,
  committed: 0,
  appended: 0,
  requireDurability: () => 0,
  session: nothing,
  sessionEnd: nothing,
  subscription: nothing,
  unsubscription: nothing,
  interest: nothing,
  enqueue: nothing,
  dequeue: nothing,
  release: nothing,
  move: nothing,
  incoming: nothing,
  incomingEnd: nothing,
  seen: nothing,
  seenEnd: nothing,
  seenForget: nothing,
  counted: nothing,
  countedEnd: nothing,
  retain: nothing,
  will: nothing,
  willEnd: nothing,
  sent: nothing,
  requestPage: nothing,
  log: nothing,
  attempt: nothing,
  attemptEnd: nothing,
  stream: nothing,
  segment: nothing,
  trim: nothing,
  cursor: nothing,
  cursorEnd: nothing,
  delayed: nothing,
  delayedEnd: nothing,
  requestDelayed: nothing,
}
