/**
 * From a route to one session's connection: send now, queue, or drop, and the acknowledgements that follow.
 *
 * A delivery is sent at once when the window is open and nothing older waits. For a session that ends with its connection
 * nothing is kept of what was sent but its state; for one that outlives it the message stays until it is acknowledged.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { drop } from '../drop.ts'
import { offerRoom } from '../logs/consume.ts'
import type { Lease } from '../logs/lease.ts'
import { offerReaders } from '../logs/read-stream.ts'
import type { Grant } from '../ports/authority.ts'
import { pumpRetained } from '../retained/retained-delivery.ts'
import { type Delivery, DeliveryState, sentQos1, sentQos2, waitingDelivery } from '../session/delivery.ts'
import { makeRoom } from '../session/full-queue.ts'
import { requestNextPage } from '../session/queue-pages.ts'
import type { Session } from '../session/session.ts'
import { packetIdOf } from '../session/window.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { messageBytes } from './message.ts'
import type { Publication } from './publication.ts'
import { fits, releaseFrame, sendDelivery, sendPublication } from './send.ts'

/** Positions that the queue in memory spans at most, holes included, before what comes goes to the store only. */
const residentPositionsMax = 65_535

export function deliver(broker: Broker, publication: Publication, session: Session, recipient: Subscription): void {
  const qos: Qos = publication.qos < recipient.qos ? publication.qos : recipient.qos
  const link = session.link
  const grant = session.client === null ? null : session.client.grant
  if (grant !== null && !mayReceive(grant, publication, recipient, qos)) {
    drop(publication.topicName, 'not_authorized', session)
    return
  }
  if (qos === 0) {
    if (link === null) return
    if (link.full && !link.empty) drop(publication.topicName, 'slow_consumer', session)
    else sendPublication(broker, session.client!, recipient, 0, 0)
    return
  }
  const queue = session.queue
  const sendNow = link !== null && queue.drained && !link.full && session.window.open(session.client!.inflightMax)
  if (sendNow && !session.durable && recipient.group === null) {
    const position = queue.push(qos === 1 ? sentQos1 : sentQos2)
    const sent = sendPublication(broker, session.client!, recipient, qos, packetIdOf(position))
    queue.sendPosition++
    if (sent) session.window.inflight++
    else queue.clear(position)
    return
  }
  const retain = publication.retain && recipient.retainAsPublished
  const { identifiers, group } = recipient
  const delivery = waitingDelivery(publication.message, qos, retain, identifiers, group)
  if (sendNow && qos === 1 && maySendNow(broker, session) && publication.message.expiresAt > broker.now) {
    sendAtOnce(broker, session, recipient, delivery)
  } else {
    enqueue(broker, session, delivery)
  }
}

/** Else `pump` sends it when its time has come. */
function maySendNow({ journal }: Broker, { client, sendAfter }: Session): boolean {
  return client!.mayDeliver && sendAfter <= journal.committed
}

/** What `enqueue` does for a delivery that may leave at once, with the publication's own frame instead of a copy of it. */
function sendAtOnce(broker: Broker, session: Session, recipient: Subscription, delivery: Delivery): void {
  const { queue } = session
  const position = put(broker, session, delivery)
  if (session.stored) broker.journal.enqueue(session, position, delivery)
  if (position >= queue.residentEnd) {
    pump(broker, session)
    return
  }
  queue.sendPosition++
  if (sendPublication(broker, session.client!, recipient, delivery.qos, packetIdOf(position))) {
    countSent(broker, session, position, delivery)
  } else discard(broker, session, position, delivery)
}

function mayReceive(grant: Grant, publication: Publication, to: Subscription, qos: Qos): boolean {
  const { entry, retain } = publication
  const group = to.group === null ? null : to.group.name
  return grant.mayReceive(entry!.topic, qos, retain && to.retainAsPublished, group, publication)
}

/** Puts a delivery behind everything that waits for the session, in memory or only in the store, and sends what may be sent. */
export function enqueue(broker: Broker, session: Session, delivery: Delivery): void {
  const queue = session.queue
  const client = session.client
  if (client === null && !session.durable) return
  const sendNow = client !== null && queue.drained && !client.link.full && session.window.open(client.inflightMax)
  if (!sendNow && !session.hasRoom && !makeRoom(broker, session)) {
    drop(delivery.message?.name ?? '', 'queue_full', session)
    return
  }
  const position = put(broker, session, delivery)
  if (session.stored) broker.journal.enqueue(session, position, delivery)
  pump(broker, session)
}

