/**
 * How a queue is declared: what it captures, who may work on it at a time, what becomes of what fails, and its limits.
 *
 * The keys are those of the configuration (docs/queues.md). Filter and name are fixed for the queue's life, all else may change.
 */

export const queueDispatches = ['round-robin', 'random', 'least-inflight', 'hash-key'] as const
/** Who of those that have room gets the next message. `hash-key`: always the same one for a key (`keyBy`). */
export type QueueDispatch = (typeof queueDispatches)[number]

export const queueOverflows = ['reject', 'drop-oldest', 'dead-letter-oldest'] as const
/** What happens to a message for a queue that is full. */
export type QueueOverflow = (typeof queueOverflows)[number]

/** What ends a delivery: its PUBACK, or a verdict that is published. */
export const queueSettlements = ['puback', 'explicit'] as const
export type QueueSettlement = (typeof queueSettlements)[number]

export interface QueueRetry {
  /** The first time that a message which failed waits. */
  readonly firstMs: number
  /** Each further time is so many times as long, */
  readonly factor: number
  /** up to this. */
  readonly maxMs: number
  /** Part of each time that is chosen at random, from 0 to 1: 0.2 is from 20 % shorter to 20 % longer. */
  readonly jitter: number
}

/** What of a message says that it was there before: its `message-id`, or the `seq` of its publisher. */
export interface Dedupe {
  /** How long an id is remembered; 0: not at all, or until its message is settled. */
  readonly windowMs: number
  /** `settled`: an id is remembered for as long as its message is unsettled. */
  readonly until: DedupeUntil
  /** Each publisher counts its messages up: what is not above its last number was there before. */
  readonly sequence: boolean
  readonly idsMax: number
  readonly publishersMax: number
}

export const dedupeUntils = ['window', 'settled'] as const
export type DedupeUntil = (typeof dedupeUntils)[number]

export const noDedupe: Dedupe = {
  windowMs: 0,
  until: 'window',
  sequence: false,
  idsMax: 100_000,
  publishersMax: 10_000,
}

/** Whether it asks for anything. */
export function dedupes({ windowMs, until, sequence }: Dedupe): boolean {
  return windowMs > 0 || until === 'settled' || sequence
}

export interface QueueDefinition {
  /** Topics whose messages it gets besides those published to `$queue/<name>`; null: none. */
  readonly filter: string | null
  readonly dispatch: QueueDispatch
  /** `none`, `publisher`, `topic`, `topic-level:N` (from 1) or `property:NAME`: of each key one message at a time is worked on. */
  readonly orderBy: string
  /** The key of `dispatch: hash-key`, in the same words. */
  readonly keyBy: string
  /** Messages that one connection has at a time; its Receive Maximum and its user property `prefetch` hold too. */
  readonly prefetchMax: number
  readonly settle: QueueSettlement
  /** From when a message is its connection's oldest without a verdict. 0: it may take for ever. */
  readonly ackTimeoutMs: number
  /** How long a connection that broke keeps its messages, where its session lives on. */
  readonly reconnectGraceMs: number
  /** A message that failed so often is a dead letter. */
  readonly attemptsMax: number
  readonly retry: QueueRetry
  /** True: into the queue `<name>.dead`; a name: into that queue; false: what would go there is dropped, counted. */
  readonly deadLetter: boolean | string
  /** 0: for ever, or as long as the message's own expiry says. */
  readonly messageTtlMs: number
  /** Everything without a final verdict counts: what is ready, what is being worked on, what waits for its next attempt. */
  readonly messagesMax: number
  readonly bytesMax: number
  readonly overflow: QueueOverflow
  /** Messages handed out in a second, to all consumers together; 0: no limit. */
  readonly dispatchPerSecondMax: number
  /** Consumers may subscribe at QoS 0: what they are sent is done. */
  readonly allowQos0: boolean
  readonly dedupe: Dedupe
}

export const defaultQueueDefinition: QueueDefinition = {
  filter: null,
  dispatch: 'round-robin',
  orderBy: 'none',
  keyBy: 'topic',
  prefetchMax: 100,
  settle: 'puback',
  ackTimeoutMs: 30 * 60 * 1000,
  reconnectGraceMs: 10_000,
  attemptsMax: 10,
  retry: { firstMs: 1000, factor: 2, maxMs: 300_000, jitter: 0.2 },
  deadLetter: true,
  messageTtlMs: 0,
  messagesMax: 1_000_000,
  bytesMax: 1024 * 1024 * 1024,
  overflow: 'reject',
  dispatchPerSecondMax: 0,
  allowQos0: false,
  dedupe: noDedupe,
}

/** A queue of dead letters that nobody declares. */
export const defaultDeadLetterDefinition: QueueDefinition = {
  ...defaultQueueDefinition,
  deadLetter: false,
  overflow: 'drop-oldest',
  messageTtlMs: 14 * 24 * 60 * 60 * 1000,
}

/** A queue as it is declared. */
export interface DeclaredQueue {
  readonly namespace: string
  readonly name: string
  readonly definition: QueueDefinition
}

/** EMQX's: a letter or digit, then letters, digits, `-`, `.` and `_`. */
export const queueNamePattern = /^[0-9a-zA-Z][-.0-9a-zA-Z_]*$/
export const queueNameCharactersMax = 200
/** Of all namespaces together, those of dead letters that are made for them not counted. */
export const declaredQueuesMax = 10_000
/** Without a property `prefetch`, where a PUBACK does not settle. */
export const explicitPrefetchDefault = 10
/** Keys that wait behind another message of theirs; beyond it the queue stands until one of them is free. */
export const blockedMessagesMax = 10_000
/** A verdict asks for no longer a delay. */
export const verdictDelayMsMax = 24 * 60 * 60 * 1000
export const priorityDefault = 4
export const priorityMax = 9

export const deadLetterSuffix = '.dead'

/** Where its dead letters go; null: nowhere. */
export function deadLetterNameOf(name: string, { deadLetter }: QueueDefinition): string | null {
  if (deadLetter === false) return null
  return deadLetter === true ? `${name}${deadLetterSuffix}` : deadLetter
}

/** Whether it says what a key is: `none`, `publisher`, `topic`, `topic-level:N`, `property:NAME`. */
export function isKeySource(text: string): boolean {
  if (text === 'none' || text === 'publisher' || text === 'topic') return true
  return /^topic-level:[1-9][0-9]{0,2}$/.test(text) || /^property:.{1,200}$/.test(text)
}
