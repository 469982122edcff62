/** A connection of bytes, over TCP or WebSocket, that reads only when it's told to; packets by mqtt-packet. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'
import { WebSocket } from 'ws'
import type { Gateway } from '../../src/gateway.ts'

export interface RawClient {
  /** Packets received so far. */
  packets: Packet[]
  bytesReceived(): number
  send(bytes: Uint8Array | string): void
  sendPacket(packet: Packet): void
  /** Stops reading: what the gateway sends then stays in the kernel's buffers and in its own. */
  pause(): void
  resume(): void
  /** Reads one chunk, at most 64 KiB, and pauses again. */
  readOnce(): Promise<void>
  /** Called for each packet from now on. */
  onPacket(listener: (packet: Packet) => void): void
  /** Resolves when `isThere` holds; it is asked after each packet. */
  until(isThere: () => boolean): Promise<void>
  closed: Promise<void>
  destroy(): void
}

interface Bytes {
  write(bytes: Uint8Array): void
  pause(): void
  resume(): void
  destroy(): void
  onData(listener: (bytes: Buffer) => void): void
  onClose(listener: () => void): void
}

export async function connectRaw(
  gateway: Gateway,
  kind: 'TCP' | 'WebSocket',
  version: 3 | 4 | 5 = 4,
): Promise<RawClient> {
  const stream = kind === 'TCP' ? await tcpBytes(gateway) : await webSocketBytes(gateway)
  const packets: Packet[] = []
  const listeners = new Set<(packet: Packet) => void>()
  let received = 0
  const parse = parser({ protocolVersion: version })
  parse.on('packet', (packet: Packet) => {
    packets.push(packet)
    for (const listener of [...listeners]) listener(packet)
  })
  let onRead: (() => void) | undefined
  stream.onData((bytes) => {
    received += bytes.length
    if (onRead) {
      stream.pause()
      onRead()
      onRead = undefined
    }
    parse.parse(bytes)
  })
  return {
    packets,
    bytesReceived: () => received,
    send: (bytes) => stream.write(Buffer.from(bytes as string)),
    sendPacket: (packet) => stream.write(generate(packet, { protocolVersion: version })),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    readOnce: () =>
      new Promise((resolve) => {
        onRead = resolve
        stream.resume()
      }),
    onPacket: (listener) => listeners.add(listener),
    until: (isThere) =>
      new Promise((resolve) => {
        const look = () => {
          if (!isThere()) return
          listeners.delete(look)
          resolve()
        }
        listeners.add(look)
        look()
      }),
    closed: new Promise((resolve) => stream.onClose(resolve)),
    destroy: () => stream.destroy(),
  }
}

/** A CONNECT packet with a clean session. */
export function connectPacket(clientId: string, version: 3 | 4 | 5 = 4): IConnectPacket {
  const protocolId = version === 3 ? 'MQIsdp' : 'MQTT'
  return { cmd: 'connect', protocolId, protocolVersion: version, clean: true, clientId, keepalive: 0 }
}

async function tcpBytes({ addresses }: Gateway): Promise<Bytes> {
  const socket = connect(addresses.mqtt!.port, addresses.mqtt!.host)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return {
    write: (bytes) => void socket.write(bytes),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
    onData: (listener) => void socket.on('data', listener),
    onClose: (listener) => void socket.on('close', listener),
  }
}

async function webSocketBytes({ addresses }: Gateway): Promise<Bytes> {
  const socket = new WebSocket(`ws://${addresses.http!.host}:${addresses.http!.port}/mqtt`, 'mqtt')
  socket.on('error', () => {})
  await once(socket, 'open')
  return {
    write: (bytes) => socket.send(bytes),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.terminate(),
    onData: (listener) => void socket.on('message', listener),
    onClose: (listener) => void socket.on('close', listener),
  }
}
