/**
 * Every option of the gateway: its type, its limits, its default and the sentence that is printed when it's wrong, in one
 * place. The file, the environment, the flags and `createGateway(options)` all pass through `parseGatewayOptions`.
 *
 * Objects are strict: a misspelt option is an error with the nearest known name, since an ignored one would silently leave
 * the default in force. Every number has bounds, and a limit carries its unit in its name.
 */
import { z } from 'zod'
import type { AuthenticationMethod, Authenticator } from '../auth/authenticator.ts'
import { defaultBrokerOptions as core, queueFullPolicies } from '../core/options.ts'
import { dispatchStrategies } from '../core/subscriptions/shared-group.ts'
import type { GatewayHooks, HookName } from '../engine/hooks.ts'
import { durabilities } from '../store/store.ts'
import { accessIssues } from './access.ts'
import {
  authenticationIssues,
  authenticationSchema,
  certificateSchema,
  chainStepSchema,
  hookSchema,
  jwtSchema,
  withChain,
} from './authentication.ts'
import { authorizationIssues, authorizationSchema, ruleSchema } from './authorization.ts'
import { bridgeIssues, bridgeSchema, bridgesOption, bridgeTlsSchema, bridgeTopicSchema } from './bridges.ts'
import { userLimitsSchema } from './client-limit-fields.ts'
import { ConfigError, type ConfigIssue, describeIssues } from './config-error.ts'
import { flag, oneOf, portOrOff, text, wholeNumber } from './fields.ts'
import { hostIssues } from './hosts.ts'
import { limitsSchema } from './limits.ts'
import { listenerIssues, listenerLimitsSchema, listenerSchema, listenersSchema, metricsAccesses } from './listeners.ts'
import {
  exportSchema,
  namespaceIssues,
  namespaceQuotasSchema,
  namespaceSchema,
  namespacesSchema,
} from './namespaces.ts'
import { presenceIssues, presenceOption, presenceSchema } from './presence.ts'
import { queueIssues, queueSchema, queuesOption, retrySchema } from './queues.ts'
import { rewriteIssues, rewriteOption, rewriteSchema } from './rewrite.ts'
import { scheduleIssues, scheduleSchema, schedulesSchema } from './schedules.ts'
import { retentionSchema, streamIssues, streamSchema, streamsOption } from './streams.ts'
import { telemetrySchema } from './telemetry.ts'

const protocolSchema = z.strictObject(
  {
    maximumQos: z
      .union([z.literal(0), z.literal(1), z.literal(2)], 'expected 0, 1 or 2')
      .default(core.maximumQos)
      .describe('Highest QoS that clients may publish with.'),
    retainAvailable: flag().default(core.retainAvailable).describe('Whether messages may be retained.'),
    serverKeepAliveSeconds: wholeNumber(0, 65_535)
      .optional()
      .describe(
        'Longest keep alive: MQTT 5.0 clients that want a longer one, or none, have to use this. A shorter one stays. 0 sets no bound.',
      ),
    closeOnRefusedPublish: flag()
      .default(core.closeOnRefusedPublish)
      .describe(
        'Close the connection of an MQTT 3.x client whose PUBLISH an access rule refuses, instead of acknowledging and dropping it.',
      ),
    responseInformation: text(1024)
      .optional()
      .describe('Text that MQTT 5.0 clients get when they request response information, usually a topic prefix.'),
    wildcardSubscriptionAvailable: flag()
      .default(core.wildcardSubscriptionAvailable)
      .describe('Whether filters may hold + and #.'),
    sharedSubscriptionAvailable: flag()
      .default(core.sharedSubscriptionAvailable)
      .describe('Whether $share/GROUP/FILTER is offered.'),
    subscriptionIdentifiersAvailable: flag()
      .default(core.subscriptionIdentifiersAvailable)
      .describe('Whether subscription identifiers are offered.'),
  },
  'expected the protocol options as names and values',
)

const sharedSubscriptionsSchema = z.strictObject(
  {
    strategy: oneOf(...dispatchStrategies)
      .default(core.sharedStrategy)
      .describe('Which member of a shared subscription gets a message.'),
    groups: z
      .record(text(256), oneOf(...dispatchStrategies), 'expected group names and their strategies')
      .default({})
      .describe('Strategies of single groups, by the group name in $share/GROUP/FILTER.'),
  },
  'expected strategy and groups',
)

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof logLevels)[number]

