/**
 * The HTTP side of the one port for browsers and monitoring: health, metrics and the page; what is below `/api/v1` goes to the
 * API. WebSocket upgrades are not handled here; whoever wants them listens to the server's `upgrade` event.
 *
 * Every answer of our own comes from a fixed table of paths, so no part of a URL ever reaches the file system. For these only
 * GET and HEAD exist and no request body is read. Sizes and times are bounded, since the port may face strangers.
 */
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { TlsOptions } from 'node:tls'
import type { EventRequest } from '../listeners/event-stream.ts'
import type { Credentials } from '../listeners/identify.ts'
import { createAssets } from './assets.ts'
import { crossOriginHeaders, isPreflight, preflightHeaders } from './cross-origin.ts'
import { comesFromThisMachine, type HostCheck, type HostRefusal, isOwnPage } from './host-check.ts'

/** What the API is told of whoever asks. */
export interface HttpCaller {
  address: string
  local: boolean
  ownPage: boolean
  listener: string
  serveEvents(asked: EventRequest): void
  identify(asked: Credentials): Promise<number>
}

export interface HttpSources {
  /** Whether clients should be sent here now, and what was looked at, for example `{ store: 'ok' }`. */
  health(): { ready: boolean; checks: Record<string, string> }
  /** Prometheus' text format. */
  metrics(): Promise<string>
  /** Where metrics take a token: why this one does not do; undefined: it does. */
  metricsRefusal?(authorization: string | undefined, address: string): Promise<MetricsRefusal | undefined>
  version: string
  /** Answers what is below `/api/v1`. `local`: a program of this machine asks, and no page of somebody else's. */
  api?: (request: IncomingMessage, response: ServerResponse, caller: HttpCaller) => void
}

/** Where requests come from, as far as a listener knows. */
export interface HttpPeers {
  /** Name of the listener that they come by. */
  listener: string
  serveEvents(request: IncomingMessage, response: ServerResponse, asked: EventRequest): void
  /** What the listener's authentication says of somebody: a reason code. */
  identify(request: IncomingMessage, asked: Credentials): Promise<number>
  hostCheck: HostCheck
  /** Of whoever asks, also behind a proxy that is trusted to name him. */
  addressOf(request: IncomingMessage): string
  /** Who may read `/metrics`. */
  metrics?: 'open' | 'token' | 'off'
}

interface MetricsRefusal {
  status: number
  detail: string
  headers: Readonly<Record<string, string>>
}

interface Answer {
  status: number
  headers: OutgoingHttpHeaders
  body: string | Buffer
}

type Route = (request: IncomingMessage) => Answer | Promise<Answer>

const headerBytesMax = 16 * 1024
const headerFieldsMax = 100
const headersTimeoutMs = 10_000
const requestTimeoutMs = 15_000
const keepAliveTimeoutMs = 5_000
const silentSocketTimeoutMs = 30_000
const requestsPerSocketMax = 1000
/** Asked for by balancers under any name; they tell nothing. */
const probes = new Set(['/livez', '/readyz'])

/**
 * No host but this one, no inline script. `blob:` workers are MQTT.js's timers, which keep the connection of a tab in the
 * background alive.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const securityHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

/** A server that isn't listening yet. Without sources it answers no request but upgrades. */
export function createHttpServer(peers: HttpPeers, sources?: HttpSources, tls?: TlsOptions): Server {
  const { hostCheck, addressOf, listener } = peers
  const routes = sources && createRoutes(sources, peers)
  const options = {
    maxHeaderSize: headerBytesMax,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    connectionsCheckingInterval: 2_000,
  }
  const server = tls === undefined ? createServer(options) : createTlsServer({ ...options, ...tls })
  server.maxHeadersCount = headerFieldsMax
  server.maxRequestsPerSocket = requestsPerSocketMax
  server.timeout = silentSocketTimeoutMs
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const refusal = probes.has(pathOf(request)) ? undefined : hostCheck(request.headers)
    if (sources?.api !== undefined && isForApi(request) && refusal === undefined) {
      if (isPreflight(request)) {
        send(request, response, { status: 204, headers: preflightHeaders(request), body: '' })
        return
      }
      const headers = { ...securityHeaders, ...crossOriginHeaders(request) }
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value!)
      const address = addressOf(request)
      sources.api(request, response, {
        address,
        local: comesFromThisMachine(request, address),
        ownPage: isOwnPage(request),
        listener,
        serveEvents: (asked) => peers.serveEvents(request, response, asked),
        identify: (asked) => peers.identify(request, asked),
      })
      return
    }
    answer(routes, request, refusal)
      .catch(() => plain(500, 'The gateway failed to answer this request.\n'))
      .then((found) => send(request, response, found))
  }
  server.on('request', onRequest)
  // Answered without "100 Continue", so that the client doesn't send the body; the API asks for it where it wants one.
  server.on('checkContinue', onRequest)
  return server
}

