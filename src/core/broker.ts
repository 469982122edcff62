/**
 * The broker: sessions, subscriptions, retained messages and time, as one synchronous and deterministic state machine.
 *
 * Whoever drives it (the engine, or a test) sets `now`, hands decoded packets to `Client`s, tells it of commits and of time,
 * and finds what is to be sent in the `Link`s. It never waits and never reads a clock, a socket or a store.
 */
import type { ProtocolVersion } from '../mqtt/packet.ts'
import { ProtocolError } from '../mqtt/protocol-error.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { type BudgetReading, Budgets, changeBudgets } from './budgets.ts'
import type { Client } from './connection/client.ts'
import { type Cost, workStepsMax } from './cost.ts'
import { Counters, type Gauges, type NamespaceGauges, Traffic, totalOf } from './counters.ts'
import { Deadlines } from './deadlines.ts'
import { DelayedMessages } from './delayed/delayed-messages.ts'
import { DropLedger } from './drop-ledger.ts'
import type { Explainer } from './explain/explainer.ts'
import type { Lane } from './logs/lane.ts'
import { declareQueues } from './logs/queue-set.ts'
import type { Stream } from './logs/stream.ts'
import { declareStreams, writeCursors } from './logs/stream-set.ts'
import { defaultNamespaceName, Namespace } from './namespace.ts'
import { type BrokerOptions, type ChangeableLimits, changeableLimits } from './options.ts'
import { type Audit, noAudit } from './ports/audit.ts'
import { type Authority, anonymousAuthority, type ClientLimits } from './ports/authority.ts'
import { type Bans, noBans } from './ports/bans.ts'
import { ownDirectory, type SessionDirectory } from './ports/directory.ts'
import { type Hooks, undecided } from './ports/hooks.ts'
import { type Journal, noJournal } from './ports/journal.ts'
import { addPresence } from './presence.ts'
import { addExports, type Export, type Exported } from './publish/export.ts'
import type { Message } from './publish/message.ts'
import { Publication } from './publish/publication.ts'
import { type PublishOutcome, publishMessage } from './publish/publish.ts'
import { publishRates } from './publish/publish-rates.ts'
import { IncomingPublish } from './publish/receive.ts'
import { TopicCache } from './publish/route-cache.ts'
import { declareRewrites } from './rewrite/declare.ts'
import { rewrittenMessage } from './rewrite/entrance.ts'
import { SessionEndings } from './session/endings.ts'
import { Session } from './session/session.ts'
import { ContentFilters } from './shaping/content-filters.ts'
import { xorshift } from './subscriptions/shared-group.ts'

/** What the core logs; pino fits. */
export interface Log {
  debug(fields: object, text: string): void
  info(fields: object, text: string): void
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} }

export interface BrokerPorts {
  journal?: Journal
  authority?: Authority
  directory?: SessionDirectory
  bans?: Bans
  audit?: Audit
  /** Absent: none but the broker's own. */
  limitsOf?: (listener: string, principal: string) => ClientLimits
  counters?: Counters
  log?: Log
  /** Begins the client ids that the broker assigns; unlike in another run of the program. */
  assignedIdPrefix?: string
  /** Begins the hash of topics: 32 bits that clients can't know. */
  hashSeed?: number
}

const hashSeedOfTests = 0x811c9dc5

/** Has more to do than a turn allows. */
interface Pumped {
  pump(): void
}

