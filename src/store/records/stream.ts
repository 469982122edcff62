/**
 * Streams: which there are, how far they are trimmed, their segments, and how far they were read.
 *
 * A stream's messages are entries of a queue (`queue-entry.ts`) under its number. What a trim leaves behind of them goes a slice at a
 * time (`collectTrimmed` of `sqlite-records.ts`): nobody reads it any more.
 */
import type { Database } from 'better-sqlite3'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { Recovery, StoredCursor, StoredSegment, StoredStream } from '../store.ts'
import { rowsOf, type StoredTable } from './table.ts'

export function packStream(fields: FieldWriter, { number, namespace, name, filter, firstOffset }: StoredStream): void {
  fields.number(number)
  fields.text(namespace)
  fields.text(name)
  fields.text(filter)
  fields.number(firstOffset)
}

export function unpackStream(fields: FieldReader): StoredStream {
  return {
    number: fields.number(),
    namespace: fields.text(),
    name: fields.text(),
    filter: fields.text(),
    firstOffset: fields.number(),
  }
}

export function packSegment(fields: FieldWriter, segment: StoredSegment): void {
  fields.number(segment.stream)
  fields.number(segment.firstOffset)
  fields.number(segment.firstAt)
  fields.number(segment.lastAt)
  fields.uint32(segment.messages)
  fields.number(segment.bytes)
}

export function unpackSegment(fields: FieldReader): StoredSegment {
  return {
    stream: fields.number(),
    firstOffset: fields.number(),
    firstAt: fields.number(),
    lastAt: fields.number(),
    messages: fields.uint32(),
    bytes: fields.number(),
  }
}

export function packCursorKey(fields: FieldWriter, cursor: CursorKey): void {
  fields.number(cursor.stream)
  fields.number(cursor.session)
  fields.text(cursor.name)
  fields.text(cursor.filter)
}

export function unpackCursorKey(fields: FieldReader): CursorKey {
  return { stream: fields.number(), session: fields.number(), name: fields.text(), filter: fields.text() }
}

export function packCursor(fields: FieldWriter, cursor: StoredCursor): void {
  packCursorKey(fields, cursor)
  fields.number(cursor.position)
  fields.number(cursor.notBefore)
  fields.text(cursor.open)
}

export function unpackCursor(fields: FieldReader): StoredCursor {
  return { ...unpackCursorKey(fields), position: fields.number(), notBefore: fields.number(), open: fields.text() }
}

/** Whose cursor it is, as `StoredCursor` has it. */
export type CursorKey = Pick<StoredCursor, 'stream' | 'session' | 'name' | 'filter'>

export const streamTables: readonly StoredTable[] = [
  { name: 'stream', key: ['number'] },
  { name: 'stream_segment', key: ['stream', 'first_offset'], owner: 'stream' },
  { name: 'stream_cursor', key: ['session', 'stream', 'name', 'filter'], owner: 'stream' },
]

export class StreamRows {
  readonly #database: Database
  readonly #put
  readonly #trim
  readonly #segmentPut
  readonly #segmentsDelete
  readonly #cursorPut
  readonly #cursorDelete
  readonly #cursorsDeleteOf
  readonly #untrimmed
  /** Of sessions: else their ends cost nothing here. */
  #hasCursors: boolean

  constructor(database: Database) {
    this.#database = database
    const prepare = (sql: string) => database.prepare(sql)
    this.#put = prepare(
      `INSERT INTO stream VALUES (?, ?, ?, ?, ?)
      ON CONFLICT (number) DO UPDATE SET filter = excluded.filter`,
    )
    this.#trim = prepare('UPDATE stream SET first_offset = ? WHERE number = ? AND first_offset < ?')
    this.#segmentPut = prepare('INSERT OR REPLACE INTO stream_segment VALUES (?, ?, ?, ?, ?, ?)')
    this.#segmentsDelete = prepare(
      'DELETE FROM stream_segment WHERE stream = ? AND first_offset < ? AND first_offset + messages <= ?',
    )
    this.#cursorPut = prepare('INSERT OR REPLACE INTO stream_cursor VALUES (?, ?, ?, ?, ?, ?, ?)')
    this.#cursorDelete = prepare(
      'DELETE FROM stream_cursor WHERE session = ? AND stream = ? AND name = ? AND filter = ?',
    )
    this.#cursorsDeleteOf = prepare('DELETE FROM stream_cursor WHERE session = ?')
    this.#untrimmed = prepare(
      `SELECT s.number, s.first_offset FROM stream s
      WHERE s.first_offset > (SELECT min(first_position) FROM queue_run WHERE session = s.number)`,
    ).raw()
    this.#hasCursors = prepare('SELECT 1 FROM stream_cursor WHERE session <> 0 LIMIT 1').get() !== undefined
  }

  put({ number, namespace, name, filter, firstOffset }: StoredStream): void {
    this.#put.run(number, namespace, name, filter, firstOffset)
  }

  trim(number: number, offset: number): void {
    this.#trim.run(offset, number, offset)
    this.#segmentsDelete.run(number, offset, offset)
  }

  /** Streams that have entries before their first offset, each with that. */
  get untrimmed(): [number: number, firstOffset: number][] {
    return this.#untrimmed.all() as [number, number][]
  }

  segmentPut({ stream, firstOffset, firstAt, lastAt, messages, bytes }: StoredSegment): void {
    this.#segmentPut.run(stream, firstOffset, firstAt, lastAt, messages, bytes)
  }

  cursorPut({ stream, session, name, filter, position, notBefore, open }: StoredCursor): void {
    if (session !== 0) this.#hasCursors = true
    this.#cursorPut.run(session, stream, name, filter, position, notBefore, open)
  }

  cursorDelete({ stream, session, name, filter }: CursorKey): void {
    this.#cursorDelete.run(session, stream, name, filter)
  }

  deleteCursorsOf(session: number): void {
    if (this.#hasCursors) this.#cursorsDeleteOf.run(session)
  }

  recover(recovery: Recovery): void {
    type StreamRow = [number, string, string, string, number]
    for (const row of rowsOf<StreamRow>(
      this.#database,
      'SELECT number, namespace, name, filter, first_offset FROM stream',
    )) {
      const [number, namespace, name, filter, firstOffset] = row
      recovery.onStream({ number, namespace, name, filter, firstOffset })
    }
    type SegmentRow = [number, number, number, number, number, number]
    const segments = 'SELECT * FROM stream_segment ORDER BY stream, first_offset'
    for (const [stream, firstOffset, firstAt, lastAt, messages, bytes] of rowsOf<SegmentRow>(
      this.#database,
      segments,
    )) {
      recovery.onSegment({ stream, firstOffset, firstAt, lastAt, messages, bytes })
    }
    type CursorRow = [number, number, string, string, number, number, string]
    for (const row of rowsOf<CursorRow>(this.#database, 'SELECT * FROM stream_cursor')) {
      const [session, stream, name, filter, position, notBefore, open] = row
      recovery.onCursor({ stream, session, name, filter, position, notBefore, open })
    }
  }
}
