/**
 * Server-sent events (the HTML standard, section 9.2) as a stream of texts: the answer to a GET that lasts. Until its client has
 * been let in nothing is answered, so that a refusal has a status of its own.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Peer } from '../core/ports/peer.ts'
import { Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import { type EventStream, eventWire } from '../engine/event-wire.ts'
import { clientOfRequest, type TrustedProxies } from './client-address.ts'
import { peerOf } from './peer.ts'
import { keepAliveProbeMs, lingerMs } from './tcp.ts'

/** What somebody wants who asks for events. */
export interface EventRequest {
  /** Without them nothing would come. */
  filters: readonly string[]
  /** Of a stream: where to begin. */
  from?: string | undefined
  payload: 'utf8' | 'json' | 'base64'
  /** How messages are thinned out: fields of `subscribe`. */
  shaping?: { where?: string; sample?: number; maxPerSecond?: number; latest?: boolean } | undefined
  username?: string | undefined
  password?: string | undefined
  bearer?: string | undefined
  /** What is known of him; absent: the listener's authentication is asked. */
  admission?: Peer['admission']
  /** Answers in place of events; `reasonCode`: as MQTT has it. */
  refuse(reasonCode: number, text: string): void
  /** Told how to end it for another that takes its place. */
  begun?: ((end: () => void) => void) | undefined
}

export interface EventLimits extends ListenerOptions {
  proxies: TrustedProxies | undefined
}

const serverBusy = 0x89
const sessionTakenOver = 0x8e
const heartbeatMs = 15_000
/** A line that is no event. */
const heartbeat = ':\n\n'
const beforeData = Buffer.from('event: message\ndata: ', 'latin1')
const afterData = Buffer.from('\n\n', 'latin1')
const nothing = Buffer.alloc(0)

export function serveEvents(
  engine: Engine,
  request: IncomingMessage,
  response: ServerResponse,
  { limits, asked }: { limits: EventLimits; asked: EventRequest },
): void {
  const { counters } = engine.broker
  if (!limits.room.makePlace()) {
    counters.connectionsRefused++
    asked.refuse(serverBusy, 'too many connections')
    return
  }
  counters.connectionsAccepted++
  engine.beginTurn()
  new EventResponse(engine, { request, response }, limits, asked)
}

class EventResponse implements EventStream {
  readonly peer: Peer
  readonly headroomBytes = 0
  readonly bytesAfter = afterData.length
  readonly #engine: Engine
  readonly #response: ServerResponse
  readonly #connection: Connection
  readonly #asked: EventRequest
  #state: 'asked' | 'open' | 'over' = 'asked'
  #ending = { reasonCode: 0, text: '' }
  #stopHeartbeat: () => void = () => {}

  constructor(
    engine: Engine,
    { request, response }: { request: IncomingMessage; response: ServerResponse },
    limits: EventLimits,
    asked: EventRequest,
  ) {
    this.#engine = engine
    this.#response = response
    this.#asked = asked
    const { admission, bearer } = asked
    const { namespace, ...peer } = peerOf(request.socket, limits, clientOfRequest(request, limits.proxies))
    this.peer = {
      ...peer,
      // Whoever is known is where he is known to be.
      ...(admission === undefined && namespace !== undefined && { namespace }),
      ...(admission !== undefined && { admission }),
      ...(bearer !== undefined && { bearer }),
    }
    request.socket.setTimeout(0)
    request.socket.setKeepAlive(true, keepAliveProbeMs)
    this.#connection = new Connection(engine, this, limits.durability, limits.room, eventWire)
    engine.connections.add(this.#connection)
    response.on('close', () => {
      this.#state = 'over'
      this.#stopHeartbeat()
      this.#connection.onClosed('closed_by_peer')
    })
    this.#beat(engine)
    this.#say({ op: 'connect', ...credentialsOf(asked), payload: asked.payload })
    const { filters, from, shaping } = asked
    const wanted = { filters: filters.map((filter) => ({ filter })), ...(from !== undefined && { from }) }
    this.#say({ op: 'subscribe', ...wanted, ...shaping })
  }

  #say(operation: object): void {
    this.#connection.onData(Buffer.from(JSON.stringify(operation), 'utf8'), true)
  }

  #beat(engine: Engine): void {
    this.#stopHeartbeat = engine.after(heartbeatMs, () => {
      // A reader that is behind gets enough to know that we are there.
      if (this.#state === 'open' && this.#connection.empty) this.#connection.say(heartbeat)
      if (this.#state !== 'over') this.#beat(engine)
    })
  }

  begin(): void {
    if (this.#state !== 'asked' || this.#response.headersSent) return
    this.#state = 'open'
    const response = this.#response
    // What follows the head is written to the socket as it is; the end of the connection ends it.
    response.useChunkedEncodingByDefault = false
    response.shouldKeepAlive = false
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
      connection: 'close',
    })
    response.flushHeaders()
    response.socket!.write('retry: 2000\n\n')
    response.emit('streaming')
    this.#asked.begun?.(() => this.#giveWay())
  }

  #giveWay(): void {
    const { client } = this.#connection
    this.#engine.run(() => client.withDurability(() => client.disconnect(sessionTakenOver)))
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    const { socket } = this.#response
    if (this.#state !== 'open' || socket === null || socket.destroyed || socket.writableEnded) return true
    socket.write(buffer.subarray(start, end))
    if (socket.writableLength === 0) return true
    socket.write(nothing, () => this.#connection.onDrain())
    return false
  }

  bytesBefore(): number {
    return beforeData.length
  }

  writeAround(target: Buffer, at: number, textBytes: number): void {
    beforeData.copy(target, at)
    afterData.copy(target, at + beforeData.length + textBytes)
  }

  endsBecause(reasonCode: number, text: string): void {
    this.#ending = { reasonCode, text }
    // What the client asked for in vain ends nothing in the core.
    if (this.#state === 'asked') setImmediate(() => this.end())
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    const { reasonCode, text } = this.#ending
    if (this.#state === 'asked') {
      this.#state = 'over'
      this.#asked.refuse(reasonCode, text)
    } else if (this.#state === 'open') {
      this.#state = 'over'
      this.#response.socket?.write(`event: end\ndata: ${JSON.stringify({ reason: reasonCode, message: text })}\n\n`)
      this.#response.end()
    }
    const timer = setTimeout(() => this.#response.destroy(), lingerMs)
    timer.unref()
    this.#response.once('close', () => clearTimeout(timer))
  }

  destroy(): void {
    this.#response.destroy()
  }
}

function credentialsOf({ username, password }: EventRequest): object {
  return { ...(username !== undefined && { username }), ...(password !== undefined && { password }) }
}
