/**
 * A line as text: one JSON object with a checksum of its own at the end, so that damage is told by the line it is in. Whoever changes a line
 * takes its checksum away, and the line is believed as it is.
 */
import { isUtf8 } from 'node:buffer'
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'

/** The largest message, in the longest of its writings, with room for the rest of its line. */
export const lineBytesMax = 400 * 1024 * 1024
const chunkBytes = 64 * 1024
const checksumLength = ',"crc":"00000000"}'.length

export function textOf(fields: object): string {
  const text = JSON.stringify(fields)
  return `${text.slice(0, -1)},"crc":"${checksumOf(text)}"}`
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** What can't be a line, in words that come after its number. */
export class LineFault extends Error {
  override readonly name = 'LineFault'
}

export function fieldsOf(text: string): unknown {
  const checksum = /^,"crc":"([0-9a-f]{8})"\}$/.exec(text.slice(-checksumLength))
  const own = checksum === null ? text : `${text.slice(0, -checksumLength)}}`
  if (checksum !== null && checksumOf(own) !== checksum[1]) {
    throw new LineFault(
      'is damaged: its checksum does not match (take "crc" away from a line that was changed on purpose)',
    )
  }
  try {
    return JSON.parse(own)
  } catch (error) {
    throw new LineFault(`is no JSON: ${(error as Error).message}`)
  }
}

/** Written in chunks, whatever the number of lines. */
export class LineFile {
  readonly #descriptor: number
  #waiting: string[] = []
  #waitingLength = 0
  lines = 0

  constructor(path: string) {
    this.#descriptor = openSync(path, 'w', 0o600)
  }

  add(fields: object): void {
    const text = textOf(fields)
    this.#waiting.push(text, '\n')
    this.#waitingLength += text.length
    this.lines++
    if (this.#waitingLength >= chunkBytes) this.#write()
  }

  /** Forces everything to the disk. */
  end(): void {
    this.#write()
    fsyncSync(this.#descriptor)
  }

  close(): void {
    closeSync(this.#descriptor)
  }

  #write(): void {
    const bytes = Buffer.from(this.#waiting.join(''))
    this.#waiting = []
    this.#waitingLength = 0
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#descriptor, bytes, at)
  }
}

/** The file's lines, one in memory at a time. Throws a `LineFault` that says the line's number. */
export function* linesOf(path: string): Generator<{ number: number; text: string }> {
  const descriptor = openSync(path, 'r')
  try {
    const chunk = Buffer.alloc(chunkBytes)
    let number = 1
    let begun: Buffer[] = []
    let begunBytes = 0
    for (let bytes = 0; (bytes = readSync(descriptor, chunk)) > 0; ) {
      let from = 0
      for (let end = 0; (end = chunk.subarray(0, bytes).indexOf(0x0a, from)) >= 0; from = end + 1) {
        yield { number, text: textOfBytes(Buffer.concat([...begun, chunk.subarray(from, end)]), number) }
        number++
        begun = []
        begunBytes = 0
      }
      begun.push(Buffer.from(chunk.subarray(from, bytes)))
      begunBytes += bytes - from
      if (begunBytes > lineBytesMax) throw new LineFault(`line ${number} is longer than ${lineBytesMax} bytes`)
    }
    if (begunBytes > 0) throw new LineFault(`line ${number} is cut off: the file was truncated`)
  } finally {
    closeSync(descriptor)
  }
}

function textOfBytes(bytes: Buffer, number: number): string {
  if (!isUtf8(bytes)) throw new LineFault(`line ${number} is damaged: it is not UTF-8`)
  return bytes.toString()
}
