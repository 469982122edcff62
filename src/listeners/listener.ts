/**
 * A listener: a name, an address, and a server that accepts there. What is done with an accepted socket is its kind's own
 * matter (`tcp.ts`, `websocket.ts`); a kind is a function from the engine and these settings to a server that is not bound yet.
 */
import { once } from 'node:events'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import type { ListenerKind } from '../config/listeners.ts'
import type { ListenerOptions } from '../engine/engine.ts'
import type { CertificatesInForce } from './certificates-in-force.ts'

/** Connections that the kernel completes while we are busy. The kernel's own limit (somaxconn) holds too. */
const listenBacklog = 4096

/** How long `close` waits for HTTP requests under way. Connections of MQTT have their own time to read their DISCONNECT. */
const closeGraceMs = 3_000

export interface Address {
  host: string
  port: number
}

export interface ListenerSettings extends ListenerOptions {
  kind: ListenerKind
  host: string
  /** 0 takes a free one. */
  port: number
  /** Of kind unix: where its socket is. */
  path: string | undefined
}

/** A listener's address can't be had; `cause` is what the system said. */
export class ListenError extends Error {
  readonly listener: string
  /** Such as EADDRINUSE. */
  readonly code: string | undefined

  constructor(listener: string, cause: NodeJS.ErrnoException) {
    super(`listener ${listener}: ${cause.message}`, { cause })
    this.name = 'ListenError'
    this.listener = listener
    this.code = cause.code
  }
}

/** What a server has and Node's types do not tell: the socket that it accepts from. */
interface Accepting {
  _handle: { close(): void } | null
}

function inUse(path: string, finding: string): Error {
  return Object.assign(new Error(`${path} ${finding}`), { code: 'EADDRINUSE' })
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path })
    const done = (found: boolean) => {
      socket.destroy()
      resolve(found)
    }
    socket.once('connect', () => done(true))
    socket.once('error', () => done(false))
  })
}

export class Listener {
  readonly settings: ListenerSettings
  #server: Server
  /** Of a listener with TLS. */
  readonly certificates: CertificatesInForce | undefined
  #address: Address | undefined
  /** Its address was given free; its sockets are open still. */
  #isReleased = false

  constructor(settings: ListenerSettings, server: Server, certificates?: CertificatesInForce) {
    this.settings = settings
    this.#server = server
    this.certificates = certificates
  }

  /** Where it is bound; undefined: not yet. */
  get address(): Address | undefined {
    return this.#address
  }

  get isListening(): boolean {
    return this.#server.listening
  }

  /** @throws ListenError */
  async bind(): Promise<Address> {
    const { kind, name, path } = this.settings
    this.#isReleased = false
    try {
      const address = await (kind === 'unix' ? this.#bindPath(path!) : this.#bindPort())
      this.certificates?.watch()
      return address
    } catch (error) {
      throw new ListenError(name, error as Error)
    }
  }

  /** Accepts at the address of another listener, which accepts no more. Its sockets stay open. */
  takeOver(other: Listener): void {
    this.#address = other.#address
    if (this.settings.kind === 'unix') {
      this.#takeServer(other)
      return
    }
    this.#server.listen(other.#server, listenBacklog)
    ;(other.#server as unknown as Accepting)._handle = null
    this.certificates?.watch()
    other.certificates?.stop()
    // Tells those who wait for its last socket, and ends what of HTTP has nothing to do.
    other.#server.close()
  }

  /** A socket in the file system can't be listened at twice: the server stays, and does what this one's does. */
  #takeServer(other: Listener): void {
    const [own, kept] = [this.#server, other.#server]
    kept.removeAllListeners('connection')
    for (const listener of own.listeners('connection')) kept.on('connection', listener as (socket: Socket) => void)
    this.#server = kept
    other.#server = own
  }

  /** Gives the address free at once. It can be bound again. */
  release(): void {
    const server = this.#server as unknown as Accepting
    server._handle?.close()
    server._handle = null
    this.#isReleased = true
  }

  async #bindPort(): Promise<Address> {
    const { host, port } = this.settings
    // Who asked for a free one, and gave it back, gets the same again.
    this.#server.listen({ host, port: this.#address?.port ?? port, backlog: listenBacklog })
    await once(this.#server, 'listening')
    const bound = this.#server.address() as AddressInfo
    this.#address = { host: bound.address, port: bound.port }
    return this.#address
  }

  /** What an earlier process left there is removed; a socket that still answers is somebody else's. */
  async #bindPath(path: string): Promise<Address> {
    if (existsSync(path)) {
      if (!lstatSync(path).isSocket()) throw inUse(path, 'is a file that is no socket')
      if (await answers(path)) throw inUse(path, "is another process's socket")
      unlinkSync(path)
    }
    this.#server.listen({ path, backlog: listenBacklog })
    await once(this.#server, 'listening')
    this.#address = { host: path, port: 0 }
    return this.#address
  }

  /** Accepts no more. Resolves when the last of its sockets is closed. */
  async close(): Promise<void> {
    this.certificates?.stop()
    const server = this.#server
    if (!server.listening && !this.#isReleased) return
    const closed = once(server, 'close')
    server.close()
    const grace = setTimeout(() => (server as Partial<HttpServer>).closeAllConnections?.(), closeGraceMs)
    await closed
    clearTimeout(grace)
  }
}
