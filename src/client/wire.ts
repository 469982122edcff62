/**
 * The frames of `mqtide.v1.json`, as far as this client uses them: one JSON object per WebSocket message, told apart by
 * `op`. docs/json-websocket.md has the whole table. Nothing else in this folder knows how they look.
 */
export const subprotocol = 'mqtide.v1.json'

export type Qos = 0 | 1

export interface ConnectFrame {
  op: 'connect'
  id: number
  clientId: string
  clean: boolean
  sessionExpirySeconds: number
  keepAliveSeconds: number
  inflightMessagesMax: number
  token?: string
  username?: string
  password?: string
}

export interface Payload {
  payload: unknown
  encoding: 'utf8' | 'base64' | 'json'
}

/** Properties of MQTT 5.0. */
export interface MessageProperties {
  contentType?: string
  responseTopic?: string
  /** Base64. */
  correlationData?: string
  /** Seconds. */
  messageExpiryInterval?: number
  userProperties?: [string, string][]
}

export interface PublishFrame extends Payload {
  op: 'publish'
  id?: number
  topic: string
  qos: Qos
  retain?: true
  properties?: MessageProperties
}

export interface MessageFrame extends Payload {
  op: 'message'
  topic: string
  qos: Qos
  retain: boolean
  dup?: boolean
  packet?: number
  /** Its place in the stream that it is read from. */
  offset?: number
  properties?: MessageProperties
}

export type Outgoing =
  | ConnectFrame
  | PublishFrame
  | { op: 'subscribe'; id: number; filters: { filter: string; qos: Qos }[]; from?: string }
  | { op: 'unsubscribe'; id: number; filters: string[] }
  | { op: 'ack'; packet: number }
  | { op: 'ping' }
  | { op: 'disconnect' }

export interface ConnectedFrame {
  op: 'connected'
  sessionPresent: boolean
}

export interface ErrorFrame {
  op: 'error'
  /** Null: it belongs to no request. */
  id: number | null
  reason: number
  message: string
}

export type Incoming =
  | ConnectedFrame
  | MessageFrame
  | { op: 'subscribed'; id: number; granted: number[] }
  | { op: 'unsubscribed'; id: number }
  | { op: 'published'; id: number; reason: number }
  | { op: 'pong' }
  | ErrorFrame

/** `https://host/` and `host:8083` as well as a WebSocket URL; a page may leave it out and means where it came from. */
export function socketUrl(given: string | URL | undefined): string {
  const page = (globalThis as { location?: { href: string } }).location?.href
  const text = given === undefined ? page : String(given)
  if (text === undefined)
    throw new TypeError('connect() needs the URL of the gateway, for example http://127.0.0.1:8083')
  const url = new URL(/^[a-z]+:\/\//i.test(text) ? text : `ws://${text}`)
  if (given === undefined) url.pathname = '/'
  if (url.pathname === '/') url.pathname = '/ws'
  url.protocol = url.protocol.replace('http', 'ws')
  url.hash = ''
  if (given === undefined) url.search = ''
  return url.href
}

/** A text goes as it is, bytes as base64, anything else as the JSON text that it makes. */
export function encodePayload(payload: unknown): Payload {
  if (typeof payload === 'string') return { payload, encoding: 'utf8' }
  if (payload === undefined) return { payload: '', encoding: 'utf8' }
  if (payload instanceof ArrayBuffer) return encodePayload(new Uint8Array(payload))
  if (!ArrayBuffer.isView(payload)) return { payload: JSON.stringify(payload), encoding: 'utf8' }
  const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
  let binary = ''
  for (let index = 0; index < bytes.length; index += 8192) {
    binary += String.fromCharCode(...bytes.subarray(index, index + 8192))
  }
  return { payload: btoa(binary), encoding: 'base64' }
}
