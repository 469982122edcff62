/**
 * How `sub` prints a message: the formats of `mosquitto_sub -F`.
 *
 * `%` conversions may have a width and flags as in printf (`%-20t`, `%08l`) and, for the payload, a precision (`%.10p`).
 * `@` introduces a part of the date, as in strftime. Unknown conversions are an error before anything is received.
 */
import { CliError, ExitCode } from './context.ts'

export interface ReceivedMessage {
  topic: string
  payload: Uint8Array
  qos: number
  retain: boolean
  messageId: number
  properties: MessageProperties
  at: Date
}

/** As MQTT.js gives them. */
export interface MessageProperties {
  contentType?: string | undefined
  correlationData?: Uint8Array | undefined
  messageExpiryInterval?: number | undefined
  payloadFormatIndicator?: boolean | undefined
  responseTopic?: string | undefined
  subscriptionIdentifier?: number | number[] | undefined
  topicAlias?: number | undefined
  userProperties?: Record<string, string | string[]> | undefined
}

export type MessageFormat = (message: ReceivedMessage) => Uint8Array

type Part = (message: ReceivedMessage) => Uint8Array | string

const conversions: Readonly<Record<string, Part>> = {
  A: ({ properties }) => shown(properties.topicAlias),
  C: ({ properties }) => properties.contentType ?? '',
  D: ({ properties }) => properties.correlationData ?? '',
  E: ({ properties }) => shown(properties.messageExpiryInterval),
  F: ({ properties }) =>
    properties.payloadFormatIndicator === undefined ? '' : properties.payloadFormatIndicator ? '1' : '0',
  I: ({ at }) => isoSeconds(at),
  j: (message) => JSON.stringify(asJson(message, textOf(message.payload))),
  J: (message) => JSON.stringify(asJson(message, parsed(message))),
  l: ({ payload }) => String(payload.length),
  m: ({ messageId }) => String(messageId),
  P: ({ properties }) =>
    pairsOf(properties)
      .map(([name, value]) => `${name}:${value}`)
      .join(' '),
  p: ({ payload }) => payload,
  q: ({ qos }) => String(qos),
  R: ({ properties }) => properties.responseTopic ?? '',
  r: ({ retain }) => (retain ? '1' : '0'),
  S: ({ properties }) => [properties.subscriptionIdentifier ?? []].flat().join(' '),
  t: ({ topic }) => topic,
  U: ({ at }) => `${Math.floor(at.getTime() / 1000)}.${String(at.getMilliseconds()).padStart(3, '0')}000000`,
  X: ({ payload }) => Buffer.from(payload).toString('hex').toUpperCase(),
  x: ({ payload }) => Buffer.from(payload).toString('hex'),
}

