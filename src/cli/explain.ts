/**
 * `mqtide explain`: whether a client may do something, and which rule says so. Reads the configuration and its files; a gateway
 * need not run. Exit code 0: allowed, 1: denied. With `--follow` or `--send` it asks a gateway that runs (`explain-messages.ts`).
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { loadAccess } from '../auth/access-files.ts'
import type { Question } from '../auth/decider.ts'
import { type Asked, explain, explainable } from '../auth/explain.ts'
import { accessSettings } from '../config/access-settings.ts'
import { consumedOf } from '../config/consumed-of.ts'
import { type ListenerConfig, listenersOf } from '../config/listeners.ts'
import { loadConfig } from '../config/load.ts'
import { namespaceOf, type Place, readOnlyBecause } from '../config/namespace-of.ts'
import { explainRewritten } from '../config/rewritten-question.ts'
import type { GatewayConfig } from '../config/schema.ts'
import type { Qos } from '../mqtt/packet.ts'
import { isValidTopicName, parseTopicFilter } from '../mqtt/topic.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { explainMessages, type MessageFlags } from './explain-messages.ts'

interface Flags {
  config?: string
  user?: string
  client: string
  group: string[]
  address: string
  listener: string
  namespace?: string
  cert: string[]
  publish?: string
  subscribe?: string
  receive?: string
  produce?: string
  consume?: string
  qos: Qos
  retain?: boolean
}

export function registerExplain(program: Command, context: CliContext): void {
  program
    .command('explain')
    .description(
      'say whether a client may publish, subscribe or receive, and which rule decides; or, of a gateway that runs, what becomes of messages',
    )
    .option('--config <file>', 'configuration file')
    .option('--user <name>', 'user name; without it, an anonymous client')
    .option('--client <id>', 'client id', 'explain')
    .option('--group <name>', 'group that the client is in besides those of the configuration', collect, [])
    .option('--address <address>', "the client's address", '127.0.0.1')
    .option('--listener <name>', 'name of the listener that it comes by', '')
    .option('--namespace <name>', "namespace that the client's token says")
    .option('--cert <field=value>', "field of the client's certificate, such as cn=device-1", collect, [])
    .option('--publish <topic>', 'may it publish to this topic?')
    .option('--subscribe <filter>', 'may it subscribe to this filter?')
    .option('--receive <topic>', 'may it receive messages of this topic?')
    .option('--produce <queue>', 'may it publish to this queue?')
    .option('--consume <name>', 'may it take messages of this queue, or read $stream/NAME?')
    .addOption(new Option('--qos <qos>', 'QoS of the message or the subscription').argParser(qosOf).default(0))
    .option('--retain', 'the message is to be retained')
    .option('--follow [filter]', 'show what becomes of messages of this topic filter (default all), as they pass')
    .option('--send <topic>', 'publish a message, and show what becomes of it')
    .option('--text <payload>', 'its payload', '')
    .option('--from <client-id>', 'follow: only messages of this publisher')
    .option('--to <client-id>', 'follow, send: only what becomes of it for this client, also where it gets nothing')
    .option('--wait <ms>', 'follow, send: how long acknowledgements are waited for (default 2000)')
    .option('--count <messages>', 'follow: end after so many')
    .option('--seconds <seconds>', 'follow: end after so long (default 600)')
    .option('--url <url>', 'follow, send: where the gateway answers (default: its http listener)')
    .option('--token-file <file>', 'follow, send: file with a token (default: api-token in the data folder)')
    .option('--data-dir <folder>', 'follow, send: data folder of the gateway (default ./data)')
    .option('--json', 'follow, send: as JSON, a line for each message')
    .action((flags: Flags & MessageFlags) =>
      flags.follow !== undefined || flags.send !== undefined ? explainMessages(flags, context) : answer(flags, context),
    )
}

function collect(value: string, before: string[]): string[] {
  return [...before, value]
}

function qosOf(text: string): Qos {
  if (text === '0' || text === '1' || text === '2') return Number(text) as Qos
  throw new InvalidArgumentError('Expected 0, 1 or 2.')
}

function answer(given: Flags, context: CliContext): void {
  const flags = withQueueNames(given)
  const question = questionOf(flags)
  const { config } = loadConfig({ file: flags.config, environment: context.environment })
  const listener = listenerNamed(flags.listener, config)
  const place = namespaceOf(config, { user: flags.user, namespace: flags.namespace, listener })
  const asked = consumeQuestion(config, place, flags) ?? question
  const { allowed, because } =
    'refusal' in asked
      ? { allowed: false, because: asked.refusal }
      : explainRewritten(config, place.name, asked, (one) => judge(config, place, listener, flags, one))
  const where = place.name === 'default' ? '' : `namespace: ${place.name}\n`
  context.stdout.write(`${allowed ? 'allowed' : 'denied'}\n${because}\n${where}`)
  if (!allowed) throw new CliError('', ExitCode.fatal)
}

/** Undefined: it is about no queue and no stream. */
function consumeQuestion(
  config: GatewayConfig,
  { name }: Place,
  { subscribe }: Flags,
): Question | { refusal: string } | undefined {
  if (subscribe === undefined) return undefined
  const { filter, shared } = parseTopicFilter(subscribe)!
  const asked = consumedOf(config, name, { filter, shared: shared !== undefined })
  if (asked === undefined || asked.refusal !== undefined) return asked
  return { action: 'consume', ...asked }
}

