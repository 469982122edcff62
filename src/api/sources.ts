/** What the API asks of the gateway: the composition root brings it together. */

import type { BridgeView } from '../bridges/view.ts'
import type { StreamStart } from '../core/logs/stream-start.ts'
import type { Admission } from '../core/ports/authority.ts'
import type { BundledVerdict, BundleRefusal } from '../core/ports/bundle.ts'
import type { Explanation, Followed, Following } from '../core/ports/explanation.ts'
import type { DelayedAsked, DelayedPart, DelayedView, Inspection, Owner } from '../core/ports/inspection.ts'
import type {
  Begun,
  PeekedMessages,
  QueuedMessageView,
  QueueName,
  Queues,
  Settlement,
  SettlementOutcome,
} from '../core/ports/queues.ts'
import type {
  CursorOutcome,
  StreamGroupName,
  StreamName,
  StreamPart,
  StreamQuery,
  Streams,
} from '../core/ports/streams.ts'
import type { Properties, Qos } from '../mqtt/packet.ts'
import type { FileTraces, FileTraceView, TraceAsked, TraceLine } from '../trace/views.ts'

export type { FileTraceView, TraceAsked }

export const roles = ['viewer', 'operator', 'admin'] as const
/** Each may do what those before it may. */
export type Role = (typeof roles)[number]

export interface Bearer {
  readonly name: string
  readonly role: Role
  /** It may see and change this one only; undefined: the whole gateway. */
  readonly namespace?: string | undefined
}

/** Slows down addresses that bring wrong tokens. */
export interface Throttle {
  /** Milliseconds that an answer has to wait; undefined: it would be too long. */
  reserve(address: string): number | undefined
  mistake(address: string): void
}

export interface ListenerView {
  name: string
  kind: string
  /** Absent while it is not bound; a path for a socket in the file system. */
  host?: string | undefined
  port?: number | undefined
  durability: string
  clients: number
  handshakes: number
}

export interface BudgetView {
  used: number
  max: number
  refused: number
}

export interface OwnMessage {
  namespace: string
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  properties: Properties
}

/** `duplicate`: a queue has it already. The last three: nobody gets it. */
export type Published = 'delivered' | 'no-subscribers' | 'duplicate' | 'quota-exceeded' | 'too-large' | 'no-namespace'

/** What came back for a request. */
export interface Answered {
  topic: string
  payload: string
  encoding: 'utf8' | 'base64'
  properties: Record<string, unknown>
}

export interface ApiActions {
  /** `Inspection.queue`, within a turn: the store is asked when it ends. */
  readQueue: Inspection['queue']
  /** False: it is not connected. */
  disconnect(owner: Owner): boolean
  /** Ends a session, and its connection first; that of a bridge is the bridge's. Resolves when that is committed. */
  endSession(owner: Owner): Promise<'done' | 'unknown' | 'of-bridge'>
  publish(message: OwnMessage): Promise<Published>
  /** All in one commit, or the first for which nothing was taken. */
  publishAll(bundle: {
    messages: readonly OwnMessage[]
    verdicts: readonly BundledVerdict[]
  }): Promise<{ outcomes: readonly ('delivered' | 'no-subscribers' | 'duplicate')[] } | BundleRefusal>
  /** Publishes it and waits for the first answer. */
  request(
    message: OwnMessage,
    timeoutMs: number,
  ): Promise<Answered | Exclude<Published, 'delivered' | 'duplicate'> | 'late' | 'too-many'>
  /** False: nothing is retained there. What was deleted is gone for good once `settled` resolves. */
  deleteRetained(namespace: string, topic: string): boolean
  settled(): Promise<void>
  readDelayed(asked: DelayedAsked): Promise<DelayedPart>
  findDelayed(id: string): Promise<DelayedView | null>
  /** Resolves when it is gone for good; false: it was not there. */
  cancelDelayed(id: string): Promise<boolean>
}

