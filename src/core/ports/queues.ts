/**
 * What others may see of the queues, and do with them, beside what clients do over MQTT: the HTTP API, metrics, the program
 * that the gateway is part of. Views are copies; every call is made within a turn. What needs the store answers later.
 */
import type { Lazy, MessageView } from './inspection.ts'

/** A queue's name is unique within its namespace. */
export interface QueueName {
  readonly namespace: string
  readonly name: string
}

/** `busy`: that is being done, or a page of the store read, for somebody else; `unknown`: there is no such queue, or no such place. */
export type Begun = 'begun' | 'busy' | 'unknown'

/** Since the process began. */
export interface QueueTotals {
  /** Messages taken in, those that came as dead letters or were redriven too. */
  enqueued: number
  /** Done. */
  settled: number
  /** Failed attempts after which there is another one. */
  retried: number
  /** Given back without a fault: released, or bystanders of a connection that broke. */
  returned: number
  deadLettered: number
  /** Went back to the queue that they came from, or were moved by hand. */
  redriven: number
  purged: number
  /** Ended otherwise without having been settled, by reason: each is one of `DropReason` too. */
  dropped: number
  /** Messages that were not taken in because the queue was full. */
  refused: number
  /** Messages that were there before, and were acknowledged and not taken in again. */
  duplicates: number
  /** Ids and publishers that were forgotten before their time, because there were too many. */
  forgotten: number
  /** Leases that ended because the verdict took too long. */
  timedOut: number
  /** Times that so many messages waited behind others of their key that no further ones were looked at. */
  stalled: number
}

export interface QueueState extends QueueName {
  /** Null: it gets only what is published to it, or dead letters. */
  readonly filter: string | null
  /** False: the store has messages of it, and the configuration does not name it any more. They wait. */
  readonly declared: boolean
  readonly ready: number
  readonly leased: number
  /** For their next attempt. */
  readonly waiting: number
  readonly bytes: number
  /** When the oldest came, in the time of `Broker.now`; null: it is empty, or that is not known before it is read. */
  readonly oldestAt: number | null
  readonly consumers: number
  readonly totals: Readonly<QueueTotals>
}

export interface QueueConsumerView {
  readonly clientId: string
  readonly connected: boolean
  readonly prefetch: number
  readonly leased: number
  /** It gets nothing at the moment: it asked for a pause, or owes an acknowledgement that is too late. */
  readonly paused: boolean
}

export interface DeadLetterView {
  readonly queue: string
  readonly reason: string
  readonly attempts: number
  readonly text: string
}

export interface QueuedMessageView {
  /** Opaque: what a verdict names. */
  readonly delivery: string
  readonly state: 'ready' | 'leased' | 'waiting'
  readonly priority: number
  /** From 1: of the delivery that is under way, or would be next. */
  readonly attempt: number
  /** When it is ready again; null unless it waits. */
  readonly dueAt: number | null
  readonly deadLetter: DeadLetterView | null
  readonly message: MessageView
}

export interface PeekedMessages {
  readonly messages: readonly QueuedMessageView[]
  /** Where to look on; null: that was the end. */
  readonly next: string | null
}

export const queueVerdicts = ['ack', 'nack', 'reject', 'release', 'extend'] as const
export type QueueVerdict = (typeof queueVerdicts)[number]

export interface Settlement {
  readonly delivery: string
  readonly verdict: QueueVerdict
  /** Of a `nack`: until the next attempt, in place of the back-off; of an `extend`: the lease's new length. */
  readonly delayMs?: number | undefined
  readonly reason?: string | undefined
}

/** `unknown`: nothing unsettled has this delivery; for `ack` that is as good as done. */
export type SettlementOutcome = 'done' | 'unknown'

/** `duplicate`: it is there already. `full`, `malformed-id`: nothing was kept. */
export type AddOutcome = 'added' | 'duplicate' | 'full' | 'malformed-id' | 'unknown-queue'

export interface AddedMessage {
  /** Empty: the queue's name. */
  readonly topic: string
  readonly payload: Uint8Array
  /** Encoded, as `MessageView` has them. */
  readonly properties: Uint8Array
  readonly expiresAt: number
  readonly publisher: string
}

export interface Queues {
  list(): Lazy<QueueState>
  state(queue: QueueName): QueueState | null
  consumers(queue: QueueName): readonly QueueConsumerView[]
  /** Looks without leasing. `from`: '' or what the last call said is next. */
  peek(queue: QueueName, from: string, max: number, use: (found: PeekedMessages) => void): Begun
  /** Drops what is not being worked on, of topics that match the filter if there is one. */
  purge(queue: QueueName, filter: string | null, done: (purged: number) => void): Begun
  /** Dead letters go back where they came from, with their attempts forgotten; of topics that match the filter if there is one. */
  redrive(queue: QueueName, max: number, filter: string | null, done: (redriven: number) => void): Begun
  /** Leases up to so many of what is ready now, fewer where they are large; null: there is no such queue. */
  receive(queue: QueueName, max: number, leaseMs: number): readonly QueuedMessageView[] | null
  /** Calls back once when something is ready that nobody else took, or when the queue ends; returns what cancels it. */
  whenReady(queue: QueueName, notify: () => void): () => void
  settle(queue: QueueName, settlements: readonly Settlement[]): readonly SettlementOutcome[]
  /** Puts a message into this queue only. What backs it is committed with the turn. */
  add(queue: QueueName, message: AddedMessage): AddOutcome
}
