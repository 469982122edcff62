/**
 * What a store gives back, in the shapes the core takes. The store's port has the same shapes under its own names
 * (`StoredSession` and so on), so that the core knows no store. All times are absolute, in milliseconds since the epoch;
 * `Infinity` is never.
 */
import type { ProtocolVersion, Qos } from '../../mqtt/packet.ts'

export interface RecoveredSession {
  /** Given once and never again: a client id may be reused, a session number is not. */
  number: number
  clientId: string
  version: ProtocolVersion
  /** Seconds, as negotiated; 0xFFFFFFFF: never expires. */
  expiryInterval: number
  /** When it ends unless the client returns; Infinity while connected or if it never expires. */
  expiresAt: number
  /** Whether the client was connected when this was written. */
  connected: boolean
  /** Opaque to the store: the user name, for access control of what is delivered later; empty: none. */
  username: string
  /** Where it belongs; empty: the default one. */
  namespace: string
  /** Who made it; empty: none is known. */
  principal: string
}

export interface RecoveredSubscription {
  session: number
  /** The whole filter, with `$share/group/`. */
  topicFilter: string
  qos: Qos
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
  /** 0: none. */
  identifier: number
}

/** A message body, written once whatever the number of its recipients. */
export interface RecoveredMessage {
  /** 0: only one reference names it, and it lies with that. */
  id: number
  topic: string
  payload: Uint8Array
  /** Encoded MQTT 5.0 properties that a receiver gets, in the publisher's order. */
  properties: Uint8Array
  /** The publisher's QoS. */
  qos: Qos
  expiresAt: number
  /** The publishing client, for No Local; empty for the server itself. */
  publisher: string
  publishedAt: number
}

export interface RecoveredRetained {
  namespace: string
  topic: string
  message: RecoveredMessage
}

/** One message in one session's queue, or in another log by its number. Its packet identifier is position mod 65,535, plus 1. */
export interface RecoveredReference {
  session: number
  position: number
  /** 0: the message lies with this reference. */
  messageId: number
  /** The QoS of this delivery. */
  qos: Qos
  retain: boolean
  /** The `$share` filter it was dispatched for, empty: none. In a queue's log: why the message is there, as JSON. */
  sharedFilter: string
  subscriptionIdentifiers: readonly number[]
}

export interface RecoveredWill {
  session: number
  topic: string
  payload: Uint8Array
  properties: Uint8Array
  qos: Qos
  retain: boolean
  /** Seconds. */
  delayInterval: number
  /** Seconds; -1: none. */
  messageExpiryInterval: number
  /** When it is due; Infinity while its client is connected. */
  dueAt: number
}

/** The log of a queue that clients work on together, one for each priority. Its number is one of those of sessions. */
export interface RecoveredLog {
  number: number
  /** Empty: the default one. */
  namespace: string
  /** The queue's. */
  name: string
  priority: number
  /** What the queue takes in; empty: only what is published to it. For people: the configuration says it. */
  filter: string
}

/** What became of a message of such a log so far, where that is not nothing. */
export interface RecoveredAttempt {
  log: number
  position: number
  failed: number
  /** Times that it was given back without a fault of its own. */
  returned: number
  /** 0: at once. */
  dueAt: number
  /** What was said of the last failure. */
  reason: string
}

/** A stream. The number of its log is one of those of sessions; a position of its log is an offset. */
export interface RecoveredStream {
  number: number
  /** Empty: the default one. */
  namespace: string
  name: string
  /** What it takes in. For people: the configuration says it. */
  filter: string
  /** Everything before it has gone. */
  firstOffset: number
}

/** Messages of a stream that follow each other, and are complete. */
export interface RecoveredSegment {
  stream: number
  firstOffset: number
  /** When its first and its last message came. */
  firstAt: number
  lastAt: number
  messages: number
  bytes: number
}

/** How far a stream was read. */
export interface RecoveredCursor {
  stream: number
  /** 0: it is a group's. */
  session: number
  /** The group's; empty for a session. */
  name: string
  /** The whole filter of a session's subscription; of a group what follows the stream, empty: all. */
  filter: string
  /** Everything before it is acknowledged. */
  position: number
  /** What came before this time is not wanted; 0: everything is. */
  notBefore: number
  /** Of a group, what was handed out behind the position, as `consumer-group.ts` writes it. */
  open: string
}

/** Of which queue something is that says what it has seen. */
export interface SeenOf {
  /** Empty: the default one. */
  namespace: string
  /** Its address. */
  log: string
}

/** A message of this id was there. */
export interface RecoveredId extends SeenOf {
  id: string
  /** When. */
  at: number
  /** Number of the log, and position, where it came in. */
  lane: number
  position: number
}

/** How far a publisher has counted its messages. */
export interface RecoveredSequence extends SeenOf {
  /** Client id. */
  publisher: string
  sequence: number
  at: number
}

/** A part of one session's queue, or of a log of another kind. */
export interface RecoveredPage {
  session: number
  /** In order of position. */
  entries: readonly { reference: RecoveredReference; message: RecoveredMessage }[]
  /** Whether positions beyond the last entry exist. */
  more: boolean
}

/** A message that waits until it is due. */
export interface RecoveredDelayed {
  id: number
  /** Empty: the default one. */
  namespace: string
  clock: 'steady' | 'system'
  /** On that clock. */
  dueAt: number
  retain: boolean
  /** Of its publisher; empty: none. */
  principal: string
  /** Empty: none. */
  scheduleId: string
  /** From when it is due on; -1: none. */
  expirySeconds: number
  topic: string
  payload: Uint8Array
  properties: Uint8Array
  qos: Qos
  publisher: string
  publishedAt: number
}

/** Those that are due behind `after`, in order, until `untilDueAt`, up to both limits (at least one if any). */
export interface DelayedQuery {
  clock: 'steady' | 'system'
  after: { readonly dueAt: number; readonly id: number }
  untilDueAt: number
  messagesMax: number
  bytesMax: number
}

export interface RecoveredDelayedPage {
  entries: readonly RecoveredDelayed[]
  /** Whether others follow until `untilDueAt`. */
  more: boolean
}

/** How many there are of one namespace and clock, and their bytes of topic, payload and properties. */
export interface RecoveredDelayedCount {
  namespace: string
  clock: 'steady' | 'system'
  messages: number
  bytes: number
  /** The highest there is. */
  lastId: number
}

/** One that can be replaced and taken back by name. */
export interface RecoveredDelayedName {
  id: number
  namespace: string
  clock: 'steady' | 'system'
  principal: string
  publisher: string
  scheduleId: string
  bytes: number
}
