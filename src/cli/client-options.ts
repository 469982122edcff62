/**
 * The options that `pub` and `sub` share, named as mosquitto_pub and mosquitto_sub name them, as MQTT.js takes them.
 */
import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import type { IClientOptions } from 'mqtt'
import { type PropertyLists, propertiesOf, propertyWords } from './client-properties.ts'
import { type CliContext, CliError, ExitCode } from './context.ts'

export interface ClientFlags {
  host?: string
  port?: number
  url?: string
  id?: string
  idPrefix?: string
  username?: string
  password?: string
  protocolVersion?: 3 | 4 | 5
  keepalive: number
  disableCleanSession?: boolean
  sessionExpiry?: number
  property?: string[]
  willTopic?: string
  willPayload?: string
  willQos: 0 | 1 | 2
  willRetain?: boolean
  cafile?: string
  cert?: string
  key?: string
  insecure?: boolean
}

export interface ClientTarget {
  url: string
  options: IClientOptions
  /** The topic in a `mqtt://…/topic` URL. */
  topic: string | undefined
  /** Of `-D`, by the packet they are for. */
  properties: PropertyLists
}

/** Adds the shared options. `-h` is the host, as in Mosquitto's clients, so help is `--help` alone. */
export function addClientOptions(command: Command): Command {
  return command
    .helpOption('--help', 'show this')
    .option('-h, --host <host>', 'gateway to connect to, or its URL (default 127.0.0.1)')
    .option('-p, --port <port>', 'its port (default 1883, with TLS 8883)', numberFrom(1, 65_535))
    .option('-L, --url <url>', 'mqtt(s)://[user[:password]@]host[:port]/topic, or ws(s)://host[:port]/mqtt')
    .option('-i, --id <id>', 'client id (default: made up by the client)')
    .option('-I, --id-prefix <prefix>', 'client id that begins so and ends with the process id')
    .option('-u, --username <name>', 'user name')
    .option('-P, --password <password>', 'password')
    .option(
      '-V, --protocol-version <version>',
      'mqttv5, mqttv311 or mqttv31; 5, 311 or 31 (default mqttv311)',
      mqttVersion,
    )
    .option('-k, --keepalive <seconds>', 'keep alive', numberFrom(0, 65_535), 60)
    .option('-c, --disable-clean-session', 'keep the session after this client has gone; needs -i')
    .option('-x, --session-expiry <seconds>', 'MQTT 5.0: how long the session is kept', numberFrom(0, 0xffff_ffff))
    .option(
      '-D, --property <words...>',
      'MQTT 5.0: PACKET PROPERTY VALUE, e.g. -D publish user-property name value',
      propertyWords,
    )
    .option('--will-topic <topic>', "topic of the client's will")
    .option('--will-payload <payload>', 'payload of the will (default: empty)')
    .option('--will-qos <qos>', 'QoS of the will', qosNumber, 0)
    .option('--will-retain', 'retain the will')
    .option('--cafile <file>', 'TLS: certificates of the authorities to trust, PEM')
    .option('--cert <file>', "TLS: the client's certificate, PEM")
    .option('--key <file>', "TLS: the client's private key, PEM")
    .option('--insecure', "TLS: accept any certificate; the gateway's identity is then not checked")
}

export function numberFrom(from: number, to: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (!/^\d+$/.test(text) || value < from || value > to) {
      throw new InvalidArgumentError(`Expected a whole number from ${from} to ${to}.`)
    }
    return value
  }
}

export function qosNumber(text: string): 0 | 1 | 2 {
  if (text === '0' || text === '1' || text === '2') return Number(text) as 0 | 1 | 2
  throw new InvalidArgumentError('Expected 0, 1 or 2.')
}

function mqttVersion(text: string): 3 | 4 | 5 {
  const version = ({ '5': 5, '311': 4, '31': 3 } as const)[text.replace(/^mqttv/, '')]
  if (version === undefined) throw new InvalidArgumentError('Expected mqttv5, mqttv311 or mqttv31.')
  return version
}

