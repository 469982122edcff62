/**
 * `mqtide start`: configuration, gateway, ready line, then wait for a signal.
 *
 * SIGTERM and SIGINT close the gateway in order; a second one ends the process at once. SIGHUP reads the configuration
 * again: what can change while running changes, the rest is named in the log, and an invalid file changes nothing.
 */
import { flushCompileCache } from 'node:module'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { firstTokenPath } from '../auth/api-tokens.ts'
import { AccessFileError } from '../auth/file-fault.ts'
import { ConfigError, dotted } from '../config/config-error.ts'
import { reloadedLimits } from '../config/limits.ts'
import { type ListenerConfig, listenersOf } from '../config/listeners.ts'
import { type ConfigSources, type LoadedConfig, loadConfig } from '../config/load.ts'
import { changedFilters } from '../config/queues.ts'
import { type FileOptions, type GatewayConfig, logLevels } from '../config/schema.ts'
import { changedStreamFilters } from '../config/streams.ts'
import type { Gateway, GatewayWorld, ListenError, ListenerAddress, ListenerChanges, ReloadOutcome } from '../gateway.ts'
import { createLog, type Log } from '../observe/log.ts'
import { processMetrics } from '../observe/metrics.ts'
import { version } from '../observe/version.ts'
import { giveBackWhenIdle } from '../process/idle-heap.ts'
import { disablePretenuring } from '../process/pretenuring.ts'
import { serviceNotices } from '../process/systemd.ts'
import { type Durability, durabilities } from '../store/store.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { fileDescriptorWarning, openWarnings } from './findings.ts'

/** Longer than any commit that may be under way; then the process ends all the same. */
const stopTimeoutMs = 30_000

/** Whoever asks again after so long doesn't want to wait. */
const sameStopMs = 1_000

interface Flags {
  config?: string
  host?: string
  mqttPort?: number | false
  httpPort?: number | false
  dataDir?: string
  inMemory?: boolean
  durability?: Durability
  mqttDurability?: Durability
  httpDurability?: Durability
  quarantineStore?: boolean
  allowAnonymous?: boolean
  logLevel?: GatewayConfig['logLevel']
}

const environmentHelp = `
Every option can also stand in the configuration file and in the environment, as in
MQTIDE_MQTT_PORT=1884 or MQTIDE_LIMITS__PACKET_BYTES_MAX=65536. A flag wins over the
environment, that over the file. \`mqtide check-config --json-schema\` lists all options.

Signals: SIGTERM and SIGINT stop the gateway, SIGHUP reads the configuration again.
Exit codes: 0 stopped, 1 failed, 2 bad usage or configuration.`

export function registerStart(program: Command, context: CliContext): void {
  program
    .command('start')
    .description('start the gateway')
    .option('--config <file>', 'YAML or JSON file with options (MQTIDE_CONFIG)')
    .option('--host <address>', 'address to listen on (default 127.0.0.1)')
    .option('--mqtt-port <port>', 'MQTT over TCP (default 1883); 0 takes a free port, off none', portNumber)
    .option('--http-port <port>', 'WebSocket, page, metrics (default 8083); 0 takes a free port, off none', portNumber)
    .addOption(new Option('--data-dir <folder>', 'folder of the database (default ./data)').conflicts('inMemory'))
    .option('--in-memory', 'store nothing on disk')
    .addOption(durability('--durability <level>', 'what acknowledged messages survive: a power cut, a crash, neither'))
    .addOption(durability('--mqtt-durability <level>', 'the same for clients of the MQTT port only'))
    .addOption(durability('--http-durability <level>', 'the same for clients of the HTTP port only'))
    .option('--quarantine-store', 'set a damaged database aside and go on with what can be read of it')
    .option('--allow-anonymous', 'let clients without credentials connect, also from other machines')
    .addOption(new Option('--log-level <level>', 'least severe level to log (default info)').choices([...logLevels]))
    .addHelpText('after', environmentHelp)
    .action((flags: Flags) => start(flags, context))
}