/** What a configuration file may hold: all options but those that are functions. */
export const gatewayOptionsSchema = z.strictObject(
  {
    host: text(255).default('127.0.0.1').describe('Address that listeners bind.'),
    mqttPort: portOrOff()
      .default(1883)
      .describe('MQTT over TCP. 0 takes a free port; false switches the listener off.'),
    httpPort: portOrOff()
      .default(8083)
      .describe('MQTT over WebSocket, page, health and metrics. 0 takes a free port; false switches the listener off.'),
    authentication: authenticationSchema
      .optional()
      .describe('How clients authenticate; a list instead of names is the chain of steps.'),
    authorization: authorizationSchema.optional().describe('What clients may do; unset, everything.'),
    listeners: listenersSchema
      .optional()
      .describe('Listeners in place of the two that mqttPort and httpPort stand for; see below.'),
    namespaces: namespacesSchema
      .default({})
      .describe('Routing domains of their own, by name; see below. default is there anyway.'),
    queues: queuesOption('Queues of the default namespace'),
    rewrite: rewriteOption('Rules of rewriting of the default namespace'),
    presence: presenceOption('the clients of the default namespace'),
    streams: streamsOption('Streams of the default namespace'),
    schedules: schedulesSchema.default([]).describe('Messages that are published again and again; see delayed.md.'),
    inMemory: flag().default(false).describe('Keep everything in memory only: nothing survives the process.'),
    dataDir: text(4096).default('./data').describe('Folder of the database.'),
    durability: oneOf(...durabilities)
      .default('fsync')
      .describe(
        'What an acknowledged message survives: fsync a power cut, process a crash of the gateway, none neither for sure.',
      ),
    mqttDurability: oneOf(...durabilities)
      .optional()
      .describe('The same for clients of the listener at mqttPort; unset, it is what durability says.'),
    httpDurability: oneOf(...durabilities)
      .optional()
      .describe('The same for clients of the listener at httpPort; unset, it is what durability says.'),
    metrics: oneOf(...metricsAccesses)
      .default('open')
      .describe(
        'Who may read /metrics: open everybody who reaches the port, token whoever brings a token of the API, off nobody.',
      ),
    quarantineStore: flag()
      .default(false)
      .describe('Set a damaged database aside at start and go on with what can be read of it.'),
    allowAnonymous: flag()
      .optional()
      .describe(
        'Accept clients that bring no credentials at all. Needed, said explicitly, to listen beyond loopback without ' +
          'authentication, and to let them in beside clients that authenticate.',
      ),
    sessionOwnership: oneOf('adopt', 'strict')
      .default('adopt')
      .describe(
        'Who gets a session that belongs to nobody, made without authentication: the first principal that comes with its ' +
          'client id (adopt), or no principal (strict).',
      ),
    allowedHosts: z
      .array(text(255), 'expected a list of host names such as panel.example')
      .max(1000)
      .default([])
      .describe(
        'Names by which browsers and others may ask the HTTP port for anything but /livez and /readyz, besides addresses, ' +
          'localhost and the host bound to; * allows all.',
      ),
    allowedOrigins: z
      .array(text(255), 'expected a list of origins such as https://panel.example')
      .max(1000)
      .default([])
      .describe(
        'Pages that may ask the HTTP port besides our own and those of this machine (localhost), by origin as in ' +
          'https://panel.example; * allows all.',
      ),
    bridges: bridgesOption('Bridges to other brokers'),
    drainMs: wholeNumber(0, 600_000)
      .default(0)
      .describe(
        'At a stop, how long /readyz says 503 while everything is still served, so that balancers send nobody new.',
      ),
    logLevel: oneOf(...logLevels)
      .default('info')
      .describe('Least severe level that is logged.'),
    telemetry: telemetrySchema.optional().describe('Spans of OpenTelemetry; unset, there are none. See monitoring.md.'),
    limits: limitsSchema.prefault({}),
    sessionQueueFull: oneOf(...queueFullPolicies)
      .default(core.sessionQueueFull)
      .describe("What happens to a message for a session whose queue is full; 'reject' answers the publisher 0x97."),
    protocol: protocolSchema.prefault({}),
    sharedSubscriptions: sharedSubscriptionsSchema.prefault({}),
  },
  'expected the options as names and values',
)

/** Options that are code and can't stand in a file. */
export interface CodeOptions extends GatewayHooks {
  /** Decides who may connect. Without one, every client is accepted. */
  authenticator?: Authenticator | undefined
  /** Enhanced authentication of MQTT 5.0 (4.12), by the name that clients give as Authentication Method. */
  authenticationMethods?: Readonly<Record<string, AuthenticationMethod>> | undefined
}

