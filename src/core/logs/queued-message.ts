/** A message in a queue, from when it comes until its last verdict. To the journal it is a delivery like one to a session. */
import type { Qos } from '../../mqtt/packet.ts'
import type { Deadline } from '../deadlines.ts'
import type { RecoveredAttempt } from '../ports/recovered.ts'
import type { Message } from '../publish/message.ts'
import { type Delivery, DeliveryState } from '../session/delivery.ts'
import { noIdentifiers } from '../subscriptions/subscription-index.ts'
import type { Lane } from './lane.ts'
import type { Lease } from './lease.ts'

/** `parked`: ready, but for another of its key that comes first, or because it has to be worked on alone. */
export type QueuedState = 'ready' | 'leased' | 'waiting' | 'parked' | 'gone'

/** Why a message is in a queue of dead letters, or how it came back from there. Kept with the message, as JSON. */
export interface Past {
  /** When it came into this queue. */
  readonly at: number
  /** Where it failed; empty: it was given back to where it had come from. */
  readonly queue: string
  readonly reason: string
  readonly attempts: number
  readonly text: string
}

export class QueuedMessage implements Delivery {
  readonly message: Message
  readonly qos: Qos = 1
  readonly retain = false
  readonly identifiers = noIdentifiers
  readonly group = null
  state: DeliveryState = DeliveryState.waiting
  dup = false
  ticket = 0
  record = -1
  /** With whom it is; null: with nobody. */
  lease: Lease | null = null
  readonly lane: Lane
  readonly position: number
  readonly past: Past | null
  readonly bytes: number
  stage: QueuedState = 'ready'
  /** It was ready from the beginning. */
  isFresh = true
  failed = 0
  returned = 0
  /** By this process. */
  leasesBegun = 0
  /** Under which it is the first; empty: none. */
  key = ''
  /** What was said of its last failure. */
  reason = ''
  dueAt = 0
  /** While it waits for its next attempt. */
  deadline: Deadline | null = null
  /** The store has a row of its attempts. */
  attempted = false

  constructor(lane: Lane, position: number, message: Message, bytes: number, past: Past | null) {
    this.lane = lane
    this.position = position
    this.message = message
    this.bytes = bytes
    this.past = past
  }

  recover({ failed, returned, reason, dueAt }: RecoveredAttempt): void {
    this.failed = failed
    this.returned = returned
    this.reason = reason
    this.dueAt = dueAt
    this.attempted = true
  }

  /** Of the message, whoever has it. A lease's begins with it (`lease.ts`). */
  get id(): string {
    return this.lane.idOf(this.position, this.message)
  }

  /** When it is too late for it; Infinity: never. What failed once is kept longer than its publisher thought. */
  expiryIn(messageTtlMs: number): number {
    const { past, message } = this
    const ttl = messageTtlMs === 0 ? Infinity : (past === null ? message.publishedAt : past.at) + messageTtlMs
    return past === null ? Math.min(message.expiresAt, ttl) : ttl
  }
}

/** As the store keeps it; empty: none. */
export function storedPast(past: Past | null): string {
  return past === null ? '' : JSON.stringify(past)
}

/** Null for a message without one. */
export function recoveredPast(text: string): Past | null {
  return text === '' ? null : (JSON.parse(text) as Past)
}
