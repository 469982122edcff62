/**
 * The composition root, and the library's public face: the only file that puts store, core, engine, listeners and HTTP
 * together.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import type { AuthenticationMethod, Authenticator } from './auth/authenticator.ts'
import { createAuthority } from './auth/authenticator.ts'
import {
  type GatewayConfig,
  type GatewayOptions,
  isLoopback,
  type LogLevel,
  parseGatewayOptions,
} from './config/schema.ts'
import { Broker } from './core/broker.ts'
import { Counters } from './core/counters.ts'
import type { BrokerOptions } from './core/options.ts'
import { defaultBrokerOptions } from './core/options.ts'
import { noJournal } from './core/ports/journal.ts'
import type { Message } from './core/publish/message.ts'
import { BrokerRecovery, onQueuePage } from './core/session/recovery.ts'
import { type Clock, systemClock } from './engine/clock.ts'
import { Committer } from './engine/committer.ts'
import { Engine } from './engine/engine.ts'
import { LocalSubscription, type ReceivedMessage } from './engine/local-subscription.ts'
import { createHttpServer } from './http/http.ts'
import { createTcpServer, listenBacklog } from './listeners/tcp.ts'
import { acceptWebSockets } from './listeners/websocket.ts'
import { encodeProperties } from './mqtt/encoder.ts'
import type { Properties, Qos } from './mqtt/packet.ts'
import { PacketType } from './mqtt/packet.ts'
import { ReasonCode } from './mqtt/reason-code.ts'
import { isValidTopicName } from './mqtt/topic.ts'
import { encodeUtf8 } from './mqtt/utf8.ts'
import { createLog, type Log } from './observe/log.ts'
import { flatMetrics, metricsText } from './observe/metrics.ts'
import { type SysState, sysIntervalMs, sysTopics } from './observe/sys-topics.ts'
import { version } from './observe/version.ts'
import { createMemoryStore } from './store/memory.ts'
import { quarantineStore } from './store/quarantine.ts'
import { createSqliteStore } from './store/sqlite-store.ts'
import { type Store, StoreError } from './store/store.ts'

export type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationRequest,
  AuthenticationResult,
  AuthenticationStep,
  Authenticator,
  Grant,
} from './auth/authenticator.ts'
export { ConfigError } from './config/config-error.ts'
export type { GatewayConfig, GatewayOptions } from './config/schema.ts'
export type { ReceivedMessage } from './engine/local-subscription.ts'
export type { Properties, Qos } from './mqtt/packet.ts'
export { ReasonCode } from './mqtt/reason-code.ts'
export { StoreError }

export interface OutgoingMessage {
  topic: string
  /** Text is sent as UTF-8. */
  payload?: string | Uint8Array
  qos?: Qos
  retain?: boolean
  /** MQTT 5.0 properties of a PUBLISH; Message Expiry Interval is in seconds. */
  properties?: Properties
}

export interface Address {
  host: string
  port: number
}

/** Things that tests put in the place of the world. */
export interface GatewayWorld {
  clock?: Clock
  store?: Store
}

/** How often the store is asked for the room that is left. */
const diskIntervalMs = 5_000

/** How long `close` waits for HTTP requests under way. Connections of MQTT have their own time to read their DISCONNECT. */
const closeGraceMs = 3_000

export class Gateway {
  readonly config: GatewayConfig
  readonly broker: Broker
  readonly addresses: { mqtt?: Address; http?: Address } = {}
  /** Rejects when nothing can be made safe any more: the gateway has stopped acknowledging and must be ended. */
  readonly failed: Promise<never>
  readonly #engine: Engine
  readonly #committer: Committer
  readonly #store: Store
  readonly #log: Log
  readonly #servers: Server[] = []
  readonly #subscriptions = new Set<LocalSubscription>()
  readonly #startedAt: number
  readonly #clock: Clock
  #fail: (error: Error) => void = () => {}
  #listening = false
  #failure: Error | undefined
  #sysState: SysState | undefined
  #sysTimer: NodeJS.Timeout | undefined
  #diskTimer: NodeJS.Timeout | undefined
  #closed: Promise<void> | undefined

