/**
 * Bridges: connections of the gateway to other MQTT brokers (`docs/bridges.md`). `bridges` are those of the default namespace,
 * `namespaces.NAME.bridges` those of another.
 */
import { z } from 'zod'
import { filtersOverlap } from '../bridges/overlap.ts'
import {
  type BridgeSettings,
  isIn,
  isOut,
  localFilter,
  queueFullPolicies,
  remoteFilter,
  type TopicRule,
} from '../bridges/settings.ts'
import type { Qos } from '../mqtt/packet.ts'
import { isValidTopicName, parseTopicFilter } from '../mqtt/topic.ts'
import { type ConfigIssue, describeIssues } from './config-error.ts'
import { flag, GiB, KiB, MiB, oneOf, text, wholeNumber } from './fields.ts'

export const bridgesMax = 1000
const nameError = 'expected a name of letters, digits, -, . and _, with a letter or a digit first'
const dayMs = 86_400_000

function upToTwo() {
  return z.union([z.literal(0), z.literal(1), z.literal(2)], 'expected 0, 1 or 2')
}

export function bridgeName() {
  return text(64).regex(/^[0-9a-zA-Z][-.0-9a-zA-Z_]*$/, nameError)
}

function brokerUrl() {
  const error = 'expected an address such as mqtts://broker.example:8883, of mqtt, mqtts, ws or wss'
  const bare = 'user name and password belong into username and password, since an address is shown'
  return z
    .string(error)
    .max(2048, error)
    .refine((value) => /^(mqtts?|wss?):\/\/[^/]/.test(value) && URL.canParse(value), error)
    .refine((value) => !URL.canParse(value) || `${new URL(value).username}${new URL(value).password}` === '', bare)
}

export const bridgeTlsSchema = z.strictObject(
  {
    ca: text(4096)
      .optional()
      .describe('PEM file of the authorities that the broker is judged by; unset, those of Node.'),
    cert: text(4096).optional().describe("PEM file of the bridge's own certificate."),
    key: text(4096).optional().describe('PEM file of its private key.'),
    passphraseFile: text(4096).optional().describe('File with the passphrase of an encrypted key.'),
    servername: text(255).optional().describe("Name that is asked for and expected; unset, the address's."),
    verify: flag()
      .default(true)
      .describe('Whether the certificate has to be good. Without, anyone may pose as the broker.'),
  },
  'expected ca, cert, key, passphraseFile, servername and verify',
)

const prefix = (what: string) => z.string('expected a text').max(1024).default('').describe(what)

export const bridgeTopicSchema = z.strictObject(
  {
    filter: text(4096).describe('Which topics, without prefix.'),
    direction: oneOf('in', 'out', 'both').describe('From the other broker here, from here there, or both.'),
    qos: upToTwo().default(1).describe('Highest QoS of a message.'),
    localPrefix: prefix('What its topics begin with here, and not there.'),
    remotePrefix: prefix('What its topics begin with there, and not here.'),
    except: z
      .array(text(4096), 'expected a list of topic filters')
      .max(1000)
      .default([])
      .describe('Topics of them that do not go over, as filters without prefix.'),
    retain: flag().default(true).describe('Whether what is retained stays so.'),
    retainHandling: upToTwo()
      .default(1)
      .describe('Retained messages that are there already: at each connection (0), once (1), never (2).'),
  },
  'expected filter and direction',
)

