/**
 * A rate with a burst: a bucket that fills evenly, and from which what happens takes tokens. Who takes more than there is owes the
 * rest, and is told how long it takes until that is paid; whoever takes next waits behind. So many who share a bucket are served in
 * the order in which they came, and nothing that was taken is ever taken back but by `giveBack`.
 */
export interface Rate {
  perSecond: number
  /** What may happen at once after a pause. */
  burst: number
}

export class TokenBucket {
  #rate: Rate
  #tokens: number
  #at: number

  constructor(rate: Rate, now: number) {
    this.#rate = rate
    this.#tokens = rate.burst
    this.#at = now
  }

  /** Has another rate from here on; what is owed stays owed. */
  change(rate: Rate, now: number): void {
    this.#fill(now)
    this.#rate = rate
    this.#tokens = Math.min(this.#tokens, rate.burst)
  }

  /** Takes tokens. Returns the milliseconds until nothing is owed: 0 where there were enough. */
  take(amount: number, now: number): number {
    this.#fill(now)
    this.#tokens -= amount
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#rate.perSecond) * 1000
  }

  /** Of what did not happen after all. */
  giveBack(amount: number): void {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + amount)
  }

  isFull(now: number): boolean {
    this.#fill(now)
    return this.#tokens >= this.#rate.burst
  }

  #fill(now: number): void {
    const elapsed = now - this.#at
    if (elapsed <= 0) return
    this.#at = now
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (elapsed * this.#rate.perSecond) / 1000)
  }
}
