/**
 * The leases of one consumer, oldest first. Linked through the leases themselves: a worker settles a thousand of them in order, and
 * to find the oldest of a Set one has to pass by the places of all that went before it.
 */
import type { Lease } from './lease.ts'

export class LeaseList {
  first: Lease | null = null
  size = 0
  #last: Lease | null = null

  /** Puts one that is in no list behind all others. */
  add(lease: Lease): void {
    lease.before = this.#last
    if (this.#last === null) this.first = lease
    else this.#last.behind = lease
    this.#last = lease
    this.size++
  }

  /** Takes out one of this list. */
  delete(lease: Lease): void {
    const { before, behind } = lease
    if (before === null) this.first = behind
    else before.behind = behind
    if (behind === null) this.#last = before
    else behind.before = before
    lease.before = null
    lease.behind = null
    this.size--
  }

  /** While it is walked through nothing may be taken out. */
  *[Symbol.iterator](): Generator<Lease, void> {
    for (let lease = this.first; lease !== null; lease = lease.behind) yield lease
  }
}