/** Puts a delivery at the queue's end, in memory or, where that has no place, into the store only. Returns its position. */
export function put(broker: Broker, session: Session, delivery: Delivery): number {
  const { queue } = session
  const message = delivery.message!
  queue.waiting++
  queue.bytes += messageBytes(message)
  if (session.stored && !isResident(broker, session)) {
    if (message.expiresAt < queue.storedExpiry) queue.storedExpiry = message.expiresAt
    return queue.pushStored()
  }
  queue.resident++
  if (message.expiresAt < queue.residentExpiry) queue.residentExpiry = message.expiresAt
  return queue.push(delivery)
}

/**
 * Whether the next delivery stays in memory: its client is there, nothing older is in the store only, and the queue in memory,
 * in which a delivery that is never acknowledged keeps everything behind it in place, does not grow long.
 */
function isResident(broker: Broker, session: Session): boolean {
  const queue = session.queue
  return (
    session.link !== null &&
    queue.residentEnd === queue.nextPosition &&
    queue.resident < broker.options.residentMessagesMax &&
    queue.residentBytes < broker.options.residentBytesPerSessionMax &&
    broker.budgets.queueBytes.used < broker.budgets.queueBytes.max &&
    queue.nextPosition - queue.base < residentPositionsMax
  )
}

/**
 * Takes a waiting delivery out of the queue. What was marked ahead and never sent counts as sent if a crash takes this removal:
 * it would come after what is sent now, so that waits.
 */
export function discard(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const queue = session.queue
  queue.taken(messageBytes(delivery.message!))
  queue.clear(position)
  if (session.stored && delivery.lease === null) {
    broker.journal.dequeue(session, position, delivery)
    if (position < queue.marked) session.sendAfter = broker.journal.ticket
  }
  if (broker.explainer !== null) broker.explainer.discarded(session, position)
}

/** Sends what waits, in order, as far as the window, the output and the store allow. */
export function pump(broker: Broker, session: Session): void {
  const { queue, window, client, link } = session
  if (client === null || link === null || !client.mayDeliver) return
  while (queue.sendPosition < queue.nextPosition) {
    if (link.full || awaitsRemoval(broker, session, client)) return
    if (!window.open(client.inflightMax)) {
      readAhead(broker, session)
      return
    }
    const position = queue.sendPosition
    if (position >= queue.residentEnd) {
      requestNextPage(broker, session)
      return
    }
    const delivery = queue.at(position)
    if (delivery === null) {
      queue.skip()
      continue
    }
    if (delivery.lease?.ended) {
      discard(broker, session, position, delivery)
      continue
    }
    // The recipient's PUBREC must find the packet identifier on disk, and PUBREL what PUBREC said.
    if (delivery.qos === 2 && session.stored) {
      if (delivery.state === DeliveryState.waiting) markAhead(broker, session, client.inflightMax)
      if (queue.at(position) === null) continue
      if (delivery.ticket > broker.journal.committed) {
        broker.awaitCommit(client)
        return
      }
    }
    if (delivery.state === DeliveryState.released && client.payloadForm !== null) {
      // Begun when its session spoke MQTT, and taken: a client of JSON has no PUBREL to answer.
      queue.clear(position)
      if (session.stored) broker.journal.dequeue(session, position, delivery)
      queue.skip()
      continue
    }
    if (delivery.state === DeliveryState.released) {
      queue.sendPosition++
      window.inflight++
      link.write(releaseFrame(session, position))
      continue
    }
    if (client.grant !== null && delivery.lease === null && !mayStillReceive(client.grant, delivery)) {
      withhold(broker, session, position, delivery)
      continue
    }
    if (!delivery.dup && delivery.message!.expiresAt <= broker.now) {
      drop(delivery.message?.name ?? '', 'expired', session)
      discard(broker, session, position, delivery)
      queue.skip()
      continue
    }
    queue.sendPosition++
    if (!sendDelivery(broker, session, delivery, packetIdOf(position))) {
      discard(broker, session, position, delivery)
      if (delivery.lease !== null) delivery.lease.onUnsent(broker)
      continue
    }
    countSent(broker, session, position, delivery)
  }
  session.dropLogged = false
  if (session.pendingRetained.length > 0) pumpRetained(broker, session)
  if (session.consumers !== null) offerRoom(session.consumers)
  if (session.readers !== null) offerReaders(session.readers)
}

function awaitsRemoval(broker: Broker, { sendAfter }: Session, client: Client): boolean {
  if (sendAfter <= broker.journal.committed) return false
  broker.awaitCommit(client)
  return true
}

/** The next page is asked for while so many messages in memory still wait for the window: they are sent while it is read. */
const readAheadMessages = 500

