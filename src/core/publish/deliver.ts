/**
 * From a route to one session's connection: send now, queue, or drop, and the acknowledgements that follow.
 *
 * A delivery is sent at once when the window is open and nothing older waits. For a session that ends with its connection
 * nothing is kept of what was sent but its state; for one that outlives it the message stays until it is acknowledged.
 */
import { PacketType, type Qos } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import type { Grant } from '../ports/authority.ts'
import { pumpRetained } from '../retained/retained-delivery.ts'
import {
  type Delivery,
  DeliveryState,
  packetIdOf,
  releasedQos2,
  sentQos1,
  sentQos2,
  waitingDelivery,
} from '../session/delivery-queue.ts'
import type { Session } from '../session/session.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { messageBytes } from './message.ts'
import type { Publication } from './publication.ts'
import { releaseFrame, sendDelivery, sendPublication } from './send.ts'

export function deliver(broker: Broker, publication: Publication, session: Session, recipient: Subscription): void {
  const qos: Qos = publication.qos < recipient.qos ? publication.qos : recipient.qos
  const link = session.link
  const grant = session.client === null ? null : session.client.grant
  if (grant !== null && !mayReceive(grant, publication, recipient, qos)) {
    drop(broker, null, 'not_authorized', session)
    return
  }
  if (qos === 0) {
    if (link === null) return
    if (link.full && !link.empty) drop(broker, null, 'slow_consumer', session)
    else sendPublication(broker, session.client!, recipient, 0, 0)
    return
  }
  const queue = session.queue
  if (link !== null && !session.durable && recipient.group === null && queue.drained && !link.full) {
    if (queue.windowOpen(session.client!.inflightMax)) {
      const position = queue.push(qos === 1 ? sentQos1 : sentQos2)
      if (sendPublication(broker, session.client!, recipient, qos, packetIdOf(position))) {
        queue.sendPosition++
        queue.inflight++
      } else {
        queue.sendPosition++
        queue.clear(position)
      }
      return
    }
  }
  const retain = publication.retain && recipient.retainAsPublished
  const { identifiers, group } = recipient
  enqueue(broker, session, waitingDelivery(publication.message, qos, retain, identifiers, group))
}

function mayReceive(grant: Grant, { entry, retain }: Publication, to: Subscription, qos: Qos): boolean {
  return grant.mayReceive(entry!.topic, qos, retain && to.retainAsPublished, to.group === null ? null : to.group.name)
}

/** Puts a delivery behind everything that waits for the session, in memory or only in the store, and sends what may be sent. */
export function enqueue(broker: Broker, session: Session, delivery: Delivery): void {
  const queue = session.queue
  const client = session.client
  if (client === null && !session.durable) return
  const sendNow = client !== null && queue.drained && !client.link.full && queue.windowOpen(client.inflightMax)
  while (!sendNow && !session.hasRoom) {
    logFullQueue(broker, session)
    if (broker.options.sessionQueueFull === 'drop-oldest' && dropOldest(broker, session)) continue
    drop(broker, delivery.message, 'queue_full', session)
    return
  }
  queue.waiting++
  queue.bytes += messageBytes(delivery.message!)
  if (session.stored && !isResident(broker, session)) {
    broker.journal.enqueue(session, queue.pushStored(), delivery)
    return
  }
  const position = queue.push(delivery)
  if (session.stored) broker.journal.enqueue(session, position, delivery)
  pump(broker, session)
}

/** Whether the next delivery stays in memory: its client is there, and nothing older is in the store only. */
function isResident(broker: Broker, session: Session): boolean {
  const queue = session.queue
  return (
    session.link !== null &&
    queue.residentEnd === queue.nextPosition &&
    queue.residentEnd - queue.sendPosition < broker.options.residentMessagesMax
  )
}

function logFullQueue(broker: Broker, session: Session): void {
  if (session.dropLogged) return
  session.dropLogged = true
  broker.log.warn(
    { clientId: session.clientId, waiting: session.queue.waiting, policy: broker.options.sessionQueueFull },
    'session queue is full: messages are dropped until it drains',
  )
}

