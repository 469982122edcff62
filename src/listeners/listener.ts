/**
 * A listener: a name, an address, and a server that accepts there. What is done with an accepted socket is its kind's own
 * matter (`tcp.ts`, `websocket.ts`); a kind is a function from the engine and these settings to a server that is not bound yet.
 */
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import type { ListenerKind } from '../config/listeners.ts'
import type { ListenerOptions } from '../engine/engine.ts'

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
}

export class Listener {
  readonly settings: ListenerSettings
  readonly #server: Server
  #address: Address | undefined

  constructor(settings: ListenerSettings, server: Server) {
    this.settings = settings
    this.#server = server
  }

  /** Where it is bound; undefined: not yet. */
  get address(): Address | undefined {
    return this.#address
  }

  /** @throws what the system says, such as EADDRINUSE */
  async bind(): Promise<Address> {
    const { host, port } = this.settings
    this.#server.listen({ host, port, backlog: listenBacklog })
    await once(this.#server, 'listening')
    const bound = this.#server.address() as AddressInfo
    this.#address = { host: bound.address, port: bound.port }
    return this.#address
  }

  /** Accepts no more. Resolves when the last of its sockets is closed. */
  async close(): Promise<void> {
    const server = this.#server
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    const grace = setTimeout(() => (server as Partial<HttpServer>).closeAllConnections?.(), closeGraceMs)
    await closed
    clearTimeout(grace)
  }
}
