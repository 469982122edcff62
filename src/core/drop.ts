/**
 * Where a message that was accepted, or that a recipient was to get, ends without having arrived. Every such end passes here
 * and is counted once for each recipient, under one of a closed set of reasons, so that "what became of it" has one answer.
 */
import type { DropReason } from './counters.ts'
import type { DropBearer } from './drop-ledger.ts'
import type { Namespace } from './namespace.ts'

/** A session that does not get a message; where none is concerned, the namespace that it was published in. */
export interface Bearer extends DropBearer {
  readonly namespace: Namespace
  dropped: number
}

/** `topic`: empty where it is not known, as of messages that are in the store only. */
export function drop(topic: string, reason: DropReason, bearer: Bearer, count = 1): void {
  bearer.namespace.traffic.messagesDropped.add(reason, count)
  bearer.dropped += count
  bearer.namespace.dropLedger.note(bearer, topic, reason, count)
}
