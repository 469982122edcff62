/**
 * The open-loop schedule: each entry is due at intended times that follow from its rate alone, never from when the last
 * message was acknowledged or the last tick came. A late generator sends late, with the intended time unchanged, so
 * that the delay shows in the latency instead of vanishing (coordinated omission).
 *
 * A binary heap orders the entries; one timer serves the earliest.
 */

/** Milliseconds on the run's clock. */
export type Clock = () => number

export interface Entry {
  /** When it is next due, in milliseconds on the run's clock; Infinity when never again. */
  dueMs: number
  /** Called once per due time; must move `dueMs` on. */
  fire(nowMs: number): void
}

/** Above this, one turn sends what it can and lets sockets breathe before the rest. */
const entriesPerTurnMax = 4096

export class Schedule {
  readonly #heap: Entry[] = []
  readonly #now: Clock
  readonly #afterTurn: () => void
  #timer: NodeJS.Timeout | undefined
  #immediate: NodeJS.Immediate | undefined
  #running = false
  #turning = false
  readonly #added: Entry[] = []

  /** `afterTurn` is called once after each batch of entries, to flush what they wrote. */
  constructor(now: Clock, afterTurn: () => void = () => {}) {
    this.#now = now
    this.#afterTurn = afterTurn
  }

  get size(): number {
    return this.#heap.length
  }

  add(entry: Entry): void {
    if (this.#turning) {
      this.#added.push(entry)
      return
    }
    this.#heap.push(entry)
    this.#up(this.#heap.length - 1)
    if (this.#running && this.#heap[0] === entry) this.#arm()
  }

  start(): void {
    this.#running = true
    this.#arm()
  }

  stop(): void {
    this.#running = false
    clearTimeout(this.#timer)
    clearImmediate(this.#immediate)
    this.#timer = undefined
    this.#immediate = undefined
  }

  clear(): void {
    this.#heap.length = 0
    this.#added.length = 0
  }

  /** To be called after due times were changed from outside, as when a stage changes the rate. */
  rebuild(): void {
    for (let i = (this.#heap.length >> 1) - 1; i >= 0; i--) this.#down(i)
    if (this.#running) this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const first = this.#heap[0]
    if (first === undefined || first.dueMs === Number.POSITIVE_INFINITY || this.#immediate !== undefined) return
    const waitMs = first.dueMs - this.#now()
    if (waitMs <= 0) {
      this.#immediate = setImmediate(() => {
        this.#immediate = undefined
        this.#turn()
      })
    } else {
      // Timers round to whole milliseconds and beyond 2^31 fire at once.
      this.#timer = setTimeout(() => this.#turn(), Math.min(waitMs, 1_000_000))
    }
  }

  #turn(): void {
    if (!this.#running) return
    const now = this.#now()
    this.#turning = true
    for (let i = 0; i < entriesPerTurnMax; i++) {
      const first = this.#heap[0]
      if (first === undefined || first.dueMs > now) break
      first.fire(now)
      if (first.dueMs === Number.POSITIVE_INFINITY) this.#removeFirst()
      else this.#down(0)
    }
    this.#turning = false
    for (const entry of this.#added.splice(0)) this.add(entry)
    this.#afterTurn()
    this.#arm()
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    this.#down(0)
  }

  #up(from: number): void {
    const heap = this.#heap
    const entry = heap[from]!
    let i = from
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (heap[parent]!.dueMs <= entry.dueMs) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = entry
  }

  #down(from: number): void {
    const heap = this.#heap
    const entry = heap[from]!
    const { length } = heap
    let i = from
    for (;;) {
      let child = 2 * i + 1
      if (child >= length) break
      if (child + 1 < length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child += 1
      if (heap[child]!.dueMs >= entry.dueMs) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = entry
  }
}
