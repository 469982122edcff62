/** Time that moves when the life says so. Timers fire in order, each at its own time. */
import type { Clock } from '../../src/engine/clock.ts'

interface Timer {
  at: number
  order: number
  fire: () => void
}

export class FakeClock implements Clock {
  #now: number
  #timers: Timer[] = []
  #order = 0
  #wallOffset = 0

  constructor(now: number) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now + this.#wallOffset
  }

  /** Somebody, or a time server, sets the system's clock. */
  setWall(jumpMs: number): void {
    this.#wallOffset += jumpMs
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = { at: this.#now + delayMs, order: this.#order++, fire }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /**
   * The process is dead: nothing of it fires any more, and the next one begins at what the system's clock says. Returns by how
   * much that is another time.
   */
  restart(): number {
    this.#timers = []
    const jumped = this.#wallOffset
    this.#now += jumped
    this.#wallOffset = 0
    return jumped
  }

  /** Moves on; `afterEach` runs after every timer, so that what it began ends at its own time. */
  async advance(ms: number, afterEach: () => Promise<void>): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const [first] = this.#timers.sort((a, b) => a.at - b.at || a.order - b.order)
      if (first === undefined || first.at > end) break
      this.#timers.shift()
      this.#now = Math.max(this.#now, first.at)
      first.fire()
      await afterEach()
    }
    this.#now = end
  }
}