function judge(
  config: GatewayConfig,
  place: Place,
  listener: ListenerConfig | undefined,
  flags: Flags,
  question: Question,
): { allowed: boolean; because: string } {
  const refusal =
    place.refusal ?? (question.action === 'publish' ? readOnlyBecause(config, place.name, question.topic) : undefined)
  if (refusal !== undefined) return { allowed: false, because: refusal }
  const settings = accessSettings(config, listener)
  if (settings === undefined) return { allowed: true, because: 'no authentication and no authorization is configured' }
  return explain(explainable(loadAccess(settings)), askedBy(flags), question)
}

/** Queues by their names alone are the addresses that clients use. */
function withQueueNames({ consume, produce, ...flags }: Flags): Flags {
  const given = [consume, produce, flags.publish, flags.subscribe, flags.receive].filter((one) => one !== undefined)
  if (given.length !== 1) {
    throw new CliError(
      'explain needs one of --publish, --subscribe, --receive, --produce, --consume, --follow and --send',
      ExitCode.usage,
    )
  }
  if (consume !== undefined) {
    const subscribe = consume.startsWith('$') ? consume : `$queue/${consume}`
    return { ...flags, subscribe, qos: 1 }
  }
  return produce === undefined ? flags : { ...flags, publish: `$queue/${produce}` }
}

/** Undefined: none was named, and what holds for all of them is asked. */
function listenerNamed(name: string, config: GatewayConfig): ListenerConfig | undefined {
  if (name === '') return undefined
  const listeners = listenersOf(config)
  const found = listeners.find((listener) => listener.name === name)
  if (found !== undefined) return found
  const names = listeners.map((listener) => listener.name).join(', ')
  throw new CliError(`no listener is called ${name}; there are ${names}`, ExitCode.usage)
}

function askedBy({ user, client, group, address, listener, cert }: Flags): Asked {
  const certificate = cert.map((pair) => {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new CliError('--cert needs field=value, such as cn=device-1', ExitCode.usage)
    return [pair.slice(0, equals), pair.slice(equals + 1)] as const
  })
  return { user, clientId: client, groups: group, address, listener, certificate: Object.fromEntries(certificate) }
}

function questionOf({ publish, subscribe, receive, qos, retain = false }: Flags): Question {
  if (subscribe !== undefined) {
    const parsed = parseTopicFilter(subscribe)
    if (parsed === undefined) throw new CliError(`not a topic filter: ${subscribe}`, ExitCode.usage)
    return { action: 'subscribe', filter: parsed.filter, qos }
  }
  const topic = publish ?? receive!
  if (!isValidTopicName(topic)) throw new CliError(`not a topic name: ${topic}`, ExitCode.usage)
  return { action: publish === undefined ? 'receive' : 'publish', topic, qos, retain }
}
