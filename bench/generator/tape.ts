/**
 * A tape: all packets one publisher will ever send, encoded back to back in one buffer.
 *
 * Publishing patches the stamp (and the packet id) of the next packets in place and hands one contiguous slice to the socket,
 * so a message costs the generator a dozen byte stores whatever its size.
 */
import { encodePublish, type PublishFields, stampBytes, writeStamp } from './packets.ts'

export interface TapeFields extends Omit<PublishFields, 'topic' | 'payload' | 'topicAlias'> {
  topics: readonly string[]
  payloadBytes: number
  /** Packets after a topic's first carry alias 1.. and an empty topic. Needs `version` 5 and at most 64 topics. */
  topicAliases: boolean
  publisher: number
}

/** A tape is at least this long, so that a turn rarely has to stop at its end. */
const tapeBytesMin = 32 * 1024

export class Tape {
  readonly bytes: Buffer
  /** Offset of each packet; one entry more than there are packets. */
  readonly starts: Uint32Array
  readonly packets: number
  readonly #payloads: Uint32Array
  readonly #packetIds: Uint32Array
  readonly #publisher: number

  constructor(fields: TapeFields) {
    const payload = Buffer.alloc(Math.max(fields.payloadBytes, stampBytes))
    for (let i = 0; i < payload.length; i++) payload[i] = 97 + (i % 26)
    const sample = encodePublish({ ...fields, topic: fields.topics[0] ?? '', payload })
    const laps = Math.max(
      fields.topicAliases ? 2 : 1,
      Math.ceil(tapeBytesMin / sample.bytes.length / fields.topics.length),
    )
    const encoded = []
    for (let lap = 0; lap < laps; lap++) {
      for (const [index, topic] of fields.topics.entries()) {
        const aliased = fields.topicAliases ? { topicAlias: index + 1 } : {}
        encoded.push(
          encodePublish({ ...fields, ...aliased, topic: fields.topicAliases && lap > 0 ? '' : topic, payload }),
        )
      }
    }
    this.packets = encoded.length
    this.bytes = Buffer.concat(encoded.map((one) => one.bytes))
    this.starts = new Uint32Array(this.packets + 1)
    this.#payloads = new Uint32Array(this.packets)
    this.#packetIds = new Uint32Array(this.packets)
    let at = 0
    for (const [index, one] of encoded.entries()) {
      this.starts[index] = at
      this.#payloads[index] = at + one.payloadAt
      this.#packetIds[index] = one.packetIdAt === 0 ? 0 : at + one.packetIdAt
      at += one.bytes.length
    }
    this.starts[this.packets] = at
    this.#publisher = fields.publisher
  }

  /** Makes the packet at `index` message number `sequence`; its packet id follows from the number (1 to 65,535). */
  stamp(index: number, sequence: number, dueMicroseconds: number): void {
    writeStamp(this.bytes, this.#payloads[index]!, this.#publisher, sequence, dueMicroseconds)
    const idAt = this.#packetIds[index]!
    if (idAt > 0) {
      const id = (sequence % 65_535) + 1
      this.bytes[idAt] = id >> 8
      this.bytes[idAt + 1] = id
    }
  }
}
