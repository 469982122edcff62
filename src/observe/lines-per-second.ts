/** So many lines in a second; the others are counted, and told with the next one that is written. */
export class LinesPerSecond {
  readonly #max: number
  readonly #now: () => number
  #second = -1
  #lines = 0
  #left = 0

  /** @param now milliseconds */
  constructor(max: number, now: () => number) {
    this.#max = max
    this.#now = now
  }

  /** How many were left out since the last line; undefined: this one is to be left out as well. */
  admit(): number | undefined {
    const second = Math.floor(this.#now() / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#lines = 0
    }
    if (this.#lines >= this.#max) {
      this.#left++
      return undefined
    }
    this.#lines++
    const left = this.#left
    this.#left = 0
    return left
  }
}
