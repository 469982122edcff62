/** The command line: options to a scenario and the outputs that are wanted. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { Layout } from './layout.ts'
import { isQuick, type QuickOptions, quickOnly, quickScenario } from './quick.ts'
import { parseScenario } from './scenario/load.ts'
import { type Scenario, scenario as scenarioSchema } from './scenario/schema.ts'
import { nearest } from './scenario/suggest.ts'
import { isListener } from './swarm/fleet.ts'
import { parseDurationMs } from './units.ts'

export interface CliOptions extends QuickOptions {
  broker?: string
  hostname?: string
  port?: number
  scenario?: string
  seed?: number
  duration?: number
  devices?: number
  client?: 'mqttjs' | 'lean'
  workers?: number
  startNumber?: number
  json?: string
  html?: string
  metricsPort?: number
  list?: boolean
  check?: boolean
  schema?: boolean
}

/** The scenarios that come with the simulator; compiled code lies one folder deeper. */
const scenarioFolder = [
  new URL('./scenarios/', import.meta.url),
  new URL('../../device-simulator/scenarios/', import.meta.url),
]
  .map((url) => fileURLToPath(url))
  .find((path) => existsSync(path))!

export const defaultScenario = 'smart-home'

/** MQTTX's names for its simulate scenarios. */
const aliases: Record<string, string> = {
  smart_home: 'smart-home',
  weather: 'weather-stations',
  tesla: 'vehicle-fleet',
  IEM: 'factory',
}

/** Commander knows one letter per short option; MQTTX has some of two. */
const longNames: Record<string, string> = { '-im': '--message-interval', '-sc': '--scenario' }

export function translateArguments(parameters: readonly string[]): string[] {
  return parameters.map((parameter) => longNames[parameter] ?? parameter)
}

function whole(name: string, least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new InvalidArgumentError(
        `expected ${name}: a whole number from ${least}${most < 1e9 ? ` to ${most}` : ''}.`,
      )
    }
    return value
  }
}

function duration(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === undefined || ms === 0) throw new InvalidArgumentError('expected a duration such as 30s, 5m or 1h.')
  return ms
}

export function createCommand(): Command {
  return new Command('mqtide-simulator')
    .description('Simulate a swarm of MQTT devices and judge what the broker did with their messages.')
    .argument('[scenario]', 'a scenario file, or the name of one that comes along (see --list)')
    .helpOption('--help', 'show this text')
    .option('--broker <url>', 'mqtt://, mqtts://, ws:// or wss:// URL; replaces the brokers of the scenario')
    .option('--seed <number>', 'the seed of all payloads; chosen at random and printed otherwise', whole('a seed', 0))
    .option('--duration <time>', 'length of the stages between ramp and drain together, such as 30s', duration)
    .option('--devices <number>', 'scale the groups that publish to so many devices together', whole('devices', 1))
    .option('--start-number <number>', 'first device index, for a swarm over several processes', whole('an index', 0))
    .addOption(new Option('--client <kind>', 'MQTT.js, or the lean client in threads').choices(['mqttjs', 'lean']))
    .option('--workers <number>', 'threads for lean devices', whole('threads', 1, 64))
    .option('--json <file>', 'write the summary as JSON; -: all of standard output is JSON lines, the summary the last')
    .option('--html <file>', 'write the report as one HTML file')
    .option('--metrics-port <port>', 'serve Prometheus metrics on 127.0.0.1 at /metrics', whole('a port', 0, 65_535))
    .option('--list', 'list the scenarios that come along')
    .option('--check', 'check the scenario and say nothing more')
    .option('--schema', "print the scenario file's JSON Schema")
    .option('-c, --count <number>', 'quick form: number of devices (1000)', whole('devices', 1))
    .option('-i, --interval <ms>', 'quick form: milliseconds between two connects (10)', whole('milliseconds', 0))
    .option(
      '--message-interval <ms>',
      'also -im; quick form: milliseconds between two messages of a device (1000)',
      whole('milliseconds', 1),
    )
    .option('-t, --topic <topic>', 'quick form: topic with %i (index), %c (client id), %u (user name) (bench/%i)')
    .option('-m, --message <text>', 'quick form: the payload, a template')
    .option('-S, --payload-size <size>', 'quick form: random payload of this size, such as 64 or 2KiB')
    .option('-q, --qos <qos>', 'quick form: 0, 1 or 2', whole('a QoS', 0, 2))
    .option('-r, --retain', 'quick form: publish retained messages')
    .option(
      '-L, --limit <number>',
      'quick form: messages of all devices together, 0 for no limit',
      whole('messages', 0),
    )
    .option('-I, --client-id <template>', 'quick form: client id (mqtide-%i)')
    .option('-V, --mqtt-version <version>', 'quick form: 3.1, 3.1.1 or 5')
    .option('--no-clean', 'quick form: durable sessions')
    .option('-k, --keepalive <seconds>', 'quick form: keep alive', whole('seconds', 0, 65_535))
    .option('-h, --hostname <host>', "quick form: the broker's host")
    .option('-p, --port <port>', "quick form: the broker's port", whole('a port', 1, 65_535))
    .option('-u, --username <name>', 'quick form: user name')
    .option('-P, --password <text>', 'quick form: password')
    .option('-f, --file <module>', "quick form: JavaScript module as MQTTX's simulate takes it")
    .option('--scenario <name>', 'also -sc: same as the argument')
    .exitOverride()
}

