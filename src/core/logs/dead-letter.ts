/**
 * Dead letters: what failed too often, was refused, came too late or had no room goes into another queue, with the reason. One record
 * takes it from here and puts it there, so that it is neither lost nor there twice.
 */
import type { Broker } from '../broker.ts'
import { deadLetterNameOf } from './definition.ts'
import type { Lane } from './lane.ts'
import type { Queue } from './queue.ts'
import type { Past, QueuedMessage } from './queued-message.ts'

export type DeathReason = 'rejected' | 'attempts' | 'expired' | 'overflow'

/** False: the queue keeps no dead letters. Otherwise the message is in this queue no more. */
export function deadLetter(broker: Broker, queued: QueuedMessage, reason: DeathReason, text: string): boolean {
  const { queue } = queued.lane
  const name = deadLetterNameOf(queue.name, queue.definition)
  const to = name === null ? undefined : queue.namespace.queues.get(name)
  if (to === undefined || to === queue) return false
  queue.totals.deadLettered++
  const past: Past = { at: broker.now, queue: queue.name, reason, attempts: queued.failed, text }
  moveTo(broker, queued, to, past)
  return true
}

/** The message leaves its queue and joins another. */
export function moveTo(broker: Broker, queued: QueuedMessage, to: Queue, past: Past): void {
  const { lane, message } = queued
  const moved = to.takeOver(broker, message, past)
  if (lane.queue.stored) {
    broker.journal.move(lane, queued.position, queued, { owner: moved.lane, position: moved.position, delivery: moved })
  }
  lane.queue.forget(broker, queued)
  to.pump()
}

/** The same for one that is in the store only. */
export function moveStored(broker: Broker, from: Lane, position: number, moved: QueuedMessage): void {
  broker.journal.move(from, position, null, { owner: moved.lane, position: moved.position, delivery: moved })
}
