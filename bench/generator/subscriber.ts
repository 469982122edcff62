/** A subscribing client: CONNECT, SUBSCRIBE, then checks and acknowledges every message. */
import { type Endpoint, Link, type LinkOwner } from './link.ts'
import {
  type ConnectFields,
  disconnectPacket,
  encodeConnect,
  encodeSubscribe,
  hasStamp,
  packetType,
  type Qos,
  readUint32,
  stampField,
} from './packets.ts'
import type { SequenceCheck } from './sequence.ts'

export interface SubscriberOwner extends LinkOwner {
  subscriberReady(subscriber: Subscriber): void
  delivered(dueMicroseconds: number): void
}

export interface SubscriberFields {
  connect: ConnectFields
  /** None: the session is resumed, or the client only waits. */
  filters: readonly string[]
  qos: Qos
  check: SequenceCheck | undefined
  /** Between a message and its acknowledgement; 0: none. */
  answerAfterMs?: number
}

/** Filters per SUBSCRIBE packet. */
const filtersPerPacket = 200

export class Subscriber extends Link {
  received = 0
  /** Messages whose payload did not start with a stamp. */
  foreign = 0
  /** Set on CONNACK when the broker found the session. */
  sessionPresent = false
  readonly #fields: SubscriberFields
  readonly #owner: SubscriberOwner
  readonly #five: boolean
  #filtersSent = 0
  /** Packet identifiers that came in this turn and are answered later, each in two bytes. */
  #later: number[] | null = null

  constructor(owner: SubscriberOwner, index: number, endpoint: Endpoint, fields: SubscriberFields) {
    super(owner, index, endpoint)
    this.#owner = owner
    this.#fields = fields
    this.#five = fields.connect.version === 5
  }

  protected override open(): void {
    this.write(encodeConnect(this.#fields.connect))
  }

  #subscribeNext(): void {
    const { filters, qos, connect } = this.#fields
    if (this.#filtersSent >= filters.length) {
      this.#owner.subscriberReady(this)
      return
    }
    const some = filters.slice(this.#filtersSent, this.#filtersSent + filtersPerPacket)
    this.#filtersSent += some.length
    this.put(encodeSubscribe(connect.version, 1, some, qos))
  }

  /** DISCONNECT: the session stays, if it is durable. */
  leave(): void {
    this.closing = true
    this.flush()
    this.write(disconnectPacket)
    this.socket.end()
  }

  protected override packet(bytes: Buffer, start: number, body: number, end: number): void {
    const first = bytes[start]!
    switch (first >> 4) {
      case packetType.publish:
        this.#publish(bytes, first, body, end)
        break
      case packetType.pubrel:
        this.putAcknowledgement(0x70, bytes[body]!, bytes[body + 1]!)
        break
      case packetType.connack:
        if (bytes[body + 1] !== 0) throw new Error(`CONNECT refused with reason code ${bytes[body + 1]}`)
        this.sessionPresent = (bytes[body]! & 1) === 1
        this.#subscribeNext()
        break
      case packetType.suback:
        if (bytes[end - 1]! >= 0x80) throw new Error(`SUBSCRIBE refused with reason code ${bytes[end - 1]}`)
        this.#subscribeNext()
        break
      case packetType.disconnect:
        throw new Error(`DISCONNECT with reason code ${end > body ? bytes[body] : 0}`)
    }
  }

  #publish(bytes: Buffer, first: number, body: number, end: number): void {
    const qos = (first >> 1) & 3
    let at = body + 2 + ((bytes[body]! << 8) | bytes[body + 1]!)
    if (qos > 0) {
      // PUBACK for QoS 1, PUBREC for QoS 2.
      this.#acknowledge(qos === 1 ? 0x40 : 0x50, bytes[at]!, bytes[at + 1]!)
      at += 2
    }
    if (this.#five) at = afterProperties(bytes, at)
    if (at + stampField.due + 4 > end || !hasStamp(bytes, at)) {
      this.foreign++
      return
    }
    const check = this.#fields.check
    const isNew = check?.receive(
      readUint32(bytes, at + stampField.publisher),
      readUint32(bytes, at + stampField.sequence),
    )
    if (isNew === false) return
    this.received++
    this.#owner.delivered(readUint32(bytes, at + stampField.due))
  }

  #acknowledge(firstByte: number, idHigh: number, idLow: number): void {
    const { answerAfterMs = 0 } = this.#fields
    if (answerAfterMs === 0) {
      this.putAcknowledgement(firstByte, idHigh, idLow)
      return
    }
    if (this.#later === null) {
      const later: number[] = []
      this.#later = later
      setImmediate(() => {
        this.#later = null
      })
      setTimeout(() => {
        if (this.closing) return
        for (let i = 0; i < later.length; i += 2) this.putAcknowledgement(firstByte, later[i]!, later[i + 1]!)
      }, answerAfterMs)
    }
    this.#later.push(idHigh, idLow)
  }
}

function afterProperties(bytes: Buffer, at: number): number {
  let length = 0
  let factor = 1
  let byte: number
  do {
    byte = bytes[at++]!
    length += (byte & 127) * factor
    factor *= 128
  } while (byte > 127)
  return at + length
}
