/**
 * A listener: a name, an address, and a server that accepts there. What is done with an accepted socket is its kind's own
 * matter (`tcp.ts`, `websocket.ts`); a kind is a function from the engine and these settings to a server that is not bound yet.
 */
import { once } from 'node:events'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import type { Server as HttpServer } from 'node:http'
import { type AddressInfo, connect, type Server } from 'node:net'
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
  readonly #server: Server
  /** Of a listener with TLS. */
  readonly certificates: CertificatesInForce | undefined
  #address: Address | undefined

  constructor(settings: ListenerSettings, server: Server, certificates?: CertificatesInForce) {
    this.settings = settings
    this.#server = server
    this.certificates = certificates
  }

  /** Where it is bound; undefined: not yet. */
  get address(): Address | undefined {
    return this.#address
  }

  /** @throws what the system says, such as EADDRINUSE */
  async bind(): Promise<Address> {
    this.certificates?.watch()
    const { kind, host, port, path } = this.settings
    if (kind === 'unix') return this.#bindPath(path!)
    this.#server.listen({ host, port, backlog: listenBacklog })
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
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    const grace = setTimeout(() => (server as Partial<HttpServer>).closeAllConnections?.(), closeGraceMs)
    await closed
    clearTimeout(grace)
  }
}
