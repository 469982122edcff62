/** The life of sessions: attach to a connection, detach, expire, end; and what a leaving member's shared subscriptions give on. */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import { discard, enqueue, rewind } from '../publish/deliver.ts'
import { type Message, republished } from '../publish/message.ts'
import { sendQos0 } from '../publish/send.ts'
import { chooseMember } from '../subscriptions/shared-group.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { waitingDelivery } from './delivery-queue.ts'
import { neverExpires, Session } from './session.ts'
import { connectionLost, publishWill } from './will.ts'

export function attach(broker: Broker, session: Session, client: Client): void {
  session.client = client
  session.link = client.link
  session.version = client.version || session.version
  if (session.expiry !== null) broker.deadlines.clear(session.expiry)
  session.stored ||= broker.journal.durable && session.durable
  if (session.stored) broker.journal.session(session, Infinity)
  rewind(session)
}

/** The connection is gone. `lost`: without a DISCONNECT that removes the will. */
export function detach(broker: Broker, session: Session): void {
  session.client = null
  session.link = null
  if (broker.shuttingDown) return
  rewind(session)
  connectionLost(broker, session)
  if (!session.durable) {
    endSession(broker, session)
    return
  }
  for (const subscription of session.subscriptions.values()) {
    if (subscription.group !== null) handOver(broker, session, subscription, false)
  }
  const { expiryInterval } = session
  const expiresAt = expiryInterval === neverExpires ? Infinity : broker.now + expiryInterval * 1000
  scheduleExpiry(broker, session, expiresAt)
  if (session.stored) broker.journal.session(session, expiresAt)
}

export function scheduleExpiry(broker: Broker, session: Session, expiresAt: number): void {
  session.expiry ??= new Deadline(() => {
    broker.counters.sessionsExpired++
    endSession(broker, session)
  })
  broker.deadlines.set(session.expiry, expiresAt)
}

/** Ends a session: its will is due now at the latest, its subscriptions and its queue go [MQTT-3.1.2-23]. */
export function endSession(broker: Broker, session: Session): void {
  if (session.expiry !== null) broker.deadlines.clear(session.expiry)
  publishWill(broker, session)
  for (const subscription of session.subscriptions.values()) {
    broker.index.remove(subscription)
    if (subscription.group !== null) handOver(broker, session, subscription, true)
  }
  session.subscriptions.clear()
  broker.sessionsByNumber.delete(session.number)
  if (broker.sessions.get(session.clientId) === session) broker.sessions.delete(session.clientId)
  if (session.queue.waiting > 0) drop(broker, null, 'session_ended', session, session.queue.waiting)
  if (session.recorded) broker.journal.sessionEnd(session)
  // Routes that are resolved anew only when their topic comes again still name the session.
  session.queue.abandon()
  session.pendingRetained.clear()
}

/**
 * What a leaving member had of its group goes to another: QoS 1, and whatever was never sent. QoS 2 in flight stays with its
 * session and ends with it [MQTT-4.8.2-4, MQTT-4.8.2-5]. While the session lives on, only a member that is connected takes over.
 */
export function handOver(broker: Broker, session: Session, leaving: Subscription, ending: boolean): void {
  const queue = session.queue
  const group = leaving.group!
  // A client that merely unsubscribed still acknowledges what is in flight to it.
  const first = session.link === null ? queue.base : queue.sendPosition
  for (let position = first; position < queue.residentEnd; position++) {
    const delivery = queue.at(position)
    if (delivery === null || delivery.group !== group || delivery.message === null) continue
    if (delivery.qos === 2 && delivery.dup) continue
    const { message } = delivery
    const member = chooseMember(group, message.publisher, message.name, message.qos, leaving)
    if (member === null || (!ending && !member.destination.online)) return
    discard(broker, session, position, delivery)
    passOn(broker, member, message, delivery.retain)
  }
}

function passOn(broker: Broker, member: Subscription, message: Message, retain: boolean): void {
  const { destination: session, identifiers, group } = member
  if (!(session instanceof Session)) {
    const { publication } = broker
    publication.beginMessage(message, broker.topics.lookupName(message.name), retain, null, broker.now)
    session.accept(broker, publication, member)
    publication.end()
    return
  }
  const qos: Qos = message.qos < member.qos ? message.qos : member.qos
  if (qos > 0) {
    enqueue(broker, session, waitingDelivery(republished(message), qos, retain, identifiers, group))
  } else if (session.client?.grant?.mayReceive(message.name, 0, retain, group!.name) === false) {
    drop(broker, message, 'not_authorized', session)
  } else if (session.client !== null && !session.client.link.full) {
    sendQos0(broker, session.client, message, retain, identifiers)
  } else {
    drop(broker, message, 'slow_consumer', session)
  }
}
