/**
 * The listeners of a configuration: `listeners`, or, where that isn't given, the two default ones that `mqttPort` and
 * `httpPort` stand for. Whoever asks for them gets one list with every default filled in, whatever was written.
 *
 * A listener's name is its identity in metrics, in the log, and when the configuration is read again.
 */
import { z } from 'zod'
import { type Durability, durabilities } from '../store/store.ts'
import { authenticationIssues, authenticationSchema } from './authentication.ts'
import { authorizationIssues, authorizationSchema } from './authorization.ts'
import { arrivalLimitFields, clientLimitFields } from './client-limit-fields.ts'
import type { ConfigIssue } from './config-error.ts'
import { flag, namespaceName, oneOf, port, text, wholeNumber } from './fields.ts'
import { originIssues } from './hosts.ts'
import { type ProxyOptions, proxyFields, proxyIssues } from './proxies.ts'
import { isTlsKind, type TlsOptions, tlsFields, tlsIssues } from './tls.ts'

export const listenerKinds = ['tcp', 'tls', 'ws', 'wss', 'http', 'https', 'unix'] as const
export type ListenerKind = (typeof listenerKinds)[number]

/** Who may read `/metrics`. */
export const metricsAccesses = ['open', 'token', 'off'] as const
export type MetricsAccess = (typeof metricsAccesses)[number]

const listenersMax = 100

export const listenerLimitsSchema = z.strictObject(
  {
    connectionsMax: wholeNumber(1, 10_000_000).optional().describe('Clients of this listener at the same time.'),
    handshakesMax: wholeNumber(1, 10_000_000)
      .optional()
      .describe('Connections of this listener at the same time whose CONNECT is not accepted yet.'),
    handshakeTimeoutMs: wholeNumber(10, 3_600_000)
      .optional()
      .describe('How long a TLS handshake, and a PROXY header, may take; unset, what limits.connectTimeoutMs says.'),
    ...arrivalLimitFields,
    ...clientLimitFields,
  },
  'expected the limits of this listener as names and values',
)

export const listenerSchema = z.strictObject(
  {
    name: text(64)
      .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'expected a name of letters, digits, dots, dashes and underscores')
      .optional()
      .describe('Its identity in metrics and in the log; unset, kind and port, as in tcp-1883.'),
    kind: oneOf(...listenerKinds).describe(
      'tcp: MQTT. ws: MQTT over WebSocket. http: the same, with page, health and metrics. tls, wss and https: these over TLS. ' +
        'unix: MQTT over a socket in the file system.',
    ),
    host: text(255).optional().describe('Address to bind; unset, what host says.'),
    port: port().optional().describe('Port to bind; 0 takes a free one. Needed by all kinds but unix.'),
    path: text(107).optional().describe('Path of the socket, of a listener of kind unix.'),
    namespace: namespaceName().optional().describe('Namespace of its clients; unset, what their user or token says.'),
    durability: oneOf(...durabilities)
      .optional()
      .describe("What its clients' acknowledged messages survive; unset, what durability says."),
    metrics: oneOf(...metricsAccesses)
      .optional()
      .describe('Who may read its /metrics, of kinds http and https; unset, what metrics says.'),
    allowedOrigins: z
      .array(text(255), 'expected a list of origins such as https://panel.example')
      .max(1000)
      .optional()
      .describe('Pages that may ask it, of kinds ws, wss, http and https; unset, what allowedOrigins says.'),
    authentication: z
      .union([z.literal(false), authenticationSchema], 'expected the ways to authenticate, or false for none')
      .optional()
      .describe('How its clients authenticate; false: nobody is asked. Unset, what authentication says.'),
    authorization: z
      .union([z.literal(false), authorizationSchema], 'expected aclFile or rules, or false for no rules')
      .optional()
      .describe('What its clients may do; false: everything. Unset, what authorization says.'),
    allowAnonymous: flag()
      .optional()
      .describe(
        'Accept its clients that bring no credentials at all. Unset, what allowAnonymous says; false where it has an authentication of its own.',
      ),
    limits: listenerLimitsSchema.prefault({}),
    ...proxyFields,
    ...tlsFields,
  },
  'expected a listener as names and values, for example `kind: tcp` and `port: 1883`',
)

