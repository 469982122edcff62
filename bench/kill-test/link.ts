/** One connection: packets in and out of a TCP socket, nothing remembered beyond it. MQTT 3.1.1 or 5.0. */
import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

export type Connect = Pick<IConnectPacket, 'clientId'> &
  Partial<Pick<IConnectPacket, 'clean' | 'will'>> & { protocolVersion?: 4 | 5 }

/** Whether a CONNACK, SUBACK or acknowledgement of either version says yes. */
export function isSuccess(packet: { returnCode?: number; reasonCode?: number }): boolean {
  return (packet.returnCode ?? packet.reasonCode ?? 0) < 0x80 && (packet.returnCode ?? 0) === 0
}

export interface LinkEvents {
  onPacket(packet: Packet): void
  /** Once, whatever ended it. Not called after `abandon`. */
  onClose(): void
}

export class Link {
  readonly #socket: Socket
  #events: LinkEvents | undefined

  readonly #version: 4 | 5

  constructor(port: number, connectPacket: Connect, events: LinkEvents) {
    this.#events = events
    this.#version = connectPacket.protocolVersion ?? 4
    const packets = parser({ protocolVersion: this.#version })
    packets.on('packet', (packet: Packet) => this.#events?.onPacket(packet))
    packets.on('error', () => this.#socket.destroy())
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.on('data', (bytes) => packets.parse(bytes))
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => {
      const ended = this.#events
      this.#events = undefined
      ended?.onClose()
    })
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      keepalive: 60,
      clean: false,
      ...(this.#version === 5 && { properties: { sessionExpiryInterval: connectPacket.clean ? 0 : 3600 } }),
      ...connectPacket,
    })
  }

  send(packet: Packet): void {
    if (!this.#socket.destroyed) this.#socket.write(generate(packet, { protocolVersion: this.#version }))
  }

  /** Cut off, as by a lost network. */
  destroy(): void {
    this.#socket.destroy()
  }

  end(): void {
    this.send({ cmd: 'disconnect' })
    this.#socket.end()
  }

  /** The client forgets this connection without telling the broker, which still holds it. */
  abandon(): void {
    this.#events = undefined
    this.#socket.resume()
    this.#socket.setTimeout(5000, () => this.#socket.destroy())
  }
}
