/**
 * How long to wait before the next attempt: twice as long each time up to a limit, and half of it by chance, so that pages
 * that lost the same gateway don't come back at the same moment.
 *
 * A connection that soon breaks again counts as a failed attempt: a gateway that accepts and then closes is not hammered.
 */
export interface BackOffLimits {
  /** Wait before the first new attempt, at most. 1,000 */
  firstMs: number
  /** Wait between attempts, at most. 30,000 */
  mostMs: number
}

const steadyMs = 10_000

export class BackOff {
  readonly #limits: BackOffLimits
  #attempts = 0
  #connectedAt: number | undefined

  constructor(limits: BackOffLimits) {
    this.#limits = limits
  }

  onConnected(now: number): void {
    this.#connectedAt = now
  }

  /** The wait after the end of a connection or of an attempt. */
  next(now: number): number {
    if (this.#connectedAt !== undefined && now - this.#connectedAt >= steadyMs) this.#attempts = 0
    this.#connectedAt = undefined
    const { firstMs, mostMs } = this.#limits
    const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(this.#attempts++, 30))
    return Math.round(ceiling * (0.5 + Math.random() / 2))
  }
}
