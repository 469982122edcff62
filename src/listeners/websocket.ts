/**
 * MQTT over WebSocket (section 6 of 5.0 and 3.1.1), on our own frames in both directions. Incoming ones are read as a stream
 * (`websocket-frames.ts`), in the same buffer and with the same limits as TCP; outgoing ones are one binary message per turn,
 * its header put into the room before the first packet (docs/decisions/030-websocket-as-a-stream.md).
 *
 * Control frames are written whole between those, so nothing ever stands within a frame of the other kind.
 */
import { createHash } from 'node:crypto'
import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Peer } from '../core/ports/peer.ts'
import type { ByteStream } from '../engine/byte-stream.ts'
import { Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import type { HostCheck } from '../http/host-check.ts'
import { type ClientAddress, clientOfRequest, type TrustedProxies } from './client-address.ts'
import { peerOf } from './peer.ts'
import { readingInPlace } from './reading-in-place.ts'
import { endLingering, keepAliveProbeMs, lingerMs } from './tcp.ts'
import { CloseCode, FrameError, FrameReader, type FrameSink } from './websocket-frames.ts'

/** Subprotocols of MQTT, in the order in which they are chosen from those that a client offers. */
const subprotocols = ['mqtt', 'mqttv5', 'mqttv3.1.1', 'mqttv3.1'] as const
const paths = new Set(['/', '/mqtt'])
/** Section 1.3 of RFC 6455. */
const acceptSuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const webSocketVersion = '13'
/** A frame's header from the server: 2 bytes, and 2 or 8 more for the length (RFC 6455, section 5.2). */
const headerBytesMax = 10
const binaryFinal = 0x82
const closeFinal = 0x88
const pongFinal = 0x8a
const nothing = Buffer.alloc(0)

interface Accepted {
  request: IncomingMessage
  client: ClientAddress
}

/** A WebSocket after its handshake: the engine's byte stream, and what becomes of the client's frames. */
class WebSocketStream implements ByteStream, FrameSink {
  readonly peer: Peer
  readonly headroomBytes: number = headerBytesMax
  readonly #engine: Engine
  readonly #socket: Socket
  readonly #connection: Connection
  readonly #frames = new FrameReader(this)
  /** Our close frame is written, after which nothing may be. */
  #closing = false
  #pongUnderWay = false
  /** To be answered next. */
  #ping: Buffer | null = null
  #reason = 'closed_by_peer'
  #paused = false
  /** The client has closed while what it had sent before still waits to be decoded. */
  #closedWith: { code: number | undefined } | null = null

  constructor(engine: Engine, accepted: Socket, { request, client }: Accepted, options: ListenerOptions) {
    this.#engine = engine
    const [, bearer] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? []
    this.peer = { ...peerOf(accepted, options, client), ...(bearer !== undefined && { bearer }) }
    const socket = readingInPlace(accepted, (chunk) => this.onChunk(chunk))
    this.#socket = socket
    // Our answer, before any frame.
    socket.write(handshakeFor(request))
    this.#connection = new Connection(engine, this, options.durability, options.room)
    engine.connections.add(this.#connection)
    socket.on('error', () => {
      this.#reason = 'socket_error'
    })
    socket.on('close', () => this.#connection.onClosed(this.#reason))
  }

  onChunk(chunk: Buffer): void {
    try {
      this.#frames.push(chunk)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.#refuse(error)
    }
  }

  onPayload(bytes: Buffer): void {
    this.#connection.onData(bytes)
  }

  /** Answers the last ping only where several came before an answer could leave, as section 5.5.3 allows. */
  onPing(payload: Buffer): void {
    if (this.#closing) return
    if (this.#pongUnderWay) {
      this.#ping = payload
      return
    }
    this.#pongUnderWay = true
    this.#socket.write(controlFrame(pongFinal, payload), () => {
      this.#pongUnderWay = false
      const next = this.#ping
      this.#ping = null
      if (next !== null && !this.#socket.destroyed) this.onPing(next)
    })
  }

  /** The client closes, or answers our closing. Nothing it sent before is lost: its close waits with that. */
  onClose(code: number | undefined): void {
    if (this.#paused && !this.#closing) this.#closedWith = { code }
    else this.#end(code)
  }

  #end(code: number | undefined): void {
    this.#writeClose(code)
    endLingering(this.#socket)
    this.#connection.onClosed(this.#reason)
  }

  #refuse({ closeCode, message }: FrameError): void {
    const { broker, log } = this.#engine
    const label = closeCode === CloseCode.unsupportedData ? 'websocket_text' : 'websocket'
    broker.counters.protocolErrors.add(label)
    const { clientId } = this.#connection.client
    log.warn({ clientId, address: this.peer.address, reason: label }, `WebSocket closed: ${message}`)
    this.#reason = 'protocol_error'
    this.#writeClose(closeCode)
    endLingering(this.#socket)
    this.#connection.onClosed(this.#reason)
  }

  #writeClose(code: number | undefined): void {
    const socket = this.#socket
    if (this.#closing || socket.destroyed || socket.writableEnded) return
    this.#closing = true
    const payload = Buffer.alloc(code === undefined ? 0 : 2)
    if (code !== undefined) payload.writeUInt16BE(code)
    socket.write(controlFrame(closeFinal, payload))
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    const socket = this.#socket
    if (this.#closing || socket.destroyed || socket.writableEnded) return true
    socket.write(buffer.subarray(writeHeader(buffer, start, end - start), end))
    if (socket.writableLength === 0) return true
    socket.write(nothing, this.#onWritten)
    return false
  }

  readonly #onWritten = (): void => this.#connection.onDrain()

  pause(): void {
    this.#paused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#closedWith === null) this.#socket.resume()
    else setImmediate(() => this.#onLateClose())
  }

  /** It may have been paused again meanwhile, by what was decoded. */
  #onLateClose(): void {
    if (!this.#paused && !this.#closing) this.#end(this.#closedWith?.code)
  }

  /** Waits a while for the client's close frame, which ends the connection in order (section 7.1.1). */
  end(): void {
    const socket = this.#socket
    this.#writeClose(CloseCode.normal)
    if (this.#closedWith !== null) {
      endLingering(socket)
      return
    }
    socket.resume()
    const timer = setTimeout(() => socket.destroy(), lingerMs)
    timer.unref()
    socket.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** A control frame, whose payload has at most 125 bytes. */
function controlFrame(firstByte: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(firstByte, payload.length), payload])
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
  hostCheck: HostCheck
  /** Who may name the client in a header of HTTP. */
  proxies: TrustedProxies | undefined
}

/** Serves upgrades of the HTTP server on the MQTT paths; everything else about HTTP is the server's own. */
export function acceptWebSockets(engine: Engine, server: Server, limits: WebSocketLimits): void {
  const { counters } = engine.broker
  server.on('upgrade', (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    const socket = duplex as Socket
    // The HTTP server no longer listens: an error without listener would end the process.
    socket.on('error', () => socket.destroy())
    if (isAnswering(socket)) {
      // Who wants another protocol waits for the answers to what was asked in this one: nothing could be said in between.
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    if (!asksForWebSocket(request)) {
      answerWithoutUpgrade(server, request, socket)
      return
    }
    const client = clientOfRequest(request, limits.proxies)
    const refusal = refusalOf(request, limits)
    if (refusal !== undefined || !limits.room.makePlace()) {
      counters.connectionsRefused++
      const [status, text] = refusal ?? ['503 Service Unavailable', 'too many connections']
      engine.log.warn(
        { path: pathOf(request), address: client.address, reason: 'websocket_refused' },
        `WebSocket refused: ${text}`,
      )
      const fields = `Connection: close\r\nContent-Type: text/plain\r\nSec-WebSocket-Version: ${webSocketVersion}`
      socket.write(`HTTP/1.1 ${status}\r\n${fields}\r\n\r\n${text}\n`)
      endLingering(socket)
      return
    }
    counters.connectionsAccepted++
    engine.beginTurn()
    // The HTTP server's own time-outs are not for long-lived connections.
    socket.setTimeout(0)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, keepAliveProbeMs)
    const stream = new WebSocketStream(engine, socket, { request, client }, limits)
    if (head.length > 0) stream.onChunk(head)
  })
}

/** Whether the answer to an earlier request on this socket is under way; Node has no public word for it. */
function isAnswering(socket: Socket): boolean {
  return Boolean((socket as { _httpMessage?: object | null })._httpMessage)
}

function asksForWebSocket({ headers }: IncomingMessage): boolean {
  return /(^|,)\s*websocket\s*(,|$)/i.test(headers.upgrade ?? '')
}

/** An upgrade may be ignored (RFC 9110, section 7.8), such as the one to h2c that some programs offer with every request. */
function answerWithoutUpgrade(server: Server, request: IncomingMessage, socket: Socket): void {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket)
  response.on('finish', () => {
    response.detachSocket(socket)
    endLingering(socket)
  })
  server.emit('request', request, response)
}

/** Our half of the handshake (section 4.2.2). */
function handshakeFor({ headers }: IncomingMessage): string {
  const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${acceptSuffix}`).digest('base64')
  const offered = offeredSubprotocols(headers['sec-websocket-protocol'])
  const chosen = subprotocols.find((one) => offered.includes(one))
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
function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0]!.slice(0, 100)
}

type Refusal = [status: string, text: string]

/** HTTP status and text; undefined: it may be upgraded. */
function refusalOf(request: IncomingMessage, limits: WebSocketLimits): Refusal | undefined {
  const path = pathOf(request)
  if (!paths.has(path)) return ['404 Not Found', `no WebSocket at ${path}: MQTT is at /mqtt and at /`]
  const led = limits.hostCheck(request.headers)
  if (led !== undefined) return [`${led.status} ${STATUS_CODES[led.status]}`, led.text]
  const offered = request.headers['sec-websocket-protocol']
  const names = offeredSubprotocols(offered)
  if (offered !== undefined && !subprotocols.some((one) => names.includes(one))) {
    return [
      '400 Bad Request',
      `none of the subprotocols offered is served; set the client's to one of ${subprotocols.join(', ')}`,
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
