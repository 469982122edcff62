/**
 * One connection as its peer sees it: bytes in and out, in pieces, with a codec that is not ours. What the gateway writes is
 * told at once to whoever keeps the books (`onWritten`), and waits in the inbox until the client reads it.
 */
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet'
import type { ByteStream } from '../../src/engine/byte-stream.ts'
import type { Connection } from '../../src/engine/connection.ts'
import { idOf } from './books.ts'
import type { Random } from './random.ts'

export type { Packet }
export type Version = 4 | 5

export class Wire implements ByteStream {
  readonly peer = { address: '192.0.2.1:4711', listener: 'test', certificate: null }
  readonly headroomBytes: number
  readonly version: Version
  /** Written by the gateway and not read yet. */
  readonly inbox: Packet[] = []
  onWritten: (packet: Packet) => void = () => {}
  /** The gateway ended it, or its process died. */
  ended = false
  /** It was the gateway, after all that it had to say. */
  finished = false
  /** Until when, if ever, what was sent may have waited for the kernel. */
  lastBlockedMs = Number.NEGATIVE_INFINITY
  /** Bytes that the client gave and the gateway has not been handed: half a packet, or what waits for `resume`. */
  #outbox: Buffer[] = []
  #connection: Connection | undefined
  #paused = false
  #blocked = false
  #owedDrains = 0
  readonly #random: Random
  readonly #parser

  constructor(version: Version, random: Random) {
    this.version = version
    this.#random = random
    this.headroomBytes = random.pick([0, 14])
    this.#parser = parser({ protocolVersion: version })
    this.#parser.on('packet', (packet: Packet) => {
      this.onWritten(packet)
      this.inbox.push(packet)
    })
    this.#parser.on('error', (error: Error) => {
      throw new Error(`the gateway wrote what is no packet: ${error.message}`)
    })
  }

  /** `open` makes the gateway's end. */
  attach(open: (stream: ByteStream) => Connection): this {
    this.#connection = open(this)
    return this
  }

  /** All that was given has reached the gateway, which does not keep it for later. */
  get flushed(): boolean {
    return this.#outbox.length === 0 && !this.#paused
  }

  send(packet: Packet): void {
    this.sendBytes(generate(packet, { protocolVersion: this.version } as IConnectPacket))
  }

  /** Nothing of it stays on the way. */
  sendWhole(packet: Packet): void {
    this.#outbox.push(generate(packet, { protocolVersion: this.version } as IConnectPacket))
    this.flush()
  }

  /** Now and then the end of it stays on the way. */
  sendBytes(bytes: Buffer): void {
    if (this.ended) return
    this.#outbox.push(bytes)
    this.flush(this.#random.chance(0.05) ? this.#random.below(bytes.length) : 0)
  }

  /** Hands over what waits, but the last so many bytes. */
  flush(keepBytes = 0): void {
    if (this.#paused || this.ended || this.#outbox.length === 0) return
    const all = Buffer.concat(this.#outbox)
    const end = all.length - Math.min(keepBytes, all.length)
    this.#outbox = end < all.length ? [all.subarray(end)] : []
    if (end > 0) this.#connection!.onData(Buffer.from(all.subarray(0, end)))
  }

  /** The network is gone; the gateway is told so. */
  drop(): void {
    if (this.ended) return
    this.ended = true
    this.#connection?.onClosed('socket_error')
  }

  /** The gateway's process died. */
  die(): void {
    this.ended = true
  }

  /** From now on the kernel takes writes, but not at once. */
  block(): void {
    this.#blocked = true
    this.lastBlockedMs = Number.POSITIVE_INFINITY
  }

  unblock(nowMs: number): void {
    this.#blocked = false
    this.lastBlockedMs = nowMs
    for (; this.#owedDrains > 0; this.#owedDrains--) if (!this.ended) this.#connection!.onDrain()
  }

  write(buffer: Buffer, start: number, end: number): boolean {
    if (this.ended) return true
    this.#parser.parse(Buffer.from(buffer.subarray(start, end)))
    if (!this.#blocked) return true
    this.#owedDrains++
    return false
  }

  pause(): void {
    this.#paused = true
  }

  /** As with a socket, what waited comes later: with the life's next `flush`. */
  resume(): void {
    this.#paused = false
  }

  end(): void {
    this.finished ||= !this.ended
    this.ended = true
  }

  destroy(): void {
    this.ended = true
  }
}

/** For the log. */
export function textOf(packet: Packet): string {
  if (packet.cmd === 'connack') return `connack ${packet.sessionPresent}`
  if (packet.cmd !== 'publish')
    return `${packet.cmd} ${packet.messageId ?? ''} ${(packet as { reasonCode?: number }).reasonCode ?? ''}`
  const { qos, messageId = 0, dup, retain, topic } = packet
  return `publish ${idOf(packet.payload as Buffer)} ${topic} qos ${qos} id ${messageId}${dup ? ' dup' : ''}${retain ? ' retain' : ''}`
}
