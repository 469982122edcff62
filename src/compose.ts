/**
 * The composition root: the only file that puts store, core, engine, listeners and HTTP together. What it makes is held by
 * the `Gateway` of `gateway.ts`, which knows none of their classes' constructors.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { loadListenerAccess } from './auth/access-files.ts'
import type { ApiTokens } from './auth/api-tokens.ts'
import type { AuthenticationMethod, Authenticator } from './auth/authenticator.ts'
import { createAuthority } from './auth/authority.ts'
import { ListenerAccess } from './auth/listener-access.ts'
import { composeApi, openApiTokens } from './compose-api.ts'
import { type ComposedListeners, createListeners } from './compose-listeners.ts'
import { composeTraces, type Traces } from './compose-traces.ts'
import { accessOfListeners, authenticatesAnywhere } from './config/access-settings.ts'
import { clientLimitsOf } from './config/client-limits.ts'
import { exportsOf, namespacesOfUsers, quotasOf } from './config/namespaces.ts'
import { queuesOf } from './config/queues.ts'
import type { Schedule } from './config/schedules.ts'
import type { GatewayConfig } from './config/schema.ts'
import { Broker } from './core/broker.ts'
import { Counters } from './core/counters.ts'
import { BrokerQueues } from './core/inspection/queues.ts'
import { type BrokerOptions, defaultBrokerOptions } from './core/options.ts'
import { noJournal } from './core/ports/journal.ts'
import type { Queues } from './core/ports/queues.ts'
import { onQueuePage } from './core/session/queue-pages.ts'
import { BrokerRecovery } from './core/session/recovery.ts'
import { StoredClock, systemClock, wallOffset } from './engine/clock.ts'
import { ClockKeeper } from './engine/clock-keeper.ts'
import { Committer } from './engine/committer.ts'
import { type Culprit, Engine } from './engine/engine.ts'
import { Failure } from './engine/failure.ts'
import type { Qos } from './mqtt/packet.ts'
import { AuditTrail } from './observe/audit-trail.ts'
import { Health } from './observe/health.ts'
import { MetricsHistory, mainFigures } from './observe/history.ts'
import { createLog, type Log } from './observe/log.ts'
import { LoginAudit } from './observe/login-audit.ts'
import { FaultHistory } from './process/fault-history.ts'
import { Schedules } from './schedules/schedules.ts'
import { DiskWatch } from './store/disk-watch.ts'
import { createMemoryStore } from './store/memory.ts'
import { quarantineIfDamaged } from './store/quarantine-if-damaged.ts'
import type { SqliteEvents } from './store/sqlite-database.ts'
import { createSqliteStore } from './store/sqlite-store.ts'
import type { DamageReport, Store } from './store/store.ts'
import type { GatewayWorld } from './world.ts'

/** All that a gateway consists of, put together and with the stored state loaded. It does not listen yet. */
export interface GatewayParts {
  config: GatewayConfig
  /** What a reload has put in its place. */
  inForce: { config: GatewayConfig }
  log: Log
  clock: StoredClock
  store: Store
  broker: Broker
  engine: Engine
  queues: Queues
  committer: Committer
  /** Told of access rules that throw. */
  onRuleError(error: unknown): void
  health: Health
  failure: Failure
  /** Not bound yet. */
  listeners: ComposedListeners
  /** Absent where nothing is stored. */
  clockKeeper: ClockKeeper | undefined
  /** Absent where nothing is on a disk. */
  diskWatch: DiskWatch | undefined
  apiTokens: ApiTokens
  history: MetricsHistory
  traces: Traces
  schedules: Schedules
  /** Absent where code decides who may connect. */
  access: ListenerAccess | undefined
  /** The namespace of each user that has one by the configuration. */
  userNamespaces: { inForce: ReadonlyMap<string, string> }
}

