/** Options of aedes, as far as they say something here, and what they become. */
import type { GatewayOptions } from '../config/schema.ts'
import { defaultHandlers, type Handlers } from './handlers.ts'

export interface AedesOptions extends Partial<Handlers> {
  id?: string
  /** How many deliveries to a function of `subscribe` are under way at a time. */
  concurrency?: number
  heartbeatInterval?: number
  connectTimeout?: number
  keepaliveLimit?: number
  /** Of client ids of MQTT 3.1. */
  maxClientsIdLength?: number
  maxTopicLevels?: number
  /** Sessions and messages of the gateway are in its own store: only aedes' memory may be named here, and stands for it. */
  persistence?: object
  /** The same. */
  mq?: object
  /** Nothing is waited for: a slow client costs itself only. */
  drainTimeout?: number
  queueLimit?: number
  maxInflightInbound?: number
  trustProxy?: boolean
  trustedProxies?: readonly string[]
  decodeProtocol?: unknown
  /** Where sessions, retained and queued messages are kept; absent: in memory. */
  dataDir?: string
  /** Options of the gateway behind it (docs/configuration.md). It opens no listeners of its own. */
  gateway?: Omit<GatewayOptions, 'listeners' | 'mqttPort' | 'httpPort' | 'dataDir' | 'inMemory' | 'authenticator'>
}

export interface Limits {
  concurrency: number
  heartbeatInterval: number
  keepaliveLimit: number
  maxClientsIdLength: number
}

const topicLevelsMax = 100

/** What aedes shows of its options. */
export function shownOptions({
  queueLimit = 42,
  maxInflightInbound = 1000,
  connectTimeout = 30_000,
  maxTopicLevels = topicLevelsMax,
}: AedesOptions) {
  return { queueLimit, maxInflightInbound, connectTimeout, maxTopicLevels: levelsOf(maxTopicLevels) }
}

function levelsOf(maxTopicLevels: number): number {
  return Math.min(Math.max(maxTopicLevels, 1), topicLevelsMax)
}

export function limitsOf(options: AedesOptions): Limits {
  const { concurrency = 100, heartbeatInterval = 60_000, keepaliveLimit = 0, maxClientsIdLength = 23 } = options
  return { concurrency, heartbeatInterval, keepaliveLimit, maxClientsIdLength }
}

export function handlersOf(options: AedesOptions): Handlers {
  const names = Object.keys(defaultHandlers) as (keyof Handlers)[]
  const given = Object.fromEntries(
    names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  )
  return { ...defaultHandlers, ...given }
}

/** @throws Error for what would be lost without a word */
export function gatewayOptionsOf(options: AedesOptions): GatewayOptions {
  refuseOther('persistence', options.persistence, 'MemoryPersistence', 'give dataDir to keep sessions on disk')
  refuseOther('mq', options.mq, 'MQEmitter', 'this broker is one process')
  if (options.decodeProtocol != null || options.trustProxy === true) {
    throw new Error('mqtide/aedes reads no PROXY headers: use a listener of createGateway, with proxyProtocol')
  }
  const { dataDir, connectTimeout = 30_000, maxTopicLevels = topicLevelsMax, gateway = {} } = options
  return {
    logLevel: 'warn',
    ...gateway,
    ...{ mqttPort: false, httpPort: false, allowAnonymous: true },
    ...(dataDir === undefined ? { inMemory: true } : { dataDir }),
    limits: {
      topicLevelsMax: levelsOf(maxTopicLevels),
      connectTimeoutMs: connectTimeout,
      ...gateway.limits,
    },
  }
}

function refuseOther(name: string, given: object | undefined, own: string, advice: string): void {
  if (given === undefined || given === null) return
  // aedes-persistence 11 has its memory behind functions with callbacks.
  const { asyncPersistence = given } = given as { asyncPersistence?: object }
  if (asyncPersistence.constructor.name === own) return
  throw new Error(`mqtide/aedes has no ${name} but its own: leave it out; ${advice}`)
}