/** A mistake on the command line or in the scenario: exit code 2. */
export class UsageError extends Error {}

export interface Task {
  scenario: Scenario
  /** What file names in the scenario are relative to. */
  folder: string
  /** Neither the scenario nor the command line names a broker. */
  isBrokerOpen: boolean
}

/** @throws UsageError, ScenarioError */
export function resolveTask(argument: string | undefined, options: CliOptions, environment: NodeJS.ProcessEnv): Task {
  const name = argument ?? options.scenario
  let scenario: Scenario
  let folder = process.cwd()
  if (name === undefined && isQuick(options)) {
    scenario = quick(options)
  } else {
    refuseQuickOptions(options)
    const file = scenarioFile(name ?? defaultScenario)
    folder = dirname(file)
    scenario = parseScenario(readScenario(file), basename(file), environment)
  }
  const url = options.broker ?? urlOf(options)
  if (url !== undefined) {
    const names = Object.keys(scenario.brokers ?? { default: null })
    scenario.brokers = Object.fromEntries(names.map((broker) => [broker, { url: checkedUrl(url) }]))
  }
  applyOptions(scenario, options)
  takeCredentials(scenario, options)
  checkStartNumber(scenario, options.startNumber ?? 0)
  return { scenario, folder, isBrokerOpen: scenario.brokers === undefined }
}

/** What belongs to the quick form and would say nothing beside a scenario. */
function refuseQuickOptions(options: CliOptions): void {
  const given = quickOnly(options)
  if (given.length === 0) return
  throw new UsageError(
    `${given.join(', ')}: of the quick form, which has no scenario; write it into the scenario, or leave the scenario out`,
  )
}

/** A user name and password in a broker's URL are those of all groups without their own; no URL that is shown has them. */
function takeCredentials(scenario: Scenario, { username, password }: CliOptions): void {
  let found = username === undefined ? undefined : { username, password }
  for (const broker of Object.values(scenario.brokers ?? {})) {
    if (!('url' in broker)) continue
    const url = new URL(broker.url)
    if (url.username === '') continue
    found ??= { username: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }
    url.username = ''
    url.password = ''
    broker.url = url.href.replace(/\/$/, broker.url.endsWith('/') ? '/' : '')
  }
  if (found === undefined) return
  const { username: name, password: secret } = found
  for (const group of Object.values(scenario.groups)) {
    group.credentials ??=
      secret === undefined || secret === '' ? { username: name } : { username: name, password: secret }
  }
}

/** Another process has the same groups: a client id without the device's index is in both, and they would take each other over. */
function checkStartNumber(scenario: Scenario, startNumber: number): void {
  if (startNumber === 0) return
  const [own, other] = [new Layout(scenario, startNumber), new Layout(scenario, startNumber + 1)]
  for (const [i, group] of own.groups.entries()) {
    const clientId = own.variablesOf(group, 0)['clientId']
    if (other.variablesOf(other.groups[i]!, 0)['clientId'] !== clientId) continue
    throw new UsageError(
      `--start-number: group ${group.name} has the client id "${clientId}" in every process: put {index} into its clientId`,
    )
  }
}

