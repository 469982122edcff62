/**
 * A file of JSON lines that never holds more than it may, and holds up nobody: lines wait in memory for the disk, few of them, and what does
 * not fit is left out. At half of its size it becomes NAME.1, in place of the one before, and a new one begins: so the latest is there, and
 * both together are within the limit.
 */
import { type FileHandle, open, rename } from 'node:fs/promises'
import type { TraceTarget } from './trace.ts'

export const pendingTraceBytesMax = 1024 * 1024

export class TraceFile implements TraceTarget {
  /** On the disk, in both files. */
  bytes = 0
  readonly path: string
  readonly #bytesMax: number
  readonly #onFailed: (error: Error) => void
  #pending: Buffer[] = []
  #pendingBytes = 0
  #file: FileHandle
  #fileBytes = 0
  #olderBytes = 0
  #draining: Promise<void> | null = null
  #ended = false

  /** @throws an error of the file system, EEXIST where there is one of this name already */
  static async create(path: string, bytesMax: number, onFailed: (error: Error) => void): Promise<TraceFile> {
    return new TraceFile(path, bytesMax, onFailed, await open(path, 'wx', 0o600))
  }

  private constructor(path: string, bytesMax: number, onFailed: (error: Error) => void, file: FileHandle) {
    this.path = path
    this.#bytesMax = bytesMax
    this.#onFailed = onFailed
    this.#file = file
  }

  write(line: object): boolean {
    if (this.#ended) return false
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
    if (this.#pendingBytes + bytes.length > pendingTraceBytesMax) return false
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    this.#draining ??= this.#drain()
    return true
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#draining ??= this.#drain()
  }

  /** Everything is written, after `end`. */
  async closed(): Promise<void> {
    await this.#draining
  }

  async #drain(): Promise<void> {
    try {
      while (this.#pending.length > 0) {
        const part = this.#take()
        if (this.#fileBytes > 0 && this.#fileBytes + part.length > this.#bytesMax / 2) await this.#rotate()
        await this.#file.writeFile(part)
        this.#fileBytes += part.length
        this.bytes = this.#olderBytes + this.#fileBytes
      }
      if (this.#ended) await this.#file.close()
      else this.#draining = null
    } catch (error) {
      this.#ended = true
      this.#pending = []
      await this.#file.close().catch(() => {})
      this.#onFailed(error as Error)
    }
  }

  /** What is written at once: little enough that the limit holds. */
  #take(): Buffer {
    const partBytesMax = Math.min(64 * 1024, this.#bytesMax / 2)
    const part: Buffer[] = []
    let bytes = 0
    do {
      const next = this.#pending.shift()!
      part.push(next)
      bytes += next.length
    } while (this.#pending.length > 0 && bytes + this.#pending[0]!.length <= partBytesMax)
    this.#pendingBytes -= bytes
    return Buffer.concat(part)
  }

  async #rotate(): Promise<void> {
    await this.#file.close()
    await rename(this.path, `${this.path}.1`)
    this.#olderBytes = this.#fileBytes
    this.#fileBytes = 0
    this.#file = await open(this.path, 'wx', 0o600)
  }
}