/** The oldest delivery that was never sent gives way. False: there is none. */
function dropOldest(broker: Broker, session: Session): boolean {
  const queue = session.queue
  for (let position = Math.max(queue.sendPosition, queue.dropFrom); position < queue.residentEnd; position++) {
    queue.dropFrom = position + 1
    const delivery = queue.at(position)
    if (delivery === null || delivery.dup || delivery.state !== DeliveryState.waiting) continue
    drop(broker, delivery.message, 'queue_full', session)
    discard(broker, session, position, delivery)
    if (position === queue.sendPosition) queue.skip()
    if (!session.stored) queue.closeGap()
    return true
  }
  // A recovered PUBREL is not dropped.
  if (queue.residentEnd === queue.nextPosition || session.releasedPositions[0] === queue.residentEnd) return false
  // Only in the store: its size is not known here, the mean of what waits stands for it.
  drop(broker, null, 'queue_full', session)
  broker.journal.dequeue(session, queue.residentEnd, null)
  queue.bytes -= Math.round(queue.bytes / Math.max(1, queue.waiting))
  queue.waiting--
  queue.skipStored()
  return true
}

/** Takes a waiting delivery out of the queue. */
export function discard(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const queue = session.queue
  queue.waiting--
  queue.bytes -= messageBytes(delivery.message!)
  queue.clear(position)
  if (session.stored) broker.journal.dequeue(session, position, delivery)
}

/** Sends what waits, in order, as far as the window, the output and the store allow. */
export function pump(broker: Broker, session: Session): void {
  const { queue, client, link } = session
  if (client === null || link === null || !client.mayDeliver) return
  while (queue.sendPosition < queue.nextPosition) {
    if (link.full || !queue.windowOpen(client.inflightMax)) return
    const position = queue.sendPosition
    if (position >= queue.residentEnd) {
      requestPage(broker, session)
      return
    }
    const delivery = queue.at(position)
    if (delivery === null) {
      queue.skip()
      continue
    }
    // The recipient's PUBREC must find the packet identifier on disk, and PUBREL what PUBREC said.
    if (delivery.qos === 2 && delivery.ticket > broker.journal.committed) {
      broker.awaitCommit(client)
      return
    }
    if (delivery.state === DeliveryState.released) {
      queue.sendPosition++
      queue.inflight++
      queue.waiting--
      link.write(releaseFrame(session, position))
      continue
    }
    if (client.grant !== null && !mayStillReceive(client.grant, delivery)) {
      withhold(broker, session, position, delivery)
      continue
    }
    if (!delivery.dup && delivery.message!.expiresAt <= broker.now) {
      drop(broker, delivery.message, 'expired', session)
      discard(broker, session, position, delivery)
      queue.skip()
      continue
    }
    queue.sendPosition++
    if (!sendDelivery(broker, session, delivery, packetIdOf(position))) {
      discard(broker, session, position, delivery)
      continue
    }
    queue.waiting--
    queue.inflight++
    delivery.state = DeliveryState.sent
  }
  session.dropLogged = false
  if (session.pendingRetained.length > 0) pumpRetained(broker, session)
}

/** Asked anew for what waited: rights change while a client is away, and while its window is closed. */
function mayStillReceive(grant: Grant, { message, qos, retain, group }: Delivery): boolean {
  return grant.mayReceive(message!.name, qos, retain, group === null ? null : group.name)
}

/**
 * Not sent for want of rights. Of a QoS 2 delivery that went out on an earlier connection the client may keep the packet
 * identifier, and would take the next message that has it for this one: PUBREL ends it on both sides without the message.
 */
function withhold(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const { queue } = session
  drop(broker, delivery.message, 'not_authorized', session)
  if (delivery.qos === 2 && delivery.dup) {
    queue.bytes -= messageBytes(delivery.message!)
    delivery.state = DeliveryState.released
    if (session.stored) broker.journal.release(session, position, delivery)
    delivery.message = null
    return
  }
  discard(broker, session, position, delivery)
  queue.skip()
}

