/**
 * What a stream has, in segments of up to 256 messages or 64 KiB that follow each other: how many messages, how many bytes, and when
 * they came. By them a time is found without a look at the messages, and by them the retention lets go of what is too old or too much.
 *
 * A segment is written to the store when it is complete. The last one, to which messages are still added, is not: after a restart it is
 * known to have come after the one before it, and before the restart.
 */
export interface Segment {
  readonly firstOffset: number
  /** When its first message came; of one that was recovered incomplete: not after that. */
  readonly firstAt: number
  /** The same of its last one: not before. */
  lastAt: number
  messages: number
  /** Of topics, payloads and properties. */
  bytes: number
}

const segmentMessagesMax = 256
const segmentBytesMax = 64 * 1024
/** However few its messages: else the oldest of a slow stream would be kept as long as the newest. */
const segmentMsMax = 3_600_000
/** In parts of the retention's age. */
const segmentsPerAge = 16

export class Segments {
  #segments: Segment[] = []
  /** Those before it are gone. */
  #head = 0
  #isLastOpen = false
  messages = 0
  bytes = 0

  get count(): number {
    return this.#segments.length - this.#head
  }

  get first(): Segment | null {
    return this.count === 0 ? null : this.#segments[this.#head]!
  }

  get last(): Segment | null {
    return this.count === 0 ? null : this.#segments.at(-1)!
  }

  /** Counts a message. Returns the segment that is complete with it; null: none is. */
  add(offset: number, at: number, bytes: number): Segment | null {
    const segment = this.#isLastOpen ? this.last! : this.#open(offset, at)
    segment.lastAt = at
    segment.messages++
    segment.bytes += bytes
    this.messages++
    this.bytes += bytes
    if (segment.messages < segmentMessagesMax && segment.bytes < segmentBytesMax) return null
    this.#isLastOpen = false
    return segment
  }

  /** The last segment is to have no more messages if it is as old as that. Returns it then. */
  closeAged(now: number, ageMs: number): Segment | null {
    if (!this.#isLastOpen) return null
    const { last } = this
    const msMax = ageMs === 0 ? segmentMsMax : Math.min(segmentMsMax, ageMs / segmentsPerAge)
    if (now - last!.firstAt < msMax) return null
    this.#isLastOpen = false
    return last
  }

  #open(firstOffset: number, at: number): Segment {
    const segment = { firstOffset, firstAt: at, lastAt: at, messages: 0, bytes: 0 }
    this.#segments.push(segment)
    this.#isLastOpen = true
    return segment
  }

  /** One that the store has, behind those that were recovered before it. */
  recover(segment: Segment): void {
    this.#segments.push(segment)
    this.messages += segment.messages
    this.bytes += segment.bytes
  }

  /** What the store has behind the last segment: it goes on. */
  recoverOpen(segment: Segment): void {
    this.recover(segment)
    this.#isLastOpen = true
  }

  /** The first one goes. */
  shift(): void {
    const { messages, bytes } = this.#segments[this.#head]!
    this.messages -= messages
    this.bytes -= bytes
    this.#head++
    if (this.count === 0) this.#isLastOpen = false
    if (this.#head < 1024 || this.#head * 2 < this.#segments.length) return
    this.#segments = this.#segments.slice(this.#head)
    this.#head = 0
  }

  /** Where the first one ends: the next one begins; null: it is the only one. */
  get secondOffset(): number | null {
    return this.count < 2 ? null : this.#segments[this.#head + 1]!.firstOffset
  }

  /** The segment in which the offset lies, or would; null: it lies before all. */
  at(offset: number): Segment | null {
    return this.#lastWhere(({ firstOffset }) => firstOffset <= offset)
  }

  /** From here on, messages may have come at this time; null: all came later, or then. */
  before(time: number): Segment | null {
    return this.#lastWhere(({ firstAt }) => firstAt < time)
  }

  /** Of those from the first on for which it holds, the last. */
  #lastWhere(holds: (segment: Segment) => boolean): Segment | null {
    let low = this.#head
    let high = this.#segments.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (holds(this.#segments[middle]!)) low = middle + 1
      else high = middle
    }
    return low === this.#head ? null : this.#segments[low - 1]!
  }
}