function durability(flags: string, description: string): Option {
  return new Option(flags, description).choices(durabilities)
}

function portNumber(text: string): number | false {
  if (text === 'off') return false
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a port number, or off.')
  return Number(text)
}

async function start(flags: Flags, context: CliContext): Promise<void> {
  const sources = sourcesOf(flags, context)
  const loaded = loadConfig(sources)
  const { config } = loaded
  const log = createLog(config.logLevel)
  const { sourceOf } = loaded
  const running: Running = { sources, sourceOf, started: config, log, gateway: undefined, reloading: Promise.resolve() }
  // Before anything opens, so that a signal never meets a half-started gateway with the default answer.
  const signals = answerSignals(context, running)
  for (const warning of loaded.warnings) log.warn(warning)
  processMetrics()
  try {
    disablePretenuring()
    const gateway = await open(config, { reload: () => reload(running), sourceOf: (path) => running.sourceOf(path) })
    running.gateway = gateway
    await listen(gateway, config)
    giveBackWhenIdle()
    // What `bin/load.js` keeps of the sources is otherwise written at an exit in order only.
    flushCompileCache()
    const ready = readyLine(gateway, context.pid)
    context.stdout.write(`${ready}\n`)
    const { environment, pid } = context
    const onError = (error: Error) => log.warn({ err: error }, 'systemd was not told how the gateway is')
    const notices = serviceNotices({ environment, pid, onError })
    notices?.ready(ready)
    if (context.stdout.isTTY) context.stdout.write(hints(gateway, config))
    if (config.inMemory) log.info('no API token: without a data folder there is nothing to keep one in')
    warnIfOpen(config, log)
    warnOfFileDescriptors(config, log)
    await untilStopped(
      gateway,
      context,
      signals.stopped.then(() => notices?.stopping()),
    )
  } finally {
    signals.release()
  }
}

/** @throws CliError where the store refuses; its messages say what to do */
async function open(config: GatewayConfig, world: GatewayWorld): Promise<Gateway> {
  const { createGateway, StoreError } = await import('../gateway.ts')
  try {
    return await createGateway(config, world)
  } catch (error) {
    throw error instanceof StoreError ? new CliError(error.message) : error
  }
}

