/** MQTT over TCP: each accepted socket becomes a connection of the engine. */
import { createServer, type Server, Socket, type SocketConstructorOpts } from 'node:net'
import { type ByteStream, Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'

/** How long a peer may take to read our last words and close its side. */
export const lingerMs = 2_000
const keepAliveProbeMs = 60_000
const nothing = Buffer.alloc(0)

/** A socket as the engine's byte stream. */
export class SocketStream implements ByteStream {
  readonly remoteAddress: string
  readonly headroomBytes: number = 0
  readonly #socket: Socket
  readonly #onDrain: () => void

  constructor(socket: Socket, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain
    this.remoteAddress = `${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return true
    socket.write(buffer.subarray(start, end))
    if (socket.writableLength === 0) return true
    // Behind the rest in the socket's queue, so that its callback means: all of it is with the kernel.
    socket.write(nothing, this.#onDrain)
    return false
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  end(): void {
    endLingering(this.#socket)
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/**
 * Says all there is to say, half-closes, and goes on reading for a while: a socket closed with unread input resets the
 * connection, and the peer would lose the reason code it was sent.
 */
export function endLingering(socket: Socket): void {
  if (socket.destroyed) return
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}

export function createTcpServer(engine: Engine, { connectionsMax, durability }: ListenerOptions): Server {
  const options = {
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveProbeMs,
    // Nothing is read before `accept` has said where to.
    pauseOnConnect: true,
  }
  return createServer(options, (socket) => {
    const { counters } = engine.broker
    if (engine.connections.size >= connectionsMax) {
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    counters.connectionsAccepted++
    accept(engine, socket, durability)
  })
}

function accept(engine: Engine, accepted: Socket, durability: ListenerOptions['durability']): void {
  engine.beginTurn()
  const socket = readingInPlace(accepted, (chunk) => connection.onData(chunk))
  const stream = new SocketStream(socket, () => connection.onDrain())
  const connection: Connection = new Connection(engine, stream, durability)
  engine.connections.add(connection)
  let reason = 'closed_by_peer'
  socket.on('error', () => {
    reason = 'socket_error'
  })
  socket.on('close', () => connection.onClosed(reason))
}

/**
 * All sockets read into this one buffer, one after another: what arrives is decoded, and copied where it outlives that, before
 * the next read. Node otherwise makes 64 KB of memory for each read, and leaves tens of megabytes of garbage behind idle
 * connections (docs/decisions/011-reading-in-place.md).
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)

/** What a server knows of an accepted socket and Node's types do not tell. */
interface AcceptedSocket {
  _handle: { useUserBuffer?: unknown } | null
  _server: Server | null
  server: Server | null
}

/**
 * The same connection as a socket with Node's `onread` option, which `net.Server` has no way to ask for: its handle moves to
 * a socket of ours. Should a version of Node not have the handle where it is looked for, the accepted socket serves, with
 * chunks of its own.
 */
function readingInPlace(accepted: Socket, onData: (chunk: Buffer) => void): Socket {
  const inner = accepted as unknown as AcceptedSocket
  const handle = inner._handle
  if (handle === null || typeof handle?.useUserBuffer !== 'function' || inner._server === null) {
    accepted.on('data', onData)
    accepted.resume()
    return accepted
  }
  inner._handle = null
  const onread = {
    buffer: readBuffer,
    callback: (bytes: number) => {
      onData(readBuffer.subarray(0, bytes))
      return true
    },
  }
  const socket = new Socket({ handle, onread, readable: true, writable: true } as object as SocketConstructorOpts)
  // The server counts its connections down when this socket closes.
  const own = socket as unknown as AcceptedSocket
  own._server = inner._server
  own.server = inner.server
  inner._server = null
  return socket
}
