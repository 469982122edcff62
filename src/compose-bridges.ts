/**
 * The part of the composition root that makes bridges: the session of each in the core, its connection to the engine, and what its state
 * is told to.
 */
import type { ApiBridges } from './api/sources.ts'
import type { Bridge, BridgeWorld } from './bridges/bridge.ts'
import { Bridges } from './bridges/bridges.ts'
import { gatewayIdOf, newGatewayId } from './bridges/gateway-id.ts'
import { type BridgeGuard, bridgePrefix } from './bridges/guard.ts'
import { KeptBridges } from './bridges/kept-bridges.ts'
import type {
  Accepts,
  LocalConnection,
  LocalStream,
  Outbox,
  OutboxLimits,
  OutboxSubscription,
} from './bridges/outbox.ts'
import type { BridgeSettings } from './bridges/settings.ts'
import type { BridgeView, OutboxState } from './bridges/view.ts'
import { viewOf } from './bridges/view-of.ts'
import { bridgeSettings, bridgesMax, bridgesOf, parseBridge } from './config/bridges.ts'
import { type ConfigIssue, lineOf } from './config/config-error.ts'
import type { GatewayConfig } from './config/schema.ts'
import type { Broker } from './core/broker.ts'
import type { Namespace } from './core/namespace.ts'
import type { Peer } from './core/ports/peer.ts'
import { DeliveryState } from './core/session/delivery.ts'
import { neverExpires, type Session } from './core/session/session.ts'
import { endSession } from './core/session/session-lifecycle.ts'
import { packetIdOf, packetIds } from './core/session/window.ts'
import { subscribe, unsubscribe } from './core/subscriptions/subscribe.ts'
import type { ByteStream } from './engine/byte-stream.ts'
import { Connection } from './engine/connection.ts'
import type { Engine } from './engine/engine.ts'
import { newMessage } from './engine/own-message.ts'
import { Room } from './engine/room.ts'
import { encodeUtf8 } from './mqtt/utf8.ts'
import type { Log } from './observe/log.ts'

/** Namespaces have no slash in their names. */
const keyOf = ({ namespace, name }: BridgeName): string => `${namespace}/${name}`

type BridgeName = Pick<BridgeSettings, 'namespace' | 'name'>

interface Parts {
  engine: Engine
  guard: BridgeGuard
  log: Log
}

export interface ComposedBridges {
  set: Bridges
  /** Those of the API. */
  kept: KeptBridges
  /** Puts those of a configuration in force, and those of the API whose names it does not take. */
  change(config: GatewayConfig): void
  views(): BridgeView[]
}

export function composeBridges(config: GatewayConfig, { engine, guard, log }: Parts): ComposedBridges {
  const { broker } = engine
  const gatewayId = config.inMemory ? newGatewayId() : gatewayIdOf(config.dataDir)
  const room = new Room({ connectionsMax: Infinity, handshakesMax: Infinity })
  const world: BridgeWorld = {
    gatewayId,
    topicLevelsMax: broker.options.topicLevelsMax,
    now: () => performance.now(),
    after: (ms, action) => engine.after(ms, action),
    later: queueMicrotask,
    random: Math.random,
    log,
    onConnected: (bridge, connected) => publishState(engine, bridge.settings, connected ? '1' : '0'),
  }
  const set = new Bridges({
    ...world,
    outbox: ({ namespace, name }) =>
      new SessionOutbox(engine, { namespace: broker.namespace(namespace), name, durability: config.durability, room }),
    // Also of those that are kept and not understood.
    endOthers: (wanted) => endOthers(engine, [...wanted, ...kept.all], log),
    onRemoved: ({ settings }) => publishState(engine, settings, ''),
  })
  broker.gatewayId = gatewayId
  guard.bridges = set
  guard.gatewayId = gatewayId
  const kept = new KeptBridges(config.inMemory ? undefined : config.dataDir)
  let configured: readonly BridgeSettings[] = []
  const sourceOf = ({ settings }: Bridge) =>
    configured.some((one) => keyOf(one) === keyOf(settings)) ? 'configuration' : 'api'
  const wallTime = (time: number): number => Math.round(performance.timeOrigin + time)
  return {
    ...{ set, kept, views: () => set.all.map((bridge) => viewOf(bridge, sourceOf(bridge), wallTime)) },
    change(wanted) {
      configured = bridgesOf(wanted)
      set.change([...configured, ...ofApi(wanted, kept, log)])
    },
  }
}

