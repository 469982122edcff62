/** Writes turns' records into one batch: bodies before what names them, and how far was sent of what is written. */

import { QueuedMessage, storedPast } from '../core/logs/queued-message.ts'
import type { QueuePlace } from '../core/ports/journal.ts'
import type { Message } from '../core/publish/message.ts'
import { DeliveryState } from '../core/session/delivery.ts'
import { storedMessage } from '../core/session/recovery.ts'
import type { Session } from '../core/session/session.ts'
import { BatchWriter } from '../store/batch.ts'
import type { StoredReference } from '../store/store.ts'
import type { PendingReference } from './turn-records.ts'

export class BatchPacker {
  readonly writer = new BatchWriter()
  nextMessageId = 1
  /** Sessions of which a reference was written whose delivery had been sent already. */
  readonly #marks = new Set<Session>()

  /** The batch. The next one begins. */
  take(): ArrayBuffer {
    for (const { recorded, number, queue } of this.#marks) if (recorded) this.writer.sent(number, queue.marked)
    this.#marks.clear()
    return this.writer.take()
  }

  reference({ owner, position, delivery, message }: PendingReference): void {
    if (delivery.state !== DeliveryState.waiting || delivery.dup) {
      // What a queue has is never sent itself: it waits, and what is sent is a lease of it.
      const session = owner as Session
      if (position >= session.queue.marked) {
        session.queue.marked = position + 1
        this.#marks.add(session)
      }
    }
    const alone = message.id === 0 && message.references === 1
    if (!alone) this.body(message)
    const reference = storedReference({ owner, position, delivery }, message.id)
    if (!alone) this.writer.enqueue(reference)
    else {
      this.writer.enqueueMessage(reference, storedMessage(message))
      // Whoever names it later writes it anew.
      message.references = 0
    }
  }

  /** The body goes before its first reference. */
  body(message: Message): void {
    if (message.id !== 0) return
    message.id = this.nextMessageId++
    this.writer.messagePut(storedMessage(message), Math.max(1, message.references))
  }
}

export function storedReference({ owner, position, delivery }: QueuePlace, messageId: number): StoredReference {
  return {
    session: owner.number,
    position,
    messageId,
    qos: delivery.qos,
    retain: delivery.retain,
    sharedFilter: delivery instanceof QueuedMessage ? storedPast(delivery.past) : (delivery.group?.filter ?? ''),
    subscriptionIdentifiers: delivery.identifiers,
  }
}
