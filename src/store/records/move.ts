/**
 * `move`: an entry leaves one session's queue and joins another's, at once or not at all.
 *
 * The body goes with it unread by whoever asks, so an entry of which only the store knows the message can be handed over like
 * any other. What is applied is `QueueRows.move`; an entry that is not there, or was released, is not moved.
 */
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { StoredReference } from '../store.ts'
import { packEntryFields, type ReusedReference, unpackEntry } from './queue-entry.ts'

export function packMove(fields: FieldWriter, session: number, position: number, to: StoredReference): void {
  fields.number(session)
  fields.number(position)
  packEntryFields(fields, to)
}

/** Fills `to`, and hands all to the sink. */
export function unpackMove(
  fields: FieldReader,
  to: ReusedReference,
  sink: (session: number, position: number, to: StoredReference) => void,
): void {
  const session = fields.number()
  const position = fields.number()
  unpackEntry(fields, 0, to)
  sink(session, position, to)
}
