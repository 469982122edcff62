/** The handshake of a WebSocket (RFC 6455, section 4): which are served, and with which subprotocol. */
import { createHash } from 'node:crypto'
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { HostCheck } from '../http/host-check.ts'

/** What is spoken on a WebSocket. */
export type Spoken = 'mqtt' | 'json'

/** Each with its subprotocols, in the order in which they are chosen from those that a client offers. */
const subprotocols: Readonly<Record<Spoken, readonly string[]>> = {
  mqtt: ['mqtt', 'mqttv5', 'mqttv3.1.1', 'mqttv3.1'],
  json: ['mqtide.v1.json'],
}
const paths: ReadonlyMap<string, Spoken> = new Map([
  ['/', 'mqtt'],
  ['/mqtt', 'mqtt'],
  ['/ws', 'json'],
])
/** Section 1.3 of RFC 6455. */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
export const webSocketVersion = '13'

/** What is spoken at the path of a request that was not refused. */
export function spokenAt(request: IncomingMessage): Spoken {
  return paths.get(pathOf(request)) ?? 'mqtt'
}

/** Our half of the handshake (section 4.2.2). */
export function handshakeFor(request: IncomingMessage): string {
  const { headers } = request
  const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${acceptSuffix}`).digest('base64')
  const offered = offeredSubprotocols(headers['sec-websocket-protocol'])
  const chosen = subprotocols[spokenAt(request)].find((one) => offered.includes(one))
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${accept}`,
    ...(chosen === undefined ? [] : [`Sec-WebSocket-Protocol: ${chosen}`]),
    '\r\n',
  ].join('\r\n')
}

function offeredSubprotocols(header: string | undefined): string[] {
  return header === undefined ? [] : header.split(',').map((name) => name.trim())
}

/** Without the query, where some clients put their password. */
export function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0]!.slice(0, 100)
}

export type Refusal = [status: string, text: string]

/** HTTP status and text; undefined: it may be upgraded. */
export function refusalOf(request: IncomingMessage, hostCheck: HostCheck): Refusal | undefined {
  const path = pathOf(request)
  const spoken = paths.get(path)
  if (spoken === undefined) {
    return ['404 Not Found', `no WebSocket at ${path}: MQTT is at /mqtt and at /, JSON at /ws`]
  }
  const led = hostCheck(request.headers)
  if (led !== undefined) return [`${led.status} ${STATUS_CODES[led.status]}`, led.text]
  const offered = request.headers['sec-websocket-protocol']
  const names = offeredSubprotocols(offered)
  if (offered !== undefined && !subprotocols[spoken].some((one) => names.includes(one))) {
    return [
      '400 Bad Request',
      `none of the subprotocols offered is served; set the client's to one of ${subprotocols[spoken].join(', ')}`,
    ]
  }
  return handshakeFault(request)
}

/** What is wrong with the client's half of the handshake (section 4.2.1). */
function handshakeFault({ method, headers }: IncomingMessage): Refusal | undefined {
  if (method !== 'GET') return ['405 Method Not Allowed', 'a WebSocket is opened with GET']
  if (headers.upgrade?.toLowerCase() !== 'websocket') return ['400 Bad Request', 'only WebSocket is served by upgrade']
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) {
    return ['400 Bad Request', 'a request for a WebSocket has no body']
  }
  if (headers['sec-websocket-version'] !== webSocketVersion) {
    return ['426 Upgrade Required', `only version ${webSocketVersion} of WebSocket is served`]
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(headers['sec-websocket-key'] ?? '')) {
    return ['400 Bad Request', 'Sec-WebSocket-Key is not 16 bytes in Base64']
  }
  return undefined
}