/** Each call within a turn; what changes something is answered when that is stored. Undefined: there is no such queue. */
/** What a queue is asked for and can't begin now, or not at all. */
export type Refused = Exclude<Begun, 'begun'>

export interface ApiQueues extends Pick<Queues, 'list' | 'state' | 'consumers'> {
  /** As configured; undefined: it is not. */
  options(queue: QueueName): Readonly<Record<string, unknown>> | undefined
  peek(queue: QueueName, from: string, max: number): Promise<PeekedMessages | Refused>
  purge(queue: QueueName, filter: string | null): Promise<number | Refused>
  redrive(queue: QueueName, max: number, filter: string | null): Promise<number | Refused>
  /** Waits for the first one, unless whoever asks has gone. */
  receive(
    queue: QueueName,
    wanted: { max: number; waitMs: number; leaseMs: number },
    gone: AbortSignal,
  ): Promise<readonly QueuedMessageView[] | undefined>
  settle(queue: QueueName, settlements: readonly Settlement[]): Promise<readonly SettlementOutcome[] | undefined>
}

/** As with queues. Null or undefined: there is no such stream. */
export interface ApiStreams extends Pick<Streams, 'list' | 'state' | 'groups' | 'readers'> {
  /** As configured; undefined: it is not. */
  options(stream: StreamName): Readonly<Record<string, unknown>> | undefined
  read(stream: StreamName, query: StreamQuery): Promise<StreamPart | undefined>
  trim(stream: StreamName, before: StreamStart): Promise<number | undefined>
  moveCursor(stream: StreamName, group: StreamGroupName, to: StreamStart): Promise<CursorOutcome>
  deleteCursor(stream: StreamName, group: StreamGroupName): Promise<CursorOutcome>
}

/** Bridges to other brokers. Those of the configuration are changed there. */
export interface ApiBridges {
  list(): Iterable<BridgeView>
  find(bridge: QueueName): BridgeView | undefined
  /** What is wrong with the options, with the path of each. */
  put(
    bridge: QueueName,
    options: Readonly<Record<string, unknown>>,
  ): 'done' | 'configured' | 'no-namespace' | readonly { path: readonly PropertyKey[]; message: string }[]
  remove(bridge: QueueName): 'done' | 'configured' | 'unknown'
  /** False: there is none. */
  restart(bridge: QueueName): boolean
}

export interface ReloadResult {
  /** Why nothing has changed; empty: the configuration is in force. */
  faults: readonly string[]
  needRestart: readonly string[]
  warnings: readonly string[]
}

export interface ApiSettings {
  /** Undefined: the program that made the gateway reads no configuration. */
  reload?: (() => Promise<ReloadResult>) | undefined
  logLevel(): string
  setLogLevel(level: string): void
  /** Undefined: nothing is stored. Rejects with an error of name StoreError for what the store refuses. */
  backup?: ((name: string) => Promise<{ file: string; bytes: number }>) | undefined
}

export interface RuleQuestion {
  user?: string | undefined
  clientId: string
  groups: string[]
  address: string
  listener: string
  /** What a token says. */
  namespace?: string | undefined
  certificate: Record<string, string>
  question:
    | { action: 'publish' | 'receive'; topic: string; qos: Qos; retain: boolean }
    /** `filter`: without `$share/group/`, which `shared` tells of. */
    | { action: 'subscribe'; filter: string; shared: boolean; qos: Qos }
}

export interface ApiReadings {
  /** Which rule decides; undefined: code of the program's does. */
  explain(asked: RuleQuestion): { allowed: boolean; because: string } | undefined
  version: string
  configuration(): { path: string; value: unknown; source: string | null }[]
  history(step: '1s' | '1m', since: number): { times: number[]; series: Record<string, number[]> }
  listeners(): ListenerView[]
  /** By series name. */
  metrics(): Record<string, number>
  budgets(): Record<string, BudgetView>
  /** Limits as configured, for one client or one thing each. */
  limits(): Record<string, number>
}

