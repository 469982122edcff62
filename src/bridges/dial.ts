/** The byte stream to another broker: TCP, TLS, or either under a WebSocket. */
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'
import type { BridgeSettings, TlsFiles } from './settings.ts'

const defaultPorts: Readonly<Record<string, number>> = { 'mqtt:': 1883, 'mqtts:': 8883 }

export interface Dialled {
  stream: Duplex
  /** Calls once when bytes may be written. */
  onReady(ready: () => void): void
}

/** @throws Error for a file that can't be read */
export function dial(settings: BridgeSettings): Dialled {
  const url = new URL(settings.url)
  const isTls = url.protocol === 'mqtts:' || url.protocol === 'wss:'
  const tls = isTls ? tlsOptions(settings.tls) : {}
  if (url.protocol === 'ws:' || url.protocol === 'wss:') return dialWebSocket(settings, tls)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? defaultPorts[url.protocol]! : Number(url.port)
  if (!isTls) {
    const socket = connectTcp({ host, port, noDelay: true, keepAlive: true })
    return { stream: socket, onReady: (ready) => socket.once('connect', ready) }
  }
  const socket = connectTls({ ...(isName(host) && { servername: host }), ...tls, host, port })
  socket.setNoDelay(true)
  socket.setKeepAlive(true)
  return { stream: socket, onReady: (ready) => socket.once('secureConnect', ready) }
}

function dialWebSocket({ url, connectTimeoutMs, packetBytesMax }: BridgeSettings, tls: ConnectionOptions): Dialled {
  const subprotocol = 'mqtt'
  const socket = new WebSocket(url, subprotocol, {
    ...tls,
    handshakeTimeout: connectTimeoutMs,
    perMessageDeflate: false,
    // Frames and packets need not be the same; a broker may put several packets into one.
    maxPayload: Math.max(packetBytesMax, 16 * 1024 * 1024),
  })
  const stream = createWebSocketStream(socket)
  return { stream, onReady: (ready) => socket.once('open', ready) }
}

/** Read anew for each connection: certificates are replaced while a bridge runs. */
function tlsOptions({ ca, cert, key, passphraseFile, servername, verify }: TlsFiles): ConnectionOptions {
  return {
    rejectUnauthorized: verify,
    ...(ca !== undefined && { ca: readFileSync(ca) }),
    ...(cert !== undefined && { cert: readFileSync(cert) }),
    ...(key !== undefined && { key: readFileSync(key) }),
    ...(passphraseFile !== undefined && { passphrase: readSecret(passphraseFile) }),
    ...(servername !== undefined && { servername }),
  }
}

/** The text of a file, without the line's end that editors put behind it. */
export function readSecret(file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/** SNI takes names only. */
function isName(host: string): boolean {
  return !/^[\d.]+$/.test(host) && !host.includes(':')
}
