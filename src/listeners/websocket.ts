/**
 * MQTT over WebSocket (section 6 of 5.0 and 3.1.1): the handshake and the incoming side by `ws`; outgoing frames are written
 * here, straight from the turn's output: one binary message per turn, its header put into the room before the first packet.
 *
 * Writing beside `ws` is sound because it sends nothing but whole control frames (pong, close), each in one write, and no
 * extension is negotiated.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { type ByteStream, Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import { lingerMs } from './tcp.ts'

/** Subprotocols of MQTT, in the order in which they are chosen from those that a client offers. */
const subprotocols = ['mqtt', 'mqttv5', 'mqttv3.1.1', 'mqttv3.1'] as const
const paths = new Set(['/', '/mqtt'])
/** A frame's header from the server: 2 bytes, and 2 or 8 more for the length (RFC 6455, section 5.2). */
const headerBytesMax = 10
const binaryFinal = 0x82
const closeProtocolError = 1002
const closeUnsupportedData = 1003
const nothing = Buffer.alloc(0)

class WebSocketStream implements ByteStream {
  readonly remoteAddress: string
  readonly headroomBytes: number = headerBytesMax
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  readonly #onDrain: () => void

  constructor(webSocket: WebSocket, socket: Socket, onDrain: () => void) {
    this.#webSocket = webSocket
    this.#socket = socket
    this.#onDrain = onDrain
    this.remoteAddress = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    const socket = this.#socket
    if (socket.destroyed || this.#webSocket.readyState !== this.#webSocket.OPEN) return true
    socket.write(buffer.subarray(writeHeader(buffer, start, end - start), end))
    if (socket.writableLength === 0) return true
    socket.write(nothing, this.#onDrain)
    return false
  }

  pause(): void {
    this.#webSocket.pause()
  }

  resume(): void {
    this.#webSocket.resume()
  }

  end(): void {
    const webSocket = this.#webSocket
    webSocket.resume()
    webSocket.close()
    const timer = setTimeout(() => webSocket.terminate(), lingerMs)
    timer.unref()
    webSocket.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#webSocket.terminate()
  }
}

/** Puts the header of one binary message directly before `start`. Returns where it begins. */
function writeHeader(buffer: Buffer, start: number, bytes: number): number {
  if (bytes < 126) {
    buffer[start - 2] = binaryFinal
    buffer[start - 1] = bytes
    return start - 2
  }
  if (bytes < 65_536) {
    buffer[start - 4] = binaryFinal
    buffer[start - 3] = 126
    buffer.writeUInt16BE(bytes, start - 2)
    return start - 4
  }
  buffer[start - 10] = binaryFinal
  buffer[start - 9] = 127
  buffer.writeBigUInt64BE(BigInt(bytes), start - 8)
  return start - 10
}

export interface WebSocketLimits extends ListenerOptions {
  /** Origins of pages that may connect besides our own and those of this machine; `*`: all. */
  allowedOrigins: readonly string[]
  /** Only this machine reaches us, so that no page from elsewhere is our own, whatever name was made to point here. */
  loopbackOnly: boolean
}

/** Serves upgrades of the HTTP server on the MQTT paths; everything else about HTTP is the server's own. */
export function acceptWebSockets(engine: Engine, server: Server, limits: WebSocketLimits): void {
  const { counters, options } = engine.broker
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // A message may hold several packets.
    maxPayload: options.packetBytesMax + 1024 * 1024,
    handleProtocols: (offered) => subprotocols.find((one) => offered.has(one)) ?? false,
  })
  server.on('upgrade', (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    const socket = duplex as Socket
    // Until `ws` takes over, nobody else listens: an error without listener would end the process.
    socket.on('error', () => socket.destroy())
    const refusal = refusalOf(request, limits)
    if (refusal !== undefined || engine.connections.size >= limits.connectionsMax) {
      counters.connectionsRefused++
      const [status, text] = refusal ?? ['503 Service Unavailable', 'too many connections']
      engine.log.warn({ url: request.url, address: socket.remoteAddress }, `WebSocket refused: ${text}`)
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n${text}\n`)
      return
    }
    counters.connectionsAccepted++
    webSockets.handleUpgrade(request, socket, head, (webSocket) => accept(engine, webSocket, socket, limits.durability))
  })
}

/**
 * Any page that a browser shows may open a WebSocket to any address it can reach, so that the server has to look at where
 * the page came from (RFC 6455, section 10.2). Programs send no Origin.
 */
function isAllowedOrigin(
  origin: string | undefined,
  host: string | undefined,
  { allowedOrigins, loopbackOnly }: WebSocketLimits,
): boolean {
  if (origin === undefined || allowedOrigins.includes('*') || allowedOrigins.includes(origin)) return true
  if (!URL.canParse(origin)) return false
  const page = new URL(origin)
  return (page.host === host && !loopbackOnly) || /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(page.hostname)
}

/** HTTP status and text; undefined: it may be upgraded. */
function refusalOf(request: IncomingMessage, limits: WebSocketLimits): [status: string, text: string] | undefined {
  const path = (request.url ?? '/').split('?')[0]!
  if (!paths.has(path)) return ['404 Not Found', `no WebSocket at ${path.slice(0, 100)}: MQTT is at /mqtt and at /`]
  if (!isAllowedOrigin(request.headers.origin, request.headers.host, limits)) {
    const origin = String(request.headers.origin).slice(0, 200)
    return ['403 Forbidden', `pages of ${origin} may not connect here; list it in allowedOrigins`]
  }
  const offered = request.headers['sec-websocket-protocol']
  if (offered === undefined) return undefined
  const names = offered.split(',').map((name) => name.trim())
  if (subprotocols.some((one) => names.includes(one))) return undefined
  return [
    '400 Bad Request',
    `none of the subprotocols offered is served; set the client's to one of ${subprotocols.join(', ')}`,
  ]
}

function accept(engine: Engine, webSocket: WebSocket, socket: Socket, durability: WebSocketLimits['durability']): void {
  engine.beginTurn()
  // The HTTP server's own time-outs are not for long-lived connections.
  socket.setTimeout(0)
  socket.setNoDelay(true)
  const stream = new WebSocketStream(webSocket, socket, () => connection.onDrain())
  const connection: Connection = new Connection(engine, stream, durability)
  engine.connections.add(connection)
  let reason = 'closed_by_peer'
  webSocket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      connection.onData(data)
      return
    }
    // [MQTT-6.0.0-1] of 5.0: MQTT is sent in binary frames only.
    engine.broker.counters.protocolErrors.add('websocket_text')
    reason = 'protocol_error'
    webSocket.close(closeUnsupportedData, 'MQTT needs binary frames')
    connection.onClosed(reason)
  })
  webSocket.on('error', () => {
    reason = 'socket_error'
    engine.broker.counters.protocolErrors.add('websocket')
    webSocket.close(closeProtocolError)
  })
  webSocket.on('close', () => connection.onClosed(reason))
}
