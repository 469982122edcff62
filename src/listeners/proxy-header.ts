/**
 * A listener behind a proxy that speaks the PROXY protocol: each connection begins with a header that says whom the proxy stands
 * for, before TLS, HTTP and MQTT. Only then does the server behind it get the socket, with what followed the header.
 *
 * Whoever may write a header may pretend to be anyone: a socket from an address that is not trusted is closed unread. One that waits
 * for its header takes the place of a connection before its CONNECT, has the time of a handshake, and as many bytes as a header has.
 */
import type { Server, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Engine } from '../engine/engine.ts'
import type { Guest, Room } from '../engine/room.ts'
import {
  type ClientAddress,
  clientAt,
  isTrusted,
  nameClient,
  plainAddress,
  type TrustedProxies,
} from './client-address.ts'
import { endsOf } from './handshakes.ts'
import { type ProxyHeader, ProxyHeaderError, parseProxyHeader } from './proxy-protocol.ts'

export interface ProxyHeaderOptions {
  name: string
  room: Room
  /** Undefined: all are, on a socket in the file system, whose permissions say who may connect. */
  proxies: TrustedProxies | undefined
  headerTimeoutMs: number
}

/** A closed set, for metrics and for the log's limit. */
type Reason = 'proxy_not_trusted' | 'proxy_header' | 'proxy_timeout' | 'proxy_displaced'

/** To be called when all others listen to the server's events, of which they get connections later. */
export function expectProxyHeaders(engine: Engine, server: Server, options: ProxyHeaderOptions): void {
  const behind = server.listeners('connection')
  server.removeAllListeners('connection')
  const names = 'setSecureContext' in server ? new NamesThroughHandshakes() : undefined
  if (names !== undefined) {
    server.prependListener('secureConnection', (secure: TLSSocket) => names.carryTo(secure))
    server.prependListener('tlsClientError', (_: Error, secure: TLSSocket) => names.carryTo(secure))
  }
  const refuse = (socket: Socket, reason: Reason, text: string): void => {
    const { counters } = engine.broker
    counters.connectionsRefused++
    counters.protocolErrors.add(reason)
    engine.log.warn({ listener: options.name, address: socket.remoteAddress, reason }, text)
    socket.destroy()
  }
  server.on('connection', (socket: Socket) => {
    const { proxies, room } = options
    if (proxies !== undefined && !isTrusted(proxies, socket.remoteAddress ?? '')) {
      refuse(socket, 'proxy_not_trusted', 'refused: connections of this listener come from trustedProxies only')
      return
    }
    if (!room.makePlace()) {
      engine.broker.counters.connectionsRefused++
      socket.destroy()
      return
    }
    const onHeader = (header: ProxyHeader): void => {
      const client = clientIn(header, socket)
      nameClient(socket, client)
      names?.keep(socket, client)
      for (const listener of behind) listener.call(server, socket)
    }
    awaitHeader(socket, options, { onHeader, refuse })
  })
}

/** Where a proxy speaks for itself, it is the client. */
function clientIn({ source, tls }: ProxyHeader, socket: Socket): ClientAddress {
  const commonName = tls?.verified === true && tls.commonName !== '' ? tls.commonName : undefined
  const client = source === undefined ? clientAt(socket) : { ...source, address: plainAddress(source.address) }
  return { ...client, commonName }
}

interface Outcome {
  onHeader(header: ProxyHeader): void
  refuse(socket: Socket, reason: Reason, text: string): void
}

function awaitHeader(socket: Socket, { room, headerTimeoutMs }: ProxyHeaderOptions, { onHeader, refuse }: Outcome) {
  let received: Buffer = Buffer.alloc(0)
  const onReadable = (): void => {
    const chunk = socket.read() as Buffer | null
    if (chunk === null) return
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    try {
      const header = parseProxyHeader(received)
      if (header === undefined) return
      release()
      if (header.bytes < received.length) socket.unshift(received.subarray(header.bytes))
      // By then the stream knows that nobody listens to `readable` any more, and flows again for who listens to `data`.
      process.nextTick(() => {
        if (!socket.destroyed) onHeader(header)
      })
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error
      refuse(socket, 'proxy_header', `refused: ${error.message}`)
    }
  }
  const guest: Guest = {
    client: { connect: null, ended: false },
    onClosed: () => release(),
    destroy: () => refuse(socket, 'proxy_displaced', 'refused: too many connections wait'),
  }
  const onTime = (): void => refuse(socket, 'proxy_timeout', 'refused: the PROXY header did not come in time')
  const timer = setTimeout(onTime, headerTimeoutMs)
  const onOver = (): void => void socket.destroy()
  const release = (): void => {
    clearTimeout(timer)
    room.leave(guest)
    socket.off('readable', onReadable).off('end', onOver).off('error', onOver).off('close', release)
  }
  room.enter(guest)
  socket.on('readable', onReadable).on('end', onOver).on('error', onOver).on('close', release)
}

/** Whom a proxy named before TLS began is needed at the secure socket, which Node makes of the accepted one without saying so. */
class NamesThroughHandshakes {
  readonly #byEnds = new Map<string, ClientAddress>()

  keep(socket: Socket, client: ClientAddress): void {
    const ends = endsOf(socket)
    if (ends === undefined) return
    this.#byEnds.set(ends, client)
    socket.once('close', () => {
      if (this.#byEnds.get(ends) === client) this.#byEnds.delete(ends)
    })
  }

  carryTo(secure: Socket): void {
    const ends = endsOf(secure) ?? ''
    const client = this.#byEnds.get(ends)
    if (client === undefined) return
    this.#byEnds.delete(ends)
    nameClient(secure, client)
  }
}