export class Broker {
  readonly options: BrokerOptions
  readonly budgets: Budgets
  readonly journal: Journal
  readonly authority: Authority
  readonly directory: SessionDirectory
  readonly bans: Bans
  readonly audit: Audit
  /** What clients of a listener and a principal may use; changes with the configuration. */
  limitsOf: (listener: string, principal: string) => ClientLimits
  readonly counters: Counters
  readonly log: Log
  readonly deadlines = new Deadlines()
  /** By name. */
  readonly namespaces = new Map<string, Namespace>()
  readonly defaultNamespace: Namespace
  readonly exports: Export[] = []
  /** What the message being routed, or one before it, still brings to other namespaces. */
  readonly exported: Exported[] = []
  readonly topics: TopicCache
  readonly dropLedger = new DropLedger(this)
  readonly cost: Cost = { steps: 0, stepsEnd: Infinity }
  readonly contentFilters = new ContentFilters(this.cost)
  /** Of all namespaces. */
  readonly sessionsByNumber = new Map<number, Session>()
  /** Logs of queues, of all namespaces. Their numbers are among those of sessions. */
  readonly lanesByNumber = new Map<number, Lane>()
  /** The same of streams. */
  readonly streamsByNumber = new Map<number, Stream>()
  /** The one message being routed; routing never nests. */
  readonly publication = new Publication()
  /** The one PUBLISH being judged. */
  readonly incomingPublish = new IncomingPublish()
  /** The disk is nearly full: nothing new is taken that the store would have to keep. Set by the driver. */
  storeFull = false
  /** What is published now was judged before, with others: no limit refuses it any more. */
  inBundle = false
  /** A queue took the message being routed for one that came before. Reset by whoever routes to queues. */
  cameBefore = false
  /** Null: nobody follows messages. */
  explainer: Explainer | null = null
  /** Null: the program around it wants to know nothing. */
  hooks: Hooks | null = null
  /** What a PUBLISH begins as before anything was found against it: allowed, or `undecided` where the program is asked. */
  firstVerdict: number = ReasonCode.success
  readonly endings = new SessionEndings()
  readonly delayed: DelayedMessages
  /** Milliseconds since the epoch on a clock that never jumps, set by the driver before each call. */
  now = 0
  /** What the system's clock says at a time of ours, for people. */
  wallTime: (time: number) => number = (time) => time
  /** By how much the clock of the system is ahead of `now`, when it was last looked at. */
  wallOffset = 0
  /** The client that was the cause of an exception that nobody expected; kept for whoever ends the process because of it. */
  faultyClient: Client | null = null
  /** From `shutDown` on. */
  shuttingDown = false
  /** What it is called by other gateways' bridges; empty: nothing. Set by the driver. */
  gatewayId = ''
  connections = 0
  nextSessionNumber = 1
  nextInProcessNumber = 1
  readonly #hashSeed: number
  /** Never 0. */
  #randomState: number
  readonly #assignedIdPrefix: string
  #assignedIds = 0
  readonly #awaitingCommit = new Set<Pumped>()
  readonly #pieces: ((stepsEnd: number) => boolean)[] = []
  readonly #awaitingTurn = new Set<Pumped>()

  constructor(options: BrokerOptions, ports: BrokerPorts = {}) {
    this.options = options
    this.budgets = new Budgets(options)
    this.journal = ports.journal ?? noJournal
    this.authority = ports.authority ?? anonymousAuthority
    this.directory = ports.directory ?? ownDirectory
    this.bans = ports.bans ?? noBans
    this.audit = ports.audit ?? noAudit
    this.limitsOf = ports.limitsOf ?? (() => ({}))
    this.counters = ports.counters ?? new Counters()
    this.log = ports.log ?? silent
    this.#assignedIdPrefix = ports.assignedIdPrefix ?? 'mqtide-'
    this.#hashSeed = ports.hashSeed ?? hashSeedOfTests
    this.#randomState = (this.#hashSeed | 1) >>> 0
    this.topics = new TopicCache(this.counters, options)
    this.defaultNamespace = this.namespace(defaultNamespaceName)
    for (const name of Object.keys(options.namespaces)) this.namespace(name)
    addExports(this, options.exports)
    declareRewrites(this, options.rewrites)
    addPresence(this, options.presence)
    this.delayed = new DelayedMessages(this)
    declareQueues(this, options.queues)
    declareStreams(this, options.streams)
  }

  /** `asked`: also about each message that a client publishes. */
  hook(hooks: Hooks, asked: boolean): void {
    this.hooks = hooks
    this.firstVerdict = asked ? undecided : ReasonCode.success
  }

  /** From 0 up to 1: the same in each run with the same seed. */
  random(): number {
    this.#randomState = xorshift(this.#randomState)
    return this.#randomState / 0x100000000
  }

  /** The namespace of this name, made where there is none. */
  namespace(name: string): Namespace {
    let namespace = this.namespaces.get(name)
    if (namespace === undefined) {
      const seed = (this.#hashSeed + Math.imul(this.namespaces.size, 0x9e3779b1)) | 0
      const traffic = name === defaultNamespaceName ? this.counters : new Traffic()
      namespace = new Namespace(name, seed, traffic, this)
      namespace.index.onInterest = (filter, added) => this.journal.interest(namespace!.storedName, filter, added)
      this.topics.follow(namespace)
      this.namespaces.set(name, namespace)
    }
    return namespace
  }

  createSession(namespace: Namespace, clientId: string, version: ProtocolVersion): Session {
    const session = new Session(this.nextSessionNumber++, clientId, version, namespace)
    namespace.addSession(session)
    this.sessionsByNumber.set(session.number, session)
    this.counters.sessionsCreated++
    this.budgets.anonymousSessions.used++
    return session
  }

  /** The session belongs to this principal from now on. */
  adopt(session: Session, principal: string): void {
    if (session.principal === '') this.budgets.anonymousSessions.used--
    session.namespace.adopt(session, principal)
  }

  /** A client id that no session has [MQTT-3.1.3-6], in whatever namespace: the client's is not known yet. */
  assignClientId(): string {
    for (;;) {
      const clientId = `${this.#assignedIdPrefix}${(++this.#assignedIds).toString(36)}`
      if (![...this.namespaces.values()].some(({ sessions }) => sessions.has(clientId))) return clientId
    }
  }

