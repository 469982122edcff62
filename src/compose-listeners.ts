/** The part of the composition root that makes the listeners: each kind's server, its certificates, what HTTP answers with. */
import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:net'
import type { Server as TlsServer } from 'node:tls'
import type { TicketGate } from './api/ticket-gate.ts'
import { networkList } from './auth/rule.ts'
import type { ComposedBridges } from './compose-bridges.ts'
import { declaredMetrics } from './compose-declared.ts'
import { ConfigError } from './config/config-error.ts'
import { type ListenerConfig, listenersOf, type MetricsAccess } from './config/listeners.ts'
import { type ProxyOptions, proxyFields } from './config/proxies.ts'
import type { GatewayConfig } from './config/schema.ts'
import { type TlsOptions as ListenerTls, tlsFields } from './config/tls.ts'
import type { Broker } from './core/broker.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import type { Engine, ListenerOptions } from './engine/engine.ts'
import { Room } from './engine/room.ts'
import { comesFromThisMachine, createHostCheck, type HostCheck } from './http/host-check.ts'
import { createHttpServer, type HttpSources } from './http/http.ts'
import { certificateFiles } from './listeners/certificate-files.ts'
import { CertificateError } from './listeners/certificates.ts'
import { CertificatesInForce } from './listeners/certificates-in-force.ts'
import { clientOfRequest, type TrustedProxies } from './listeners/client-address.ts'
import { serveEvents } from './listeners/event-stream.ts'
import { HttpSockets } from './listeners/http-sockets.ts'
import { identify } from './listeners/identify.ts'
import { Listener, type ListenerSettings } from './listeners/listener.ts'
import { ListenerSet, type WantedListener } from './listeners/listener-set.ts'
import { expectProxyHeaders } from './listeners/proxy-header.ts'
import { createTcpServer } from './listeners/tcp.ts'
import { createTlsServer, followCertificates, type TlsListenerOptions, tlsServerOptions } from './listeners/tls.ts'
import { acceptWebSockets, type TicketGate as ListenerGate } from './listeners/websocket.ts'
import type { Health } from './observe/health.ts'
import type { ListenerGauges } from './observe/listener-metrics.ts'
import type { Log } from './observe/log.ts'
import { metricsText } from './observe/metrics.ts'
import { version } from './observe/version.ts'

export interface ListenerParts {
  broker: Broker
  engine: Engine
  queues: Queues
  streams: Streams
  bridges: ComposedBridges
  health: Health
  log: Log
  api: NonNullable<HttpSources['api']>
  metricsRefusal: NonNullable<HttpSources['metricsRefusal']>
  tickets: TicketGate
}

/** The listeners of a configuration, and what those of another one would be. */
export interface ComposedListeners {
  set: ListenerSet
  wanted(config: GatewayConfig): WantedListener[]
}

export function createListeners(
  config: GatewayConfig,
  { broker, engine, queues, streams, bridges, health, log, api, metricsRefusal, tickets }: ListenerParts,
): ComposedListeners {
  const sources: HttpSources = {
    health: () => health.report(),
    metrics: () =>
      metricsText(
        broker.totals(),
        broker.gauges(),
        set.all.map(gaugesOf),
        declaredMetrics({ broker, queues, streams, bridges }),
      ),
    version,
    api,
    metricsRefusal,
  }
  const { httpSocketsMax } = config.limits
  const httpSockets = new HttpSockets(httpSocketsMax, () => broker.counters.connectionsRefused++)
  const wanted = (wantedConfig: GatewayConfig): WantedListener[] =>
    listenersOf(wantedConfig).map((given, index) => {
      const { name, kind, host, port, path, limits } = given
      const { connectionsMax = Infinity, handshakesMax = Infinity } = limits
      const roomLimits = { ...limits, connectionsMax, handshakesMax }
      const parts = { engine, sources, httpSockets, tickets, config: wantedConfig, log, index }
      return {
        ...{ name, kind, host, port, path, limits: roomLimits, recipe: recipeOf(given, wantedConfig) },
        make: (room) => createListener(given, room, parts),
        makeRoom: () => new Room(roomLimits, engine.room),
      }
    })
  const set = new ListenerSet(wanted(config))
  return { set, wanted }
}

/** Everything that a listener is made of. Who may connect is decided elsewhere, by its name. */
function recipeOf({ own: _, places: __, tls, proxy, ...given }: ListenerConfig, config: GatewayConfig): string {
  const { allowedHosts, limits } = config
  // Of a listener in the configuration, these are all of its options.
  const fields = { ...tls, ...proxy } as Record<string, unknown>
  const told = [...Object.keys(tlsFields), ...Object.keys(proxyFields)].map((name) => fields[name] ?? null)
  return JSON.stringify([given, told, allowedHosts, limits.connectTimeoutMs])
}

type CreationParts = Omit<ServerParts, 'tls' | 'proxies' | 'metrics' | 'allowedOrigins'> & { log: Log; index: number }

