/**
 * Whether to ask a server that has failed: after so many failures in a row it is left alone for a while, and then one
 * request tries whether it is back. Meanwhile the answer is known at once, instead of a timeout for every client.
 */
export class CircuitBreaker {
  readonly #failuresMax: number
  readonly #openMs: number
  readonly #now: () => number
  #failures = 0
  #openUntil = -Infinity

  constructor(failuresMax: number, openMs: number, now: () => number) {
    this.#failuresMax = failuresMax
    this.#openMs = openMs
    this.#now = now
  }

  get isOpen(): boolean {
    return this.#failures >= this.#failuresMax && this.#now() < this.#openUntil
  }

  /** Whether a request may be made; of those that come after a pause only the first may. */
  mayAsk(): boolean {
    if (this.#failures < this.#failuresMax) return true
    if (this.#now() < this.#openUntil) return false
    this.#openUntil = this.#now() + this.#openMs
    return true
  }

  succeeded(): void {
    this.#failures = 0
  }

  failed(): void {
    this.#failures++
    if (this.#failures >= this.#failuresMax) this.#openUntil = this.#now() + this.#openMs
  }
}