  /** Publishes a message of the server itself. @throws ProtocolError for what can be no topic of it */
  publish(message: Message, retain: boolean, namespace = this.defaultNamespace): PublishOutcome {
    const own = rewrittenMessage(this, namespace, message)
    if (namespace.isImported(own.name)) {
      const text = `${own.name} is what another namespace exports, or who is there: it is read only here`
      throw new ProtocolError(ReasonCode.notAuthorized, text)
    }
    return publishMessage(this, namespace, own, retain, null)
  }

  /**
   * To be called before the driver ends the connections at the end of the process. They end because of the server, which may be
   * back in a second: sessions and wills stay in the store as those of clients that are connected, so that the next process gives
   * them the time that it gives after a crash. With a store that keeps nothing the wills are not published.
   */
  shutDown(): void {
    this.shuttingDown = true
    writeCursors(this)
  }

  /** Runs what is due. */
  advance(now: number): void {
    this.now = now
    this.deadlines.fire(now)
  }

  /** The clock of the system is so far ahead of `now`: dates come sooner or later than they seemed to. */
  setWallOffset(offset: number): void {
    if (offset === this.wallOffset) return
    this.wallOffset = offset
    this.delayed.onClock()
  }

  /** What this principal may do has changed: its clients' subscriptions and wills are asked for again. */
  grantsChanged(principal: string): void {
    for (const { client } of this.sessionsByNumber.values()) {
      if (client !== null && client.principal === principal) client.regrant(client.grant)
    }
  }

  /** These limits hold from here on. */
  changeLimits(limits: ChangeableLimits): void {
    for (const name of changeableLimits) this.options[name] = limits[name]
    changeBudgets(this.budgets, limits)
  }

  /** `limitsOf` answers otherwise than before. */
  limitsChanged(): void {
    for (const { client } of this.sessionsByNumber.values())
      if (client !== null) client.rates = publishRates(this, client)
  }

  /** The client's deliveries go on after the next commit. */
  awaitCommit(client: Pumped): void {
    this.#awaitingCommit.add(client)
  }

  /** The client's deliveries go on in the next turn. */
  awaitTurn(client: Pumped): void {
    this.#awaitingTurn.add(client)
  }

  /** Does the rest of something long in later turns: `piece` is called until it returns true, each time for a few steps. */
  later(piece: (stepsEnd: number) => boolean): void {
    this.#pieces.push(piece)
  }

  get turnWanted(): boolean {
    return this.#awaitingTurn.size > 0 || this.#pieces.length > 0
  }

  onTurn(): void {
    const stepsEnd = this.cost.steps + workStepsMax
    // Half of it at most, so that new subscribers are not kept waiting.
    const piecesEnd = this.cost.steps + workStepsMax / 2
    while (this.#pieces.length > 0 && this.cost.steps < piecesEnd) if (this.#pieces[0]!(piecesEnd)) this.#pieces.shift()
    for (const client of [...this.#awaitingTurn]) {
      if (this.cost.steps >= stepsEnd) return
      // It may ask for a further turn; it comes after all others then.
      this.#awaitingTurn.delete(client)
      client.pump()
    }
  }

  onCommit(): void {
    this.endings.onCommit(this.journal.committed)
    if (this.explainer !== null) this.explainer.committed()
    // One at a time: a fault of one leaves the others waiting, not forgotten. Who waits again waits for the next commit.
    for (const client of [...this.#awaitingCommit]) {
      this.#awaitingCommit.delete(client)
      client.pump()
    }
  }

  /** The counters of all namespaces together. */
  totals(): Counters {
    const others = [...this.namespaces.values()].filter((one) => one !== this.defaultNamespace)
    return totalOf(
      this.counters,
      others.map(({ traffic }) => traffic),
    )
  }

  /** Running totals, and a few steps for each namespace. */
  gauges(): Gauges {
    const namespaces = new Map([...this.namespaces.values()].map((one) => [one.name, one.gauges()] as const))
    const total = (of: keyof NamespaceGauges): number => [...namespaces.values()].reduce((sum, one) => sum + one[of], 0)
    return {
      connections: this.connections,
      sessions: total('sessions'),
      subscriptions: total('subscriptions'),
      sharedSubscriptions: total('sharedSubscriptions'),
      retainedMessages: total('retainedMessages'),
      retainedBytes: total('retainedBytes'),
      queuedMessages: total('queuedMessages'),
      queuedBytes: total('queuedBytes'),
      delayedMessages: total('delayedMessages'),
      delayedBytes: total('delayedBytes'),
      inflightMessages: total('inflightMessages'),
      refusals: total('refusals'),
      namespaces,
      routeCacheEntries: this.topics.size,
      bannedClients: this.bans.count,
      routeCacheBytes: this.topics.bytes,
      dropLinesLost: this.dropLedger.linesLost,
      budgets: this.budgetReadings(),
    }
  }

  budgetReadings(): Record<keyof Budgets, BudgetReading> {
    const { budgets, counters } = this
    budgets.routeCacheBytes.used = this.topics.bytes
    budgets.routeCacheBytes.refused = counters.routeCacheEvictions
    return budgets
  }
}
