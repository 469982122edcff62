/** MQTT over TCP: each accepted socket becomes a connection of the engine. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Peer } from '../core/ports/peer.ts'
import type { ByteStream } from '../engine/byte-stream.ts'
import { Connection } from '../engine/connection.ts'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import { peerOf } from './peer.ts'
import { readingInPlace } from './reading-in-place.ts'

/** How long a peer may take to read our last words and close its side. */
export const lingerMs = 2_000
export const keepAliveProbeMs = 60_000
const nothing = Buffer.alloc(0)

/** A socket as the engine's byte stream. */
export class SocketStream implements ByteStream {
  readonly peer: Peer
  readonly headroomBytes: number = 0
  readonly #socket: Socket
  readonly #onDrain: () => void

  constructor(socket: Socket, peer: Peer, onDrain: () => void) {
    this.#socket = socket
    this.#onDrain = onDrain
    this.peer = peer
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

export function createTcpServer(engine: Engine, options: ListenerOptions): Server {
  const socketOptions = {
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveProbeMs,
    // Nothing is read before `accept` has said where to.
    pauseOnConnect: true,
  }
  return createServer(socketOptions, (socket) => {
    const { counters } = engine.broker
    if (!options.room.makePlace()) {
      counters.connectionsRefused++
      socket.destroy()
      return
    }
    counters.connectionsAccepted++
    acceptSocket(engine, socket, options)
  })
}

/** A socket that is ready becomes a connection of the engine. */
export function acceptSocket(engine: Engine, accepted: Socket, options: ListenerOptions): void {
  engine.beginTurn()
  const peer = peerOf(accepted, options)
  // What came right behind a proxy's header.
  const early = accepted.readableLength > 0 ? (accepted.read() as Buffer | null) : null
  const socket = readingInPlace(accepted, (chunk) => connection.onData(chunk))
  const stream = new SocketStream(socket, peer, () => connection.onDrain())
  const connection: Connection = new Connection(engine, stream, options.durability, options.room)
  engine.connections.add(connection)
  let reason = 'closed_by_peer'
  socket.on('error', () => {
    reason = 'socket_error'
  })
  socket.on('close', () => connection.onClosed(reason))
  if (early !== null) connection.onData(early)
}
