/** The part of the composition root that gives the HTTP API what it asks for: views, actions, tokens. */
import { isUtf8 } from 'node:buffer'
import { setTimeout } from 'node:timers/promises'
import { type ApiHandler, createApiHandler } from './api/handler.ts'
import { createMetricsRefusal, type MetricsRefusal } from './api/metrics-access.ts'
import { Problem } from './api/problem.ts'
import type {
  Answered,
  ApiActions,
  ApiReadings,
  ApiSettings,
  ApiSources,
  ApiTraces,
  OwnMessage,
} from './api/sources.ts'
import { createTicketGate, type TicketGate } from './api/ticket-gate.ts'
import { AddressThrottle, defaultAddressThrottle } from './auth/address-throttle.ts'
import { ApiTokens, tokensPath, writeFirstToken } from './auth/api-tokens.ts'
import type { ListenerAccess } from './auth/listener-access.ts'
import { Logins } from './auth/logins.ts'
import { Tickets } from './auth/tickets.ts'
import { bridgePrefix } from './bridges/guard.ts'
import { type ComposedBridges, composeApiBridges } from './compose-bridges.ts'
import { allMetrics } from './compose-declared.ts'
import { composeApiQueues } from './compose-queues.ts'
import { composeApiStreams } from './compose-streams.ts'
import { authenticatesAnywhere } from './config/access-settings.ts'
import { consumedOf } from './config/consumed-of.ts'
import { listenersOf } from './config/listeners.ts'
import { namespaceOf, readOnlyBecause } from './config/namespace-of.ts'
import { optionsInForce } from './config/options-in-force.ts'
import { explainRewritten } from './config/rewritten-question.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Broker } from './core/broker.ts'
import { follow } from './core/explain/explainer.ts'
import { cancelDelayed } from './core/inspection/delayed-view.ts'
import { BrokerInspection } from './core/inspection/inspection.ts'
import type { Inspection } from './core/ports/inspection.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import { setRetained } from './core/retained/retained-changes.ts'
import { endSession } from './core/session/session-lifecycle.ts'
import { type StoredClock, wallTimes } from './engine/clock.ts'
import type { Committer } from './engine/committer.ts'
import type { Engine } from './engine/engine.ts'
import type { ReceivedMessage } from './engine/local-subscription.ts'
import { publishAllOwn } from './engine/own-bundle.ts'
import { type OwnMessage as GatewayMessage, publishOwn } from './engine/own-message.ts'
import { requestOwn } from './engine/own-request.ts'
import type { Listener } from './listeners/listener.ts'
import { ProtocolError } from './mqtt/protocol-error.ts'
import { ReasonCode } from './mqtt/reason-code.ts'
import type { MetricsHistory } from './observe/history.ts'
import type { Log } from './observe/log.ts'
import { version } from './observe/version.ts'
import { backupAside } from './store/backup-aside.ts'
import type { GatewayWorld } from './world.ts'

export interface ApiParts {
  broker: Broker
  engine: Engine
  queues: Queues
  streams: Streams
  bridges: ComposedBridges
  committer: Committer
  clock: StoredClock
  log: Log
  listeners(): readonly Listener[]
  history: MetricsHistory
  traces: ApiTraces
  access: ListenerAccess | undefined
  durable: boolean
  reload: GatewayWorld['reload']
  sourceOf: (path: readonly PropertyKey[]) => string | undefined
}

/** Opens the tokens of a data folder; at the first start in it, makes one. @throws AccessFileError */
export function openApiTokens(config: GatewayConfig, log: Log): ApiTokens {
  if (config.inMemory) return new ApiTokens()
  const { dataDir } = config
  const first = writeFirstToken(dataDir, new Date())
  if (first !== undefined) log.info({ file: first }, 'the first API token, of role admin, was written')
  return new ApiTokens(tokensPath(dataDir), (error) => {
    log.error({ faults: error.message.split('\n') }, 'API tokens not read again, the old ones stay')
  })
}

/** What a reload exchanges is asked anew with each call. */
interface InForce {
  readonly config: GatewayConfig
}