const dateParts: Readonly<Record<string, (at: Date) => string>> = {
  Y: (at) => String(at.getFullYear()),
  m: (at) => two(at.getMonth() + 1),
  d: (at) => two(at.getDate()),
  H: (at) => two(at.getHours()),
  M: (at) => two(at.getMinutes()),
  S: (at) => two(at.getSeconds()),
  s: (at) => String(Math.floor(at.getTime() / 1000)),
  N: (at) => `${String(at.getMilliseconds()).padStart(3, '0')}000000`,
  F: (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
  T: (at) => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`,
  z: (at) => zone(at),
  '@': () => '@',
}

const escapes: Readonly<Record<string, string>> = {
  '\\': '\\',
  '0': '\0',
  a: '\x07',
  e: '\x1b',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

const grammar =
  /%(?<flags>[-0]*)(?<width>\d{0,4})(?:\.(?<precision>\d{1,9}))?(?<conversion>.)|@(?<date>.)|\\(?<escaped>.)|(?<text>[^%@\\]+)|(?<lone>[%@\\])/gsu

/** @throws CliError (usage) for a conversion that doesn't exist */
export function parseFormat(format: string): MessageFormat {
  const parts: Part[] = []
  for (const { groups } of format.matchAll(grammar)) {
    const { conversion, date, escaped, text, lone } = groups!
    if (text !== undefined) parts.push(() => text)
    else if (conversion === '%') parts.push(() => '%')
    else if (conversion !== undefined) parts.push(conversionPart(conversion, groups!))
    else if (date !== undefined) parts.push(datePart(date))
    else if (escaped !== undefined && Object.hasOwn(escapes, escaped)) parts.push(() => escapes[escaped]!)
    else throw new CliError(`-F: "${lone ?? `\\${escaped}`}" is not complete`, ExitCode.usage)
  }
  return (message) => Buffer.concat(parts.map((part) => bytesOf(part(message))))
}

function conversionPart(name: string, { flags = '', width = '', precision }: Record<string, string | undefined>): Part {
  if (!Object.hasOwn(conversions, name)) throw new CliError(`-F: there is no %${name}`, ExitCode.usage)
  const convert = conversions[name]!
  if (width === '' && precision === undefined) return convert
  return (message) => {
    const bytes = bytesOf(convert(message))
    const cut = precision === undefined ? bytes : bytes.subarray(0, Number(precision))
    const missing = Math.max(0, Number(width) - cut.length)
    const left = flags.includes('-')
    const padding = Buffer.alloc(missing, flags.includes('0') && !left ? '0' : ' ')
    return Buffer.concat(left ? [cut, padding] : [padding, cut])
  }
}

function datePart(name: string): Part {
  if (!Object.hasOwn(dateParts, name)) throw new CliError(`-F: there is no @${name}`, ExitCode.usage)
  return ({ at }) => dateParts[name]!(at)
}

/** The payload alone, or after the topic; a line each unless `endOfLine` is false. */
export function plainFormat(verbose: boolean, endOfLine: boolean): MessageFormat {
  const end = Buffer.from(endOfLine ? '\n' : '')
  return ({ topic, payload }) => {
    if (!verbose) return Buffer.concat([payload, end])
    return Buffer.concat([Buffer.from(`${topic} `), payload.length === 0 ? Buffer.from('(null)') : payload, end])
  }
}

function asJson(message: ReceivedMessage, payload: unknown): Record<string, unknown> {
  const properties = propertiesJson(message.properties)
  return {
    tst: `${message.at.toISOString().replace('Z', '')}Z+0000`.replace('Z+', '000Z+'),
    topic: message.topic,
    qos: message.qos,
    retain: message.retain ? 1 : 0,
    ...(message.qos > 0 ? { mid: message.messageId } : {}),
    payloadlen: message.payload.length,
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    payload: message.payload.length === 0 ? null : payload,
  }
}

function propertiesJson(properties: MessageProperties): Record<string, unknown> {
  const pairs = pairsOf(properties)
  return {
    ...(pairs.length > 0 ? { 'user-properties': Object.fromEntries(pairs) } : {}),
    ...defined('content-type', properties.contentType),
    ...defined('correlation-data', properties.correlationData && textOf(properties.correlationData)),
    ...defined('response-topic', properties.responseTopic),
    ...defined(
      'payload-format-indicator',
      properties.payloadFormatIndicator === undefined ? undefined : Number(properties.payloadFormatIndicator),
    ),
    ...defined('message-expiry-interval', properties.messageExpiryInterval),
    ...defined('subscription-identifier', properties.subscriptionIdentifier),
  }
}

function defined(name: string, value: unknown): Record<string, unknown> {
  return value === undefined ? {} : { [name]: value }
}

function parsed({ payload, topic }: ReceivedMessage): unknown {
  if (payload.length === 0) return null
  try {
    return JSON.parse(textOf(payload))
  } catch {
    throw new CliError(`-F %J: the payload on ${topic} is no JSON`)
  }
}

function pairsOf({ userProperties = {} }: MessageProperties): [string, string][] {
  return Object.entries(userProperties).flatMap(([name, values]) =>
    [values].flat().map((value): [string, string] => [name, value]),
  )
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

function bytesOf(part: Uint8Array | string): Uint8Array {
  return typeof part === 'string' ? Buffer.from(part) : part
}

function shown(value: number | undefined): string {
  return value === undefined ? '' : String(value)
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

function isoSeconds(at: Date): string {
  return `${dateParts['F']!(at)}T${dateParts['T']!(at)}${zone(at)}`
}

function zone(at: Date): string {
  const minutes = -at.getTimezoneOffset()
  const absolute = Math.abs(minutes)
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(absolute / 60))}${two(absolute % 60)}`
}
