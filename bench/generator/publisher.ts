/** A publishing client: CONNECT, then slices of its tape; counts what the broker acknowledged. */
import { type Endpoint, Link, type LinkOwner } from './link.ts'
import { type ConnectFields, encodeConnect, packetType, type Qos } from './packets.ts'
import type { Tape } from './tape.ts'

export interface PublisherOwner extends LinkOwner {
  publisherReady(): void
  acknowledged(): void
  refused(reasonCode: number): void
}

/** An answer to a publisher that has more in flight than this would be a burden no client library puts on a broker. */
const inflightMessagesMax = 1000

export class Publisher extends Link {
  sent = 0
  inflight = 0
  readonly tape: Tape
  readonly #qos: Qos
  readonly #connect: ConnectFields
  readonly #owner: PublisherOwner
  #cursor = 0

  constructor(owner: PublisherOwner, index: number, endpoint: Endpoint, connect: ConnectFields, qos: Qos, tape: Tape) {
    super(owner, index, endpoint)
    this.#owner = owner
    this.#connect = connect
    this.#qos = qos
    this.tape = tape
  }

  protected override open(): void {
    this.write(encodeConnect(this.#connect))
  }

  /**
   * Publishes up to `wanted` messages in one write and returns how many. None while the socket still holds bytes of the write
   * before: they point into the tape.
   */
  publish(wanted: number, dueMicroseconds: number, dueStepMicroseconds = 0): number {
    if (this.closing || this.socket.writableLength > 0) return 0
    const tape = this.tape
    let count = Math.min(wanted, tape.packets - this.#cursor)
    if (this.#qos > 0) count = Math.min(count, inflightMessagesMax - this.inflight)
    if (count <= 0) return 0
    const first = this.#cursor
    let due = dueMicroseconds
    for (let i = 0; i < count; i++) {
      tape.stamp(first + i, this.sent++, due)
      due += dueStepMicroseconds
    }
    this.#cursor = first + count === tape.packets ? 0 : first + count
    if (this.#qos > 0) this.inflight += count
    this.flush()
    this.write(tape.bytes.subarray(tape.starts[first]!, tape.starts[first + count]!))
    return count
  }

  protected override packet(bytes: Buffer, start: number, body: number, end: number): void {
    switch (bytes[start]! >> 4) {
      case packetType.connack:
        if (bytes[body + 1] !== 0) throw new Error(`CONNECT refused with reason code ${bytes[body + 1]}`)
        this.#owner.publisherReady()
        break
      case packetType.puback:
      case packetType.pubcomp:
        this.inflight--
        if (end - body > 2 && bytes[body + 2]! >= 0x80) this.#owner.refused(bytes[body + 2]!)
        this.#owner.acknowledged()
        break
      case packetType.pubrec:
        if (end - body > 2 && bytes[body + 2]! >= 0x80) {
          this.inflight--
          this.#owner.refused(bytes[body + 2]!)
          this.#owner.acknowledged()
        } else {
          this.putAcknowledgement(0x62, bytes[body]!, bytes[body + 1]!)
        }
        break
      case packetType.disconnect:
        throw new Error(`DISCONNECT with reason code ${end > body ? bytes[body] : 0}`)
    }
  }
}