/** Rejects with a StoreError where the store can't be opened. */
export async function composeGateway(config: GatewayConfig, world: GatewayWorld): Promise<GatewayParts> {
  const log = createLog(config.logLevel)
  const clock = new StoredClock(world.clock ?? systemClock)
  const health = new Health()
  const failure = new Failure((error) => {
    health.failure = error
    log.fatal({ err: error }, 'nothing can be made safe any more: nothing is acknowledged, and the process has to end')
  })
  let diskWatch: DiskWatch | undefined
  const onDamage = (report: DamageReport) => reportDamage(broker, log, report)
  const onFull = (full: boolean) => diskWatch?.report(full)
  const store = world.store ?? createStore(config, { log, failure, onFull, onDamage })
  const faults = world.store === undefined && !config.inMemory ? openFaultHistory(config, log) : undefined
  const core = composeCore(config, { store, log, clock, failure, faults })
  const { broker, engine } = core
  diskWatch = store.durable ? createDiskWatch(config, { store, log, broker, failure }) : undefined
  let clockKeeper: ClockKeeper | undefined
  let apiTokens: ApiTokens
  try {
    clockKeeper = await loadStored({ ...core, store, clock, log, wanted: config.schedules })
    apiTokens = openApiTokens(config, log)
  } catch (error) {
    await store.close().catch(() => {})
    throw error
  }
  const inForce = { config }
  const queues = new BrokerQueues(broker)
  const history = new MetricsHistory(() => mainFigures(broker))
  const traces = composeTraces(config, engine, log)
  const answers = composeApi(inForce, apiTokens, {
    ...{ ...core, queues, traces, clock, log, history, durable: store.durable, reload: world.reload },
    sourceOf: world.sourceOf ?? (() => undefined),
    listeners: () => listeners.set.all,
  })
  const listeners: ComposedListeners = createListeners(config, { broker, engine, queues, health, log, ...answers })
  return {
    ...core,
    queues,
    config,
    inForce,
    log,
    clock,
    clockKeeper,
    store,
    health,
    failure,
    listeners,
    diskWatch,
    apiTokens,
    history,
    traces,
  }
}

function createStore(
  config: GatewayConfig,
  { log, failure, onFull, onDamage }: Pick<GatewayParts, 'log' | 'failure'> & Required<SqliteEvents>,
): Store {
  if (config.inMemory) return createMemoryStore()
  if (config.quarantineStore) quarantineIfDamaged(config.dataDir, log)
  const { diskFreeBytesMin, ballastBytes } = config.limits
  const onFailure = (error: Error) => failure.report(error)
  return createSqliteStore({ dataDir: config.dataDir, diskFreeBytesMin, ballastBytes, onFailure, onFull, onDamage })
}

function reportDamage(broker: Broker, log: Log, { session, messages, finding }: DamageReport): void {
  const clientId = broker.sessionsByNumber.get(session)?.clientId
  broker.counters.storeDamaged += Math.max(1, messages)
  log.error({ clientId, messages, finding }, 'part of a queue could not be read: it is set aside and lost')
}

type Foundation = Pick<GatewayParts, 'store' | 'log' | 'clock' | 'failure'> & { faults?: FaultHistory | undefined }
type Core = Pick<
  GatewayParts,
  'broker' | 'engine' | 'committer' | 'onRuleError' | 'access' | 'userNamespaces' | 'schedules'
>

/** What is in force of it is said aloud: a client is refused because of what may be our fault. */
function openFaultHistory({ dataDir }: GatewayConfig, log: Log): FaultHistory {
  const faults = new FaultHistory(dataDir, Date.now)
  for (const { until, ...who } of faults.bans) {
    const fields = { audit: true, ...who, until: new Date(until).toISOString() }
    log.error(
      fields,
      'refused for an hour: this client was there at two faults of the gateway itself within ten minutes',
    )
  }
  return faults
}

function composeCore(config: GatewayConfig, { store, log, clock, failure, faults }: Foundation): Core {
  const counters = new Counters()
  const committer = new Committer(
    store,
    {
      onCommit: () => engine.onCommit(),
      onPage: (page) => engine.run(() => onQueuePage(broker, page)),
      onDelayedPage: (page, use) => engine.run(() => use(page)),
      onFatal: (error) => failure.report(error),
      onBatch({ records, seconds }) {
        counters.commitSeconds.observe(seconds)
        counters.batchRecords.observe(records)
      },
    },
    { pendingBytesMax: config.limits.pendingCommitBytesMax, durability: config.durability, clock },
  )
  const onRuleError = (error: unknown): void => {
    counters.authorityErrors++
    log.error({ err: error }, 'an authenticator or an access rule failed: that is a no')
  }
  const access = createAccess(config, { log, counters, onError: onRuleError })
  const userNamespaces = { inForce: namespacesOfUsers(config.namespaces) }
  const methods = config.authenticationMethods as Readonly<Record<string, AuthenticationMethod>>
  const authority = createAuthority(
    access === undefined
      ? {
          authenticator: config.authenticator as Authenticator | undefined,
          methods,
          allowAnonymous: config.allowAnonymous,
        }
      : // It is asked about anonymous clients as well: rules hold for them too.
        {
          authenticator: access,
          methods,
          beginExchange: (method, request) => access.beginExchange(method, request),
          allowAnonymous: false,
        },
    {
      inTurn: (answer) => engine.run(answer),
      onError: onRuleError,
      steadyTime: (wallTime) => wallTime - wallOffset(clock),
      namespaceOf: (principal) => userNamespaces.inForce.get(principal),
    },
  )
  const broker: Broker = new Broker(brokerOptions(config), {
    journal: store.durable ? committer : noJournal,
    authority,
    limitsOf: clientLimitsOf(config),
    counters,
    log,
    assignedIdPrefix: `mqtide-${randomBytes(6).toString('hex')}-`,
    hashSeed: randomBytes(4).readInt32LE(),
    ...(faults !== undefined && { bans: faults }),
    audit: new AuditTrail(log, () => performance.now()),
  })
  const { outputBufferBytesMax } = config.limits
  const roomLimits = config.limits
  const onFault = (error: Error, { packet, ...who }: Culprit): void => {
    const culprit = { ...who, packet: packet === null ? '' : Buffer.from(packet).toString('hex') }
    faults?.record({ ...culprit, error: String(error) })
    log.fatal(culprit, 'a fault of the gateway itself: please report it')
    failure.report(error)
  }
  const engine: Engine = new Engine(broker, committer, clock, log, { outputBufferBytesMax, roomLimits, onFault })
  const schedules = new Schedules(broker, (fields, text) => log.warn(fields, text))
  return { broker, engine, committer, onRuleError, access, userNamespaces, schedules }
}