  constructor(config: GatewayConfig, store: Store, log: Log, clock: Clock) {
    this.config = config
    this.#store = store
    this.#log = log
    this.#clock = clock
    this.#startedAt = clock.now()
    this.failed = new Promise<never>((_resolve, reject) => {
      this.#fail = reject
    })
    // Whoever does not ask still sees it in the log; it must not end the process as an unhandled rejection.
    this.failed.catch(() => {})
    this.#committer = new Committer(
      store,
      {
        onCommit: () => this.#engine.onCommit(),
        onPage: (page) => this.#engine.run(() => onQueuePage(this.broker, page)),
        onFatal: (error) => this.fatal(error),
      },
      { pendingBytesMax: config.limits.pendingCommitBytesMax, durability: config.durability, clock },
    )
    const authority = createAuthority(
      config.authenticator as Authenticator | undefined,
      config.authenticationMethods as Readonly<Record<string, AuthenticationMethod>>,
      {
        inTurn: (answer) => this.#engine.run(answer),
        onError: (error) => this.#log.error({ err: error }, 'the authenticator failed: the client is refused'),
      },
    )
    const assignedIdPrefix = `mqtide-${randomBytes(6).toString('hex')}-`
    const journal = store.durable ? this.#committer : noJournal
    const ports = { journal, authority, counters: new Counters(), log, assignedIdPrefix }
    this.broker = new Broker(brokerOptions(config), ports)
    this.#engine = new Engine(this.broker, this.#committer, clock, log, {
      outputBufferBytesMax: config.limits.outputBufferBytesMax,
    })
  }

  /** Loads what the store holds. Called by `createGateway`. */
  async open(): Promise<void> {
    const recovery = new BrokerRecovery(this.broker)
    this.broker.now = this.#clock.now()
    const { nextSessionNumber, nextMessageId } = await this.#store.open(recovery)
    this.broker.nextSessionNumber = Math.max(this.broker.nextSessionNumber, nextSessionNumber)
    this.#committer.nextMessageId = nextMessageId
    recovery.end()
    this.#engine.run(() => this.broker.advance(this.#clock.now()))
  }

  /** Binds the listeners. Rejects when a port can't be had. */
  async listen(): Promise<void> {
    const { host, mqttPort, httpPort, durability: global } = this.config
    const { mqttDurability = global, httpDurability = global } = this.config
    const { connectionsMax } = this.config.limits
    if (mqttPort !== false) {
      const server = createTcpServer(this.#engine, { connectionsMax, durability: mqttDurability })
      this.addresses.mqtt = await this.#bind(server, host, mqttPort)
    }
    if (httpPort !== false) {
      const health = () => this.health()
      const metrics = () => metricsText(this.broker.counters, this.broker.gauges())
      const server = createHttpServer({ health, metrics, version })
      const { allowedOrigins } = this.config
      const listener = { connectionsMax, durability: httpDurability }
      acceptWebSockets(this.#engine, server, { ...listener, allowedOrigins, loopbackOnly: isLoopback(host) })
      this.addresses.http = await this.#bind(server, host, httpPort)
    }
    this.#listening = true
    this.#publishSysTopics()
    this.#sysTimer = setInterval(() => this.#publishSysTopics(), sysIntervalMs)
    this.#sysTimer.unref()
    if (this.#store.durable) {
      this.#diskTimer = setInterval(() => this.#watchDisk(), diskIntervalMs)
      this.#diskTimer.unref()
      await this.#watchDisk()
    }
  }

  async #bind(server: Server, host: string, port: number): Promise<Address> {
    this.#servers.push(server)
    server.listen({ host, port, backlog: listenBacklog })
    await once(server, 'listening')
    const bound = server.address() as AddressInfo
    return { host: bound.address, port: bound.port }
  }

  health(): { ready: boolean; checks: Record<string, string> } {
    const store = this.#failure === undefined ? 'ok' : this.#failure.message
    const listeners = this.#listening && this.#closed === undefined ? 'ok' : 'closed'
    return { ready: store === 'ok' && listeners === 'ok', checks: { store, listeners } }
  }

  /**
   * Publishes a message of the program's own. Resolves when it is as safe as a client's would be at its acknowledgement,
   * rejects where a client would be refused, and with a RangeError for a topic that is no topic name.
   */
  async publish({ topic, payload = '', qos = 0, retain = false, properties = {} }: OutgoingMessage): Promise<void> {
    if (!isValidTopicName(topic)) throw new RangeError(`not a topic name: ${JSON.stringify(topic)}`)
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload.slice()
    const { messageExpiryInterval, topicAlias: _alias, subscriptionIdentifiers: _ids, ...forwarded } = properties
    const forwardProperties = encodeProperties(PacketType.publish, forwarded)
    this.#engine.beginTurn()
    const now = this.broker.now
    const expiresAt = messageExpiryInterval === undefined ? Infinity : now + messageExpiryInterval * 1000
    const appended = this.#committer.appended
    const outcome = this.broker.publish(newMessage(topic, bytes, forwardProperties, qos, expiresAt, now), retain)
    if (outcome === 'quota-exceeded') throw new Error(`${topic}: refused, a queue or the store has no room (0x97)`)
    if (this.#committer.appended !== appended) await this.#committer.settled()
  }

  /** Messages of matching topics, retained ones first, until the loop is left or the gateway closes. */
  subscribe(filter: string | readonly string[]): AsyncIterableIterator<ReceivedMessage> {
    this.#engine.beginTurn()
    const filters = typeof filter === 'string' ? [filter] : filter
    const subscription = new LocalSubscription(this.broker, filters, (one) => this.#subscriptions.delete(one))
    this.#subscriptions.add(subscription)
    return subscription
  }

  /** Ends a client's connection with a reason. Returns whether it was connected. */
  disconnectClient(
    clientId: string,
    {
      reasonCode = ReasonCode.administrativeAction,
      ...details
    }: { reasonCode?: number; reasonString?: string; serverReference?: string } = {},
  ): boolean {
    const client = this.broker.sessions.get(clientId)?.client ?? null
    if (client === null) return false
    this.#engine.run(() => client.disconnect(reasonCode, details))
    return true
  }

  /** Every counter and gauge by its name in /metrics. */
  metrics(): Record<string, number> {
    return flatMetrics(this.broker.counters, this.broker.gauges())
  }

  setLogLevel(level: LogLevel): void {
    this.#log.level = level
  }

  /** Stops accepting, tells 5.0 clients (0x8B), commits, and closes the store. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    clearInterval(this.#sysTimer)
    clearInterval(this.#diskTimer)
    const servers = this.#servers.map((server) => closeServer(server))
    for (const subscription of [...this.#subscriptions]) subscription.end()
    await this.#settle()
    this.#engine.run(() => {
      for (const connection of [...this.#engine.connections]) {
        connection.client.disconnect(ReasonCode.serverShuttingDown)
      }
    })
    this.#engine.endTurn()
    await this.#settle()
    await Promise.all(servers)
    this.#engine.stop()
    await this.#store.close()
  }

  /** Commits what there is; a store that failed has said so already, and must not keep the rest from closing. */
  async #settle(): Promise<void> {
    if (this.#failure === undefined) await this.#committer.settled().catch(() => {})
  }

  /** The store can't go on: nothing is acknowledged any more, and whoever runs the gateway is told to end it. */
  fatal(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.#log.fatal({ err: error }, 'the store failed: nothing is acknowledged any more')
    this.#fail(error)
  }

  /** Refuses new durable work before the disk is full, and says so once. */
  async #watchDisk(): Promise<void> {
    try {
      const statistics = await this.#store.statistics()
      const { broker, config } = this
      broker.counters.store = { ...statistics }
      const full = statistics.diskFreeBytes < config.limits.diskFreeBytesMin
      if (full === broker.storeFull) return
      broker.storeFull = full
      const fields = { diskFreeBytes: statistics.diskFreeBytes, diskFreeBytesMin: config.limits.diskFreeBytesMin }
      if (full) this.#log.error(fields, 'the disk is nearly full: what would have to be stored is refused')
      else this.#log.info(fields, 'the disk has room again')
    } catch (error) {
      if (this.#closed === undefined) this.fatal(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #publishSysTopics(): void {
    const { broker } = this
    const reading = {
      counters: broker.counters,
      gauges: broker.gauges(),
      nowMs: this.#clock.now(),
      startedMs: this.#startedAt,
      heapBytes: process.memoryUsage().heapUsed,
      version,
    }
    const { messages, state } = sysTopics(this.#sysState, reading)
    this.#sysState = state
    this.#engine.run(() => {
      for (const { topic, payload } of messages) {
        broker.publish(newMessage(topic, encodeUtf8(payload), new Uint8Array(0), 2, Infinity, broker.now), true)
      }
    })
  }
}

function newMessage(
  name: string,
  payload: Uint8Array,
  forwardProperties: Uint8Array,
  qos: Qos,
  expiresAt: number,
  publishedAt: number,
): Message {
  const topic = encodeUtf8(name)
  const store = { id: 0, references: 0 }
  return { ...store, topic, name, payload, forwardProperties, qos, expiresAt, publisher: '', publishedAt }
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  const grace = setTimeout(() => (server as Partial<HttpServer>).closeAllConnections?.(), closeGraceMs)
  await closed
  clearTimeout(grace)
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
    sharedStrategy: sharedSubscriptions.strategy,
    sharedGroups: sharedSubscriptions.groups,
  }
}

/** Opens the store and makes a gateway that does not listen yet. Rejects with a ConfigError or a StoreError. */
export async function createGateway(options: GatewayOptions = {}, world: GatewayWorld = {}): Promise<Gateway> {
  try {
    return await openGateway(options, world)
  } catch (error) {
    const damaged = error instanceof StoreError && error.kind === 'corrupt'
    const config = parseGatewayOptions(options)
    if (!damaged || !config.quarantineStore || world.store !== undefined) throw error
    const { movedTo, kept, lost } = quarantineStore(config.dataDir)
    createLog(config.logLevel).warn({ movedTo, kept, lost }, `the database was damaged: ${error.message}`)
    return openGateway(options, world)
  }
}

async function openGateway(options: GatewayOptions, world: GatewayWorld): Promise<Gateway> {
  const config = parseGatewayOptions(options)
  const log = createLog(config.logLevel)
  let gateway: Gateway | undefined
  const onFailure = (error: Error): void => gateway?.fatal(error)
  const store =
    world.store ?? (config.inMemory ? createMemoryStore() : createSqliteStore({ dataDir: config.dataDir, onFailure }))
  gateway = new Gateway(config, store, log, world.clock ?? systemClock)
  try {
    await gateway.open()
  } catch (error) {
    await store.close().catch(() => {})
    throw error
  }
  return gateway
}