/** The path alone; `/api/v1` in any other writing is none of ours. */
function isForApi({ url = '' }: IncomingMessage): boolean {
  return /^\/api\/v1(\/|\?|$)/.test(url)
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0]!
}

function createRoutes(sources: HttpSources, peers: HttpPeers): ReadonlyMap<string, Route> {
  const { health, version } = sources
  const routes = new Map<string, Route>([
    ['/livez', () => json(200, { status: 'alive', version })],
    [
      '/readyz',
      () => {
        const { ready, checks } = health()
        return json(ready ? 200 : 503, { status: ready ? 'ready' : 'not ready', checks, version })
      },
    ],
  ])
  routes.set('/', () => plain(503, 'The dashboard is not built here: run `npm run dashboard` and start again.\n'))
  if (peers.metrics !== 'off') routes.set('/metrics', (request) => metricsAnswer(request, sources, peers))
  for (const [path, asset] of createAssets()) {
    routes.set(path, async (request) => {
      const { status, headers, body } = await asset(request.headers)
      return { status, headers, body }
    })
  }
  return routes
}

async function metricsAnswer(request: IncomingMessage, sources: HttpSources, peers: HttpPeers): Promise<Answer> {
  if (peers.metrics === 'token') {
    const { authorization } = request.headers
    const refusal = await sources.metricsRefusal!(authorization, peers.addressOf(request))
    if (refusal !== undefined) return plain(refusal.status, `${refusal.detail}\n`, refusal.headers)
  }
  const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' }
  return { status: 200, headers, body: await sources.metrics() }
}

async function answer(
  routes: ReadonlyMap<string, Route> | undefined,
  request: IncomingMessage,
  refusal: HostRefusal | undefined,
): Promise<Answer> {
  const path = pathOf(request)
  if (refusal !== undefined) {
    return isForApi(request) ? problem(refusal.status, refusal.text) : plain(refusal.status, `${refusal.text}\n`)
  }
  if (routes === undefined) return plain(426, 'Only MQTT over WebSocket is served here.\n', { upgrade: 'websocket' })
  const route = routes.get(path)
  if (!route) return plain(404, 'Not found. The page is at /, metrics at /metrics, health at /livez and /readyz.\n')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return plain(405, 'Only GET and HEAD are answered here.\n', { allow: 'GET, HEAD' })
  }
  return route(request)
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, body }: Answer): void {
  const bodyComes =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  response.writeHead(status, {
    ...securityHeaders,
    ...headers,
    ...(status === 304 || status === 204 ? {} : { 'content-length': Buffer.byteLength(body) }),
    // An unread body would be taken for the next request.
    ...(bodyComes ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' || status === 304 || status === 204 ? undefined : body)
}

function plain(status: number, text: string, more: OutgoingHttpHeaders = {}): Answer {
  const headers = { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...more }
  return { status, headers, body: text }
}

/** As the API's own errors look (RFC 9457). */
function problem(status: number, detail: string): Answer {
  const headers = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' }
  const title = STATUS_CODES[status]
  return { status, headers, body: `${JSON.stringify({ type: 'about:blank', title, status, detail })}\n` }
}

function json(status: number, value: unknown): Answer {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' }
  return { status, headers, body: `${JSON.stringify(value)}\n` }
}
