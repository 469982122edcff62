/** A cursor over one packet's bytes: the data types of section 1.5, each refused as malformed where the bytes end early. */
import { noBytes } from './packet.ts'
import { type PacketLimits, unlimited } from './packet-limits.ts'
import { malformed } from './protocol-error.ts'
import { decodeUtf8 } from './utf8.ts'

export class PacketReader {
  readonly bytes: Uint8Array
  at: number
  readonly end: number
  /** How messages call what is read: "CONNECT", "the will". */
  readonly what: string
  readonly limits: PacketLimits

  constructor(bytes: Uint8Array, start: number, end: number, what: string, limits = unlimited) {
    this.bytes = bytes
    this.at = start
    this.end = end
    this.what = what
    this.limits = limits
  }

  get remaining(): number {
    return this.end - this.at
  }

  uint8(field: string): number {
    return this.bytes[this.#take(1, field)]!
  }

  uint16(field: string): number {
    const at = this.#take(2, field)
    return (this.bytes[at]! << 8) | this.bytes[at + 1]!
  }

  uint32(field: string): number {
    const at = this.#take(4, field)
    const { bytes } = this
    return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  }

  variableByteInteger(field: string): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.uint8(field)
      value |= (byte & 0x7f) << shift
      if (byte >= 0x80) continue
      if (byte === 0 && shift > 0)
        throw malformed(`${this.what}: ${field} takes more bytes than its value needs [MQTT-1.5.5-1]`)
      return value
    }
    throw malformed(`${this.what}: ${field} is longer than the four bytes of section 1.5.5`)
  }

  string(field: string): string {
    const length = this.uint16(field)
    const at = this.#take(length, field)
    const text = decodeUtf8(this.bytes, at, at + length)
    if (text === undefined)
      throw malformed(`${this.what}: ${field} is no valid UTF-8 string [MQTT-1.5.4-1, MQTT-1.5.4-2]`)
    return text
  }

  /** Binary Data, copied: a view would keep the whole chunk alive. */
  binary(field: string): Uint8Array {
    const length = this.uint16(field)
    const at = this.#take(length, field)
    return copyBytes(this.bytes, at, at + length)
  }

  /** A reader of the next `length` bytes, which this one skips. */
  part(length: number, what: string, field: string): PacketReader {
    const at = this.#take(length, field)
    return new PacketReader(this.bytes, at, at + length, what, this.limits)
  }

  expectEnd(): void {
    if (this.at !== this.end) throw malformed(`${this.what} has ${this.remaining} bytes too many`)
  }

  #take(length: number, field: string): number {
    const { at } = this
    if (length > this.end - at) throw malformed(`${this.what} ends inside its ${field}`)
    this.at = at + length
    return at
  }
}

/** A copy in memory of its own, shared with nothing. */
export function copyBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (start === end) return noBytes
  const copy = new Uint8Array(end - start)
  copy.set(bytes.subarray(start, end))
  return copy
}
