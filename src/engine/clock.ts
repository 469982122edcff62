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

/** By how much the system's clock is ahead of the steady one. */
export function wallOffset(clock: Clock): number {
  return clock.wall === undefined ? 0 : clock.wall() - clock.now()
}
