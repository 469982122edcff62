/**
 * What of the broker's state may be looked at from outside, as copies: nothing given here changes the broker, and none of it
 * is the broker's own.
 *
 * Lists are lazy. Whoever goes through one stops where it likes and goes on in another turn; what comes and goes meanwhile is
 * in it or not. `null` stands for steps that brought nothing, so that a search that finds nothing can be stopped as well.
 * Times are those of `Broker.now`; Infinity: never.
 */
import type { ProtocolVersion, Qos } from '../../mqtt/packet.ts'

export type Lazy<View> = Iterable<View | null>

/** Whose session it is. */
export interface Owner {
  /** Its name. */
  readonly namespace: string
  readonly clientId: string
}

interface Waiting {
  readonly subscriptions: number
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly inflightMessages: number
  /** Messages that it did not get, for whatever reason. */
  readonly droppedMessages: number
}

export interface ClientView extends Owner, Waiting {
  readonly username: string
  readonly principal: string
  readonly address: string
  readonly listener: string
  readonly protocolVersion: ProtocolVersion
  readonly connectedAt: number
  /** 0: off. */
  readonly keepAliveSeconds: number
  readonly sessionExpirySeconds: number
}

export interface SessionView extends Owner, Waiting {
  readonly connected: boolean
  readonly username: string
  readonly principal: string
  readonly protocolVersion: ProtocolVersion
  /** It is written to the store. */
  readonly stored: boolean
  readonly sessionExpirySeconds: number
  /** Infinity while it is connected. */
  readonly expiresAt: number
}

export interface SubscriptionView extends Owner {
  /** With `$share/group/`. */
  readonly filter: string
  /** Of a shared subscription; empty: it is none. */
  readonly group: string
  readonly qos: Qos
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly identifiers: readonly number[]
}

export interface MessageView {
  /** That of whoever published it. */
  readonly namespace: string
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: Qos
  /** Encoded MQTT 5.0 properties. */
  readonly properties: Uint8Array
  /** Client id; empty: the server itself. */
  readonly publisher: string
  readonly publishedAt: number
  readonly expiresAt: number
}

export interface QueuedView {
  readonly position: number
  /** Null where nothing is kept for a second sending. */
  readonly message: MessageView | null
  readonly qos: Qos
  readonly state: 'waiting' | 'sent' | 'released'
}

/** A part of a queue, from a position on. */
export interface QueueView {
  readonly entries: readonly QueuedView[]
  /** Where to go on; null: it ends here. */
  readonly nextPosition: number | null
}

/** What a due time is counted on: the gateway's clock, which never jumps, or that of the system. */
export type DelayClock = 'steady' | 'system'

/** In the order in which they are due. */
export interface DelayedPlace {
  /** On its clock. */
  readonly dueAt: number
  readonly id: number
}

/** A message that waits until it is due. */
export interface DelayedView {
  /** Says where it stands: nobody else has to know how. */
  readonly id: string
  readonly place: DelayedPlace
  readonly clock: DelayClock
  readonly dueAt: number
  readonly retain: boolean
  /** Empty: it has none. */
  readonly scheduleId: string
  readonly principal: string
  readonly message: MessageView
}

/** Of one clock, behind a place, so many at most. */
export interface DelayedAsked {
  readonly clock: DelayClock
  readonly after: DelayedPlace
  readonly messagesMax: number
}

export interface DelayedPart {
  readonly rows: readonly DelayedView[]
  /** Others follow. */
  readonly more: boolean
}

export interface TopicView {
  readonly namespace: string
  readonly topic: string
  readonly recipients: number
  readonly groups: number
}

/** Who would get a message of a topic. Recipients inside the program have no client id of their own. */
export interface RouteView {
  readonly recipientCount: number
  readonly groupCount: number
  readonly recipients: readonly { name: string; filter: string; qos: Qos; online: boolean }[]
  readonly groups: readonly { name: string; filter: string; strategy: string; members: readonly string[] }[]
}

/** Messages that were dropped, of one client for one reason. */
export interface DropView extends Owner {
  readonly reason: string
  /** The topic's first levels; empty: not known. */
  readonly topicPrefix: string
  readonly count: number
  readonly firstAt: number
  readonly lastAt: number
}

export interface Inspection {
  drops(): Lazy<DropView>
  /** How often a line of these gave way to another. */
  readonly dropLinesLost: number
  clients(): Lazy<ClientView>
  sessions(): Lazy<SessionView>
  subscriptions(): Lazy<SubscriptionView>
  /** Null: there is none, or it is not connected. */
  client(owner: Owner): ClientView | null
  session(owner: Owner): SessionView | null
  subscriptionsOf(owner: Owner): Lazy<SubscriptionView>
  /**
   * Gives at most so many entries to `use`, at once or, where they are in the store, later. False: there is no such session, or
   * its store pages are being read already.
   */
  queue(owner: Owner, fromPosition: number, entriesMax: number, use: (part: QueueView) => void): boolean
  /** Gives what was asked for to `use`, at once or, where it is in the store, later. */
  delayed(asked: DelayedAsked, use: (part: DelayedPart) => void): void
  /** The one of this id, alike; null: there is none. */
  delayedMessage(id: string, use: (found: DelayedView | null) => void): void
  hasNamespace(name: string): boolean
  /** Those that match the filter, in no particular order. */
  retained(namespace: string, filter: string): Lazy<MessageView>
  retainedMessage(namespace: string, topic: string): MessageView | null
  /** Topics whose recipients are kept resolved. */
  topics(): Lazy<TopicView>
  /** Shows at most so many recipients, groups and members of each. */
  route(namespace: string, topic: string, max: number): RouteView
}