function quick(options: CliOptions): Scenario {
  try {
    return quickScenario(options)
  } catch (error) {
    if (error instanceof z.ZodError) throw new UsageError(error.issues.map(({ message }) => message).join('\n'))
    throw error
  }
}

function urlOf({ hostname, port }: CliOptions): string | undefined {
  return hostname === undefined && port === undefined ? undefined : `mqtt://${hostname ?? '127.0.0.1'}:${port ?? 1883}`
}

const withoutCredentials = (url: string): string => url.replace(/\/\/[^/@]*@/, '//')

function checkedUrl(url: string): string {
  if (!/^(mqtts?|wss?):\/\/./.test(url) || !URL.canParse(url)) {
    throw new UsageError(
      `--broker ${withoutCredentials(url)}: expected a URL that begins with mqtt://, mqtts://, ws:// or wss://`,
    )
  }
  return url
}

function applyOptions(scenario: Scenario, { client, devices, duration: wanted, seed }: CliOptions): void {
  if (client !== undefined) scenario.client = client
  if (seed !== undefined) scenario.seed = seed
  if (devices !== undefined) scaleDevices(scenario, devices)
  if (wanted !== undefined) scaleStages(scenario, wanted)
}

/** The groups keep their proportions; none vanishes. */
function scaleDevices(scenario: Scenario, devices: number): void {
  const groups = Object.values(scenario.groups).filter((group) => !isListener(group) && group.requests.length === 0)
  const total = groups.reduce((sum, { count }) => sum + count, 0)
  let left = devices
  for (const [i, group] of groups.entries()) {
    const share = i === groups.length - 1 ? left : Math.max(1, Math.round((group.count / total) * devices))
    group.count = Math.max(1, Math.min(share, left))
    left = Math.max(0, left - group.count)
  }
}

function scaleStages(scenario: Scenario, wantedMs: number): void {
  scenario.stages ??= [
    { type: 'ramp', duration: 3000, rate: 1, to: 1, spread: 0, faults: [] },
    { type: 'hold', duration: 30_000, rate: 1, to: 1, spread: 0, faults: [] },
    { type: 'drain', duration: 15_000, rate: 1, to: 1, spread: 0, faults: [] },
  ]
  const live = scenario.stages.filter(({ type }) => type !== 'ramp' && type !== 'drain')
  const total = live.reduce((sum, stage) => sum + stage.duration, 0)
  for (const stage of live) stage.duration = (stage.duration / total) * wantedMs
}

function scenarioFile(name: string): string {
  const known = aliases[name] ?? name
  const builtIn = join(scenarioFolder, `${known}.yaml`)
  if (!/[./\\]/.test(known) && existsSync(builtIn)) return builtIn
  const path = resolve(name)
  if (existsSync(path)) return path
  const names = listScenarios().map((scenario) => scenario.name)
  const suggestion = nearest(known, names)
  throw new UsageError(
    `there is no file ${name}, and no scenario of that name comes along: ` +
      (suggestion === undefined ? `expected a file or one of ${names.join(', ')}` : `did you mean "${suggestion}"?`),
  )
}

function readScenario(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`can't read ${file}: ${(error as Error).message}`)
  }
}

export function listScenarios(): { name: string; description: string }[] {
  return readdirSync(scenarioFolder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => {
      const { description } = parseScenario(readFileSync(join(scenarioFolder, file), 'utf8'), file, {})
      return { name: file.replace(/\.yaml$/, ''), description: description ?? '' }
    })
}

/** The published schema, as `scenario.schema.json` holds it. */
export function scenarioJsonSchema(): string {
  const schema = z.toJSONSchema(scenarioSchema, { io: 'input', unrepresentable: 'any' })
  return `${JSON.stringify({ ...schema, title: 'MQTide device simulator scenario' }, null, 2)}\n`
}
