/**
 * Checks that every message arrives exactly once.
 *
 * Theory: each publisher numbers its messages 0, 1, 2, … On the fast path the number is the expected one and nothing else
 * happens. A higher number opens a gap whose members are remembered as missing; a lower one either closes a gap (it came
 * late, out of order) or is a duplicate. So at the end, the messages lost are the ones still missing plus the tail.
 */
export class SequenceCheck {
  duplicated = 0
  reordered = 0
  readonly #expected: Uint32Array
  readonly #missing: Set<number>[] = []
  readonly #firstPublisher: number

  /** Watches the publishers numbered `firstPublisher` to `firstPublisher + publishers - 1`. */
  constructor(firstPublisher: number, publishers: number) {
    this.#firstPublisher = firstPublisher
    this.#expected = new Uint32Array(publishers)
  }

  /** Returns whether this message is new (not a duplicate, and of a watched publisher). */
  receive(publisher: number, sequence: number): boolean {
    const slot = publisher - this.#firstPublisher
    const expected = this.#expected[slot]
    if (expected === undefined) return false
    if (sequence === expected) {
      this.#expected[slot] = sequence + 1
      return true
    }
    return this.#unexpected(slot, sequence, expected)
  }

  #unexpected(slot: number, sequence: number, expected: number): boolean {
    const missing = (this.#missing[slot] ??= new Set())
    if (sequence > expected) {
      for (let number = expected; number < sequence; number++) missing.add(number)
      this.#expected[slot] = sequence + 1
      return true
    }
    if (missing.delete(sequence)) {
      this.reordered++
      return true
    }
    this.duplicated++
    return false
  }

  /** Messages of `publisher` that never came, given that it sent `sent` of them. */
  lost(publisher: number, sent: number): number {
    const slot = publisher - this.#firstPublisher
    return sent - this.#expected[slot]! + (this.#missing[slot]?.size ?? 0)
  }
}
