/** An entry of a session's queue on its way: `enqueue`, `enqueueMessage`, `dequeue`. Its rows: `queue-rows.ts`. */
import type { Qos } from '../../mqtt/packet.ts'
import { sharePrefix } from '../../mqtt/topic.ts'
import type { FieldReader, FieldWriter } from '../packing.ts'
import type { StoredReference } from '../store.ts'
import type { StoredTable } from './table.ts'

const retainFlag = 4
const sharedFlag = 8
const identifiersFlag = 16

/** Without its message id, which only an entry that names a body has. */
export function packEntryFields(fields: FieldWriter, reference: StoredReference): void {
  const identifiers = reference.subscriptionIdentifiers
  const shared = reference.sharedFilter !== ''
  fields.number(reference.session)
  fields.number(reference.position)
  fields.uint8(
    reference.qos |
      (reference.retain ? retainFlag : 0) |
      (shared ? sharedFlag : 0) |
      (identifiers.length > 0 ? identifiersFlag : 0),
  )
  if (shared) fields.text(reference.sharedFilter)
  if (identifiers.length === 0) return
  fields.uint32(identifiers.length)
  for (const identifier of identifiers) fields.uint32(identifier)
}

/** Filled again for each record. */
export type ReusedReference = { -readonly [Field in keyof StoredReference]: StoredReference[Field] }

const noIdentifiers: readonly number[] = []

export function emptyReference(): ReusedReference {
  return {
    session: 0,
    position: 0,
    messageId: 0,
    qos: 0,
    retain: false,
    sharedFilter: '',
    subscriptionIdentifiers: noIdentifiers,
  }
}

export function unpackEntry(fields: FieldReader, messageId: number, into: ReusedReference): void {
  into.messageId = messageId
  into.session = fields.number()
  into.position = fields.number()
  const flags = fields.uint8()
  into.qos = (flags & 3) as Qos
  into.retain = (flags & retainFlag) !== 0
  into.sharedFilter = (flags & sharedFlag) !== 0 ? fields.text() : ''
  into.subscriptionIdentifiers =
    (flags & identifiersFlag) !== 0 ? Array.from({ length: fields.uint32() }, () => fields.uint32()) : noIdentifiers
}

export const queueTables: readonly StoredTable[] = [
  { name: 'queue_run', key: ['id'], owner: 'session' },
  { name: 'queue_taken', key: ['run'] },
]

/** Whether a page for this `$share` filter, for those of all groups, or for everything has the entry. */
export function isAskedFor(reference: StoredReference, sharedFilter: string | undefined): boolean {
  if (sharedFilter === undefined) return true
  return sharedFilter === sharePrefix ? reference.sharedFilter !== '' : reference.sharedFilter === sharedFilter
}
