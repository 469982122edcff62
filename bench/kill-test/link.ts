/** One connection: packets in and out of a TCP socket, nothing remembered beyond it. */
import { connect, type Socket } from 'node:net'
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'

export interface LinkEvents {
  onPacket(packet: Packet): void
  /** Once, whatever ended it. Not called after `abandon`. */
  onClose(): void
}

export class Link {
  readonly #socket: Socket
  #events: LinkEvents | undefined

  constructor(port: number, connectPacket: Partial<IConnectPacket> & { clientId: string }, events: LinkEvents) {
    this.#events = events
    const packets = parser({ protocolVersion: 4 })
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
      ...connectPacket,
    })
  }

  send(packet: Packet): void {
    if (!this.#socket.destroyed) this.#socket.write(generate(packet))
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