export interface ComposedApi {
  api: ApiHandler
  metricsRefusal: MetricsRefusal
  tickets: TicketGate
}

export function composeApi(inForce: InForce, tokens: ApiTokens, parts: ApiParts): ComposedApi {
  const { broker, clock, log } = parts
  broker.wallTime = wallTimes(clock)
  const inspection = new BrokerInspection(broker)
  const sources: ApiSources = {
    authenticated: () => authenticatesAnywhere(inForce.config),
    inspection,
    traces: parts.traces,
    explain: (asked, tell) => follow(broker, asked, tell),
    actions: actionsOf(inForce, inspection, parts),
    queues: composeApiQueues(inForce, parts),
    streams: composeApiStreams(inForce, parts),
    bridges: composeApiBridges(inForce, parts.bridges),
    readings: readingsOf(inForce, parts),
    settings: settingsOf(inForce, parts),
    tokens,
    logins: new Logins(() => performance.now()),
    tickets: new Tickets(() => performance.now()),
    onTicketRefused: (reason) => broker.counters.ticketsRefused.add(reason),
    throttle: new AddressThrottle(defaultAddressThrottle, () => performance.now()),
    sleep: (ms) => setTimeout(ms),
    wallTime: broker.wallTime,
    now: () => performance.now(),
    audit: (fields, text) => log.info({ audit: true, ...fields }, text),
    auditRefusal: (fields, text) => log.warn({ audit: true, ...fields }, text),
    onStatus: (status) => broker.counters.apiAnswers.add(String(status)),
    onError: (error) => log.error({ err: error }, 'a call of the API failed'),
  }
  return {
    api: createApiHandler(sources),
    metricsRefusal: createMetricsRefusal(sources),
    tickets: createTicketGate(sources),
  }
}

function actionsOf(inForce: InForce, inspection: Inspection, { broker, engine, committer }: ApiParts): ApiActions {
  const find = ({ namespace, clientId }: { namespace: string; clientId: string }) =>
    broker.namespaces.get(namespace)?.sessions.get(clientId)
  return {
    readQueue: (...asked) => engine.call(() => inspection.queue(...asked)),
    disconnect(owner) {
      const client = find(owner)?.client ?? null
      if (client === null) return false
      engine.run(() => client.withDurability(() => client.disconnect(ReasonCode.administrativeAction)))
      return true
    },
    async endSession(owner) {
      const session = find(owner)
      if (session === undefined) return 'unknown'
      if (session.clientId.startsWith(bridgePrefix)) return 'of-bridge'
      const end = (): void => {
        session.client?.disconnect(ReasonCode.administrativeAction)
        // One that does not outlive its connection is over by now.
        if (!session.ended) endSession(broker, session, 'deleted')
      }
      const { client } = session
      engine.run(() => (client === null ? end() : client.withDurability(end)))
      await committer.settled()
      return 'done'
    },
    publish: (message) =>
      publish(message, inForce.config.limits.packetBytesMax, engine.broker, (own) =>
        publishOwn({ engine, committer }, own),
      ),
    async publishAll({ messages, verdicts }) {
      const namespaces = messages.map(({ namespace }) => broker.namespaces.get(namespace))
      const index = namespaces.indexOf(undefined)
      const refusal = { part: 'messages', reason: 'unknown_namespace', text: 'there is no such namespace' } as const
      if (index >= 0) return { ...refusal, index }
      const own = messages.map((message, at) => ({ ...message, namespace: namespaces[at]! }))
      return publishAllOwn({ engine, committer }, { messages: own, verdicts })
    },
    async request(message, timeoutMs) {
      const send = (own: GatewayMessage) => requestOwn({ engine, committer }, own, timeoutMs)
      const answer = await publish(message, inForce.config.limits.packetBytesMax, engine.broker, send)
      return typeof answer === 'string' ? answer : answered(answer)
    },
    deleteRetained: (name, topic) =>
      engine.call(() => {
        const namespace = broker.namespaces.get(name)
        if (namespace === undefined || namespace.retained.get(topic) === null || namespace.isReadOnly(topic))
          return false
        const previous = setRetained(broker, namespace, topic, null)
        broker.counters.retainedChanges++
        broker.journal.retain(namespace.storedName, topic, null, previous)
        return true
      }),
    settled: () => committer.settled(),
    readDelayed: (asked) => new Promise((use) => engine.call(() => inspection.delayed(asked, use))),
    findDelayed: (id) => new Promise((use) => engine.call(() => inspection.delayedMessage(id, use))),
    async cancelDelayed(id) {
      const found = await new Promise<boolean>((use) => engine.call(() => cancelDelayed(broker, id, use)))
      if (found) await committer.settled()
      return found
    },
  }
}