export type FileOptions = z.input<typeof gatewayOptionsSchema>

/** What `createGateway` takes; everything has a default. */
export type GatewayOptions = FileOptions & CodeOptions

/** The options with all defaults filled in. */
export type GatewayConfig = Omit<z.output<typeof gatewayOptionsSchema>, 'allowAnonymous'> & {
  /** Where it wasn't said: true exactly if no authentication is configured. */
  allowAnonymous: boolean
  authenticator: Authenticator | undefined
  authenticationMethods: Readonly<Record<string, AuthenticationMethod>>
  hooks: GatewayHooks
}

/** @throws ConfigError that names every fault with its path, what was expected and, for unknown names, the nearest known one */
export function parseGatewayOptions(options: GatewayOptions = {}): GatewayConfig {
  const { authenticator, authenticationMethods = {}, ...others } = options
  const { given, hooks } = splitHooks(others)
  const fileOptions = withChain(given) as FileOptions
  const parsed = gatewayOptionsSchema.safeParse(fileOptions)
  const issues = [
    ...(parsed.success ? [] : describeIssues(parsed.error, fileOptions, knownNames())),
    ...codeIssues(authenticator, authenticationMethods),
    ...hookIssues(hooks),
  ]
  const whole = parsed.success ? parsed.data : withoutFaulty(fileOptions, issues)
  if (whole !== undefined) issues.push(...jointIssues(whole, options))
  if (!parsed.success || issues.length > 0) throw new ConfigError(issues)
  const allowAnonymous = parsed.data.allowAnonymous ?? !isAuthenticated(options)
  // The default ones are off where listeners are named.
  const shorthand = parsed.data.listeners === undefined ? {} : ({ mqttPort: false, httpPort: false } as const)
  return { ...parsed.data, ...shorthand, allowAnonymous, authenticator, authenticationMethods, hooks }
}

type ParsedOptions = z.output<typeof gatewayOptionsSchema>

/** Faults that no single value has. */
function jointIssues(parsed: ParsedOptions, given: GatewayOptions): ConfigIssue[] {
  return [
    ...bridgeIssues(parsed),
    ...hostIssues(parsed),
    ...listenerIssues(parsed, { ...given }),
    ...namespaceIssues(parsed),
    ...queueIssues(parsed),
    ...rewriteIssues(parsed),
    ...presenceIssues(parsed),
    ...streamIssues(parsed),
    ...scheduleIssues(parsed),
    ...accessIssues(parsed, isAuthenticated(given)),
    ...authenticationIssues(parsed.authentication),
    ...authorizationIssues(parsed.authorization),
    ...exclusionIssues(given),
  ]
}

/** The options without those at fault, so that all other faults are found in the same run. */
function withoutFaulty(options: FileOptions, issues: readonly ConfigIssue[]): ParsedOptions | undefined {
  const faulty = new Set(issues.map(({ path }) => path[0]))
  const sound = Object.entries(Object(options)).filter(([name]) => !faulty.has(name))
  return gatewayOptionsSchema.safeParse(Object.fromEntries(sound)).data
}

function codeIssues(authenticator: unknown, methods: unknown): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (authenticator !== undefined && !hasMethod(authenticator, 'authenticate')) {
    issues.push({ path: ['authenticator'], message: 'expected an object with a method authenticate' })
  }
  for (const [name, method] of Object.entries(Object(methods))) {
    if (hasMethod(method, 'begin')) continue
    issues.push({ path: ['authenticationMethods', name], message: 'expected an object with a method begin' })
  }
  return issues
}

/** By name, since the engine's own list is no type. */
const hookNames: Readonly<Record<HookName, true>> = {
  onConnect: true,
  onPublish: true,
  onDeliver: true,
  onDropped: true,
  onSessionEnd: true,
}

/** Those that are given, apart from what a file may hold. `hooks`: of options that were filled in before. */
function splitHooks({ hooks = {}, ...options }: FileOptions & GatewayHooks & { hooks?: GatewayHooks }): {
  given: FileOptions
  hooks: GatewayHooks
} {
  const entries = Object.entries({ ...hooks, ...options })
  const isHook = ([name]: [string, unknown]): boolean => Object.hasOwn(hookNames, name)
  return {
    given: Object.fromEntries(entries.filter((entry) => !isHook(entry))),
    hooks: Object.fromEntries(entries.filter((entry) => isHook(entry) && entry[1] !== undefined)),
  }
}

