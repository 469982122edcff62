/** Byte streams to a broker: TCP, TLS, WebSocket and WebSocket over TLS, as Node's duplex streams. */
import { connect as connectTcp, type NetConnectOpts, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'

export interface TlsFiles {
  ca?: Buffer
  cert?: Buffer
  key?: Buffer
  servername?: string
  rejectUnauthorized: boolean
}

export interface StreamTarget {
  url: URL
  tls?: TlsFiles
  /** The source address, for swarms larger than one address has ports. */
  localAddress?: string
  /** The WebSocket subprotocol: mqtt, or mqttv3.1 for MQTT 3.1. */
  subprotocol: string
}

const defaultPorts: Record<string, number> = { 'mqtt:': 1883, 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 }

export function portOf(url: URL): number {
  return url.port === '' ? (defaultPorts[url.protocol] ?? 1883) : Number(url.port)
}

/** IPv6 literals stand in brackets in a URL. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '')
}

/** Connecting; emits `connect`, `secureConnect` or, for WebSocket, nothing before it takes data. */
export function openStream(target: StreamTarget): Duplex {
  const { url, tls } = target
  if (url.protocol === 'ws:' || url.protocol === 'wss:') return openWebSocket(target)
  const address: NetConnectOpts = { host: hostOf(url), port: portOf(url), noDelay: true }
  if (target.localAddress !== undefined) address.localAddress = target.localAddress
  if (url.protocol === 'mqtt:') return connectTcp(address)
  const servername = tls?.servername ?? (/^[\d.:]+$/.test(hostOf(url)) ? '' : hostOf(url))
  return connectTls({ ...address, ...tls, servername })
}

function openWebSocket({ url, tls, localAddress, subprotocol }: StreamTarget): Duplex {
  const options = { ...tls, ...(localAddress === undefined ? {} : { localAddress }), perMessageDeflate: false }
  const socket = new WebSocket(url.href, [subprotocol], options)
  return createWebSocketStream(socket)
}

/** Ends the connection as a dead device does: no DISCONNECT, no orderly close of ours to wait for. */
export function killStream(stream: Duplex): void {
  if (stream instanceof Socket && 'resetAndDestroy' in stream && !('encrypted' in stream)) stream.resetAndDestroy()
  else stream.destroy()
}