async function publish<Outcome>(
  { namespace: name, ...message }: OwnMessage,
  packetBytesMax: number,
  broker: Broker,
  send: (own: GatewayMessage) => Promise<Outcome>,
): Promise<Outcome | 'too-large' | 'no-namespace'> {
  if (message.payload.length + Buffer.byteLength(message.topic) > packetBytesMax) return 'too-large'
  const namespace = broker.namespaces.get(name)
  if (namespace === undefined) return 'no-namespace'
  try {
    return await send({ ...message, namespace })
  } catch (error) {
    if (error instanceof ProtocolError) throw new Problem(400, error.message)
    throw error
  }
}

function answered({ topic, payload, properties }: ReceivedMessage): Answered {
  const { correlationData, ...others } = properties
  const encoding = isUtf8(payload) ? 'utf8' : 'base64'
  return {
    ...{ topic, encoding, payload: Buffer.from(payload).toString(encoding) },
    properties: {
      ...others,
      ...(correlationData !== undefined && { correlationData: Buffer.from(correlationData).toString('base64') }),
    },
  }
}

function settingsOf({ config }: InForce, { log, durable, reload }: ApiParts): ApiSettings {
  return {
    reload,
    logLevel: () => log.level,
    setLogLevel: (level) => {
      log.level = level
    },
    backup: durable && !config.inMemory ? (name) => backupAside(config.dataDir, name) : undefined,
  }
}

function readingsOf(
  inForce: InForce,
  { broker, queues, streams, bridges, listeners, access, history, sourceOf }: ApiParts,
): ApiReadings {
  return {
    explain({ question, namespace, ...asked }) {
      if (access === undefined) return undefined
      const { config } = inForce
      const listener = listenersOf(config).find(({ name }) => name === asked.listener)
      const place = namespaceOf(config, { user: asked.user, namespace, listener })
      return explainRewritten(config, place.name, question, (one) => {
        const readOnly = one.action === 'publish' ? readOnlyBecause(config, place.name, one.topic) : undefined
        const asks = one.action === 'subscribe' ? consumedOf(config, place.name, one) : undefined
        const refusal = place.refusal ?? readOnly ?? asks?.refusal
        if (refusal !== undefined) return { allowed: false, because: refusal }
        const own = access.of(asked.listener)
        const consumed =
          asks?.refusal === undefined && asks !== undefined ? ({ action: 'consume', ...asks } as const) : one
        if (own !== undefined) return own.explain({ ...asked, user: asked.user }, consumed)
        return { allowed: true, because: 'no authentication and no authorization is configured' }
      })
    },
    version,
    configuration: () => optionsInForce(inForce.config, sourceOf),
    history: (step, since) => history.read(step, since),
    listeners: () =>
      listeners().map(({ settings: { name, kind, durability, room }, address }) => {
        const { host, port } = address ?? {}
        return { name, kind, host, port, durability, clients: room.clients, handshakes: room.handshakes }
      }),
    metrics: () => allMetrics({ broker, queues, streams, bridges }),
    budgets: () => ({ ...broker.budgetReadings() }),
    limits: () => {
      const limits = Object.entries(inForce.config.limits)
      return Object.fromEntries(limits.filter((entry): entry is [string, number] => typeof entry[1] === 'number'))
    },
  }
}
