/**
 * A set of whole numbers kept as inclusive ranges. Sequences arrive nearly in order, so a flow of 10^8 messages with a
 * handful of gaps is a handful of ranges; the set is exact, its memory grows with the gaps, not with the messages.
 */
export class RangeSet {
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  #size = 0

  static from(pairs: ArrayLike<number>): RangeSet {
    const set = new RangeSet()
    for (let i = 0; i + 1 < pairs.length; i += 2) set.addRange(pairs[i]!, pairs[i + 1]!)
    return set
  }

  /** How many numbers the set holds. */
  get size(): number {
    return this.#size
  }

  get rangeCount(): number {
    return this.#starts.length
  }

  /** The highest number, or -1. */
  get highest(): number {
    return this.#ends.at(-1) ?? -1
  }

  /** False when `n` was already there. */
  add(n: number): boolean {
    const last = this.#ends.length - 1
    if (last >= 0 && n === this.#ends[last]! + 1) {
      this.#ends[last] = n
      this.#size += 1
      return true
    }
    const i = this.#indexAtOrBefore(n)
    if (i >= 0 && n <= this.#ends[i]!) return false
    const joinsLeft = i >= 0 && this.#ends[i] === n - 1
    const joinsRight = this.#starts[i + 1] === n + 1
    if (joinsLeft && joinsRight) {
      this.#ends[i] = this.#ends[i + 1]!
      this.#starts.splice(i + 1, 1)
      this.#ends.splice(i + 1, 1)
    } else if (joinsLeft) {
      this.#ends[i] = n
    } else if (joinsRight) {
      this.#starts[i + 1] = n
    } else {
      this.#starts.splice(i + 1, 0, n)
      this.#ends.splice(i + 1, 0, n)
    }
    this.#size += 1
    return true
  }

  /** Adds first..last, both included; how many of them were already there. */
  addRange(first: number, last: number): number {
    if (last < first) return 0
    let from = this.#indexAtOrBefore(first)
    if (from < 0 || this.#ends[from]! < first - 1) from += 1
    let to = from
    let start = first
    let end = last
    let present = 0
    while (to < this.#starts.length && this.#starts[to]! <= last + 1) {
      present += Math.max(0, Math.min(this.#ends[to]!, last) - Math.max(this.#starts[to]!, first) + 1)
      start = Math.min(start, this.#starts[to]!)
      end = Math.max(end, this.#ends[to]!)
      to += 1
    }
    this.#starts.splice(from, to - from, start)
    this.#ends.splice(from, to - from, end)
    this.#size += last - first + 1 - present
    return present
  }

  has(n: number): boolean {
    const i = this.#indexAtOrBefore(n)
    return i >= 0 && n <= this.#ends[i]!
  }

  /** Adds all of `other`; how many of its numbers were already there. */
  addAll(other: RangeSet): number {
    let present = 0
    for (const [first, last] of other.ranges()) present += this.addRange(first, last)
    return present
  }

  /** Numbers of this set that are in none of `others`. */
  without(...others: readonly RangeSet[]): RangeSet {
    const result = new RangeSet()
    const removed = new RangeSet()
    for (const other of others) removed.addAll(other)
    let i = 0
    for (const [first, last] of this.ranges()) {
      let next = first
      while (i < removed.#starts.length && removed.#ends[i]! < first) i += 1
      for (let j = i; j < removed.#starts.length && removed.#starts[j]! <= last; j++) {
        result.addRange(next, removed.#starts[j]! - 1)
        next = Math.max(next, removed.#ends[j]! + 1)
      }
      result.addRange(next, last)
    }
    return result
  }

  intersectionSize(other: RangeSet): number {
    return this.#size - this.without(other).size
  }

  *ranges(): Generator<[first: number, last: number]> {
    for (let i = 0; i < this.#starts.length; i++) yield [this.#starts[i]!, this.#ends[i]!]
  }

  /** The lowest `count` numbers. */
  first(count: number): number[] {
    const found: number[] = []
    for (const [first, last] of this.ranges()) {
      for (let n = first; n <= last && found.length < count; n++) found.push(n)
      if (found.length >= count) break
    }
    return found
  }

  /** Pairs of first and last, for another thread. */
  toPairs(): number[] {
    return [...this.ranges()].flat()
  }

  #indexAtOrBefore(n: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#starts[middle]! <= n) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