export const bridgeSchema = z.strictObject(
  {
    url: brokerUrl().describe('Address of the other broker: mqtt://, mqtts://, ws:// or wss://.'),
    protocolVersion: z
      .union([z.literal(5), z.literal(4)], 'expected 5 or 4')
      .default(5)
      .describe('5 for MQTT 5.0, 4 for 3.1.1.'),
    clientId: text(128).optional().describe("Client id there; unset, made of this gateway's id and the name."),
    username: text(1024).optional().describe('User name there.'),
    password: text(4096).optional().describe('Password there.'),
    passwordFile: text(4096).optional().describe('File that holds the password, read at each connection.'),
    tls: bridgeTlsSchema.prefault({}),
    topics: z
      .array(bridgeTopicSchema, 'expected a list of topics')
      .min(1, 'expected a topic at least')
      .max(1000, 'expected at most 1000 topics')
      .describe('What goes over; of several that fit a topic the first one decides.'),
    connections: wholeNumber(1, 64)
      .default(1)
      .describe('Connections that outgoing messages are spread over, those of one topic always by the same.'),
    keepAliveSeconds: wholeNumber(0, 65_535).default(60).describe('Keep Alive; 0: off.'),
    connectTimeoutMs: wholeNumber(100, 600_000).default(10_000).describe('How long a connection may take to CONNACK.'),
    ackTimeoutMs: wholeNumber(100, dayMs)
      .default(60_000)
      .describe('How long the broker may take for an acknowledgement; then the connection is made anew.'),
    reconnectMs: wholeNumber(10, dayMs)
      .default(1000)
      .describe('Wait after the first failure; it doubles with each one.'),
    reconnectMaxMs: wholeNumber(10, dayMs).default(60_000).describe('Longest wait. Half of each is left to chance.'),
    sessionExpirySeconds: wholeNumber(0, 0xffffffff)
      .default(30 * 86_400)
      .describe('MQTT 5.0: how long the broker keeps what is for us while we are away.'),
    inflightMessagesMax: wholeNumber(1, 65_535)
      .optional()
      .describe(
        'Messages on their way on one connection; a 5.0 broker may say less. Unset, 1000; 20 for 3.1.1, in which no broker says what it takes.',
      ),
    packetBytesMax: wholeNumber(KiB, 256 * MiB)
      .default(16 * MiB)
      .describe('Largest packet in either direction; a 5.0 broker may say less.'),
    queueMessagesMax: wholeNumber(1, 1_000_000_000).default(1_000_000).describe('Messages that wait for the broker.'),
    queueBytesMax: wholeNumber(KiB, 1024 * GiB)
      .default(GiB)
      .describe('Their bytes.'),
    queueFull: oneOf(...queueFullPolicies)
      .default('drop-oldest')
      .describe('What happens to a message beyond either; reject answers its publisher 0x97 (3.x: closed).'),
  },
  'expected url and topics',
)

export const bridgesSchema = z.record(bridgeName(), bridgeSchema, 'expected bridges by their names')

export type BridgesOptions = z.output<typeof bridgesSchema>
export type BridgeOptions = z.output<typeof bridgeSchema>

/** The option of both. */
export function bridgesOption(whose: string) {
  return bridgesSchema.default({}).describe(`${whose}, by name; see bridges.md.`)
}

interface OptionsWithBridges {
  bridges: BridgesOptions
  namespaces: Readonly<Record<string, { bridges: BridgesOptions }>>
}

interface Section {
  namespace: string
  bridges: BridgesOptions
  path: readonly PropertyKey[]
}

function sectionsOf({ bridges, namespaces }: OptionsWithBridges): Section[] {
  const others = Object.entries(namespaces).map(([namespace, one]) => {
    return { namespace, bridges: one.bridges, path: ['namespaces', namespace, 'bridges'] }
  })
  return [{ namespace: 'default', bridges, path: ['bridges'] }, ...others]
}

/** Every bridge of a configuration, with its defaults. */
export function bridgesOf(options: OptionsWithBridges): BridgeSettings[] {
  return sectionsOf(options).flatMap(({ namespace, bridges }) =>
    Object.entries(bridges).map(([name, one]) => bridgeSettings(namespace, name, one)),
  )
}

export function bridgeSettings(namespace: string, name: string, { topics, ...given }: BridgeOptions): BridgeSettings {
  const rules = topics.map((topic): TopicRule => ({ ...topic, qos: topic.qos as Qos }))
  const { inflightMessagesMax = given.protocolVersion === 5 ? 1000 : 20 } = given
  return { ...given, inflightMessagesMax, namespace, name, topics: rules }
}

/** Faults that no single value has. */
export function bridgeIssues(options: OptionsWithBridges): ConfigIssue[] {
  const taken = new Set<string>()
  const sections = sectionsOf(options)
  const count = sections.reduce((sum, { bridges }) => sum + Object.keys(bridges).length, 0)
  if (count > bridgesMax)
    return [{ path: ['bridges'], message: `expected at most ${bridgesMax} bridges, got ${count}` }]
  return sections.flatMap(({ namespace, bridges, path }) =>
    Object.entries(bridges).flatMap(([name, bridge]) => {
      const key = `${namespace}/${name}`
      const isTwice = taken.has(key)
      taken.add(key)
      const twice = { path: [...path, name], message: `the bridge ${name} is under bridges already` }
      return [...(isTwice ? [twice] : []), ...issuesOfBridge(bridge, [...path, name])]
    }),
  )
}

