/**
 * How many sockets of HTTP there may be, during the handshake of TLS, before and between requests and while they are answered; those that became WebSockets
 * are none any more. Where there are too many, a newcomer displaces the one that has waited longest without a request.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Handshakes } from './handshakes.ts'

export class HttpSockets {
  readonly #socketsMax: number
  readonly #onRefused: () => void
  readonly #waiting = new Set<Socket>()
  readonly #answered = new Set<Socket>()

  /** @param onRefused a socket was closed because there were too many */
  constructor(socketsMax: number, onRefused: () => void) {
    this.#socketsMax = socketsMax
    this.#onRefused = onRefused
  }

  get size(): number {
    return this.#waiting.size + this.#answered.size
  }

  /** Counts the server's sockets; to be called before others listen to its events. */
  watch(server: Server): void {
    if ('setSecureContext' in server) this.#watchHandshakes(server)
    else server.prependListener('connection', (socket: Socket) => this.#accept(socket))
    server.prependListener('upgrade', (_request: IncomingMessage, socket) => this.#forget(socket as Socket))
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      if (!this.#waiting.delete(socket)) return
      this.#answered.add(socket)
      // It lasts, and is a client of the broker's from here on.
      response.once('streaming', () => this.#forget(socket))
      response.once('close', () => {
        if (this.#answered.delete(socket) && !socket.destroyed) this.#waiting.add(socket)
      })
    })
  }

  /** With TLS, requests and upgrades come with the secure socket, which is another one than was accepted. */
  #watchHandshakes(server: Server): void {
    const handshakes = new Handshakes()
    // Behind Node's own listener, which has to see the socket whole.
    server.on('connection', (socket: Socket) => {
      this.#accept(socket)
      if (!handshakes.begin(socket, () => this.#forget(socket))) socket.destroy()
    })
    server.prependListener('secureConnection', (socket: Socket) => {
      handshakes.end(socket)
      this.#accept(socket)
    })
  }

  #accept(socket: Socket): void {
    if (this.size >= this.#socketsMax) {
      this.#onRefused()
      const [oldest = socket] = this.#waiting
      oldest.destroy()
      this.#forget(oldest)
      if (oldest === socket) return
    }
    this.#waiting.add(socket)
    socket.once('close', () => this.#forget(socket))
  }

  #forget(socket: Socket): void {
    this.#waiting.delete(socket)
    this.#answered.delete(socket)
  }
}
