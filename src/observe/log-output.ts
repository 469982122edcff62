/**
 * Where log lines wait until standard error takes them. A line is never written at once and never waited for: a log that
 * nobody reads, or a full disk, must not hold up a message.
 *
 *     write -> waiting lines -> one batch under way -> the target
 *
 * When more than `bufferBytesMax` waits, lines are dropped and counted until half of it is free again; then one line says how
 * many are missing. A target that fails is tried again with the same bytes every `retryMs`.
 */

/** What takes bytes without holding the event loop. */
export interface LogTarget {
  /** Calls `done` once, with how many of the bytes were written; an error says why not all of them. */
  write(bytes: Buffer, done: (error: Error | null, written: number) => void): void
  /** At the end of the process: writes what can be written at once. `underWay`: what `write` was given and has not taken. */
  finish(underWay: Buffer | null, rest: Buffer): void
}

/** Not too large for the end of a batch to be known soon. */
const batchBytesMax = 64 * 1024
/** Room beyond the limit for lines that say why the process ends. */
const urgentBytesMax = 64 * 1024

export interface LogOutputOptions {
  bufferBytesMax: number
  retryMs: number
  /** The line that stands for those that were dropped. */
  dropped(lines: number): string
}

export class LogOutput {
  readonly #target: LogTarget
  readonly #options: LogOutputOptions
  /** Lines dropped since the start. */
  droppedLines = 0
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #batch: Buffer | null = null
  /** The target has it. */
  #underWay = false
  #scheduled = false
  /** Dropped since the last line that said so; 0: lines are taken. */
  #dropped = 0

  constructor(target: LogTarget, options: LogOutputOptions) {
    this.#target = target
    this.#options = options
  }

  /** Lines that aren't urgent are being dropped: they need not be made, and are counted by `refuse`. */
  get refuses(): boolean {
    return this.#dropped > 0
  }

  refuse(): void {
    this.#dropped++
    this.droppedLines++
  }

  /** @param urgent it says why the process ends */
  write(line: string, urgent: boolean): void {
    const bytes = Buffer.from(line)
    const { bufferBytesMax } = this.#options
    const max = urgent ? bufferBytesMax + urgentBytesMax : this.#dropped > 0 ? 0 : bufferBytesMax
    if (this.#bufferedBytes() + bytes.length > max) {
      this.refuse()
      return
    }
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#schedule()
  }

  /** Writes what can be written at once; to be called when the process ends. */
  finish(): void {
    this.#reportDropped()
    const batch = this.#batch ?? Buffer.alloc(0)
    const rest = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    this.#batch = null
    if (this.#underWay) this.#target.finish(batch, Buffer.concat(rest))
    else this.#target.finish(null, Buffer.concat([batch, ...rest]))
  }

  #bufferedBytes(): number {
    return this.#waitingBytes + (this.#batch?.length ?? 0)
  }

  /** Lines of one turn leave together. */
  #schedule(): void {
    if (this.#scheduled || this.#underWay || this.#batch !== null) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#send()
    })
  }

  #send(): void {
    this.#batch ??= this.#nextBatch()
    if (this.#batch === null || this.#underWay) return
    this.#underWay = true
    this.#target.write(this.#batch, (error, written) => this.#onWritten(error, written))
  }

  #nextBatch(): Buffer | null {
    const lines = this.#waiting
    let count = 0
    let bytes = 0
    while (count < lines.length && (count === 0 || bytes + lines[count]!.length <= batchBytesMax))
      bytes += lines[count++]!.length
    if (count === 0) return null
    this.#waitingBytes -= bytes
    return Buffer.concat(lines.splice(0, count), bytes)
  }

  #onWritten(error: Error | null, written: number): void {
    this.#underWay = false
    const rest = this.#batch?.subarray(written)
    this.#batch = rest === undefined || rest.length === 0 ? null : rest
    if (error !== null) {
      setTimeout(() => this.#send(), this.#options.retryMs).unref()
      return
    }
    if (this.#bufferedBytes() <= this.#options.bufferBytesMax / 2) this.#reportDropped()
    this.#send()
  }

  #reportDropped(): void {
    if (this.#dropped === 0) return
    const line = Buffer.from(this.#options.dropped(this.#dropped))
    this.#dropped = 0
    this.#waiting.push(line)
    this.#waitingBytes += line.length
  }
}