/** One bridge by itself, as the API takes it. */
export function parseBridge(options: unknown): { bridge?: BridgeOptions; issues: ConfigIssue[] } {
  const parsed = bridgeSchema.safeParse(options)
  if (parsed.success) return { bridge: parsed.data, issues: issuesOfBridge(parsed.data, []) }
  return { issues: describeIssues(parsed.error, options, new Map([['', Object.keys(bridgeSchema.shape)]])) }
}

/** Faults of one of them. `at`: where it stands. */
export function issuesOfBridge(bridge: BridgeOptions, at: readonly PropertyKey[]): ConfigIssue[] {
  const { url, username, password, passwordFile, tls, protocolVersion, connections, reconnectMs, reconnectMaxMs } =
    bridge
  const issues: ConfigIssue[] = []
  const add = (path: readonly PropertyKey[], message: string) => issues.push({ path: [...at, ...path], message })
  if (password !== undefined && passwordFile !== undefined) add(['passwordFile'], 'excludes password')
  const hasPassword = password !== undefined || passwordFile !== undefined
  if (protocolVersion === 4 && hasPassword && username === undefined)
    add(['username'], 'missing: 3.1.1 has no password without a user name')
  if (!/^(mqtts|wss):/.test(url)) {
    for (const name of ['ca', 'cert', 'key', 'passphraseFile', 'servername'] as const)
      if (tls[name] !== undefined) add(['tls', name], 'belongs to an address that begins with mqtts:// or wss://')
  }
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    add(['tls', tls.cert === undefined ? 'cert' : 'key'], 'missing: a certificate and its key come together')
  }
  if (reconnectMaxMs < reconnectMs)
    add(['reconnectMaxMs'], `expected at least reconnectMs (${reconnectMs}), got ${reconnectMaxMs}`)
  const rules = bridgeSettings('', '', bridge).topics
  for (const [index, rule] of rules.entries()) {
    for (const [path, message] of topicFaults(rule)) add(['topics', index, ...path], message)
  }
  if (protocolVersion === 4 && connections > 1 && comesBack(rules)) {
    add(
      ['connections'],
      'expected 1: several connections of 3.1.1 can not tell what comes back from what is new; use 5 or other prefixes',
    )
  }
  return issues
}

function comesBack(rules: readonly TopicRule[]): boolean {
  const incoming = rules.filter(isIn).map(remoteFilter)
  return rules.filter(isOut).some((out) => incoming.some((filter) => filtersOverlap(filter, remoteFilter(out))))
}

/** What can be subscribed to of what begins with $. */
const isSys = (filter: string): boolean => filter === '$SYS' || filter.startsWith('$SYS/')

function* topicFaults(rule: TopicRule): Generator<[path: PropertyKey[], message: string]> {
  const { localPrefix, remotePrefix, except } = rule
  for (const [name, prefix] of [
    ['localPrefix', localPrefix],
    ['remotePrefix', remotePrefix],
  ] as const) {
    if (prefix !== '' && !isValidTopicName(prefix)) yield [[name], 'expected the beginning of a topic, without + and #']
  }
  const sides = [localFilter(rule), remoteFilter(rule)]
  if (sides.some((filter) => parseTopicFilter(filter) === undefined)) {
    yield [['filter'], 'expected a topic filter that is one with its prefixes too']
    return
  }
  if (sides.some((filter) => filter.startsWith('$') && !isSys(filter))) {
    yield [['filter'], 'of topics that begin with $ only those of $SYS can go over']
  }
  if (isIn(rule) && localFilter(rule).startsWith('$')) {
    yield [['localPrefix'], 'expected one that does not begin with $: what begins so is said by the gateway itself']
  }
  for (const [index, filter] of except.entries()) {
    if (parseTopicFilter(localPrefix + filter) === undefined) yield [['except', index], 'expected a topic filter']
  }
}
