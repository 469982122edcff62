/**
 * What the broker counts, as plain integers: incremented on the hot path, read when metrics are scraped. A drop, a refusal
 * or a closed connection is always counted under a reason.
 */

import type { BudgetReading } from './budgets.ts'
import { Histogram } from './histogram.ts'
import { type BundleRefusal, bundleRefusals } from './ports/bundle.ts'

/**
 * Counts by a label that comes from a closed set (reason names, packet types), never from a client. What is counted comes in
 * runs of the same label (a message dropped for two thousand recipients), so the latest one's count is at hand.
 */
export class LabelledCounter<Label extends string = string> {
  readonly #counts = new Map<Label, { value: number }>()
  #latest: Label | null = null
  #latestCount = { value: 0 }

  /** Labels that are there from the beginning, at 0. */
  constructor(labels: readonly Label[] = []) {
    for (const label of labels) this.#counts.set(label, { value: 0 })
  }

  add(label: Label, amount = 1): void {
    if (label !== this.#latest) this.#find(label)
    this.#latestCount.value += amount
  }

  #find(label: Label): void {
    let count = this.#counts.get(label)
    if (count === undefined) {
      count = { value: 0 }
      this.#counts.set(label, count)
    }
    this.#latest = label
    this.#latestCount = count
  }

  get(label: Label): number {
    return this.#counts.get(label)?.value ?? 0
  }

