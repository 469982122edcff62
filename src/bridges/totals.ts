/** What a bridge counts, since the process began. */

/** Counts by reason; the reasons are few. */
export class ByReason {
  readonly counts = new Map<string, number>()

  add(reason: string): void {
    this.counts.set(reason, (this.counts.get(reason) ?? 0) + 1)
  }

  get sum(): number {
    let sum = 0
    for (const count of this.counts.values()) sum += count
    return sum
  }
}

export class BridgeTotals {
  /** PUBLISH packets to the other broker, those sent again included. */
  sent = 0
  /** PUBLISH packets of the other broker's that were let in. */
  received = 0
  connects = 0
  /** Messages that did not go over, by reason. */
  readonly skippedOut = new ByReason()
  readonly skippedIn = new ByReason()
  /** Messages that the other broker refused for good, by its reason code. */
  readonly refused = new ByReason()
  /** Connections that ended or were not made, by reason. */
  readonly failures = new ByReason()
}
