/** The streams of the store without a disk, beside their messages. */
import type { CursorKey } from './records/stream.ts'
import type { Recovery, StoredCursor, StoredSegment, StoredStream } from './store.ts'

const keyOf = ({ stream, session, name, filter }: CursorKey): string => JSON.stringify([session, stream, name, filter])

export class MemoryStreams {
  #streams = new Map<number, StoredStream>()
  /** By stream and first offset; not in order. */
  #segments = new Map<string, StoredSegment>()
  #cursors = new Map<string, StoredCursor>()

  copy(): MemoryStreams {
    const copy = new MemoryStreams()
    copy.#streams = new Map(this.#streams)
    copy.#segments = new Map(this.#segments)
    copy.#cursors = new Map(this.#cursors)
    return copy
  }

  put(stream: StoredStream): void {
    const firstOffset = this.#streams.get(stream.number)?.firstOffset ?? stream.firstOffset
    this.#streams.set(stream.number, { ...stream, firstOffset })
  }

  trim(number: number, offset: number): void {
    const stream = this.#streams.get(number)
    if (stream !== undefined && stream.firstOffset < offset) {
      this.#streams.set(number, { ...stream, firstOffset: offset })
    }
    for (const [at, { stream: owner, firstOffset, messages }] of this.#segments) {
      if (owner === number && firstOffset + messages <= offset) this.#segments.delete(at)
    }
  }

  segmentPut(segment: StoredSegment): void {
    this.#segments.set(`${segment.stream} ${segment.firstOffset}`, segment)
  }

  cursorPut(cursor: StoredCursor): void {
    this.#cursors.set(keyOf(cursor), cursor)
  }

  cursorDelete(key: CursorKey): void {
    this.#cursors.delete(keyOf(key))
  }

  deleteCursorsOf(session: number): void {
    for (const [at, cursor] of this.#cursors) if (cursor.session === session) this.#cursors.delete(at)
  }

  recover(recovery: Recovery): void {
    for (const stream of this.#streams.values()) recovery.onStream(stream)
    const segments = [...this.#segments.values()]
    for (const segment of segments.sort((a, b) => a.stream - b.stream || a.firstOffset - b.firstOffset)) {
      recovery.onSegment(segment)
    }
    for (const cursor of this.#cursors.values()) recovery.onCursor(cursor)
  }
}