  get counts(): Map<Label, number> {
    return new Map([...this.#counts].map(([label, { value }]) => [label, value]))
  }
}

/** Why a message ended before it arrived; see `drop`. */
export const dropReasons = [
  /** The output of a QoS 0 recipient, or the room of a subscriber inside the program, is full. */
  'slow_consumer',
  'queue_full',
  'expired',
  /** Larger than the recipient's Maximum Packet Size. */
  'too_large',
  'not_authorized',
  'session_ended',
  'retained_limit',
  /** The disk has no room for what would have to be kept. */
  'store_full',
  'retained_expired',
  'will_refused',
  /** By a hook of the program. */
  'hook_refused',
  /** What another namespace exports could not be taken where it goes. */
  'export_refused',
  /** Who is there could not be said to everybody who wants to know, or not at all. */
  'presence_refused',
  /** Of a queue without dead letters: it failed too often, or nobody is to try it again. */
  'queue_rejected',
  /** Published to a queue that is not there. */
  'no_queue',
  /** A delayed message that could not be taken when it was due: a queue is full, or its topic can't be published to any more. */
  'delayed_refused',
] as const
export type DropReason = (typeof dropReasons)[number]

/** Bytes, and counts since the start. */
export interface StoreFigures {
  commits: number
  recordsWritten: number
  databaseBytes: number
  walBytes: number
  /** What the database file can use of itself. */
  unusedBytes: number
  diskFreeBytes: number
  /** Nothing new is taken in that would have to be stored. */
  full: boolean
}

/** What the clients of one namespace sent and got, and what became of their messages. */
export class Traffic {
  bytesReceived = 0
  bytesSent = 0
  /** PUBLISH packets received, by QoS. */
  readonly messagesReceived = [0, 0, 0]
  /** PUBLISH packets written, by QoS. */
  readonly messagesSent = [0, 0, 0]
  publishBytesReceived = 0
  publishBytesSent = 0
  /** Counted by `drop` alone. */
  readonly messagesDropped = new LabelledCounter<DropReason>(dropReasons)
  /** Packets by their type's number (`PacketType`): arrays, because every packet counts here. */
  readonly packetsReceived = new Float64Array(16)
  readonly packetsSent = new Float64Array(16)
  sessionsExpired = 0
  /** Messages that were taken to be published later. */
  delayedAccepted = 0
  /** That were published when they were due. */
  delayedPublished = 0
  /** By how much later than they were due, together. */
  delayedLatenessSeconds = 0
  /** In whose place the same user put another one of the same name. */
  delayedReplaced = 0
  /** That were taken back. */
  delayedCancelled = 0
  /** Messages that came with another topic, and filters that were subscribed to by another name. */
  topicsRewritten = 0
  filtersRewritten = 0
  /** Messages of schedules that were published, and occurrences that nobody was there for. */
  schedulesPublished = 0
  schedulesMissed = 0
}

/** Of the gateway; and what is counted in each namespace for the default one. */
export class Counters extends Traffic {
  /** By the reason code's name: faults of a peer that ended its connection. */
  readonly protocolErrors = new LabelledCounter()
  /** By result: success or the reason code's name. */
  readonly connects = new LabelledCounter()
  /** By reason: client, server, protocol_error, keep_alive_timeout, session_taken_over, connect_timeout, socket_error, ... */
  readonly disconnects = new LabelledCounter()
  /** PUBACK, PUBREC or PUBCOMP for a packet identifier that is not in flight. */
  unknownAcknowledgements = 0
  /** Faults of our own: the first ends the process. */
  internalErrors = 0
  connectionsAccepted = 0
  connectionsRefused = 0
  /** Hooks of the program that threw, or whose answer is none, by hook. */
  readonly hookErrors = new LabelledCounter()
  /** Events that hooks were not told of: too many waited. */
  hookEventsLost = 0
  /** PUBLISHes that were not taken, by the reason code's name. */
  readonly publishesRefused = new LabelledCounter()
  /** Messages and verdicts that were taken together, and those that were not, by the reason of the first that could not be. */
  bundlesTaken = 0
  readonly bundlesRefused = new LabelledCounter<BundleRefusal['reason']>(bundleRefusals)
  /** Operations of clients of JSON that were answered by an error and not asked of the core, alike. */
  readonly jsonRequestsRefused = new LabelledCounter()
  /** Filters of SUBSCRIBE that were not granted, alike. */
  readonly subscriptionsRefused = new LabelledCounter()
  /** Answers of single steps of authentication, by step and answer. */
  readonly authenticationSteps = new LabelledCounter()
  /** Times that somebody was faster than a limit allows, by the limit. */
  readonly rateLimited = new LabelledCounter()
  /** What publishers got who were: refused, paused, disconnected. */
  readonly rateAnswers = new LabelledCounter()
  sessionsCreated = 0
  sessionsResumed = 0
  sessionsTakenOver = 0
  /** That belonged to nobody and went to the first principal that came. */
  sessionsAdopted = 0
  /** CONNECTs with the client id of somebody else's session. */
  sessionOwnerRefusals = 0
  /** CONNECTs of clients that belong to a namespace that is not there, or not behind their listener. */
  namespaceRefusals = 0
  /** That ended because their client may not have them any more. */
  subscriptionsRevoked = 0
  /** Answers of an authority that were no answers: errors, and anything but a clear word. */
  authorityErrors = 0
  /** Logins under configured authentication, by result: yes, anonymous, or why not. */
  readonly logins = new LabelledCounter()
  /** Re-authentications, by what became of them. */
  readonly renewals = new LabelledCounter()
  authorityTimeouts = 0
  /** Calls of the HTTP API that were answered, by status. */
  readonly apiAnswers = new LabelledCounter()
  /** Messages that shaped subscriptions left out, as was asked for: where, sample, rate, latest. */
  readonly messagesShaped = new LabelledCounter()
  /** Requests of HTTP that came from a page of elsewhere, or asked for a name that is none of ours. */
  readonly pagesRefused = new LabelledCounter()
  /** Tickets that were not given or not taken, by why. */
  readonly ticketsRefused = new LabelledCounter()
  /** Packets that a trace was about and did not get: there were too many at once, or its reader was too slow. */
  tracedPacketsLeftOut = 0
  /** Messages that somebody followed and was not told of, alike. */
  explanationsMissed = 0
  willsPublished = 0
  retainedChanges = 0
  routeCacheHits = 0
  routeCacheMisses = 0
  /** Entries that gave way to others. */
  routeCacheEvictions = 0
  /** Acknowledgements to publishers that had nothing to wait for: no durable recipient, nothing retained. */
  acknowledgedAtOnce = 0
  /** Those that waited for a commit, by what it survives: fsync, process, none. */
  readonly acknowledgements = new LabelledCounter()
  /** Messages that the store could not read; they are lost. */
  storeDamaged = 0
  /** Seconds from the hand-over of a batch to its commit. */
  readonly commitSeconds = new Histogram([
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ])
  /** Records of each batch. */
  readonly batchRecords = new Histogram([1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000])
  /** What the store said of itself last. */
  store: StoreFigures | undefined
  /** Times that reading stopped because too much waited for a commit. */
  commitPauses = 0
  /** Connections closed for want of room without the acknowledgements of earlier messages, whose commit took too long. */
  closedUnacknowledged = 0
}

/** The counters with what all namespaces have together, as they are now. */
export function totalOf(counters: Counters, others: readonly Traffic[]): Counters {
  if (others.length === 0) return counters
  const all = [counters, ...others]
  const sum = (of: (one: Traffic) => number): number => all.reduce((total, one) => total + of(one), 0)
  const messagesDropped = new LabelledCounter<DropReason>(dropReasons)
  for (const one of all) for (const [reason, count] of one.messagesDropped.counts) messagesDropped.add(reason, count)
  const traffic: Traffic = {
    messagesDropped,
    bytesReceived: sum((one) => one.bytesReceived),
    bytesSent: sum((one) => one.bytesSent),
    messagesReceived: counters.messagesReceived.map((_, qos) => sum((one) => one.messagesReceived[qos]!)),
    messagesSent: counters.messagesSent.map((_, qos) => sum((one) => one.messagesSent[qos]!)),
    publishBytesReceived: sum((one) => one.publishBytesReceived),
    publishBytesSent: sum((one) => one.publishBytesSent),
    packetsReceived: counters.packetsReceived.map((_, type) => sum((one) => one.packetsReceived[type]!)),
    packetsSent: counters.packetsSent.map((_, type) => sum((one) => one.packetsSent[type]!)),
    sessionsExpired: sum((one) => one.sessionsExpired),
    delayedAccepted: sum((one) => one.delayedAccepted),
    delayedPublished: sum((one) => one.delayedPublished),
    delayedLatenessSeconds: sum((one) => one.delayedLatenessSeconds),
    delayedReplaced: sum((one) => one.delayedReplaced),
    delayedCancelled: sum((one) => one.delayedCancelled),
    topicsRewritten: sum((one) => one.topicsRewritten),
    filtersRewritten: sum((one) => one.filtersRewritten),
    schedulesPublished: sum((one) => one.schedulesPublished),
    schedulesMissed: sum((one) => one.schedulesMissed),
  }
  return Object.assign(Object.create(counters) as Counters, traffic)
}

/** What is so now in one namespace, asked at scrape. */
export interface NamespaceGauges {
  connections: number
  sessions: number
  subscriptions: number
  sharedSubscriptions: number
  retainedMessages: number
  retainedBytes: number
  queuedMessages: number
  queuedBytes: number
  /** That wait until they are due. */
  delayedMessages: number
  delayedBytes: number
  inflightMessages: number
  /** Times that a quota of the namespace refused. */
  refusals: number
}

/** The same of all of them, where connections before their CONNECT count too, and what there is but once. */
export interface Gauges extends NamespaceGauges {
  /** By name. */
  namespaces: ReadonlyMap<string, NamespaceGauges>
  routeCacheEntries: number
  bannedClients: number
  routeCacheBytes: number
  /** Lines of the drop ledger that gave way to others. */
  dropLinesLost: number
  budgets: Readonly<Record<string, BudgetReading>>
}
