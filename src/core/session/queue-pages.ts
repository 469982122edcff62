/**
 * Pages of a queue of which only the store has the messages: asked for, and taken into memory.
 *
 * What was sent before, by an earlier process or on an earlier connection, carries DUP and does not expire; the rest is as new (`recoveredSent`).
 */
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import type { RecoveredMessage, RecoveredPage, RecoveredReference } from '../ports/recovered.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { type Delivery, DeliveryState, waitingDelivery } from './delivery.ts'
import { groupOfStored } from './left-groups.ts'
import type { Session } from './session.ts'
import { unloadWhenCommitted } from './unload.ts'

/** Puts the recovered PUBRELs before `position` back into the queue. */
export function restoreReleased(session: Session, position: number): void {
  const positions = session.releasedPositions
  for (let first = positions[0]; first !== undefined && first < position; first = positions[0]) {
    positions.shift()
    if (first < session.queue.residentEnd) continue
    session.queue.restore(first, {
      message: null,
      qos: 2,
      retain: false,
      identifiers: [],
      group: null,
      state: DeliveryState.released,
      dup: true,
      ticket: 0,
      record: -1,
      lease: null,
    })
  }
}

/**
 * Asks for a page, behind everything that was recorded so far. One at a time for each session: a second one is not asked for,
 * and whoever wants it finds out when the first has come.
 */
export function requestPage(
  broker: Broker,
  session: Session,
  fromPosition: number,
  sharedFilter: string | undefined,
  use: (page: RecoveredPage) => void,
): void {
  if (session.pageUse !== null) return
  session.pageUse = use
  broker.journal.requestPage(session, fromPosition, sharedFilter)
}

/** The next page of what waits, for sending it. */
export function requestNextPage(broker: Broker, session: Session): void {
  const { residentEnd, nextPosition } = session.queue
  requestPage(broker, session, residentEnd, undefined, (page) => takePage(session, page, nextPosition))
}

/** A page that a session asked for. It may have been replaced or have ended meanwhile: numbers are never reused. */
export function onQueuePage(broker: Broker, page: RecoveredPage): void {
  const session = broker.sessionsByNumber.get(page.session)
  if (session === undefined) {
    broker.lanesByNumber.get(page.session)?.onPage(page)
    broker.streamsByNumber.get(page.session)?.onPage(page)
  }
  const use = session?.pageUse ?? null
  if (session === undefined || use === null) return
  session.pageUse = null
  use(page)
  session.client?.pump()
  if (session.handOvers !== null) for (const handOver of session.handOvers) handOver.pump()
  // It left while the page was read.
  if (session.client === null) unloadWhenCommitted(broker, session)
}

/** `pageEnd`: where the queue ended when the page was asked for. */
function takePage(session: Session, page: RecoveredPage, pageEnd: number): void {
  // Asked for by a client that is gone for good. What its share groups had is handed over from the store, by pages of its own.
  if (session.ended) return
  const { queue } = session
  for (const { reference, message } of page.entries) {
    const { position } = reference
    if (position < queue.residentEnd) continue
    restoreReleased(session, position)
    // Dropped since the page was asked for.
    if (position >= queue.recoveredSent && position < queue.dropStoredFrom) continue
    const own = messageOf(message)
    // The store counted the payload only.
    if (position < queue.recoveredEnd) queue.bytes += messageBytes(own) - own.payload.length
    queue.resident++
    if (own.expiresAt < queue.residentExpiry) queue.residentExpiry = own.expiresAt
    queue.restore(position, deliveryOf(session, reference, own))
  }
  if (page.more) return
  restoreReleased(session, pageEnd)
  queue.residentEnd = Math.max(queue.residentEnd, pageEnd)
  if (queue.residentEnd === queue.nextPosition) queue.recount()
}

function deliveryOf(session: Session, reference: RecoveredReference, message: Message): Delivery {
  const { sharedFilter, qos, retain, subscriptionIdentifiers } = reference
  const group = groupOfStored(session, sharedFilter)
  const delivery = waitingDelivery(message, qos, retain, subscriptionIdentifiers, group)
  delivery.dup = reference.position < session.queue.recoveredSent
  return delivery
}

export function messageOf(stored: RecoveredMessage): Message {
  const { id, topic, payload, properties, qos, expiresAt, publisher, publishedAt } = stored
  const common = { id, payload, qos, expiresAt, publisher, publishedAt, references: 0, holders: 0 }
  return { ...common, name: topic, topic: encodeUtf8(topic), forwardProperties: properties }
}