export interface ApiTraces {
  /** `write`: false where it has no room. Null: there are too many already. */
  follow(asked: TraceAsked, write: (line: TraceLine) => boolean): (() => void) | null
  /** Undefined: nothing is written to files. */
  files?: FileTraces | undefined
}

/** As whom something is opened that lasts: somebody whom the API knows, or whoever the listener's authentication says he is. */
export type Visitor = KnownVisitor | { kind: 'client'; username?: string; password?: string; bearer?: string }

export interface KnownVisitor {
  kind: 'known'
  principal: string
  namespace: string
  mayPublish: boolean
}

/** Why a ticket is not given, or not taken. */
export type TicketRefusal = 'unknown' | 'expired' | 'other_listener' | 'other_place' | 'no_room'

/** What a ticket stands for, once it is redeemed. */
export interface Redeemed {
  /** The Authorization header of whoever asked for it. */
  readonly authorization: string | undefined
  /** What it opened is there, and is ended by `end` when another takes its place. Returns what to call when it is over. */
  hold(end: () => void): () => void
}

export interface ApiTickets {
  readonly lifeMs: number
  /** Null: there are too many. */
  issue(authorization: string | undefined, listener: string): string | null
  /** `place`: for what it may be redeemed again; null: for nothing. */
  redeem(ticket: string, use: { listener: string; place: string | null }): Redeemed | TicketRefusal
}

/** A browser that has brought a token once. */
export interface Login {
  readonly token: string
  readonly csrfToken: string
}

export interface ApiLogins {
  open(token: string): Login & { cookie: string }
  find(cookie: string): Login | undefined
  close(cookie: string): void
  isSame(given: string, expected: string): boolean
}

export interface ApiSources {
  logins: ApiLogins
  tickets: ApiTickets
  onTicketRefused(reason: TicketRefusal): void
  traces: ApiTraces
  /** Null: too many follow messages already. */
  explain(asked: Followed, tell: (explanation: Explanation) => void): Following | null
  /** Clients are asked who they are: then every call needs a token. */
  authenticated(): boolean
  inspection: Inspection
  actions: ApiActions
  queues: ApiQueues
  streams: ApiStreams
  bridges: ApiBridges
  readings: ApiReadings
  settings: ApiSettings
  tokens: { find(token: string): Bearer | undefined }
  throttle: Throttle
  sleep(ms: number): Promise<void>
  /** What the system's clock says at a time of the broker's. */
  wallTime(time: number): number
  /** Steady milliseconds. */
  now(): number
  /** Into the log: what was done, and by whom. */
  audit(fields: object, text: string): void
  /** What was refused. */
  auditRefusal(fields: object, text: string): void
  onStatus(status: number): void
  onError(error: unknown): void
}

/** Who asks, as far as the listener knows. */
export interface Caller {
  /** Without port. */
  address: string
  /** A program of this machine, and no page of somebody else's. */
  local: boolean
  /** A page that this listener served, or no page at all. */
  ownPage: boolean
  /** Name of the listener that he came by. */
  listener: string
  /** Answers his request with events, for as long as it lasts; `refuse` is called where that can't be. */
  serveEvents(asked: {
    filters: readonly string[]
    /** Of a stream: where to begin. */
    from?: string | undefined
    payload: 'utf8' | 'json' | 'base64'
    shaping?: { where?: string; sample?: number; maxPerSecond?: number; latest?: boolean } | undefined
    username?: string | undefined
    password?: string | undefined
    bearer?: string | undefined
    /** Absent: the listener's authentication is asked. */
    admission?: Admission | undefined
    refuse(reasonCode: number, text: string): void
    /** Told how to end it, once it has begun. */
    begun?: ((end: () => void) => void) | undefined
  }): void
  /** Asks the listener's authentication who this is. Resolves with the reason code of its answer. */
  identify(asked: { username?: string; password?: string; bearer?: string }): Promise<number>
}
