/** The part of the composition root that makes core and engine, and what they ask: who may connect, and where it is written down. */
import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { loadListenerAccess } from './auth/access-files.ts'
import type { AuthenticationMethod, Authenticator } from './auth/authenticator.ts'
import { createAuthority } from './auth/authority.ts'
import { ListenerAccess } from './auth/listener-access.ts'
import { BridgeGuard } from './bridges/guard.ts'
import { accessOfListeners, authenticatesAnywhere } from './config/access-settings.ts'
import { clientLimitsOf } from './config/client-limits.ts'
import { exportsOf, namespacesOfUsers, quotasOf } from './config/namespaces.ts'
import { presenceOf } from './config/presence.ts'
import { queuesOf } from './config/queues.ts'
import { rewritesOf } from './config/rewrite.ts'
import type { GatewayConfig } from './config/schema.ts'
import { streamsOf } from './config/streams.ts'
import { Broker } from './core/broker.ts'
import { Counters } from './core/counters.ts'
import { type BrokerOptions, defaultBrokerOptions } from './core/options.ts'
import { noJournal } from './core/ports/journal.ts'
import { onQueuePage } from './core/session/queue-pages.ts'
import { type StoredClock, wallOffset } from './engine/clock.ts'
import { Committer } from './engine/committer.ts'
import { type Culprit, Engine } from './engine/engine.ts'
import type { Failure } from './engine/failure.ts'
import type { Qos } from './mqtt/packet.ts'
import { AuditTrail } from './observe/audit-trail.ts'
import type { Log } from './observe/log.ts'
import { LoginAudit } from './observe/login-audit.ts'
import { FaultHistory } from './process/fault-history.ts'
import { Schedules } from './schedules/schedules.ts'
import type { Store } from './store/store.ts'
import type { Telemetry } from './telemetry/spans.ts'

export interface Foundation {
  store: Store
  log: Log
  clock: StoredClock
  failure: Failure
  faults?: FaultHistory | undefined
  /** Told of each batch too. */
  telemetry?: Telemetry | undefined
}

export interface Core {
  broker: Broker
  engine: Engine
  committer: Committer
  /** Told of access rules that throw. */
  onRuleError(error: unknown): void
  /** Absent where code decides who may connect. */
  access: ListenerAccess | undefined
  /** The namespace of each user that has one by the configuration. */
  userNamespaces: { inForce: ReadonlyMap<string, string> }
  schedules: Schedules
  bridgeGuard: BridgeGuard
}

/** What is in force of it is said aloud: a client is refused because of what may be our fault. */
export function openFaultHistory({ dataDir }: GatewayConfig, log: Log): FaultHistory {
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

interface Batch {
  records: number
  seconds: number
}

function noteBatch(counters: Counters, batch: Batch, telemetry: Telemetry | undefined): void {
  counters.commitSeconds.observe(batch.seconds)
  counters.batchRecords.observe(batch.records)
  telemetry?.committed?.(batch)
}

export function composeCore(
  config: GatewayConfig,
  { store, log, clock, failure, faults, telemetry }: Foundation,
): Core {
  const counters = new Counters()
  const committer = new Committer(
    store,
    {
      onCommit: () => engine.onCommit(),
      onPage: (page) => engine.run(() => onQueuePage(broker, page)),
      onDelayedPage: (page, use) => engine.run(() => use(page)),
      onFatal: (error) => failure.report(error),
      onBatch: (batch) => noteBatch(counters, batch, telemetry),
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
  const bridgeGuard = new BridgeGuard()
  const broker: Broker = new Broker(brokerOptions(config), {
    journal: store.durable ? committer : noJournal,
    authority: bridgeGuard.around(authority),
    limitsOf: clientLimitsOf(config),
    counters,
    log,
    assignedIdPrefix: `mqtide-${randomBytes(6).toString('hex')}-`,
    hashSeed: randomBytes(4).readInt32LE(),
    ...(faults !== undefined && { bans: faults }),
    audit: new AuditTrail(log, () => performance.now()),
  })
  const roomLimits = config.limits
  const { outputBufferBytesMax } = roomLimits
  const onFault = (error: Error, { packet, ...who }: Culprit): void => {
    const culprit = { ...who, packet: packet === null ? '' : Buffer.from(packet).toString('hex') }
    faults?.record({ ...culprit, error: String(error) })
    log.fatal(culprit, 'a fault of the gateway itself: please report it')
    failure.report(error)
  }
  const engine: Engine = new Engine(broker, committer, clock, log, { outputBufferBytesMax, roomLimits, onFault })
  const schedules = new Schedules(broker, (fields, text) => log.warn(fields, text))
  return { broker, engine, committer, onRuleError, access, userNamespaces, schedules, bridgeGuard }
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
    rewrites: rewritesOf(config),
    presence: presenceOf(config),
    queues: queuesOf(config),
    streams: streamsOf(config),
  }
}