/** @throws CliError (usage) for options that contradict each other or files that can't be read */
export function clientTarget(flags: ClientFlags, context: CliContext): ClientTarget {
  const { url, topic } = targetUrl(flags)
  const properties = propertiesOf(flags.property ?? [])
  const needs5 = flags.property !== undefined || flags.sessionExpiry !== undefined
  const version = flags.protocolVersion ?? (needs5 ? 5 : 4)
  if (needs5 && version !== 5) throw new CliError('-D and -x need -V mqttv5', ExitCode.usage)
  if (flags.disableCleanSession && flags.id === undefined) {
    throw new CliError('-c needs -i: without its client id nobody finds the session again', ExitCode.usage)
  }
  const options: IClientOptions = {
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    keepalive: flags.keepalive,
    clean: !flags.disableCleanSession,
    reconnectPeriod: 0,
    connectTimeout: 30_000,
    resubscribe: true,
    ...clientId(flags, context),
    ...(flags.username === undefined ? {} : { username: flags.username }),
    ...(flags.password === undefined ? {} : { password: flags.password }),
    ...will(flags, properties),
    ...tlsFiles(flags),
  }
  if (version === 5) {
    // A session that isn't cleaned is meant to stay; 5.0 says that by its expiry.
    const expiry = flags.sessionExpiry ?? (flags.disableCleanSession ? 0xffff_ffff : undefined)
    options.properties = { ...(expiry === undefined ? {} : { sessionExpiryInterval: expiry }), ...properties.connect }
  }
  return { url, options, topic, properties }
}

function clientId(flags: ClientFlags, context: CliContext): IClientOptions {
  if (flags.id !== undefined) return { clientId: flags.id }
  if (flags.idPrefix !== undefined) return { clientId: flags.idPrefix + context.pid }
  return { clientId: `mqtide-${context.pid}-${Math.floor(performance.timeOrigin).toString(36)}` }
}

function will(flags: ClientFlags, properties: PropertyLists): IClientOptions {
  if (flags.willTopic === undefined) {
    if (flags.willPayload !== undefined || flags.willRetain)
      throw new CliError('a will needs --will-topic', ExitCode.usage)
    return {}
  }
  return {
    will: {
      topic: flags.willTopic,
      payload: Buffer.from(flags.willPayload ?? ''),
      qos: flags.willQos,
      retain: flags.willRetain ?? false,
      ...(Object.keys(properties.will).length > 0 ? { properties: properties.will } : {}),
    },
  }
}

function tlsFiles(flags: ClientFlags): IClientOptions {
  if ((flags.cert === undefined) !== (flags.key === undefined)) {
    throw new CliError('--cert and --key belong together', ExitCode.usage)
  }
  return {
    ...(flags.cafile === undefined ? {} : { ca: fileOf('--cafile', flags.cafile) }),
    ...(flags.cert === undefined ? {} : { cert: fileOf('--cert', flags.cert) }),
    ...(flags.key === undefined ? {} : { key: fileOf('--key', flags.key) }),
    ...(flags.insecure ? { rejectUnauthorized: false } : {}),
  }
}

export function fileOf(flag: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new CliError(`${flag}: ${(error as Error).message}`, ExitCode.usage)
  }
}

const schemes = ['mqtt:', 'mqtts:', 'ws:', 'wss:']

function targetUrl(flags: ClientFlags): { url: string; topic: string | undefined } {
  const given = flags.url ?? (flags.host?.includes('://') ? flags.host : undefined)
  if (given === undefined) {
    const tls = flags.cafile !== undefined || flags.cert !== undefined || flags.insecure
    const host = flags.host ?? '127.0.0.1'
    const port = flags.port ?? (tls ? 8883 : 1883)
    return {
      url: `${tls ? 'mqtts' : 'mqtt'}://${/^[^[].*:/.test(host) ? `[${host}]` : host}:${port}`,
      topic: undefined,
    }
  }
  if (flags.port !== undefined || (flags.url !== undefined && flags.host !== undefined)) {
    throw new CliError('host and port stand in the URL; leave out -h and -p', ExitCode.usage)
  }
  if (!URL.canParse(given) || !schemes.includes(new URL(given).protocol)) {
    throw new CliError(`${given} is no URL of the form mqtt://, mqtts://, ws:// or wss://`, ExitCode.usage)
  }
  const url = new URL(given)
  if (url.protocol === 'ws:' || url.protocol === 'wss:') return { url: given, topic: undefined }
  const topic = decodeURIComponent(url.pathname.slice(1) + url.hash)
  url.pathname = ''
  url.hash = ''
  return { url: url.href, topic: topic === '' ? undefined : topic }
}
