/**
 * Where a message that was accepted, or that a recipient was to get, ends without having arrived. Every such end passes here
 * and is counted once for each recipient, under one of a closed set of reasons, so that "what became of it" has one answer.
 */
import type { Broker } from './broker.ts'
import type { DropReason } from './counters.ts'
import type { Message } from './publish/message.ts'
import type { Session } from './session/session.ts'

/**
 * `message`: null where its bytes were never copied or are in the store only. `session`: who does not get it; null where no
 * session is concerned. Neither is kept.
 */
export function drop(
  broker: Broker,
  _message: Message | null,
  reason: DropReason,
  session: Session | null,
  count = 1,
): void {
  broker.counters.messagesDropped.add(reason, count)
  if (session !== null) session.dropped += count
}
