/**
 * A place in a stream that moves on over its messages: of one reader, or of a group that shares it.
 *
 * It comes to the end, where it waits for what is appended; or to what the store has to be asked for, and waits for that; or to a
 * message that its filter wants. It never goes beyond what is committed: else a message that a crash takes would have been read.
 */
import { TopicMatcher } from '../../mqtt/topic-matcher.ts'
import type { Stream } from './stream.ts'
import type { StreamEntry } from './stream-entry.ts'

/** What a walk is for. */
export interface Walker {
  readonly walk: Walk
  /** It reads no more. */
  readonly ended: boolean
  /** It stands in line to be served. */
  isCandidate: boolean
  /** It may get something: as much as it takes at a time. */
  serve(): void
}

/** So many messages that a filter does not want are passed over in one go. */
const passedOverMax = 1000

export class Walk {
  readonly stream: Stream
  readonly matcher: TopicMatcher | null
  /** Where it stands: the message that is looked at next. */
  next: number
  /** What came before this is not wanted: it began at a time, and a time is found to a segment. */
  notBefore: number
  /** Messages that were not there any more when their turn came, and of which nobody was told yet. */
  missed = 0
  /** Where the first of those would have been; -1: there are none. */
  #gapAt = -1
  /** Whoever it is for misses what is gone. */
  countsMissed = true
  /** It is told when the stream has grown. */
  isWaiting = false
  /** It is told when a page has come. */
  waitsForPage = false
  #passedOver = 0

  constructor(stream: Stream, filter: string | null, next: number, notBefore: number) {
    this.stream = stream
    this.matcher = filter === null || filter === '#' ? null : new TopicMatcher(filter)
    this.next = next
    this.notBefore = notBefore
  }

  moveTo(next: number, notBefore: number): void {
    this.next = next
    this.notBefore = notBefore
    this.#endGap()
  }

  #endGap(): void {
    this.missed = 0
    this.#gapAt = -1
  }

  /** Where it stands, but before a gap that nobody was told of. */
  get place(): number {
    return this.#gapAt < 0 ? this.next : this.#gapAt
  }

  get atEnd(): boolean {
    return this.next >= this.stream.end
  }

  /**
   * The message that it stands at; null: there is none now, and `walker` is told when there may be. Whoever takes it moves on by
   * `pass`.
   */
  look(walker: Walker): StreamEntry | null {
    const { stream } = this
    if (this.next < stream.firstOffset) this.#jumpTo(stream.firstOffset)
    while (this.next < stream.end) {
      const entry = this.#here(walker)
      if (entry === undefined) return null
      if (entry !== null && this.#wants(entry)) {
        this.#passedOver = 0
        return entry
      }
      if (entry !== null) this.next++
      if (++this.#passedOver < passedOverMax) continue
      this.#passedOver = 0
      stream.goOnInNextTurn(walker)
      return null
    }
    stream.waitAtEnd(walker)
    return null
  }

  /** Null: it has moved over a hole. Undefined: the store was asked. */
  #here(walker: Walker): StreamEntry | null | undefined {
    const { stream } = this
    const { memory } = stream
    if (this.next >= memory.tailStart) return memory.newest(this.next)
    const found = memory.stored(this.next)
    if (found === undefined) {
      stream.waitForPage(walker, this.next)
      return undefined
    }
    const { entry, end } = found
    if (entry !== null && entry.offset === this.next) return entry
    this.#jumpTo(entry === null ? Math.min(end, stream.end) : entry.offset)
    return null
  }

  #wants({ at, message }: StreamEntry): boolean {
    this.stream.countLook()
    return at >= this.notBefore && (this.matcher === null || this.matcher.matches(message.name))
  }

  /** What lies between is gone. */
  #jumpTo(offset: number): void {
    const count = offset - this.next
    const { totals } = this.stream
    if (this.#gapAt < 0) this.#gapAt = this.next
    this.missed += count
    this.next = offset
    if (!this.countsMissed) return
    totals.gaps++
    totals.missed += count
  }

  /** The message it stands at was taken. */
  pass(): void {
    this.next++
    this.#endGap()
  }
}
