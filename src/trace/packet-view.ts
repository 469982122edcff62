/**
 * A packet as a trace shows it: what it says, in the specification's words, and never a credential. Of passwords and authentication
 * data only the size is told, of a payload its beginning, and no user name that is long enough to be a token.
 */
import { isUtf8 } from 'node:buffer'
import type { ConnectPacket, Properties, PublishFrame, Will } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { reasonName } from '../mqtt/reason-code.ts'

/** Signed tokens are longer. */
const usernameCharactersMax = 64
const textCharactersMax = 1024
const listedMax = 100

export type PacketView = Readonly<Record<string, unknown>>

export function viewConnect({ version, will, password, username, ...packet }: ConnectPacket): PacketView {
  const { clientId, cleanStart, keepAlive, properties } = packet
  return {
    protocolVersion: version,
    clientId: cut(clientId),
    cleanStart,
    keepAlive,
    ...(username !== undefined && viewUsername(username)),
    ...(password !== undefined && { passwordBytes: password.length }),
    ...(will !== undefined && { will: viewWill(will) }),
    ...viewProperties(properties),
  }
}

function viewUsername(username: string): PacketView {
  return username.length > usernameCharactersMax ? { usernameCharacters: username.length } : { username }
}

function viewWill({ topic, payload, qos, retain, properties }: Will): PacketView {
  return { topic: cut(topic), qos, retain, payloadBytes: payload.length, ...viewProperties(properties) }
}

/** `topic`: as it is known, also where the packet has an alias only. */
export function viewPublish(frame: PublishFrame, topic: string, payloadBytesMax: number): PacketView {
  const { buffer, qos, retain, dup, packetId, topicAlias, propertiesStart, propertiesEnd, payloadStart, end } = frame
  const properties =
    propertiesStart === propertiesEnd ? {} : publishProperties(buffer.slice(propertiesStart, propertiesEnd))
  return {
    topic: cut(topic),
    ...(topicAlias > 0 && { topicAlias }),
    qos,
    retain,
    dup,
    ...(qos > 0 && { packetId }),
    ...viewProperties(properties),
    ...viewPayload(buffer.subarray(payloadStart, end), payloadBytesMax),
  }
}

function viewPayload(payload: Uint8Array, bytesMax: number): PacketView {
  const payloadBytes = payload.length
  if (bytesMax === 0 || payloadBytes === 0) return { payloadBytes }
  const isText = isUtf8(payload)
  let end = Math.min(payloadBytes, bytesMax)
  // Not in the middle of a character.
  while (isText && end < payloadBytes && (payload[end]! & 0xc0) === 0x80) end--
  const shown = Buffer.from(payload.subarray(0, end))
  return isText
    ? { payloadBytes, payload: shown.toString() }
    : { payloadBytes, payload: shown.toString('base64'), payloadEncoding: 'base64' }
}

export function viewReason(reasonCode: number, properties: Properties = {}): PacketView {
  return { reasonCode, reason: reasonName(reasonCode), ...viewProperties(properties) }
}

export function viewList<Item, Shown>(items: readonly Item[], show: (item: Item) => Shown): Shown[] {
  return items.slice(0, listedMax).map(show)
}

export function cut(text: string): string {
  return text.length > textCharactersMax ? `${text.slice(0, textCharactersMax)}…` : text
}

/** Absent where there are none. */
export function viewProperties(properties: Properties): PacketView {
  const shown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'authenticationData') shown['authenticationDataBytes'] = (value as Uint8Array).length
    else if (name === 'topicAlias') continue
    else if (value instanceof Uint8Array)
      shown[name] = Buffer.from(value.subarray(0, textCharactersMax)).toString('base64')
    else if (name === 'userProperties')
      shown[name] = viewList(value as readonly (readonly [string, string])[], ([key, text]) => [cut(key), cut(text)])
    else shown[name] = typeof value === 'string' ? cut(value) : value
  }
  return Object.keys(shown).length === 0 ? {} : { properties: shown }
}

/** A text of `mqtide.v1.json`. */
export function viewText({ payload, ...fields }: Record<string, unknown>, charactersMax: number): PacketView {
  const shown = Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value])
  if (payload === undefined) return Object.fromEntries(shown)
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload)
  const payloadShown = charactersMax === 0 ? {} : { payload: text.slice(0, charactersMax) }
  return { ...Object.fromEntries(shown), payloadCharacters: text.length, ...payloadShown }
}
