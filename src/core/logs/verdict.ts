/**
 * What ends a lease: a verdict of whoever has the message, time, or the end of the connection.
 *
 * A failure counts as an attempt, after which the message waits longer each time, until it is a dead letter. Whoever gives a message
 * back without a fault of it does not count; but a connection that breaks while it works on several may have been broken by any of
 * them, the oldest most likely: that one failed, the others are counted as given back, and one that was given back three times is
 * worked on alone from then on.
 */
import { isEncodable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import { dropEndedLoans } from '../session/ended-loans.ts'
import type { Consumer } from './consumer.ts'
import { deadLetter } from './dead-letter.ts'
import { verdictDelayMsMax } from './definition.ts'
import type { Lease } from './lease.ts'
import type { QueuedMessage } from './queued-message.ts'

const reasonCharactersMax = 500

/** The lease is over; its message is with nobody. */
function endLease(broker: Broker, queued: QueuedMessage): void {
  const { lease, lane } = queued
  if (lease === null) return
  lease.ended = true
  queued.lease = null
  lane.queue.leased--
  if (lease.deadline !== null) broker.deadlines.clear(lease.deadline)
  if (lease.consumer === null) return
  lease.consumer.remove(lease)
  lane.queue.offer(lease.consumer)
}

/** It is done. */
export function settle(broker: Broker, queued: QueuedMessage): void {
  const { queue } = queued.lane
  endLease(broker, queued)
  queue.totals.settled++
  queue.remove(broker, queued)
}

/** It failed, and is tried again after a while, or was tried often enough. `delayMs`: in place of the back-off. */
export function fail(broker: Broker, queued: QueuedMessage, text: string, delayMs?: number): void {
  const { queue } = queued.lane
  endLease(broker, queued)
  queued.failed++
  queued.reason = cut(text)
  if (queued.failed >= queue.definition.attemptsMax) {
    endAsDead(broker, queued, 'attempts')
    return
  }
  queue.totals.retried++
  if (queued.deadline !== null) broker.deadlines.clear(queued.deadline)
  if (queued.stage === 'waiting') queue.waiting--
  queued.dueAt = broker.now + Math.min(delayMs ?? backOff(broker, queued), verdictDelayMsMax)
  if (queue.stored) broker.journal.attempt(queued)
  if (!queue.waitIfDue(broker, queued)) queue.makeReady(queued)
}

/** Nobody is to try it again. */
export function reject(broker: Broker, queued: QueuedMessage, text: string): void {
  endLease(broker, queued)
  queued.failed++
  queued.reason = cut(text)
  endAsDead(broker, queued, 'rejected')
}

function endAsDead(broker: Broker, queued: QueuedMessage, reason: 'rejected' | 'attempts'): void {
  const { queue } = queued.lane
  if (deadLetter(broker, queued, reason, queued.reason)) return
  drop(queued.message.name, 'queue_rejected', queue.namespace)
  queue.totals.dropped++
  queue.remove(broker, queued)
}

/** It goes back to its place, without a fault of it. `counts`: its connection broke. */
export function giveBack(broker: Broker, queued: QueuedMessage, counts: boolean): void {
  const { queue } = queued.lane
  endLease(broker, queued)
  queue.totals.returned++
  if (counts) {
    queued.returned++
    if (queue.stored) broker.journal.attempt(queued)
  }
  queue.makeReady(queued)
}

function backOff(broker: Broker, { failed, lane }: QueuedMessage): number {
  const { firstMs, factor, maxMs, jitter } = lane.queue.definition.retry
  const ms = Math.min(firstMs * factor ** (failed - 1), maxMs)
  return Math.round(ms * (1 + jitter * (2 * broker.random() - 1)))
}

function cut(text: string): string {
  const short = text.length > reasonCharactersMax ? `${[...text.slice(0, reasonCharactersMax)].join('')}…` : text
  return isEncodable(short) ? short : ''
}

/** No verdict came in time. */
export function onTooLate(broker: Broker, consumer: Consumer, lease: Lease): void {
  const { queue, session } = consumer
  queue.totals.timedOut++
  broker.log.warn(
    { clientId: session.clientId, queue: queue.name, ackTimeoutMs: queue.definition.ackTimeoutMs },
    'no verdict in time: the message is given to somebody else, and its consumer gets nothing more before it acknowledges it',
  )
  consumer.owes = lease.delivery
  fail(broker, lease.queued, 'no verdict in time')
  queue.pump()
}

/** All that is with the consumer goes back at once, in order: it said that it leaves. */
export function releaseAll(broker: Broker, consumer: Consumer): void {
  for (const { queued } of [...consumer.leases]) giveBack(broker, queued, false)
  consumer.queue.pump()
}

/** All that is with the consumer goes to others: its connection broke, and it did not come back in time. */
export function connectionLost(broker: Broker, consumer: Consumer): void {
  const [oldest, ...others] = consumer.leases
  if (oldest === undefined) return
  fail(broker, oldest.queued, 'the connection was lost')
  for (const { queued } of others) giveBack(broker, queued, true)
  dropEndedLoans(broker, consumer.session)
  consumer.queue.pump()
}
