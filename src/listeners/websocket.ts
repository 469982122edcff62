/**
 * WebSockets, on our own frames in both directions. Incoming ones are read as a stream (`websocket-frames.ts`), in the same buffer
 * and with the same limits as TCP. MQTT (section 6 of 5.0 and 3.1.1) leaves as one binary message per turn, its header put into the
 * room before the first packet (docs/decisions/030-websocket-as-a-stream.md); `mqtide.v1.json` as a text message for each text.
 *
 * Control frames are written whole between those, so nothing ever stands within a frame of the other kind.
 */
import { type IncomingMessage, type Server, ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Peer } from '../core/ports/peer.ts'
import type { TextStream } from '../engine/byte-stream.ts'
import { Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import { jsonWire } from '../engine/json-wire.ts'
import type { HostCheck } from '../http/host-check.ts'
import { type ClientAddress, clientOfRequest, type TrustedProxies } from './client-address.ts'
import { peerOf } from './peer.ts'
import { readingInPlace } from './reading-in-place.ts'
import { endLingering, keepAliveProbeMs, lingerMs } from './tcp.ts'
import { CloseCode, closeBytesMax, FrameError, FrameReader, type FrameSink, ofReason } from './websocket-frames.ts'
import { handshakeFor, pathOf, refusalOf, type Spoken, spokenAt, webSocketVersion } from './websocket-handshake.ts'

/** A frame's header from the server: 2 bytes, and 2 or 8 more for the length (RFC 6455, section 5.2). */
const headerBytesMax = 10
const textFinal = 0x81
const binaryFinal = 0x82
const closeFinal = 0x88
const pongFinal = 0x8a
const nothing = Buffer.alloc(0)

interface Accepted {
  request: IncomingMessage
  client: ClientAddress
  /** What its ticket says; absent: it brought none. */
  byTicket?: ByTicket | undefined
}

/** What is known of who comes by a ticket. */
export type ByTicket = Pick<Peer, 'admission' | 'bearer' | 'ticket'>

/** Undefined: the request brings no ticket. */
export type TicketGate = (
  request: IncomingMessage,
  client: ClientAddress,
) => ByTicket | { status: number; text: string } | undefined

/** A WebSocket after its handshake: the engine's byte stream, and what becomes of the client's frames. */
class WebSocketStream implements TextStream, FrameSink {
  readonly peer: Peer
  readonly headroomBytes: number
  readonly bytesAfter = 0
  readonly #spoken: Spoken
  readonly #engine: Engine
  readonly #socket: Socket
  readonly #connection: Connection
  readonly #frames: FrameReader
  /** Our close frame is written, after which nothing may be. */
  #closing = false
  #pongUnderWay = false
  /** To be answered next. */
  #ping: Buffer | null = null
  #reason = 'closed_by_peer'
  /** What the close frame says; null: nothing but that it is over. */
  #ending: { code: number; text: string } | null = null
  #paused = false
  /** The client has closed while what it had sent before still waits to be decoded. */
  #closedWith: { code: number | undefined } | null = null

  constructor(engine: Engine, accepted: Socket, accept: Accepted, options: ListenerOptions) {
    const { request } = accept
    this.#engine = engine
    const spoken = spokenAt(request)
    this.#spoken = spoken
    this.#frames = new FrameReader(this, spoken === 'json')
    this.headroomBytes = spoken === 'json' ? 0 : headerBytesMax
    this.peer = peerBy(accepted, accept, options)
    const socket = readingInPlace(accepted, (chunk) => this.onChunk(chunk))
    this.#socket = socket
    // Our answer, before any frame.
    socket.write(handshakeFor(request))
    const wire = spoken === 'json' ? jsonWire : undefined
    this.#connection = new Connection(engine, this, options.durability, options.room, wire)
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

  onPayload(bytes: Buffer, ends: boolean): void {
    this.#connection.onData(bytes, ends)
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
    this.#connection.onClosed(this.#reason, true)
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
    this.#connection.onClosed(this.#reason, true)
  }

  #writeClose(code: number | undefined, text = ''): void {
    const socket = this.#socket
    if (this.#closing || socket.destroyed || socket.writableEnded) return
    this.#closing = true
    socket.write(controlFrame(closeFinal, closePayload(code, text)))
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    const socket = this.#socket
    if (this.#closing || socket.destroyed || socket.writableEnded) return true
    const from = this.#spoken === 'json' ? start : writeHeader(buffer, start, end - start, binaryFinal)
    socket.write(buffer.subarray(from, end))
    if (socket.writableLength === 0) return true
    socket.write(nothing, this.#onWritten)
    return false
  }

  bytesBefore(textBytes: number): number {
    return headerBytes(textBytes)
  }

  writeAround(target: Buffer, at: number, textBytes: number): void {
    writeHeader(target, at + headerBytes(textBytes), textBytes, textFinal)
  }

  endsBecause(reasonCode: number, text: string): void {
    this.#ending = { code: ofReason(reasonCode), text }
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
    this.#writeClose(this.#ending?.code ?? CloseCode.normal, this.#ending?.text)
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

function peerBy(accepted: Socket, { request, client, byTicket }: Accepted, options: ListenerOptions): Peer {
  const { namespace, ...peer } = peerOf(accepted, options, client)
  // Whoever is known is where he is known to be.
  const place = namespace === undefined || byTicket?.admission !== undefined ? {} : { namespace }
  if (byTicket !== undefined) return { ...peer, ...place, ...byTicket }
  const [, bearer] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? []
  return { ...peer, ...place, ...(bearer !== undefined && { bearer }) }
}

/** A control frame, whose payload has at most 125 bytes. */
function controlFrame(firstByte: number, payload: Buffer): Buffer {
  return Buffer.concat([Buffer.of(firstByte, payload.length), payload])
}

function closePayload(code: number | undefined, text: string): Buffer {
  if (code === undefined) return nothing
  const payload = Buffer.alloc(2 + closeBytesMax)
  payload.writeUInt16BE(code)
  // Node writes whole characters only.
  return payload.subarray(0, 2 + payload.write(text, 2, closeBytesMax, 'utf8'))
}

function headerBytes(payloadBytes: number): number {
  return payloadBytes < 126 ? 2 : payloadBytes < 65_536 ? 4 : 10
}

/** Puts the header of one message directly before `start`. Returns where it begins. */
function writeHeader(buffer: Buffer, start: number, bytes: number, firstByte: number): number {
  const at = start - headerBytes(bytes)
  buffer[at] = firstByte
  if (bytes < 126) {
    buffer[at + 1] = bytes
  } else if (bytes < 65_536) {
    buffer[at + 1] = 126
    buffer.writeUInt16BE(bytes, at + 2)
  } else {
    buffer[at + 1] = 127
    buffer.writeBigUInt64BE(BigInt(bytes), at + 2)
  }
  return at
}

export interface WebSocketLimits extends ListenerOptions {
  hostCheck: HostCheck
  /** Who may name the client in a header of HTTP. */
  proxies: TrustedProxies | undefined
  /** Redeems what stands as `ticket` in the URL of /ws. */
  ticketGate?: TicketGate | undefined
}

/** Serves upgrades of the HTTP server on the paths of MQTT and JSON; everything else about HTTP is the server's own. */
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
    const { refusal, byTicket } = look(request, client, limits)
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
    const stream = new WebSocketStream(engine, socket, { request, client, byTicket }, limits)
    if (head.length > 0) stream.onChunk(head)
  })
}

/** The ticket last: what is refused for anything else leaves it as it was. */
function look(request: IncomingMessage, client: ClientAddress, { hostCheck, ticketGate }: WebSocketLimits) {
  const refusal = refusalOf(request, hostCheck)
  if (refusal !== undefined || spokenAt(request) !== 'json') return { refusal }
  const byTicket = ticketGate?.(request, client)
  if (byTicket === undefined || !('status' in byTicket)) return { byTicket }
  const { status, text } = byTicket
  return { refusal: [`${status} ${STATUS_CODES[status]}`, text] as const }
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