export const listenersSchema = z
  .array(listenerSchema, 'expected a list of listeners')
  .max(listenersMax, `expected at most ${listenersMax} listeners`)

type GivenListener = z.output<typeof listenerSchema>
type ListenerLimits = z.output<typeof listenerLimitsSchema>

/** What is needed of a whole configuration. */
export interface OptionsWithListeners {
  host: string
  mqttPort: number | false
  httpPort: number | false
  durability: Durability
  mqttDurability?: Durability | undefined
  httpDurability?: Durability | undefined
  metrics: MetricsAccess
  allowedOrigins?: readonly string[] | undefined
  listeners?: readonly GivenListener[] | undefined
}

export interface ListenerConfig {
  name: string
  kind: ListenerKind
  host: string
  port: number
  durability: Durability
  namespace: string | undefined
  limits: ListenerLimits
  metrics: MetricsAccess
  allowedOrigins: readonly string[]
  /** What it says itself of who may connect and what they may do. */
  own: Pick<GivenListener, 'authentication' | 'authorization' | 'allowAnonymous'>
  /** Of kind unix: where its socket is. */
  path: string | undefined
  /** Of kinds tls, wss and https. */
  tls: TlsOptions | undefined
  /** Whom it believes who the client is. */
  proxy: ProxyOptions | undefined
  /** The options that gave the port and the host. */
  places: { port: readonly PropertyKey[]; host: readonly PropertyKey[] }
}

/** What `listeners` takes the place of. */
const shorthands = ['mqttPort', 'httpPort', 'mqttDurability', 'httpDurability'] as const

export function listenersOf(options: OptionsWithListeners): ListenerConfig[] {
  if (options.listeners !== undefined) return options.listeners.flatMap((given, index) => listed(options, given, index))
  const { mqttPort, httpPort, mqttDurability, httpDurability } = options
  return [
    ...byShorthand(options, 'tcp', 'mqttPort', mqttPort, mqttDurability),
    ...byShorthand(options, 'http', 'httpPort', httpPort, httpDurability),
  ]
}

function listed(options: OptionsWithListeners, given: GivenListener, index: number): ListenerConfig[] {
  const {
    kind,
    port = 0,
    host,
    durability = options.durability,
    limits,
    path,
    namespace,
    metrics = options.metrics,
    allowedOrigins = options.allowedOrigins ?? [],
  } = given
  if (given.port === undefined && kind !== 'unix') return []
  const at = ['listeners', index]
  const places = { port: [...at, 'port'], host: host === undefined ? ['host'] : [...at, 'host'] }
  const tls = isTlsKind(kind) ? given : undefined
  const proxy = given.proxyProtocol === true || given.trustedProxies !== undefined ? given : undefined
  const { authentication, authorization, allowAnonymous } = given
  const own = { authentication, authorization, allowAnonymous }
  const its = { name: nameOf(given), kind, host: host ?? options.host, port, durability, namespace, limits, metrics }
  return [{ ...its, allowedOrigins, own, path, tls, proxy, places }]
}

function byShorthand(
  { host, durability: global, metrics, allowedOrigins = [] }: OptionsWithListeners,
  kind: 'tcp' | 'http',
  option: 'mqttPort' | 'httpPort',
  port: number | false,
  durability: Durability | undefined,
): ListenerConfig[] {
  if (port === false) return []
  const places = { port: [option], host: ['host'] }
  const none = { namespace: undefined, limits: {}, own: {}, path: undefined, tls: undefined, proxy: undefined }
  return [
    {
      name: `${kind}-${port}`,
      kind,
      host,
      port,
      durability: durability ?? global,
      metrics,
      allowedOrigins,
      ...none,
      places,
    },
  ]
}

function nameOf({ name, kind, port }: GivenListener): string {
  return name ?? (kind === 'unix' ? kind : `${kind}-${port}`)
}

/** Faults that no single value has. `given`: the options as they were written, before defaults. */
export function listenerIssues(options: OptionsWithListeners, given: Readonly<Record<string, unknown>>): ConfigIssue[] {
  return [
    ...shorthands.filter((name) => options.listeners !== undefined && isPresent(given[name])).map(combined),
    ...(options.listeners ?? []).flatMap((listener, index) => kindIssues(listener, index)),
    ...(options.listeners ?? []).flatMap((listener, index) => ownAccessIssues(listener, ['listeners', index])),
    ...nameIssues(options),
    ...portIssues(listenersOf(options), given),
  ]
}