function hookIssues(hooks: GatewayHooks): ConfigIssue[] {
  const faulty = Object.entries(hooks).filter(([, hook]) => typeof hook !== 'function')
  return faulty.map(([name]) => ({ path: [name], message: 'expected a function' }))
}

function hasMethod(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[name] === 'function'
}

/** Code that decides leaves nothing to decide for the configuration. */
function exclusionIssues({ authenticator, listeners, ...whole }: GatewayOptions): ConfigIssue[] {
  if (authenticator === undefined) return []
  const places = [[[], whole] as const, ...(listeners ?? []).map((one, index) => [['listeners', index], one] as const)]
  return places.flatMap(([at, given]) =>
    (['authentication', 'authorization'] as const)
      .filter((name) => given[name] !== undefined)
      .map((name) => ({ path: [...at, name], message: 'excludes an authenticator given as code' })),
  )
}

/** Whether anybody is asked who a client is. */
export function isAuthenticated(options: CodeOptions & { authentication?: unknown }): boolean {
  const { authenticator, authenticationMethods = {}, authentication } = options
  return authenticator !== undefined || authentication !== undefined || Object.keys(authenticationMethods).length > 0
}

/** The known names below each object of the schema, by the object's dotted path ('' for the outermost, * for any item). */
function knownNames(): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, readonly string[]>([
    [
      '',
      [...Object.keys(gatewayOptionsSchema.shape), 'authenticator', 'authenticationMethods', ...Object.keys(hookNames)],
    ],
    ...['bridges.*', 'namespaces.*.bridges.*'].flatMap((path): [string, string[]][] => [
      [path, Object.keys(bridgeSchema.shape)],
      [`${path}.tls`, Object.keys(bridgeTlsSchema.shape)],
      [`${path}.topics.*`, Object.keys(bridgeTopicSchema.shape)],
    ]),
    ['limits', Object.keys(limitsSchema.shape)],
    ['telemetry', Object.keys(telemetrySchema.shape)],
    ['limits.users.*', Object.keys(userLimitsSchema.shape)],
    ['protocol', Object.keys(protocolSchema.shape)],
    ['sharedSubscriptions', Object.keys(sharedSubscriptionsSchema.shape)],
    ['authentication', Object.keys(authenticationSchema.shape)],
    ['authentication.certificate', Object.keys(certificateSchema.shape)],
    ['authentication.jwt', Object.keys(jwtSchema.shape)],
    ['authentication.http', Object.keys(hookSchema.shape)],
    ['authentication.chain.*', Object.keys(chainStepSchema.shape)],
    ['authentication.chain.*.jwt', Object.keys(jwtSchema.shape)],
    ['authentication.chain.*.http', Object.keys(hookSchema.shape)],
    ['authorization', Object.keys(authorizationSchema.shape)],
    ['authorization.rules.*', Object.keys(ruleSchema.shape)],
    ['namespaces.*', Object.keys(namespaceSchema.shape)],
    ['namespaces.*.exports.*', Object.keys(exportSchema.shape)],
    ['namespaces.*.quotas', Object.keys(namespaceQuotasSchema.shape)],
    ...['presence', 'namespaces.*.presence'].map((path): [string, string[]] => [
      path,
      Object.keys(presenceSchema.shape),
    ]),
    ...['queues.*', 'namespaces.*.queues.*'].flatMap((path): [string, string[]][] => [
      [path, Object.keys(queueSchema.shape)],
      [`${path}.retry`, Object.keys(retrySchema.shape)],
    ]),
    ['rewrite.*', Object.keys(rewriteSchema.shape)],
    ['namespaces.*.rewrite.*', Object.keys(rewriteSchema.shape)],
    ...['streams.*', 'namespaces.*.streams.*'].flatMap((path): [string, string[]][] => [
      [path, Object.keys(streamSchema.shape)],
      [`${path}.retention`, Object.keys(retentionSchema.shape)],
    ]),
    ['schedules.*', Object.keys(scheduleSchema.shape)],
    ['listeners.*', Object.keys(listenerSchema.shape)],
    ['listeners.*.limits', Object.keys(listenerLimitsSchema.shape)],
  ])
  const ofAccess = [...names].filter(([path]) => /^auth/.test(path))
  return new Map([...names, ...ofAccess.map(([path, known]) => [`listeners.*.${path}`, known] as const)])
}

/** The configuration file's JSON Schema (draft 2020-12), for editors. */
export function configJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(gatewayOptionsSchema, { io: 'input' })
}
