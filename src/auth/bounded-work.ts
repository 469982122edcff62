/**
 * Work of which only so much may run at a time and only so much may wait: hashing, which keeps a thread busy for a tenth
 * of a second, and requests to other servers. Beyond that the answer is an immediate no, so that a storm costs a refusal
 * each and not a queue that is served after everybody has given up.
 */
export class BoundedWork {
  readonly #concurrencyMax: number
  readonly #waitingMax: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(concurrencyMax: number, waitingMax: number) {
    this.#concurrencyMax = concurrencyMax
    this.#waitingMax = waitingMax
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Runs it now or in its turn; undefined: too much waits already. */
  run<T>(work: () => Promise<T>): Promise<T> | undefined {
    if (this.#running < this.#concurrencyMax) return this.#start(work)
    if (this.#waiting.length >= this.#waitingMax) return undefined
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push(() => this.#start(work).then(resolve, reject))
    })
  }

  async #start<T>(work: () => Promise<T>): Promise<T> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      this.#waiting.shift()?.()
    }
  }
}