function readAhead(broker: Broker, session: Session): void {
  const { residentEnd, sendPosition, nextPosition } = session.queue
  if (residentEnd === nextPosition || residentEnd - sendPosition >= readAheadMessages) return
  // A page that nobody can be sent yet must not crowd out others'.
  const { queueBytes } = broker.budgets
  if (queueBytes.used < queueBytes.max) requestNextPage(broker, session)
}

function countSent(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const { queue } = session
  if (broker.explainer !== null) broker.explainer.sent(session, position)
  queue.taken(messageBytes(delivery.message!))
  session.window.inflight++
  delivery.state = DeliveryState.sent
  if (session.stored && delivery.lease === null && position >= queue.marked)
    broker.journal.sent(session, position, delivery)
}

/**
 * Sends a message of a queue to its consumer, which has room: it takes the next position of its session's queue, in memory
 * only. False: it is larger than the client accepts.
 */
export function sendLease(
  broker: Broker,
  { session, qos, identifiers }: Subscription & { session: Session },
  lease: Lease,
): boolean {
  const { queue, window } = session
  const client = session.client!
  const { message } = lease.queued
  const delivery = waitingDelivery(message, qos, false, identifiers, null)
  delivery.lease = lease
  if (!fits(client, delivery, broker.now)) return false
  if (qos === 0) return sendDelivery(broker, session, delivery, 0)
  lease.delivery = delivery
  const position = queue.push(delivery)
  queue.sendPosition++
  if (!sendDelivery(broker, session, delivery, packetIdOf(position))) {
    queue.clear(position)
    return false
  }
  delivery.state = DeliveryState.sent
  window.inflight++
  return true
}

/** Asked anew for what waited: rights change while a client is away, and while its window is closed. */
function mayStillReceive(grant: Grant, delivery: Delivery): boolean {
  const { message, qos, retain, group } = delivery
  return grant.mayReceive(message!.name, qos, retain, group === null ? null : group.name, delivery)
}

/**
 * Not sent for want of rights. Of a QoS 2 delivery that went out on an earlier connection the client may keep the packet
 * identifier, and would take the next message that has it for this one: PUBREL ends it on both sides without the message.
 */
function withhold(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const { queue } = session
  drop(delivery.message?.name ?? '', 'not_authorized', session)
  if (delivery.qos === 2 && delivery.dup) {
    queue.taken(messageBytes(delivery.message!))
    delivery.state = DeliveryState.released
    if (session.stored) broker.journal.release(session, position, delivery)
    queue.letGo(delivery)
    delivery.message = null
    return
  }
  discard(broker, session, position, delivery)
  queue.skip()
}

/**
 * What is sent at QoS 2 must be known as sent before it leaves: were it forgotten, its message might be dropped or expire, and
 * its packet identifier go to another, which the client would take for this one. So everything that the window lets go next
 * is marked at once, with the turn that is being gathered, and leaves when that is committed.
 */
function markAhead(broker: Broker, session: Session, inflightMax: number): void {
  const { queue, window } = session
  const end = Math.min(queue.residentEnd, queue.sendPosition + inflightMax - window.inflight)
  if (end <= queue.marked) return
  const { ticket } = broker.journal
  for (let position = Math.max(queue.marked, queue.sendPosition); position < end; position++) {
    const delivery = queue.at(position)
    if (delivery === null || delivery.state !== DeliveryState.waiting) continue
    if (!delivery.dup && delivery.message!.expiresAt <= broker.now) {
      // Its removal shares the mark's turn: after a crash in between it would count as sent.
      drop(delivery.message?.name ?? '', 'expired', session)
      discard(broker, session, position, delivery)
      continue
    }
    if (delivery.qos !== 2 || delivery.ticket === ticket) continue
    delivery.ticket = ticket
    delivery.record = -1
  }
  broker.journal.sent(session, end - 1, null)
}

/** Everything sent on the last connection and not acknowledged waits again, in order, before what is newer [MQTT-4.4.0-1]. */
export function rewind(session: Session): void {
  const queue = session.queue
  queue.recoveredSent = Math.max(queue.recoveredSent, queue.sendPosition)
  for (let position = queue.base; position < queue.sendPosition; position++) {
    const delivery = queue.at(position)
    if (delivery === null) continue
    if (delivery.lease?.ended) {
      queue.letGo(delivery)
      queue.forget(position)
      continue
    }
    if (Object.isFrozen(delivery)) {
      // Nothing was kept of it: its session ended with the connection.
      queue.forget(position)
      continue
    }
    if (delivery.state === DeliveryState.released) continue
    queue.waiting++
    queue.resident++
    queue.bytes += messageBytes(delivery.message!)
    delivery.state = DeliveryState.waiting
    delivery.dup = true
  }
  queue.sendPosition = queue.base
  session.window.inflight = 0
}
