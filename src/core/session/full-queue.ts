/**
 * A full queue: what expired goes first, and then, with `drop-oldest`, the oldest delivery that was never sent. What was sent
 * stays: its client may have it, and at QoS 2 the message that had its packet identifier next would be taken for it.
 *
 * Of what is in the store only, no more is known than the positions. Where some of them may be empty (after a restart, or
 * when a share group's messages went to another member) a page is read to learn which are not; until it comes, the queue
 * may be over its limit by as many messages as the page holds.
 */
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import type { QueueFullPolicy } from '../options.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { discard } from '../publish/deliver.ts'
import { DeliveryState } from './delivery.ts'
import { requestPage } from './queue-pages.ts'
import type { Session } from './session.ts'
import { packetIds } from './window.ts'

/** A full queue is searched for expired messages no more often. */
const searchIntervalMs = 1000
/** So many messages may a queue be over its limit while a page is read. */
const overdraftMessagesMax = 1000
/** With so many found and not dropped, no further page is searched. */
const foundMessagesMax = 10_000

/** True: one more may be put into the queue now. */
export function makeRoom(broker: Broker, session: Session): boolean {
  const { queuedBytes } = session.namespace.quotas
  if (queuedBytes.used >= queuedBytes.max) queuedBytes.refused++
  logFullQueue(broker, session)
  expire(broker, session)
  while (!session.hasRoom) {
    if (policyOf(broker, session) !== 'drop-oldest') return false
    if (dropOldestResident(broker, session)) continue
    const dropped = dropOldestStored(broker, session)
    if (dropped !== 'dropped') return dropped === 'later'
  }
  return true
}

function policyOf({ options }: Broker, { bounds }: Session): QueueFullPolicy {
  return bounds === null ? options.sessionQueueFull : bounds.full
}

function logFullQueue(broker: Broker, session: Session): void {
  if (session.dropLogged) return
  session.dropLogged = true
  broker.log.warn(
    { clientId: session.clientId, waiting: session.queue.waiting, policy: policyOf(broker, session) },
    'session queue is full: messages are dropped until it drains',
  )
}

/** Lets go of expired messages, in memory now and in the store when the page comes. */
function expire(broker: Broker, session: Session): void {
  const { queue } = session
  const { now } = broker
  if (now < queue.searchedAt + searchIntervalMs) return
  if (queue.residentExpiry > now && queue.storedExpiry > now) return
  queue.searchedAt = now
  if (queue.residentExpiry <= now) expireResident(broker, session)
  if (queue.storedExpiry <= now) search(broker, session)
}

function expireResident(broker: Broker, session: Session): void {
  const { queue } = session
  let earliest = Infinity
  for (let position = queue.sendPosition; position < queue.residentEnd; position++) {
    const delivery = queue.at(position)
    if (delivery === null || delivery.dup || delivery.state !== DeliveryState.waiting) continue
    const { expiresAt } = delivery.message!
    if (expiresAt > broker.now) {
      earliest = Math.min(earliest, expiresAt)
      continue
    }
    drop(delivery.message?.name ?? '', 'expired', session)
    discard(broker, session, position, delivery)
    if (position === queue.sendPosition) queue.skip()
  }
  queue.residentExpiry = earliest
}

function dropOldestResident(broker: Broker, session: Session): boolean {
  const { queue } = session
  for (let position = Math.max(queue.sendPosition, queue.dropFrom); position < queue.residentEnd; position++) {
    queue.dropFrom = position + 1
    const delivery = queue.at(position)
    if (delivery === null || delivery.dup || delivery.state !== DeliveryState.waiting) continue
    drop(delivery.message?.name ?? '', 'queue_full', session)
    discard(broker, session, position, delivery)
    if (position === queue.sendPosition) queue.skip()
    if (!session.stored) queue.closeGap(packetIds)
    return true
  }
  return false
}

/** 'later': a page was asked for that says what may go. */
function dropOldestStored(broker: Broker, session: Session): 'dropped' | 'later' | 'nothing' {
  const { queue } = session
  const first = queue.firstUnsentStored
  if (first >= queue.nextPosition) return 'nothing'
  let position = first
  if (first < queue.denseFrom) {
    const { found } = queue
    while (found.length > 0 && found[0]! < first) found.shift()
    if (found.length > 0) {
      position = found.shift()!
    } else if (queue.searchFrom < queue.denseFrom) {
      search(broker, session)
      return queue.overdraft++ < overdraftMessagesMax ? 'later' : 'nothing'
    } else {
      position = queue.denseFrom
      if (position >= queue.nextPosition) return 'nothing'
    }
  }
  // Its size is not known here: the mean of what waits stands for it.
  const bytes = Math.round(queue.bytes / Math.max(1, queue.waiting))
  drop('', 'queue_full', session)
  broker.journal.dequeue(session, position, null)
  queue.takenStored(position, bytes)
  if (broker.explainer !== null) broker.explainer.discarded(session, position)
  return 'dropped'
}

/**
 * Reads on where the last search ended, from the beginning after the end. What was found stays until it is dropped or its
 * turn to be sent comes: `found` has every delivery that was not sent between the first such one and `searchFrom`, so that none is
 * passed by.
 */
function search(broker: Broker, session: Session): void {
  const { queue } = session
  const first = queue.firstUnsentStored
  if (session.pageUse !== null || queue.found.length > foundMessagesMax) return
  if (queue.searchFrom >= queue.nextPosition || queue.searchFrom === 0) {
    queue.searchFrom = 0
    queue.foundExpiry = Infinity
    queue.found.length = 0
  }
  const { searchFrom, nextPosition: end } = queue
  // What comes from now on lowers it again.
  queue.storedExpiry = Infinity
  requestPage(broker, session, Math.max(searchFrom, first), undefined, (page) => {
    // Holes that came meanwhile have the search begin anew.
    if (queue.searchFrom === searchFrom) onFound(broker, session, page, end)
    else queue.storedExpiry = -Infinity
  })
}

/** `end`: where the queue ended when the page was asked for. What came since may be in it and need not. */
function onFound(broker: Broker, session: Session, page: RecoveredPage, end: number): void {
  const { queue } = session
  queue.overdraft = 0
  const first = queue.firstUnsentStored
  for (const { reference, message } of page.entries) {
    const { position } = reference
    queue.searchFrom = position + 1
    if (position < first) continue
    if (message.expiresAt > broker.now) {
      queue.foundExpiry = Math.min(queue.foundExpiry, message.expiresAt)
      if (policyOf(broker, session) === 'drop-oldest') queue.found.push(position)
      continue
    }
    drop('', 'expired', session)
    broker.journal.dequeue(session, position, null)
    if (broker.explainer !== null) broker.explainer.discarded(session, position)
    queue.denseFrom = Math.max(queue.denseFrom, position + 1)
    queue.takenStored(-1, message.payload.length)
  }
  if (page.more) {
    queue.storedExpiry = -Infinity
    return
  }
  queue.searchFrom = Math.max(queue.searchFrom, end)
  queue.storedExpiry = Math.min(queue.storedExpiry, queue.foundExpiry)
}
