/**
 * One group commit's records, packed into a single transferable buffer.
 *
 * Posting a Buffer to a worker clones its whole backing store; packing into one ArrayBuffer that is transferred costs one
 * copy of the bytes themselves. `BatchWriter` runs in the engine's thread, `readBatch` in the store's.
 */
import type { StoredMessage, StoredReference, StoredSession, StoredSubscription, StoredWill } from './store.ts'

/** What a batch may say, in the order of the turn. A sink applies the records in exactly that order. */
export interface BatchRecords {
  sessionPut(session: StoredSession): void
  /** Ends the session with its subscriptions, queue, packet identifiers and will. */
  sessionDelete(session: number): void
  subscriptionPut(subscription: StoredSubscription): void
  subscriptionDelete(session: number, topicFilter: string): void
  /** Precedes the references and the retained change that name it, in the same batch. */
  messagePut(message: StoredMessage, references: number): void
  enqueue(reference: StoredReference): void
  /** Acknowledged, expired, dropped or moved to another member: the reference goes, its body with the last reference. */
  dequeue(session: number, position: number): void
  /** PUBREC arrived: only the packet identifier at this position remains, until `dequeue`. */
  release(session: number, position: number): void
  incomingPut(session: number, packetId: number): void
  incomingDelete(session: number, packetId: number): void
  retainedPut(topic: string, messageId: number): void
  retainedDelete(topic: string): void
  willPut(will: StoredWill): void
  willDelete(session: number): void
}
