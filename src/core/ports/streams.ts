/**
 * What others may see of the streams, and do with them, beside what clients do over MQTT: the HTTP API, metrics, the program that the
 * gateway is part of. Views are copies; every call is made within a turn. What needs the store answers later.
 */
import type { StreamStart } from '../logs/stream-start.ts'
import type { Lazy, MessageView } from './inspection.ts'

/** A stream's name is unique among the streams of its namespace. */
export interface StreamName {
  readonly namespace: string
  readonly name: string
}

/** Since the process began. */
export interface StreamTotals {
  /** Messages taken in. */
  appended: number
  /** That the disk had no room for; each is one of `DropReason` too. */
  refused: number
  /** Sent to readers, a second sending counted again. */
  delivered: number
  /** That went because of the retention, or were trimmed by hand. */
  trimmed: number
  /** Times that a reader came too late for what it was to get next. */
  gaps: number
  /** Messages that readers so did not get. */
  missed: number
}

export interface StreamState extends StreamName {
  readonly filter: string
  /** False: the store has it, and the configuration does not name it any more. It is kept as it is. */
  readonly declared: boolean
  /** Of the oldest message; equal to `nextOffset` where there is none. */
  readonly firstOffset: number
  /** That the next message gets. */
  readonly nextOffset: number
  /** What is kept; about, where some of it could not be read. */
  readonly messages: number
  readonly bytes: number
  /** When the oldest segment began and when the newest message came, in the time of `Broker.now`; null: there is none. */
  readonly oldestAt: number | null
  readonly newestAt: number | null
  /** Subscriptions, those of members of groups too. */
  readonly readers: number
  readonly groups: number
  readonly totals: Readonly<StreamTotals>
}

/** A session's subscription. */
export interface StreamReaderView {
  readonly clientId: string
  readonly connected: boolean
  /** Only topics that match; null: all. */
  readonly filter: string | null
  /** It shares its group's cursor; null: it has one of its own. */
  readonly group: string | null
  /** Everything before it is acknowledged; of a member, as its group's. */
  readonly cursor: number
  /** Messages behind the cursor, whether they match the filter or not. */
  readonly lag: number
  /** Sent and not yet acknowledged. */
  readonly inflight: number
  /** Its cursor outlives its connection. */
  readonly stored: boolean
}

export interface StreamGroupName {
  readonly group: string
  readonly filter: string | null
}

export interface StreamGroupView extends StreamGroupName {
  readonly cursor: number
  readonly lag: number
  readonly inflight: number
  /** Acknowledged behind the cursor already. */
  readonly settledAhead: number
  readonly members: number
}

export interface StreamMessageView {
  readonly offset: number
  /** When it was taken in, in the time of `Broker.now`. */
  readonly at: number
  readonly message: MessageView
}

export interface StreamQuery {
  readonly from: StreamStart
  /** Only topics that match; null: all. */
  readonly filter: string | null
  readonly messagesMax: number
  /** A message begun below it comes whole. */
  readonly bytesMax: number
}

export interface StreamPart {
  readonly messages: readonly StreamMessageView[]
  /** Where to read on: behind the last message that was looked at. */
  readonly nextOffset: number
  /** That was the newest there is. False: there is more, though `messages` may be empty where few match the filter. */
  readonly atEnd: boolean
  /** Messages that were asked for by offset and are not kept any more. */
  readonly missed: number
}

/** `unknown`: there is no such stream, or no such cursor. `busy`: it is in use, or there are as many groups as there may be. */
export type CursorOutcome = 'done' | 'unknown' | 'busy'

export interface Streams {
  list(): Lazy<StreamState>
  state(stream: StreamName): StreamState | null
  groups(stream: StreamName): readonly StreamGroupView[]
  readers(stream: StreamName): Lazy<StreamReaderView>
  /** False: there is no such stream. What is not committed yet is not there yet. */
  read(stream: StreamName, query: StreamQuery, use: (part: StreamPart) => void): boolean
  /** Calls back once when there is a message at this offset or behind it, or when the stream ends; returns what cancels it. */
  whenReady(stream: StreamName, offset: number, notify: () => void): () => void
  /** Lets go of everything before; returns how many messages; null: there is no such stream. */
  trim(stream: StreamName, before: StreamStart): number | null
  /** The group goes on there. What is with its members stays with them, and what they say of it counts no more. Makes the group if it is new. */
  moveCursor(stream: StreamName, group: StreamGroupName, to: StreamStart): CursorOutcome
  /** `busy`: it has members. */
  deleteCursor(stream: StreamName, group: StreamGroupName): CursorOutcome
}
