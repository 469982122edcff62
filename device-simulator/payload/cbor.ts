/** CBOR (RFC 8949) for the values that generators give, in preferred serialisation: shortest heads, doubles as needed. */
import type { Value } from './value.ts'

class ByteSink {
  bytes = new Uint8Array(256)
  #view = new DataView(this.bytes.buffer)
  length = 0

  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
    this.#view = new DataView(larger.buffer)
  }

  head(major: number, value: number): void {
    this.reserve(9)
    const type = major << 5
    if (value < 24) {
      this.bytes[this.length++] = type | value
    } else if (value < 0x100) {
      this.bytes[this.length++] = type | 24
      this.bytes[this.length++] = value
    } else if (value < 0x10000) {
      this.bytes[this.length++] = type | 25
      this.#view.setUint16(this.length, value)
      this.length += 2
    } else if (value < 0x100000000) {
      this.bytes[this.length++] = type | 26
      this.#view.setUint32(this.length, value)
      this.length += 4
    } else {
      this.bytes[this.length++] = type | 27
      this.#view.setBigUint64(this.length, BigInt(value))
      this.length += 8
    }
  }

  float(value: number): void {
    this.reserve(9)
    const single = Math.fround(value) === value
    this.bytes[this.length++] = single ? 0xfa : 0xfb
    if (single) this.#view.setFloat32(this.length, value)
    else this.#view.setFloat64(this.length, value)
    this.length += single ? 4 : 8
  }

  simple(byte: number): void {
    this.reserve(1)
    this.bytes[this.length++] = byte
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }
}

const utf8 = new TextEncoder()

function write(sink: ByteSink, value: Value): void {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0))
      sink.head(value < 0 ? 1 : 0, value < 0 ? -1 - value : value)
    else sink.float(value)
  } else if (typeof value === 'string') {
    const bytes = utf8.encode(value)
    sink.head(3, bytes.length)
    sink.raw(bytes)
  } else if (typeof value === 'boolean') {
    sink.simple(value ? 0xf5 : 0xf4)
  } else if (value === null) {
    sink.simple(0xf6)
  } else if (value instanceof Uint8Array) {
    sink.head(2, value.length)
    sink.raw(value)
  } else if (Array.isArray(value)) {
    sink.head(4, value.length)
    for (const item of value as readonly Value[]) write(sink, item)
  } else {
    const entries = Object.entries(value)
    sink.head(5, entries.length)
    for (const [key, item] of entries) {
      write(sink, key)
      write(sink, item)
    }
  }
}

export function encodeCbor(value: Value): Uint8Array {
  const sink = new ByteSink()
  write(sink, value)
  return sink.bytes.slice(0, sink.length)
}