function requestPage(broker: Broker, session: Session): void {
  if (session.pageRequested) return
  session.pageRequested = true
  session.pageEnd = session.queue.nextPosition
  broker.journal.requestPage(session, session.queue.residentEnd)
}

/** Everything sent on the last connection and not acknowledged waits again, in order, before what is newer [MQTT-4.4.0-1]. */
export function rewind(session: Session): void {
  const queue = session.queue
  for (let position = queue.base; position < queue.sendPosition; position++) {
    const delivery = queue.at(position)
    if (delivery === null) continue
    if (Object.isFrozen(delivery)) {
      // Nothing was kept of it: its session ended with the connection.
      queue.forget(position)
      continue
    }
    queue.waiting++
    if (delivery.state === DeliveryState.sent) {
      delivery.state = DeliveryState.waiting
      delivery.dup = true
    }
  }
  queue.sendPosition = queue.base
  queue.inflight = 0
}

/** The delivery is done: acknowledged, or refused by its receiver. */
function complete(broker: Broker, session: Session, position: number, delivery: Delivery): void {
  const queue = session.queue
  queue.inflight--
  if (delivery.message !== null) queue.bytes -= messageBytes(delivery.message)
  queue.clear(position)
  if (session.stored) broker.journal.dequeue(session, position, delivery)
  if (!queue.drained || session.pendingRetained.length > 0) pump(broker, session)
}

/**
 * The delivery that an acknowledgement is for; null: its packet identifier is not in flight, for instance because the session
 * was replaced meanwhile.
 *
 * @throws ProtocolError for one that is in flight and may not be acknowledged like that (figures 4.1 to 4.3)
 */
function acknowledged(session: Session, packetId: number, qos: Qos, state: DeliveryState | null): Delivery | null {
  const position = session.queue.find(packetId)
  const delivery = position < 0 ? null : session.queue.at(position)
  if (delivery === null) return null
  if (delivery.qos !== qos || (state !== null && delivery.state !== state)) {
    throw new ProtocolError(
      ReasonCode.protocolError,
      `packet identifier ${packetId} is in flight at QoS ${delivery.qos}`,
    )
  }
  return delivery
}

/** Returns false for an identifier that is not in flight. */
export function onPuback(broker: Broker, session: Session, packetId: number): boolean {
  const delivery = acknowledged(session, packetId, 1, null)
  if (delivery === null) return false
  complete(broker, session, session.queue.find(packetId), delivery)
  return true
}

/** Answers with PUBREL. Returns false for an identifier that is not in flight. */
export function onPubrec(broker: Broker, session: Session, packetId: number, reasonCode: number): boolean {
  const { queue, link } = session
  const delivery = acknowledged(session, packetId, 2, null)
  if (delivery === null || link === null) return false
  const position = queue.find(packetId)
  if (reasonCode >= 0x80) {
    // [MQTT-4.3.3-4] no PUBREL; for a shared subscription the message ends here as well [MQTT-4.8.2-6].
    complete(broker, session, position, delivery)
    return true
  }
  let ticket = 0
  if (delivery === sentQos2) {
    queue.replace(position, releasedQos2)
  } else if (delivery.message !== null) {
    queue.bytes -= messageBytes(delivery.message)
    delivery.state = DeliveryState.released
    if (session.stored) {
      broker.journal.release(session, position, delivery)
      ticket = broker.journal.ticket
    }
    delivery.message = null
  }
  link.holdAck((PacketType.pubrel << 4) | 2, packetId, ticket, false)
  return true
}

/** Returns false for an identifier that is not in flight. */
export function onPubcomp(broker: Broker, session: Session, packetId: number): boolean {
  const delivery = acknowledged(session, packetId, 2, DeliveryState.released)
  if (delivery === null) return false
  complete(broker, session, session.queue.find(packetId), delivery)
  return true
}
