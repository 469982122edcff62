/** The core's settings. Names are those of the configuration; each limit has its unit in its name. */
import type { Qos } from '../mqtt/packet.ts'
import type { DeclaredQueue } from './logs/definition.ts'
import type { DeclaredStream } from './logs/stream-definition.ts'
import type { ExportRule } from './publish/export.ts'
import type { RewriteRule } from './rewrite/rules.ts'
import type { DispatchStrategy } from './subscriptions/shared-group.ts'

/** What happens to a message for a session whose queue is full. */
export const queueFullPolicies = ['drop-oldest', 'drop-newest', 'reject'] as const
export type QueueFullPolicy = (typeof queueFullPolicies)[number]

/**
 * What becomes of a session that belongs to nobody when a principal comes with its client id: the principal gets it, or is
 * refused. `none`: sessions belong to nobody, since nobody is asked who he is.
 */
export type SessionOwnership = 'adopt' | 'strict' | 'none'

export interface BrokerOptions {
  /** Maximum Packet Size, announced to 5.0 clients. */
  packetBytesMax: number
  /** Longest text of a client of JSON. */
  jsonMessageBytesMax: number
  /** Incoming PUBLISHes at QoS 1 and 2 that a 5.0 client may have unanswered. */
  receiveMaximum: number
  /** Topic aliases that a 5.0 client may set. */
  topicAliasMaximum: number
  /** Topic aliases set towards a 5.0 client, at most; its own maximum holds too. */
  outgoingTopicAliasMaximum: number
  /** Outgoing PUBLISHes at QoS 1 and 2 in flight; the client's Receive Maximum holds too. */
  inflightMessagesMax: number
  sessionQueueMessagesMax: number
  sessionQueueBytesMax: number
  sessionQueueFull: QueueFullPolicy
  /** Waiting messages of a stored session that stay in memory; the rest is in the store only. */
  residentMessagesMax: number
  /** 0xFFFFFFFF: sessions may last for ever. */
  sessionExpirySecondsMax: number
  subscriptionsPerSessionMax: number
  topicLevelsMax: number
  /** Topic filters of one SUBSCRIBE or UNSUBSCRIBE. */
  filtersPerSubscribeMax: number
  propertiesPerPacketMax: number
  clientIdBytesMax: number
  retainedMessagesMax: number
  routeCacheEntriesMax: number
  routeCacheBytesMax: number
  /** Over all clients, as those that follow. */
  sessionsMax: number
  /** Sessions that belong to no principal. */
  anonymousSessionsMax: number
  subscriptionsMax: number
  subscriptionBytesMax: number
  sharedGroupsPerFilterMax: number
  retainedBytesMax: number
  willBytesMax: number
  /** Messages that wait in memory for sessions. */
  residentBytesMax: number
  /** The same for one session whose queue is in the store too. */
  residentBytesPerSessionMax: number
  handshakeBytesMax: number
  partialPacketBytesMax: number
  outputBytesMax: number
  /** Messages that wait until they are due. */
  delayedMessagesMax: number
  delayedBytesMax: number
  maximumQos: Qos
  retainAvailable: boolean
  wildcardSubscriptionAvailable: boolean
  sharedSubscriptionAvailable: boolean
  subscriptionIdentifiersAvailable: boolean
  /** Longest Keep Alive: 5.0 clients that want a longer one or none are told to use this; undefined: no bound. */
  serverKeepAliveSeconds: number | undefined
  /** Ends the connection of a 3.x client whose PUBLISH a rule refuses, instead of acknowledging and dropping it. */
  closeOnRefusedPublish: boolean
  /** Given to 5.0 clients that ask for response information; undefined: none. */
  responseInformation: string | undefined
  sharedStrategy: DispatchStrategy
  sharedGroups: Readonly<Record<string, DispatchStrategy>>
  /** After a restart the wills of clients that were connected wait at least so long for their return. */
  restartWillGraceMs: number
  connectTimeoutMs: number
  /** How long an authority may take to answer; then it is taken for a no. */
  authenticationTimeoutMs: number
  sessionOwnership: SessionOwnership
  /** Longest time that a new connection waits where only so many are let in each second; then it is refused. */
  connectWaitMsMax: number
  /** Longest time that a client which publishes too fast is not read from; who would have to wait longer is disconnected. */
  ratePauseMsMax: number
  /** Those that clients may be in besides the default one, which may be among them, and what each may use. */
  namespaces: Readonly<Record<string, NamespaceQuotas>>
  /** What of one goes to another. Without loops. */
  exports: readonly ExportRule[]
  /** What becomes of topics, by namespace. Without loops. */
  rewrites: Readonly<Record<string, readonly RewriteRule[]>>
  /** Where each of them says who is there, by its name. */
  presence: Readonly<Record<string, string>>
  /** That clients work on together. */
  queues: readonly DeclaredQueue[]
  /** Streams that are declared, of all namespaces. */
  streams: readonly DeclaredStream[]
}