/** @throws AccessFileError where a file of users, rules or keys has a fault */
function createAccess(
  config: GatewayConfig,
  { log, counters, onError }: { log: Log; counters: Counters; onError(error: unknown): void },
): ListenerAccess | undefined {
  const { authenticator, authenticationMethods } = config
  const settings = accessOfListeners(config)
  const isConfigured = settings.common !== undefined || settings.own.size > 0
  if (authenticator !== undefined || (Object.keys(authenticationMethods).length > 0 && !isConfigured)) return undefined
  const audit = new LoginAudit(log, () => performance.now())
  return new ListenerAccess(loadListenerAccess(settings), {
    now: Date.now,
    sleep: (ms) => setTimeout(ms),
    onError,
    onStep: (step, answer) => counters.authenticationSteps.add(`${step}\t${answer}`),
    onLogin: (result, credential, step) => {
      counters.logins.add(result)
      if (result !== 'yes' && result !== 'anonymous') audit.refused(result, credential, step)
    },
  })
}

function brokerOptions(config: GatewayConfig): BrokerOptions {
  const { limits, protocol, sharedSubscriptions } = config
  return {
    ...defaultBrokerOptions,
    ...limits,
    ...protocol,
    serverKeepAliveSeconds: protocol.serverKeepAliveSeconds,
    responseInformation: protocol.responseInformation,
    maximumQos: protocol.maximumQos as Qos,
    sessionQueueFull: config.sessionQueueFull,
    sessionOwnership: authenticatesAnywhere(config) ? config.sessionOwnership : 'none',
    sharedStrategy: sharedSubscriptions.strategy,
    sharedGroups: sharedSubscriptions.groups,
    namespaces: quotasOf(config.namespaces),
    exports: exportsOf(config.namespaces),
    queues: queuesOf(config),
  }
}

/** Returns what keeps the clock from then on. */
async function loadStored({
  broker,
  engine,
  committer,
  store,
  clock,
  log,
  schedules,
  wanted,
}: Core & Pick<Foundation, 'store' | 'clock' | 'log'> & { wanted: readonly Schedule[] }) {
  let lastOffset: number | null = null
  const recovery = new BrokerRecovery(broker, (time, wallOffsetMs) => {
    lastOffset = wallOffsetMs
    clock.continueFrom(time, wallOffsetMs)
    broker.now = clock.now()
    broker.wallOffset = wallOffset(clock)
  })
  broker.now = clock.now()
  const { nextSessionNumber, nextMessageId, retainedVersion } = await store.open(recovery)
  broker.nextSessionNumber = Math.max(broker.nextSessionNumber, nextSessionNumber)
  committer.nextMessageId = nextMessageId
  committer.retainedVersion = retainedVersion
  recovery.end()
  engine.run(() => {
    schedules.change(wanted)
    broker.advance(clock.now())
  })
  if (!store.durable) return undefined
  const inTurn = (action: () => void): void => engine.run(action)
  const warn = (fields: object, text: string): void => log.warn(fields, text)
  return new ClockKeeper({ clock, records: committer, inTurn, warn }, lastOffset)
}

/** Refuses new durable work before the disk is full, and says so once. */
function createDiskWatch(
  config: GatewayConfig,
  { store, log, broker, failure }: Pick<GatewayParts, 'store' | 'log' | 'broker' | 'failure'>,
): DiskWatch {
  const { diskFreeBytesMin } = config.limits
  return new DiskWatch(store, {
    onStatistics: (statistics) => {
      broker.counters.store = { ...statistics }
    },
    onFull: (full) => {
      broker.storeFull = full
      const fields = { diskFreeBytes: broker.counters.store?.diskFreeBytes, diskFreeBytesMin }
      if (full) log.error(fields, 'the disk is full or nearly so: what would have to be stored is refused')
      else log.info(fields, 'the disk has room again')
    },
    onError: (error) => failure.report(error),
  })
}
