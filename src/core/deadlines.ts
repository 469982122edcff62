/**
 * Everything that is due at a time: a binary heap of callbacks by absolute milliseconds.
 *
 * The core never starts a timer: whoever drives it asks `next` and calls `fire` when that time has come, so that a test's
 * clock and the system's serve alike, and delays beyond 2^31 ms (the limit of setTimeout) are ordinary.
 */
export class Deadline {
  at: number
  /** Among those due at the same time, the lower is the first. */
  order = 0
  /** Position in the heap; -1: not in it. */
  index = -1
  readonly fire: (now: number) => void

  constructor(fire: (now: number) => void, at = Infinity) {
    this.fire = fire
    this.at = at
  }
}

const isBefore = (one: Deadline, other: Deadline): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order)

export class Deadlines {
  readonly #heap: Deadline[] = []

  /** When the earliest is due; Infinity: nothing is. */
  get next(): number {
    return this.#heap[0]?.at ?? Infinity
  }

  get first(): Deadline | undefined {
    return this.#heap[0]
  }

  get size(): number {
    return this.#heap.length
  }

  /** Sets or moves a deadline; Infinity removes it. */
  set(deadline: Deadline, at: number): void {
    if (deadline.index >= 0) this.clear(deadline)
    deadline.at = at
    if (at === Infinity) return
    deadline.index = this.#heap.length
    this.#heap.push(deadline)
    this.#up(deadline.index)
  }

  clear(deadline: Deadline): void {
    const index = deadline.index
    if (index < 0) return
    deadline.index = -1
    const last = this.#heap.pop()!
    if (last === deadline) return
    this.#heap[index] = last
    last.index = index
    this.#up(index)
    this.#down(last.index)
  }

  /** Runs everything due by `now`, in order. What a callback sets for `now` or earlier runs too. */
  fire(now: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.clear(first)
      first.fire(now)
    }
  }

  #up(start: number): void {
    const heap = this.#heap
    let index = start
    const deadline = heap[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]!
      if (!isBefore(deadline, above)) break
      heap[index] = above
      above.index = index
      index = parent
    }
    heap[index] = deadline
    deadline.index = index
  }

  #down(start: number): void {
    const heap = this.#heap
    let index = start
    const deadline = heap[index]!
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      const below = heap[child]!
      if (!isBefore(below, deadline)) break
      heap[index] = below
      below.index = index
      index = child
    }
    heap[index] = deadline
    deadline.index = index
  }
}
