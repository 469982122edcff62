/** The data types of section 1.5 into a buffer that grows, and the fixed header before it once the length is known. */
import { encodeUtf8, stringBytesMax } from './utf8.ts'
import { variableByteIntegerLength, variableByteIntegerMax, writeVariableByteInteger } from './variable-byte-integer.ts'

export class PacketWriter {
  #bytes: Uint8Array = Buffer.allocUnsafeSlow(256)
  #length = 0

  uint8(value: number): void {
    const at = this.#grow(1)
    this.#bytes[at] = inRange(value, 0xff)
  }

  uint16(value: number): void {
    const at = this.#grow(2)
    this.#bytes[at] = inRange(value, 0xffff) >> 8
    this.#bytes[at + 1] = value & 0xff
  }

  uint32(value: number): void {
    const at = this.#grow(4)
    inRange(value, 0xffff_ffff)
    for (let byte = 0; byte < 4; byte++) this.#bytes[at + byte] = value >>> (24 - 8 * byte)
  }

  variableByteInteger(value: number): void {
    const at = this.#grow(variableByteIntegerLength(inRange(value, variableByteIntegerMax)))
    writeVariableByteInteger(this.#bytes, at, value)
  }

  string(text: string): void {
    this.binary(encodeUtf8(text))
  }

  binary(bytes: Uint8Array): void {
    this.uint16(inRange(bytes.length, stringBytesMax))
    this.raw(bytes)
  }

  raw(bytes: Uint8Array): void {
    const at = this.#grow(bytes.length)
    this.#bytes.set(bytes, at)
  }

  /** What was written, without a header. */
  body(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** The whole packet: first byte, Remaining Length and what was written. */
  packet(firstByte: number): Uint8Array {
    const length = inRange(this.#length, variableByteIntegerMax)
    const packet = Buffer.allocUnsafeSlow(1 + variableByteIntegerLength(length) + length)
    packet[0] = firstByte
    packet.set(this.body(), writeVariableByteInteger(packet, 1, length))
    return packet
  }

  #grow(by: number): number {
    const at = this.#length
    const length = at + by
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#bytes.length))
      grown.set(this.body())
      this.#bytes = grown
    }
    this.#length = length
    return at
  }
}

/** Ours to get right: a value that its field can't hold is a fault of the caller, not of the peer. */
function inRange(value: number, greatest: number): number {
  if (!(Number.isInteger(value) && value >= 0 && value <= greatest))
    throw new RangeError(`${value} does not fit a field of at most ${greatest}`)
  return value
}