function createListener(given: ListenerConfig, room: Room, { log, index, ...parts }: CreationParts): Listener {
  const { name, kind, host, port, path, durability, namespace } = given
  const { engine, config } = parts
  const settings = { name, kind, host, port, path, durability, room, namespace }
  const certificates = given.tls && certificatesOf(given.tls, index, log)
  const tls = certificates && tlsOf(certificates, given, config)
  const proxies = given.proxy && trustedProxies(given.proxy)
  const { metrics, allowedOrigins } = given
  const server = createServer(settings, { ...parts, tls, proxies, metrics, allowedOrigins })
  if (given.proxy?.proxyProtocol === true) {
    expectProxyHeaders(engine, server, { name, room, proxies, headerTimeoutMs: handshakeTimeoutMs(given, config) })
  }
  return new Listener(settings, server, certificates)
}

function gaugesOf({ settings: { name, kind, room }, certificates }: Listener): ListenerGauges {
  return { name, kind, clients: room.clients, handshakes: room.handshakes, certificates: certificates?.facts ?? [] }
}

/** @throws ConfigError for files that can't be used */
function certificatesOf(tls: ListenerTls, index: number, log: Log): CertificatesInForce {
  try {
    return new CertificatesInForce(certificateFiles(tls), log)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    throw new ConfigError([{ path: ['listeners', index], message: error.message }])
  }
}

function tlsOf(certificates: CertificatesInForce, listener: ListenerConfig, config: GatewayConfig) {
  const clientCertificates = listener.tls?.clientCertificate ?? 'none'
  return { certificates, clientCertificates, handshakeTimeoutMs: handshakeTimeoutMs(listener, config) }
}

function handshakeTimeoutMs({ limits }: ListenerConfig, config: GatewayConfig): number {
  return limits.handshakeTimeoutMs ?? config.limits.connectTimeoutMs
}

function trustedProxies({ trustedProxies: addresses, forwardedHeader = 'X-Forwarded-For' }: ProxyOptions) {
  if (addresses === undefined) return undefined
  return { addresses: networkList(addresses), header: headers[forwardedHeader] }
}

const headers = { 'X-Forwarded-For': 'x-forwarded-for', Forwarded: 'forwarded' } as const

interface ServerParts {
  engine: Engine
  sources: HttpSources
  httpSockets: HttpSockets
  tickets: TicketGate
  config: GatewayConfig
  /** Of kinds tls, wss and https. */
  tls: Omit<TlsListenerOptions, keyof ListenerOptions> | undefined
  proxies: TrustedProxies | undefined
  /** Of kinds that speak HTTP: origins of pages that may ask. */
  allowedOrigins: readonly string[]
  /** Of kinds http and https: who may read `/metrics`. */
  metrics: MetricsAccess
}

/** What each kind of listener is made of. */
function createServer(settings: ListenerSettings, parts: ServerParts): Server {
  const { engine, sources, httpSockets, tickets, config, tls, proxies, metrics } = parts
  const { kind, host } = settings
  switch (kind) {
    case 'tcp':
    case 'unix':
      return createTcpServer(engine, settings)
    case 'tls':
      return createTlsServer(engine, { ...settings, ...tls! })
    case 'ws':
    case 'wss':
    case 'http':
    case 'https': {
      const { allowedHosts } = config
      const check = createHostCheck({ boundHost: host, allowedHosts, allowedOrigins: parts.allowedOrigins })
      const hostCheck = countedCheck(check, engine.broker)
      const addressOf = (request: IncomingMessage) => clientOfRequest(request, proxies).address
      const isPlain = kind === 'ws' || kind === 'wss'
      const server = createHttpServer(
        {
          ...{ hostCheck, addressOf, metrics, listener: settings.name },
          serveEvents: (request, response, asked) =>
            serveEvents(engine, request, response, { limits: { ...settings, proxies }, asked }),
          identify: (request, asked) => identify(engine, request, { words: settings, proxies }, asked),
        },
        isPlain ? undefined : sources,
        tls && tlsServerOptions(tls),
      )
      if (tls !== undefined) followCertificates(engine, server as unknown as TlsServer, tls)
      acceptWebSockets(engine, server, { ...settings, hostCheck, proxies, ticketGate: gateAt(settings.name, tickets) })
      httpSockets.watch(server)
      return server
    }
    default:
      return kind satisfies never
  }
}

/** To be asked once about each request. */
function countedCheck(check: HostCheck, { counters }: Broker): HostCheck {
  return (headers) => {
    const refusal = check(headers)
    if (refusal !== undefined) counters.pagesRefused.add(refusal.status === 403 ? 'origin' : 'host')
    return refusal
  }
}

function gateAt(listener: string, tickets: TicketGate): ListenerGate {
  return (request, { address }) => {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2)
    const asked = new URLSearchParams(query)
    const ticket = asked.get('ticket')
    if (ticket === null) return undefined
    const local = comesFromThisMachine(request, address)
    return tickets({ ticket, namespace: asked.get('namespace') ?? undefined, listener, address, local, path })
  }
}
