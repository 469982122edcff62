/**
 * The composition root: the only file that puts store, core, engine, listeners and HTTP together. What it makes is held by
 * the `Gateway` of `gateway.ts`, which knows none of their classes' constructors.
 */
import type { ApiTokens } from './auth/api-tokens.ts'
import { composeApi, openApiTokens } from './compose-api.ts'
import { type ComposedBridges, composeBridges } from './compose-bridges.ts'
import { type Core, composeCore, type Foundation, openFaultHistory } from './compose-core.ts'
import { composeHooks } from './compose-hooks.ts'
import { type ComposedListeners, createListeners } from './compose-listeners.ts'
import { loadTelemetry } from './compose-telemetry.ts'
import { composeTraces, type Traces } from './compose-traces.ts'
import type { Schedule } from './config/schedules.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Broker } from './core/broker.ts'
import { BrokerQueues } from './core/inspection/queues.ts'
import { BrokerStreams } from './core/inspection/streams.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import { BrokerRecovery } from './core/session/recovery.ts'
import { StoredClock, systemClock, wallOffset } from './engine/clock.ts'
import { ClockKeeper } from './engine/clock-keeper.ts'
import { Failure } from './engine/failure.ts'
import { Health } from './observe/health.ts'
import { MetricsHistory, mainFigures } from './observe/history.ts'
import { createLog, type Log } from './observe/log.ts'
import { DiskWatch } from './store/disk-watch.ts'
import { createMemoryStore } from './store/memory.ts'
import { quarantineIfDamaged } from './store/quarantine-if-damaged.ts'
import type { SqliteEvents } from './store/sqlite-database.ts'
import { createSqliteStore } from './store/sqlite-store.ts'
import type { DamageReport, Store } from './store/store.ts'
import type { GatewayWorld } from './world.ts'

/** All that a gateway consists of, put together and with the stored state loaded. It does not listen yet. */
export interface GatewayParts extends Core {
  config: GatewayConfig
  /** What a reload has put in its place. */
  inForce: { config: GatewayConfig }
  log: Log
  clock: StoredClock
  store: Store
  queues: Queues
  /** Told of the program's functions that throw. */
  onHandlerError(error: unknown): void
  streams: Streams
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
  bridges: ComposedBridges
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
  const telemetry = await loadTelemetry(config)
  let diskWatch: DiskWatch | undefined
  const onDamage = (report: DamageReport) => reportDamage(broker, log, report)
  const onFull = (full: boolean) => diskWatch?.report(full)
  const store = world.store ?? createStore(config, { log, failure, onFull, onDamage })
  const faults = world.store === undefined && !config.inMemory ? openFaultHistory(config, log) : undefined
  const core = composeCore(config, { store, log, clock, failure, faults, telemetry })
  const { broker, engine } = core
  const { traced, onHandlerError } = composeHooks(config, engine, { log, telemetry })
  diskWatch = store.durable ? createDiskWatch(config, { store, log, broker, failure }) : undefined
  let clockKeeper: ClockKeeper | undefined
  let apiTokens: ApiTokens
  let bridges: ComposedBridges
  try {
    clockKeeper = await loadStored({ ...core, store, clock, log, wanted: config.schedules })
    apiTokens = openApiTokens(config, log)
    bridges = composeBridges(config, { engine, guard: core.bridgeGuard, log })
    bridges.change(config)
  } catch (error) {
    await store.close().catch(() => {})
    throw error
  }
  const inForce = { config }
  const queues = new BrokerQueues(broker)
  const streams = new BrokerStreams(broker)
  const history = new MetricsHistory(() => mainFigures(broker))
  const traces = composeTraces(config, engine, traced, log)
  const answers = composeApi(inForce, apiTokens, {
    ...{ ...core, queues, streams, bridges, traces, clock, log, history, durable: store.durable, reload: world.reload },
    sourceOf: world.sourceOf ?? (() => undefined),
    listeners: () => listeners.set.all,
  })
  const listeners: ComposedListeners = createListeners(config, {
    ...{ broker, engine, queues, streams, bridges, health, log },
    ...answers,
  })
  return {
    ...core,
    onHandlerError,
    queues,
    streams,
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
    bridges,
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