/** Absent: what all namespaces have together. */
export interface NamespaceQuotas {
  publishesPerSecondMax?: number | undefined
  publishesBurstMax?: number | undefined
  publishBytesPerSecondMax?: number | undefined
  publishBytesBurstMax?: number | undefined
  connectionsMax?: number | undefined
  sessionsMax?: number | undefined
  subscriptionsMax?: number | undefined
  /** Of retained messages in memory, about. */
  retainedBytesMax?: number | undefined
  /** Of messages that wait for sessions, in memory and in the store. */
  queuedBytesMax?: number | undefined
  delayedMessagesMax?: number | undefined
  delayedBytesMax?: number | undefined
}

/** Limits that are asked for each time, so that another value holds at once. Nothing that clients were told is among them. */
export const changeableLimits = [
  'connectTimeoutMs',
  'authenticationTimeoutMs',
  'sessionQueueMessagesMax',
  'sessionQueueBytesMax',
  'sessionExpirySecondsMax',
  'subscriptionsPerSessionMax',
  'filtersPerSubscribeMax',
  'propertiesPerPacketMax',
  'clientIdBytesMax',
  'retainedMessagesMax',
  'sharedGroupsPerFilterMax',
  'residentBytesPerSessionMax',
  'ratePauseMsMax',
  'connectWaitMsMax',
] as const satisfies readonly (keyof BrokerOptions)[]

/** Those of budgets, by the budget's name. */
export const budgetLimits = {
  sessions: 'sessionsMax',
  anonymousSessions: 'anonymousSessionsMax',
  subscriptions: 'subscriptionsMax',
  subscriptionBytes: 'subscriptionBytesMax',
  retainedBytes: 'retainedBytesMax',
  willBytes: 'willBytesMax',
  queueBytes: 'residentBytesMax',
  handshakeBytes: 'handshakeBytesMax',
  partialPacketBytes: 'partialPacketBytesMax',
  outputBytes: 'outputBytesMax',
  delayedMessages: 'delayedMessagesMax',
  delayedBytes: 'delayedBytesMax',
} as const satisfies Readonly<Record<string, keyof BrokerOptions>>

export type ChangeableLimits = Pick<
  BrokerOptions,
  (typeof changeableLimits)[number] | (typeof budgetLimits)[keyof typeof budgetLimits]
>

export const defaultBrokerOptions: BrokerOptions = {
  packetBytesMax: 16 * 1024 * 1024,
  jsonMessageBytesMax: 256 * 1024,
  receiveMaximum: 1000,
  topicAliasMaximum: 64,
  outgoingTopicAliasMaximum: 64,
  inflightMessagesMax: 1000,
  sessionQueueMessagesMax: 1_000_000,
  sessionQueueBytesMax: 1024 * 1024 * 1024,
  sessionQueueFull: 'drop-oldest',
  residentMessagesMax: 1000,
  sessionExpirySecondsMax: 0xffffffff,
  subscriptionsPerSessionMax: 100_000,
  topicLevelsMax: 200,
  filtersPerSubscribeMax: 10_000,
  propertiesPerPacketMax: 1000,
  clientIdBytesMax: 1024,
  retainedMessagesMax: 1_000_000,
  routeCacheEntriesMax: 65_536,
  routeCacheBytesMax: 128 * 1024 * 1024,
  sessionsMax: 1_000_000,
  anonymousSessionsMax: 1_000_000,
  subscriptionsMax: 10_000_000,
  subscriptionBytesMax: 2 * 1024 * 1024 * 1024,
  sharedGroupsPerFilterMax: 1000,
  retainedBytesMax: 1024 * 1024 * 1024,
  willBytesMax: 256 * 1024 * 1024,
  residentBytesMax: 512 * 1024 * 1024,
  residentBytesPerSessionMax: 16 * 1024 * 1024,
  handshakeBytesMax: 64 * 1024 * 1024,
  partialPacketBytesMax: 512 * 1024 * 1024,
  outputBytesMax: 1024 * 1024 * 1024,
  delayedMessagesMax: 1_000_000,
  delayedBytesMax: 1024 * 1024 * 1024,
  maximumQos: 2,
  retainAvailable: true,
  wildcardSubscriptionAvailable: true,
  sharedSubscriptionAvailable: true,
  subscriptionIdentifiersAvailable: true,
  serverKeepAliveSeconds: undefined,
  closeOnRefusedPublish: false,
  responseInformation: undefined,
  sharedStrategy: 'round-robin',
  sharedGroups: {},
  restartWillGraceMs: 30_000,
  connectTimeoutMs: 10_000,
  authenticationTimeoutMs: 10_000,
  sessionOwnership: 'adopt',
  connectWaitMsMax: 10_000,
  ratePauseMsMax: 10_000,
  namespaces: {},
  exports: [],
  rewrites: {},
  presence: {},
  queues: [],
  streams: [],
}