/** What the API does about them. */
export function composeApiBridges(inForce: { readonly config: GatewayConfig }, bridges: ComposedBridges): ApiBridges {
  const { set, kept } = bridges
  const isConfigured = ({ namespace, name }: BridgeName): boolean =>
    bridgesOf(inForce.config).some((one) => one.namespace === namespace && one.name === name)
  const find = ({ namespace, name }: BridgeName) =>
    bridges.views().find((one) => one.namespace === namespace && one.name === name)
  return {
    list: () => bridges.views(),
    find,
    put(bridge, options) {
      if (isConfigured(bridge)) return 'configured'
      if (bridge.namespace !== 'default' && !Object.hasOwn(inForce.config.namespaces, bridge.namespace))
        return 'no-namespace'
      const { issues } = parseBridge(options)
      const faults = [...issues, ...fileIssues(options), ...(kept.has(bridge) ? [] : roomIssues(set))]
      if (faults.length > 0) return faults
      kept.put({ ...bridge, options })
      bridges.change(inForce.config)
      return 'done'
    },
    remove(bridge) {
      if (find(bridge) === undefined) return 'unknown'
      if (isConfigured(bridge)) return 'configured'
      kept.remove(bridge)
      bridges.change(inForce.config)
      return 'done'
    },
    restart({ namespace, name }) {
      const bridge = set.find(namespace, name)
      bridge?.restart()
      return bridge !== undefined
    },
  }
}

/** Whoever may call the API need not be somebody who may read files here and send them somewhere. */
function fileIssues(options: Readonly<Record<string, unknown>>): ConfigIssue[] {
  const message = 'names a file here, which only the configuration may'
  const ofTls = Object.hasOwn(Object(options['tls']), 'passphraseFile')
  return [
    ...(Object.hasOwn(options, 'passwordFile') ? [{ path: ['passwordFile'], message }] : []),
    ...(ofTls ? [{ path: ['tls', 'passphraseFile'], message }] : []),
  ]
}

function roomIssues({ all }: Bridges): ConfigIssue[] {
  return all.length < bridgesMax ? [] : [{ path: ['name'], message: `there are ${bridgesMax} bridges already` }]
}

/** What was written for an earlier version may not do any more: that is said, and stays in the file. */
function ofApi(config: GatewayConfig, kept: KeptBridges, log: Log): BridgeSettings[] {
  const taken = new Set(bridgesOf(config).map(keyOf))
  return kept.all.flatMap(({ namespace, name, options }) => {
    if (taken.has(keyOf({ namespace, name }))) {
      log.warn({ bridge: name, namespace }, 'a bridge of the configuration takes the place of one that the API made')
      return []
    }
    const parsed = parseBridge(options)
    if (parsed.issues.length === 0) return [bridgeSettings(namespace, name, parsed.bridge!)]
    log.error({ bridge: name, namespace, issues: parsed.issues.map(lineOf) }, 'a bridge of the API is not understood')
    return []
  })
}

/** As Mosquitto has it. An empty payload removes it. */
function publishState(engine: Engine, { namespace, name }: BridgeName, payload: string): void {
  const { broker } = engine
  const own = { name: `$SYS/broker/connection/${name}/state`, forwardProperties: new Uint8Array(0), qos: 2 } as const
  engine.run(() => {
    const message = newMessage({ ...own, payload: encodeUtf8(payload), expiresAt: Infinity, publishedAt: broker.now })
    broker.publish(message, true, broker.namespace(namespace))
  })
}

/** Sessions of bridges that are gone from the configuration, since nobody takes what waits in them. */
function endOthers(engine: Engine, kept: readonly BridgeName[], log: Log): void {
  const { broker } = engine
  for (const session of [...broker.sessionsByNumber.values()]) {
    const { clientId, namespace, queue } = session
    if (!clientId.startsWith(bridgePrefix)) continue
    if (kept.some((one) => one.namespace === namespace.name && bridgePrefix + one.name === clientId)) continue
    log.warn({ clientId, waiting: queue.waiting }, 'a bridge is gone: what waited for it is dropped')
    engine.run(() => endSession(broker, session, 'deleted'))
    publishState(engine, { namespace: namespace.name, name: clientId.slice(bridgePrefix.length) }, '')
  }
}

interface SessionOutboxOptions {
  namespace: Namespace
  name: string
  durability: GatewayConfig['durability']
  room: Room
}

class SessionOutbox implements Outbox {
  readonly clientId: string
  readonly #engine: Engine
  readonly #options: SessionOutboxOptions
  #wanted: readonly OutboxSubscription[] = []

  constructor(engine: Engine, options: SessionOutboxOptions) {
    this.#engine = engine
    this.#options = options
    this.clientId = bridgePrefix + options.name
  }

