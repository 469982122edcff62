/**
 * MQTT over TLS. Handshake, host names and client certificates are Node's; which certificates are in force is the matter of
 * `certificates-in-force.ts`. A peer that does not finish its handshake is no client yet and has a time limit of its own.
 */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Engine, ListenerOptions } from '../engine/engine.ts'
import type { Guest } from '../engine/room.ts'
import type { CertificatesInForce, ClientCertificates } from './certificates-in-force.ts'
import { clientAt } from './client-address.ts'
import { Handshakes } from './handshakes.ts'
import { acceptSocket, keepAliveProbeMs } from './tcp.ts'

export interface TlsListenerOptions extends ListenerOptions {
  certificates: CertificatesInForce
  clientCertificates: ClientCertificates
  handshakeTimeoutMs: number
}

export function createTlsServer(engine: Engine, options: TlsListenerOptions): Server {
  const { clientCertificates, room } = options
  const { counters } = engine.broker
  const server = createServer({
    ...tlsServerOptions(options),
    // A client that offers other protocols only is no MQTT client (RFC 7301); most offer none.
    ALPNProtocols: ['mqtt'],
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveProbeMs,
  })
  followCertificates(engine, server, options)
  const handshakes = new Handshakes()
  server.on('connection', (socket) => {
    if (takesPlace(socket, handshakes, room)) return
    counters.connectionsRefused++
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    handshakes.end(socket)
    const refusal = refusalOf(socket, clientCertificates)
    if (refusal !== undefined || !room.makePlace()) {
      counters.connectionsRefused++
      if (refusal !== undefined) engine.log.warn({ address: clientAt(socket).address }, `TLS refused: ${refusal}`)
      socket.destroy()
      return
    }
    socket.disableRenegotiation()
    counters.connectionsAccepted++
    acceptSocket(engine, socket, options)
  })
  return server
}

/** A handshake takes the place of a connection before its CONNECT. False: there is no room, or nobody there. */
function takesPlace(socket: Socket, handshakes: Handshakes, room: ListenerOptions['room']): boolean {
  if (!room.makePlace()) return false
  const guest: Guest = {
    client: { connect: null, ended: false },
    onClosed: () => room.leave(guest),
    destroy: () => socket.destroy(),
  }
  if (!handshakes.begin(socket, () => room.leave(guest))) return false
  room.enter(guest)
  return true
}

type TlsPart = Omit<TlsListenerOptions, keyof ListenerOptions>

/** For this server and that of HTTPS. */
export function tlsServerOptions({ certificates, clientCertificates, handshakeTimeoutMs }: TlsPart): TlsOptions {
  return { ...certificates.serverOptions(clientCertificates), handshakeTimeout: handshakeTimeoutMs }
}

/** The server takes changed certificates, and failed handshakes are told and counted. */
export function followCertificates(engine: Engine, server: Server, { certificates }: TlsPart): void {
  certificates.follow(server)
  server.on('tlsClientError', (error, socket) => onHandshakeFailed(engine, error, socket))
}

/** A certificate that was shown though none is required must be a good one. */
function refusalOf(socket: TLSSocket, clientCertificates: ClientCertificates): string | undefined {
  if (clientCertificates !== 'request' || socket.authorized) return undefined
  return socket.getPeerX509Certificate() === undefined ? undefined : `client certificate: ${socket.authorizationError}`
}

function onHandshakeFailed(engine: Engine, error: Error, socket: Socket): void {
  const { log } = engine
  const { counters } = engine.broker
  const reason = reasonOf(error as NodeJS.ErrnoException)
  counters.connectionsRefused++
  counters.protocolErrors.add(`tls_${reason}`)
  log.warn({ address: clientAt(socket).address, reason, detail: error.message.slice(0, 200) }, 'TLS handshake failed')
  socket.destroy()
}

/** A closed set, for metrics. */
function reasonOf({ code = '', message }: NodeJS.ErrnoException): string {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'timeout'
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed_by_peer'
  if (code.includes('WRONG_VERSION_NUMBER') || code.includes('HTTP_REQUEST')) return 'not_tls'
  if (code.includes('UNSUPPORTED_PROTOCOL') || code.includes('NO_SHARED_CIPHER')) return 'no_common_version_or_cipher'
  if (code.includes('PEER_DID_NOT_RETURN_A_CERTIFICATE')) return 'no_client_certificate'
  if (code.includes('CERTIFICATE') || code.startsWith('CERT_') || message.includes('certificate')) return 'certificate'
  if (code.includes('APPLICATION_PROTOCOL')) return 'no_common_alpn'
  return 'other'
}
