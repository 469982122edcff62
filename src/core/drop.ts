/**
 * Where a message that was accepted, or that a recipient was to get, ends without having arrived. Every such end passes here
 * and is counted once for each recipient, under one of a closed set of reasons, so that "what became of it" has one answer.
 */
import type { DropReason } from './counters.ts'
import type { Namespace } from './namespace.ts'
import type { Message } from './publish/message.ts'

/** A session that does not get a message; where none is concerned, the namespace that it was published in. */
export interface Bearer {
  readonly namespace: Namespace
  dropped: number
}

/** `message`: null where its bytes were never copied or are in the store only. It is not kept. */
export function drop(_message: Message | null, reason: DropReason, bearer: Bearer, count = 1): void {
  bearer.namespace.traffic.messagesDropped.add(reason, count)
  bearer.dropped += count
}