  get #broker(): Broker {
    return this.#engine.broker
  }

  get accepts(): Accepts {
    return this.#broker.options
  }

  get #session(): Session | undefined {
    return this.#options.namespace.sessions.get(this.clientId)
  }

  declare(wanted: readonly OutboxSubscription[], limits: OutboxLimits) {
    this.#wanted = wanted
    return this.#engine.call(() => {
      const made = this.#session === undefined
      const session = this.#session ?? this.#broker.createSession(this.#options.namespace, this.clientId, 5)
      session.version = 5
      session.bounds = { messagesMax: limits.messagesMax, bytesMax: limits.bytesMax, full: limits.full }
      session.stored ||= this.#broker.journal.durable
      this.#lasts(session)
      const filters = new Map<string, OutboxSubscription>()
      // Of several rules with one filter the first decides.
      for (const one of wanted) if (!filters.has(one.topicFilter)) filters.set(one.topicFilter, one)
      for (const filter of [...session.subscriptions.keys()])
        if (!filters.has(filter)) unsubscribe(this.#broker, session, filter)
      return { made, retainedDue: [...filters.values()].filter((one) => this.#subscribe(session, one)) }
    })
  }

  /** Returns whether it is to get retained messages. Until it has got them, Retain Handling 0 is what is stored of it. */
  #subscribe(session: Session, { topicFilter, qos, retainHandling: wanted }: OutboxSubscription): boolean {
    const before = session.subscriptions.get(topicFilter)
    const hasThem = wanted === 1 && before?.retainHandling === 1
    const retainHandling = wanted === 2 ? 2 : hasThem ? 1 : 0
    const request = { topicFilter, qos, noLocal: true, retainAsPublished: true, retainHandling } as const
    // They are asked for when the other broker is there to get them.
    const asked = { request, identifier: 0, wishes: null, refusals: [] }
    const code = subscribe(this.#broker, session, asked, [])
    if (code >= 0x80)
      this.#engine.log.error({ clientId: this.clientId, topicFilter, code }, 'bridge: no room for a filter')
    return retainHandling === 0
  }

  noteRetained(): void {
    const session = this.#session
    if (session === undefined || session.client === null || session.pendingRetained.length > 0) return
    this.#engine.run(() => {
      for (const { topicFilter, retainHandling } of this.#wanted) {
        const subscription = session.subscriptions.get(topicFilter)
        if (retainHandling !== 1 || subscription === undefined || subscription.retainHandling === 1) continue
        subscription.retainHandling = 1
        if (session.stored) this.#broker.journal.subscription(session, subscription)
      }
    })
  }

  keep(): void {
    const session = this.#session
    if (session !== undefined) this.#engine.run(() => this.#lasts(session))
  }

  /** Whatever `sessionExpirySecondsMax` says of clients. */
  #lasts(session: Session): void {
    session.expiryInterval = neverExpires
    if (session.expiry !== null) this.#broker.deadlines.clear(session.expiry)
    if (session.stored) this.#broker.journal.session(session, Infinity)
  }

  connect(stream: LocalStream): LocalConnection {
    const { namespace, name, durability, room } = this.#options
    const peer: Peer = {
      ...{ address: `bridge ${name}`, listener: 'bridge', namespace: namespace.name, certificate: null },
      admission: { grant: null, namespace: namespace.name },
      relays: true,
    }
    return this.#engine.call(() => {
      const connection = new Connection(this.#engine, new BridgeStream(peer, stream), durability, room)
      this.#engine.connections.add(connection)
      return connection
    })
  }

  incoming(): readonly number[] {
    return [...(this.#session?.incoming?.keys() ?? [])]
  }

  sparePacketIds(count: number): readonly number[] {
    const next = packetIdOf(this.#session?.queue.base ?? 0)
    return Array.from({ length: count }, (_, index) => ((next - 2 - index + packetIds) % packetIds) + 1)
  }

  state(): OutboxState {
    const session = this.#session
    if (session === undefined) return { waiting: 0, waitingBytes: 0, inflight: 0, dropped: 0 }
    const { queue, window, dropped, client } = session
    const inflight = client === null ? releasedOf(session) : window.inflight
    return { waiting: queue.waiting, waitingBytes: queue.bytes, inflight, dropped }
  }

  end(): void {
    const session = this.#session
    if (session !== undefined) this.#engine.run(() => endSession(this.#broker, session, 'deleted'))
  }
}

/** While its client is away: exchanges at QoS 2 whose PUBREL is due. The others wait again. */
function releasedOf({ queue, releasedPositions }: Session): number {
  let released = releasedPositions.length
  for (let position = queue.base; position < queue.residentEnd; position++) {
    if (queue.at(position)?.state === DeliveryState.released) released++
  }
  return released
}

/** The bridge's end of a connection as the engine takes it. */
class BridgeStream implements ByteStream {
  readonly headroomBytes = 0
  readonly peer: Peer
  readonly #end: LocalStream

  constructor(peer: Peer, end: LocalStream) {
    this.peer = peer
    this.#end = end
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    return this.#end.write(buffer, start, end)
  }

  pause(): void {
    this.#end.pause()
  }

  resume(): void {
    this.#end.resume()
  }

  end(): void {
    this.#end.end()
  }

  destroy(): void {
    this.#end.destroy()
  }
}