/** The flags as a layer over environment and file. */
function sourcesOf(flags: Flags, context: CliContext): ConfigSources {
  const { config: file, ...given } = flags
  const options: FileOptions = given
  // A folder given by flag means it, whatever the file says about memory.
  if (options.dataDir !== undefined) options.inMemory = false
  const names = Object.fromEntries(
    Object.keys(options).map((name) => [name, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`]),
  )
  return { file, environment: context.environment, flags: { options, names } }
}

async function listen(gateway: Gateway, config: GatewayConfig): Promise<void> {
  try {
    await gateway.listen()
  } catch (error) {
    await gateway.close()
    throw listenError(error, config)
  }
}

/** What went wrong while binding, in words that name the option to change. */
function listenError(error: unknown, config: GatewayConfig): unknown {
  const listener = listenersOf(config).find(({ name }) => name === (error as Partial<ListenError>).listener)
  if (listener === undefined) return error
  const { code, address } = (error as Error).cause as NodeJS.ErrnoException & { address?: string }
  const { host, port, places } = listener
  switch (code) {
    case 'EADDRINUSE':
      return new CliError(
        `port ${port} on ${address} is in use; choose another one with ${wordFor(places.port)} (0 takes a free one)`,
      )
    case 'EACCES':
      return new CliError(
        `port ${port} may not be opened by this user; choose one above 1023 with ${wordFor(places.port)}`,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new CliError(`${host} is no address of this machine; choose another one with ${wordFor(places.host)}`)
    default:
      return error
  }
}

/** The flag of an option that has one, else its path in the file. */
function wordFor(path: ListenerConfig['places']['port']): string {
  const flags: Record<string, string> = { mqttPort: '--mqtt-port', httpPort: '--http-port', host: '--host' }
  const option = path.join('.')
  return flags[option] ?? option
}

/** How an address is called in the ready line, and its URL's scheme. */
const schemes = {
  tcp: ['MQTT', 'mqtt'],
  tls: ['MQTT over TLS', 'mqtts'],
  unix: ['MQTT', 'unix'],
  ws: ['WebSocket', 'ws'],
  wss: ['WebSocket', 'wss'],
  http: ['HTTP', 'http'],
  https: ['HTTP', 'https'],
} as const

function url(scheme: string, { host, port }: { host: string; port: number }): string {
  if (scheme === 'unix') return host
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function readyLine({ listeners }: Gateway, pid: number): string {
  const addresses = listeners.map((one) => `${schemes[one.kind][0]} ${url(schemes[one.kind][1], one)}, `)
  return `mqtide ${version} ready: ${addresses.join('')}pid ${pid}`
}

/** What to try next, for somebody who reads it on a terminal. */
function hints({ listeners }: Gateway, config: GatewayConfig): string {
  const lines = ['']
  const http = listeners.find(({ kind }) => kind === 'http')
  const webSocket = http ?? listeners.find(({ kind }) => kind === 'ws')
  const tcp = listeners.find(({ kind }) => kind === 'tcp')
  if (http) lines.push(`  Page         ${url('http', reachable(http))}/`)
  if (webSocket) lines.push(`  WebSocket    ${url('ws', reachable(webSocket))}/mqtt`)
  lines.push(`  Data         ${config.inMemory ? 'in memory only, gone at the end' : config.dataDir}`)
  if (http) lines.push(`  API          ${url('http', reachable(http))}/api/v1, ${tokenHint(config)}`)
  if (tcp) {
    const { host, port } = reachable(tcp)
    lines.push(`  Subscribe    mosquitto_sub -h ${host} -p ${port} -t 'hello/#' -v`)
    lines.push(`  Publish      mosquitto_pub -h ${host} -p ${port} -t hello/world -m 'Hi there'`)
  }
  lines.push('  Stop         Ctrl + C', '', '')
  return lines.join('\n')
}

function tokenHint({ inMemory, dataDir }: GatewayConfig): string {
  return inMemory ? 'no token without a data folder' : `token in ${firstTokenPath(dataDir)}`
}

function reachable({ host, port }: ListenerAddress): { host: string; port: number } {
  return { host: host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port }
}

function warnIfOpen(config: GatewayConfig, log: Log): void {
  for (const { path, message } of openWarnings(config)) log.warn({ option: dotted(path) }, message)
}

function warnOfFileDescriptors(config: GatewayConfig, log: Log): void {
  const warning = fileDescriptorWarning(config)
  if (warning !== undefined) log.warn(warning.fields, warning.message)
}

interface Running {
  sources: ConfigSources
  /** The configuration in force, log level aside. */
  started: GatewayConfig
  log: Log
  /** Undefined while it opens. */
  gateway: Gateway | undefined
  /** Of what was read last. */
  sourceOf: LoadedConfig['sourceOf']
  /** The last reload; each waits for the one before. */
  reloading: Promise<unknown>
}

function answerSignals(context: CliContext, running: Running): { stopped: Promise<void>; release(): void } {
  let firstStopAt: number | undefined
  const { promise: stopped, resolve } = Promise.withResolvers<void>()
  const onStop = () => {
    const now = performance.now()
    // npm hands on a Ctrl-C that the terminal has sent us already: within a second it is the same one.
    if (firstStopAt !== undefined && now - firstStopAt > sameStopMs) context.exit(ExitCode.fatal)
    firstStopAt ??= now
    resolve()
  }
  const releases = [
    context.onSignal('SIGTERM', onStop),
    context.onSignal('SIGINT', onStop),
    context.onSignal('SIGHUP', () => void reload(running)),
  ]
  const release = () => {
    for (const one of releases) one()
  }
  return { stopped, release }
}

async function untilStopped(gateway: Gateway, context: CliContext, stopped: Promise<void>): Promise<void> {
  try {
    await Promise.race([stopped, gateway.failed])
    setTimeout(() => context.exit(ExitCode.fatal), gateway.config.drainMs + stopTimeoutMs).unref()
    await gateway.close()
  } catch (error) {
    // Nothing can be made safe any more. To end is what clients understand: they keep what wasn't acknowledged.
    context.stderr.write(`mqtide: ${(error as Error).message}\n`)
    context.exit(ExitCode.fatal)
  }
}

/** One after the other, whoever asks: a signal or the API. */
function reload(running: Running): Promise<ReloadOutcome> {
  const reloaded = running.reloading.then(() => reloadNow(running))
  running.reloading = reloaded
  return reloaded
}

async function reloadNow(running: Running): Promise<ReloadOutcome> {
  const { gateway, log } = running
  let loaded: LoadedConfig
  let listeners: ListenerChanges | undefined
  try {
    loaded = loadConfig(running.sources)
    try {
      listeners = await gateway?.reload(loaded.config)
    } catch (error) {
      throw listenError(error, loaded.config)
    }
  } catch (error) {
    const { message } = error as Error
    if (!refusals.some((kind) => error instanceof kind) && !refusalNames.has((error as Error).name)) throw error
    const faults = message.split('\n')
    log.error({ audit: true, faults }, 'configuration not reloaded, the old one stays')
    return { faults, needRestart: [], warnings: [] }
  }
  running.sourceOf = loaded.sourceOf
  log.level = loaded.config.logLevel
  gateway?.setLogLevel(loaded.config.logLevel)
  for (const warning of loaded.warnings) log.warn(warning)
  if (gateway !== undefined) warnIfOpen(loaded.config, log)
  const filters = [
    ...changedFilters(running.started, loaded.config),
    ...changedStreamFilters(running.started, loaded.config),
  ]
  const needRestart = [...changedOptions(running.started, loaded.config), ...filters]
  log.info({ audit: true, needRestart, listeners }, 'configuration reloaded')
  return { faults: [], needRestart, warnings: loaded.warnings }
}

/** Of classes that come with the gateway, which is loaded late. */
const refusalNames = new Set(['ListenError', 'ClosingError'])
const refusals = [ConfigError, AccessFileError, CliError]

/** Options that a running gateway takes, whole or for the listeners that are made of them. */
const reloaded = new Set([
  ...[
    'logLevel',
    'authentication',
    'authorization',
    'allowAnonymous',
    'sessionOwnership',
    'schedules',
    'queues',
    'streams',
    'bridges',
  ],
  ...[
    'listeners',
    'host',
    'mqttPort',
    'httpPort',
    'mqttDurability',
    'httpDurability',
    'allowedHosts',
    'allowedOrigins',
  ],
  ...reloadedLimits.map((name) => `limits.${name}`),
])

/** A namespace that is new, without exports, and users and quotas of one that is there. */
function isTakenOfNamespace(name: string, was: unknown, value: unknown): boolean {
  if (!name.startsWith('namespaces.')) return false
  if (name.endsWith('.users') || name.endsWith('.quotas')) return true
  if (name.endsWith('.queues') || name.endsWith('.streams') || name.endsWith('.bridges')) return true
  const isNew = was === undefined && value !== undefined
  return isNew && (value as { exports: unknown[] }).exports?.length === 0
}

/** What a running gateway does not take, by name; of options that hold others, these. */
function changedOptions(before: object, after: object, at = ''): string[] {
  const values = new Map(Object.entries(before))
  const wanted = new Map(Object.entries(after))
  return Object.keys({ ...before, ...after }).flatMap((key) => {
    const name = `${at}${key}`
    const was: unknown = values.get(key)
    const value: unknown = wanted.get(key)
    if (reloaded.has(name) || isTakenOfNamespace(name, was, value) || JSON.stringify(was) === JSON.stringify(value))
      return []
    const bothHold = [was, value].every((one) => typeof one === 'object' && one !== null && !Array.isArray(one))
    return bothHold ? changedOptions(was as object, value as object, `${name}.`) : [name]
  })
}
