/**
 * How many lines per second are worth reading: a client that does the same wrong ten thousand times a second gets some of its
 * lines written, and one at the end of the second that says how many were left out.
 *
 * Lines are told apart by their reason. Where a text holds what a client chose, the number of reasons is its choice too, so
 * that all lines together have a limit of their own.
 */
export interface LineLimitOptions {
  linesPerReasonPerSecondMax: number
  linesPerSecondMax: number
  /** Milliseconds, of any clock. */
  now(): number
  after(delayMs: number, call: () => void): void
  /** A second is over in which so many lines were left out. */
  leftOut(lines: number, last: LeftOut): void
}

/** The last line of those that were left out, for its level and reason. */
export interface LeftOut {
  reason: string
  level: number
}

const windowMs = 1000

export class LineLimit {
  readonly #options: LineLimitOptions
  readonly #lines = new Map<string, { written: number; leftOut: number; level: number }>()
  #written = 0
  #others: { lines: number; last: LeftOut } | null = null
  #startedAt = -Infinity
  #ends = false

  constructor(options: LineLimitOptions) {
    this.#options = options
  }

  /** Whether a line may be written. One that may not is counted. */
  admits(reason: string, level: number): boolean {
    const { linesPerReasonPerSecondMax, linesPerSecondMax, now } = this.#options
    if (now() - this.#startedAt >= windowMs) this.#begin(now())
    const all = this.#written >= linesPerSecondMax
    let line = this.#lines.get(reason)
    if (line === undefined) {
      if (all) return this.#leaveOutOther({ reason, level })
      line = { written: 0, leftOut: 0, level }
      this.#lines.set(reason, line)
    }
    if (!all && line.written < linesPerReasonPerSecondMax) {
      line.written++
      this.#written++
      return true
    }
    line.leftOut++
    line.level = level
    this.#end()
    return false
  }

  #leaveOutOther(last: LeftOut): false {
    this.#others = { lines: (this.#others?.lines ?? 0) + 1, last }
    this.#end()
    return false
  }

  /** Sees to it that what is left out is told. */
  #end(): void {
    if (this.#ends) return
    this.#ends = true
    const { now, after } = this.#options
    after(Math.max(0, this.#startedAt + windowMs - now()), () => this.#begin(now()))
  }

  #begin(now: number): void {
    const told = this.#ends ? [...this.#lines].filter(([, { leftOut }]) => leftOut > 0) : []
    const others = this.#others
    this.#lines.clear()
    this.#others = null
    this.#written = 0
    this.#startedAt = now
    this.#ends = false
    for (const [reason, { leftOut, level }] of told) this.#options.leftOut(leftOut, { reason, level })
    if (others !== null) this.#options.leftOut(others.lines, others.last)
  }
}
