/** One connection of an attacker: bytes out as fast as they are taken, packets in only counted by type. */
import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket } from 'mqtt-packet'
import { packetType } from '../generator/packets.ts'

const pingresp = 13

export class Peer {
  /** Packets received, by type. */
  readonly received: number[] = Array.from({ length: 16 }, () => 0)
  readonly closed: Promise<void>
  readonly socket: Socket
  isClosed = false
  #looks = new Set<() => void>()
  /** Header bytes of the packet that is being read, and what is missing of its body. */
  #type = 0
  #length = 0
  #shift = -1
  #missing = 0

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk) => this.#read(chunk))
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        this.isClosed = true
        this.#look()
        resolve()
      })
    })
  }

  /** With a CONNACK, or closed. */
  static async connect(port: number, packet: Partial<IConnectPacket> & { clientId: string }): Promise<Peer> {
    const peer = new Peer(port)
    const connectPacket = {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 0,
      ...packet,
    }
    peer.socket.write(generate(connectPacket as IConnectPacket))
    await peer.until(packetType.connack, 1)
    return peer
  }

  /** Resolves when the kernel has the bytes, or the connection is closed. */
  send(bytes: Uint8Array): Promise<void> {
    return Promise.race([new Promise<void>((resolve) => this.socket.write(bytes, () => resolve())), this.closed])
  }

  /** Resolves when so many packets of a type have come since the start, or the connection is closed. */
  until(type: number, count: number): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!this.isClosed && this.received[type]! < count) return
        this.#looks.delete(look)
        resolve()
      }
      this.#looks.add(look)
      look()
    })
  }

  /** Resolves when everything sent before was read by the gateway, or the connection is closed. */
  async roundTrip(): Promise<void> {
    const before = this.received[pingresp]!
    await this.send(Buffer.of(0xc0, 0))
    await this.until(pingresp, before + 1)
  }

  destroy(): void {
    this.socket.destroy()
  }

  #look(): void {
    for (const look of [...this.#looks]) look()
  }

  #read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#missing > 0) {
        const skipped = Math.min(this.#missing, chunk.length - at)
        this.#missing -= skipped
        at += skipped
      } else if (this.#shift < 0) {
        this.#type = chunk[at++]! >> 4
        this.#length = 0
        this.#shift = 0
        continue
      } else {
        const byte = chunk[at++]!
        this.#length += (byte & 0x7f) * 2 ** this.#shift
        this.#shift += 7
        if (byte >= 0x80) continue
        this.#missing = this.#length
      }
      if (this.#missing > 0) continue
      this.received[this.#type]!++
      this.#shift = -1
    }
    this.#look()
  }
}