/** `false` switches a default listener off, which `listeners` does anyway. */
function isPresent(value: unknown): boolean {
  return value !== undefined && value !== false
}

function combined(name: (typeof shorthands)[number]): ConfigIssue {
  return { path: [name], message: `stands for a default listener, which listeners replaces; say it there instead` }
}

function kindIssues(listener: GivenListener, index: number): ConfigIssue[] {
  const { kind, port, path, host } = listener
  const at = ['listeners', index]
  const speaksHttp = kind === 'http' || kind === 'https'
  const issues = [
    ...(listener.metrics !== undefined && !speaksHttp
      ? [{ path: [...at, 'metrics'], message: 'belongs to listeners of kinds http and https' }]
      : []),
    ...originsIssues(listener, at),
    ...tlsIssues(kind, listener, at),
    ...proxyIssues(kind, listener, at),
  ]
  if (kind === 'unix') {
    if (path === undefined) issues.push({ path: [...at, 'path'], message: 'missing: expected the path of the socket' })
    for (const [name, value] of Object.entries({ port, host })) {
      if (value !== undefined)
        issues.push({ path: [...at, name], message: 'says nothing of a socket in the file system' })
    }
    return issues
  }
  if (port === undefined) issues.push({ path: [...at, 'port'], message: 'missing: expected a port from 0 to 65535' })
  if (path !== undefined) issues.push({ path: [...at, 'path'], message: 'belongs to a listener of kind unix only' })
  return issues
}

function originsIssues({ kind, allowedOrigins }: GivenListener, at: readonly PropertyKey[]): ConfigIssue[] {
  if (allowedOrigins === undefined) return []
  if (kind === 'tcp' || kind === 'tls' || kind === 'unix') {
    return [{ path: [...at, 'allowedOrigins'], message: 'belongs to listeners of kinds ws, wss, http and https' }]
  }
  return originIssues(allowedOrigins, at)
}

function ownAccessIssues({ authentication, authorization }: GivenListener, at: readonly PropertyKey[]): ConfigIssue[] {
  return [
    ...authenticationIssues(authentication || undefined, [...at, 'authentication']),
    ...authorizationIssues(authorization || undefined, [...at, 'authorization']),
  ]
}

function nameIssues({ listeners = [] }: OptionsWithListeners): ConfigIssue[] {
  const taken = new Map<string, number>()
  return listeners.flatMap((listener, index) => {
    const { name } = listener
    const wholeName = nameOf(listener)
    const other = taken.get(wholeName)
    taken.set(wholeName, other ?? index)
    if (other === undefined) return []
    const path = ['listeners', index, ...(name === undefined ? [] : ['name'])]
    return [{ path, message: `the name ${wholeName} is taken by listeners.${other}; give each a name of its own` }]
  })
}

function portIssues(listeners: readonly ListenerConfig[], given: Readonly<Record<string, unknown>>): ConfigIssue[] {
  return listeners.flatMap((listener, index) => {
    const other = listeners.slice(0, index).find((one) => meet(one, listener))
    if (other === undefined) return []
    // Where one of the two is a default, the other is what somebody wrote.
    const [at, taken] = given[String(listener.places.port[0])] === undefined ? [other, listener] : [listener, other]
    if (at.path !== undefined) {
      const path = [...at.places.port.slice(0, -1), 'path']
      return [{ path, message: `${at.path} is ${taken.name}'s too; each listener needs a path of its own` }]
    }
    const message = `${listener.port} is ${taken.places.port.join('.')}'s too; each listener needs a port of its own`
    return [{ path: at.places.port, message }]
  })
}

function meet(one: ListenerConfig, other: ListenerConfig): boolean {
  if (one.kind === 'unix' || other.kind === 'unix') return one.path !== undefined && one.path === other.path
  if (one.port !== other.port || one.port === 0) return false
  const [a, b] = [bareHost(one.host), bareHost(other.host)]
  return a === b || covers(a, b) || covers(b, a)
}

function bareHost(host: string): string {
  return host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
}

/** Whether an address that stands for all of a machine's stands for this one too. */
function covers(host: string, other: string): boolean {
  return host === '::' || (host === '0.0.0.0' && !other.includes(':'))
}
