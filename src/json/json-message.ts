/**
 * A message as JSON text, on its way out. One text serves all clients that get the same form: where it has a packet identifier,
 * five characters are left for it, so that it is set in a copy of the bytes; spaces in front of a number are JSON.
 */
import type { Properties, Qos } from '../mqtt/packet.ts'
import { type EncodedPublish, type PublishParts, publishProperties } from '../mqtt/publish.ts'
import { decodeUtf8 } from '../mqtt/utf8.ts'
import { depthOf } from './depth.ts'
import type { PayloadForm } from './operations.ts'

export const packetIdCharacters = 5
/** Of a payload that is sent as a JSON value; deeper ones are sent as text. */
const payloadDepthMax = 100

export interface JsonParts extends PublishParts {
  /** Its place in the stream that it is read from; absent: it is from none. */
  readonly offset?: number
}

export interface JsonMessageOptions {
  form: PayloadForm
  qos: Qos
  retain: boolean
  dup: boolean
  /** Ignored at QoS 0. */
  packetId: number
  /** Of the recipient's subscriptions that want to be told apart. */
  identifiers?: readonly number[]
  /** When it was published: milliseconds since the epoch, by the system's clock. */
  at: number
}

export function encodeJsonMessage(parts: JsonParts, options: JsonMessageOptions): EncodedPublish {
  const { qos, retain, dup, packetId, at, identifiers = [] } = options
  const { offset } = parts
  // First, where what makes events of it looks for it.
  const place = offset === undefined ? '' : `"offset":${offset},`
  const head = `{"op":"message",${place}${fieldsOf(parts, options.form)},"qos":${qos},"retain":${retain},"at":"${timeText(at)}"`
  const tail = qos === 0 ? '}' : `${dup ? ',"dup":true' : ''}${beforePacketId}${packetIdText(packetId)}}`
  const bytes = Buffer.from(head + identified(identifiers) + tail, 'utf8')
  return { bytes, packetIdAt: qos === 0 ? 0 : bytes.length - 1 - packetIdCharacters, expiryAt: 0 }
}

/** The same text with the numbers of a recipient's subscriptions in it. */
export function withIdentifiers(
  { bytes, packetIdAt, expiryAt }: EncodedPublish,
  identifiers: readonly number[],
): EncodedPublish {
  const text = Buffer.from(identified(identifiers), 'latin1')
  const at = packetIdAt === 0 ? bytes.length - 1 : packetIdAt - beforePacketId.length
  const all = Buffer.concat([bytes.subarray(0, at), text, bytes.subarray(at)])
  return { bytes: all, packetIdAt: packetIdAt === 0 ? 0 : packetIdAt + text.length, expiryAt }
}

const beforePacketId = ',"packet":'

function identified(identifiers: readonly number[]): string {
  return identifiers.length === 0 ? '' : `,"subscriptions":[${identifiers.join()}]`
}

function timeText(at: number): string {
  return new Date(at).toISOString()
}

function packetIdText(packetId: number): string {
  return String(packetId).padStart(packetIdCharacters)
}

export function writePacketId(target: Uint8Array, at: number, packetId: number): void {
  let rest = packetId
  for (let index = at + packetIdCharacters - 1; index >= at; index--) {
    target[index] = rest > 0 ? 0x30 + (rest % 10) : 0x20
    rest = Math.floor(rest / 10)
  }
}

/** Topic, payload and properties, without brackets around. */
function fieldsOf({ topic, payload, forwardProperties }: PublishParts, form: PayloadForm): string {
  // What was published is well-formed.
  const name = decodeUtf8(topic, 0, topic.length) ?? ''
  const [encoding, value] = payloadOf(payload, form)
  const properties = forwardProperties.length === 0 ? '' : propertiesOf(publishProperties(forwardProperties))
  return `"topic":${JSON.stringify(name)},"payload":${value},"encoding":"${encoding}"${properties}`
}

function payloadOf(payload: Uint8Array, form: PayloadForm): [encoding: PayloadForm, json: string] {
  const text = form === 'base64' ? undefined : textOf(payload)
  if (text === undefined) {
    return ['base64', `"${Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('base64')}"`]
  }
  // Line ends stand between values only, and an event's data is one line.
  if (form === 'json' && isJson(text)) return ['json', text.replace(/[\r\n]/g, ' ')]
  return ['utf8', JSON.stringify(text)]
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Undefined for bytes that are no text. A payload may hold U+0000, which MQTT's strings may not. */
function textOf(payload: Uint8Array): string | undefined {
  const text = decodeUtf8(payload, 0, payload.length)
  if (text !== undefined || !payload.includes(0)) return text
  try {
    return utf8.decode(payload)
  } catch {
    return undefined
  }
}

function isJson(text: string): boolean {
  if (depthOf(text) > payloadDepthMax) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function propertiesOf(properties: Properties): string {
  const { correlationData, ...others } = properties
  const shown =
    correlationData === undefined
      ? others
      : { ...others, correlationData: Buffer.from(correlationData).toString('base64') }
  return `,"properties":${JSON.stringify(shown)}`
}
