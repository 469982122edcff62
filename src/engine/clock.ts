/**
 * Time as the engine sees it, so that tests can hold and move it.
 *
 * All that lasts for a while (keep alive, delays, expiry) is reckoned on a steady clock: the system's time when the program
 * began, and since then what has really passed. A system clock that is set, by hand or when a device without one meets its time
 * server, ends no connection and expires no message.
 */
export interface Clock {
  /** Milliseconds since the epoch, whole; never jumps and never goes back. */
  now(): number
  /** What the system's clock says, in the same unit; absent: the same. */
  wall?(): number
  /** Runs `callback` once, `delayMs` from now; returns what cancels it. Delays are at most 2^31 - 1 ms. */
  after(delayMs: number, callback: () => void): () => void
}

const startedAt = Date.now() - performance.now()

export const systemClock: Clock = {
  now: () => Math.floor(startedAt + performance.now()),
  wall: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}

/**
 * The steady clock of a gateway with a store. It goes on where that of the last process was: the times in the store are its own, so
 * that a system clock that is set while the gateway runs, or stands still while the device is off, moves none of them.
 */
export class StoredClock implements Clock {
  readonly #system: Clock
  #shift = 0

  constructor(system: Clock) {
    this.#system = system
  }

  now(): number {
    return this.#system.now() + this.#shift
  }

  wall(): number {
    return this.#system.wall === undefined ? this.#system.now() : this.#system.wall()
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.#system.after(delayMs, callback)
  }

  /**
   * Before anything is asked of it: as far from the system's clock as it was, which counts the time in between; but never behind
   * what it had reached, should the system's clock have been lost.
   */
  continueFrom(time: number, wallOffsetMs: number): void {
    this.#shift += Math.max(time, this.wall() - wallOffsetMs) - this.now()
  }
}

/** By how much the system's clock is ahead of the steady one. */
export function wallOffset(clock: Clock): number {
  return clock.wall === undefined ? 0 : clock.wall() - clock.now()
}

/** A smaller change of the offset than this is the rounding of two clocks, in milliseconds. */
const clockRoundingMs = 5

/**
 * Steady times as wall-clock times for people. The offset is kept until the wall clock was set: read anew for each time, two times
 * of one moment could differ, and what was later could seem earlier.
 */
export function wallTimes(clock: Clock): (time: number) => number {
  let offset = wallOffset(clock)
  return (time) => {
    const now = wallOffset(clock)
    if (Math.abs(now - offset) >= clockRoundingMs) offset = now
    return time + offset
  }
}
