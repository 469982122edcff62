/**
 * Fields one after the other in a growing buffer, and back: what batches, recovery chunks and queue pages are made of.
 *
 * Integers that fit 32 bits take four bytes, all others (numbers, positions, times) are doubles, so Infinity needs no
 * special case. A text is written once per buffer: the first use carries its bytes and implicitly the next index, later
 * uses the index alone, which spares both threads the UTF-8 of topics that repeat. Byte strings are copied in, and read
 * back as views into the buffer.
 */

const scratchBytesAtStart = 64 * 1024
/** A scratch that one large batch has blown up beyond this is given back. */
const scratchBytesKeptMax = 8 * 1024 * 1024
const textsMax = 65_536
/** Up to here a loop over char codes beats the call into native code. */
const shortTextLength = 40
const noBytes = Buffer.alloc(0)
const notIndexed = 0xffffffff

export class FieldWriter {
  #scratch: Buffer = Buffer.allocUnsafeSlow(scratchBytesAtStart)
  #view = new DataView(this.#scratch.buffer)
  #at = 0
  readonly #texts = new Map<string, number>()

  get byteLength(): number {
    return this.#at
  }

  uint8(value: number): void {
    if (this.#at + 1 > this.#scratch.length) this.#grow(1)
    this.#scratch[this.#at++] = value
  }

  uint32(value: number): void {
    if (this.#at + 4 > this.#scratch.length) this.#grow(4)
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  number(value: number): void {
    if (this.#at + 8 > this.#scratch.length) this.#grow(8)
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  text(value: string): void {
    const known = this.#texts.get(value)
    if (known !== undefined) {
      this.uint32(known)
      return
    }
    if (this.#texts.size < textsMax) {
      this.uint32(this.#texts.size)
      this.#texts.set(value, this.#texts.size)
    } else this.uint32(notIndexed)
    this.#utf8(value)
  }

  bytes(value: Uint8Array): void {
    const length = value.length
    this.uint32(length)
    if (this.#at + length > this.#scratch.length) this.#grow(length)
    if (length > 0) this.#scratch.set(value, this.#at)
    this.#at += length
  }

  /** What was written, exactly sized and transferable; the writer is empty again. */
  take(): ArrayBuffer {
    const taken = this.#scratch.buffer.slice(0, this.#at) as ArrayBuffer
    this.#at = 0
    this.#texts.clear()
    if (this.#scratch.length > scratchBytesKeptMax) this.#resize(scratchBytesAtStart)
    return taken
  }

  #utf8(value: string): void {
    const length = value.length
    if (this.#at + 4 + length * 3 > this.#scratch.length) this.#grow(4 + length * 3)
    const start = this.#at + 4
    const written = length <= shortTextLength && this.#ascii(value, start) ? length : this.#scratch.write(value, start)
    this.#view.setUint32(this.#at, written, true)
    this.#at = start + written
  }

  /** False if a character is not ASCII; what was written until then is void. */
  #ascii(value: string, start: number): boolean {
    const scratch = this.#scratch
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i)
      if (code > 0x7f) return false
      scratch[start + i] = code
    }
    return true
  }

  #grow(bytes: number): void {
    const old = this.#scratch
    this.#resize(Math.max(old.length * 2, this.#at + bytes))
    old.copy(this.#scratch, 0, 0, this.#at)
  }

  #resize(bytes: number): void {
    this.#scratch = Buffer.allocUnsafeSlow(bytes)
    this.#view = new DataView(this.#scratch.buffer)
  }
}

/** Reads what a `FieldWriter` wrote, in the same order. Throws RangeError if the buffer ends too early. */
export class FieldReader {
  readonly #buffer: Buffer
  readonly #view: DataView
  readonly #texts: string[] = []
  #at = 0

  constructor(packed: ArrayBuffer) {
    this.#buffer = Buffer.from(packed)
    this.#view = new DataView(packed)
  }

  get ended(): boolean {
    return this.#at >= this.#buffer.length
  }

  uint8(): number {
    return this.#view.getUint8(this.#at++)
  }

  uint32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }

  number(): number {
    const value = this.#view.getFloat64(this.#at, true)
    this.#at += 8
    return value
  }

  text(): string {
    const index = this.uint32()
    const known = this.#texts[index]
    if (known !== undefined) return known
    const end = this.#end()
    const value = this.#buffer.toString('utf8', this.#at, end)
    this.#at = end
    if (index !== notIndexed) this.#texts.push(value)
    return value
  }

  /** A view into the buffer, not a copy. */
  bytes(): Buffer {
    const end = this.#end()
    if (end === this.#at) return noBytes
    const value = this.#buffer.subarray(this.#at, end)
    this.#at = end
    return value
  }

  #end(): number {
    const length = this.uint32()
    const end = this.#at + length
    if (end > this.#buffer.length) throw new RangeError(`${length} bytes announced at ${this.#at}, and the buffer ends`)
    return end
  }
}
