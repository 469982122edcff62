/**
 * What the store gives back: sessions with their subscriptions, retained messages and wills at start, and pages of queues
 * while they drain. Message contents of queues are not loaded at start.
 *
 * A client that was connected when the last process ended is counted as gone since now: its session's expiry begins, and its
 * will waits for the longer of its delay and `restartWillGraceMs`.
 */
import type { Will } from '../../mqtt/packet.ts'
import { publishProperties } from '../../mqtt/publish.ts'
import { parseTopicFilter } from '../../mqtt/topic.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import type {
  RecoveredMessage,
  RecoveredPage,
  RecoveredReference,
  RecoveredSession,
  RecoveredSubscription,
  RecoveredWill,
} from '../ports/recovered.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { setRetained } from '../retained/retained-changes.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import { type Delivery, DeliveryState, waitingDelivery } from './delivery-queue.ts'
import { neverExpires, Session } from './session.ts'
import { endSession, scheduleExpiry } from './session-lifecycle.ts'
import { delayWill } from './will.ts'

export class BrokerRecovery {
  readonly #broker: Broker

  constructor(broker: Broker) {
    this.#broker = broker
  }

  onSession(stored: RecoveredSession): void {
    const { sessions, sessionsByNumber, now } = this.#broker
    const session = new Session(stored.number, stored.clientId, stored.version, this.#broker.options)
    session.username = stored.username
    session.principal = stored.principal
    session.expiryInterval = stored.expiryInterval
    session.recorded = true
    session.stored = true
    session.dupRemaining = this.#broker.options.inflightMessagesMax
    sessions.set(session.clientId, session)
    sessionsByNumber.set(session.number, session)
    const forever = stored.expiryInterval === neverExpires
    const sinceNow = forever ? Infinity : now + stored.expiryInterval * 1000
    scheduleExpiry(this.#broker, session, stored.connected ? sinceNow : stored.expiresAt)
  }

  onSubscription(stored: RecoveredSubscription): void {
    const session = this.#broker.sessionsByNumber.get(stored.session)
    const parsed = parseTopicFilter(stored.topicFilter)
    if (session === undefined || parsed === undefined) return
    const subscription = new Subscription(session, stored.topicFilter)
    subscription.qos = stored.qos
    subscription.noLocal = stored.noLocal
    subscription.retainAsPublished = stored.retainAsPublished
    subscription.retainHandling = stored.retainHandling
    if (stored.identifier > 0) subscription.identifiers = [stored.identifier]
    session.subscriptions.set(stored.topicFilter, subscription)
    this.#broker.index.add(subscription, parsed)
  }

  onRetained({ topic, message: stored }: { topic: string; message: RecoveredMessage }): void {
    setRetained(this.#broker, topic, messageOf(stored))
  }

  onWill(stored: RecoveredWill): void {
    const { sessionsByNumber, now, options } = this.#broker
    const session = sessionsByNumber.get(stored.session)
    if (session === undefined) return
    session.will = { will: willOf(stored), deadline: null }
    const grace = Math.max(stored.delayInterval * 1000, options.restartWillGraceMs)
    delayWill(this.#broker, session, stored.dueAt === Infinity ? now + grace : stored.dueAt)
    // A session that ended with its connection, or ends soon, is kept until its will is published.
    const endsBefore = stored.dueAt === Infinity && (session.expiry?.at ?? Infinity) < now + grace
    if (session.expiryInterval === 0 || endsBefore) scheduleExpiry(this.#broker, session, now + grace)
  }

  onIncomingPacketId(number: number, packetId: number): void {
    const session = this.#broker.sessionsByNumber.get(number)
    if (session === undefined) return
    session.incoming ??= new Map()
    session.incoming.set(packetId, 0)
  }

  onReleased(number: number, position: number): void {
    this.#broker.sessionsByNumber.get(number)?.releasedPositions.push(position)
  }

  onSent(number: number, position: number): void {
    const session = this.#broker.sessionsByNumber.get(number)
    if (session !== undefined) session.recoveredSent = position
  }

  onQueue(number: number, messages: number, bytes: number, firstPosition: number, lastPosition: number): void {
    const session = this.#broker.sessionsByNumber.get(number)
    session?.queue.recover(firstPosition, lastPosition + 1, messages, bytes)
  }

  /** After everything was handed over. */
  end(): void {
    for (const session of this.#broker.sessionsByNumber.values()) {
      const positions = session.releasedPositions.sort((a, b) => a - b)
      const first = positions[0]
      if (first === undefined) continue
      const { queue } = session
      const last = positions[positions.length - 1]!
      const { waiting, bytes, nextPosition } = queue
      if (waiting === 0) queue.recover(first, last + 1, 0, 0)
      else if (first < queue.base || last >= nextPosition) {
        queue.recover(Math.min(first, queue.base), Math.max(last + 1, nextPosition), waiting, bytes)
      }
      queue.waiting += positions.length
      if (waiting === 0) restoreReleased(session, Infinity)
    }
    for (const session of [...this.#broker.sessionsByNumber.values()]) {
      if (session.expiryInterval === 0 && session.will === null) endSession(this.#broker, session)
    }
  }
}

/** Puts the recovered PUBRELs before `position` back into the queue. */
function restoreReleased(session: Session, position: number): void {
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
    })
  }
}

/** A page that a session asked for. It may have been replaced or have ended meanwhile: numbers are never reused. */
export function onQueuePage(broker: Broker, page: RecoveredPage): void {
  const session = broker.sessionsByNumber.get(page.session)
  if (session === undefined || !session.pageRequested) return
  session.pageRequested = false
  const { queue } = session
  for (const { reference, message } of page.entries) {
    if (reference.position < queue.residentEnd) continue
    restoreReleased(session, reference.position)
    const own = messageOf(message)
    // The store counted the payload only.
    if (reference.position < queue.recoveredEnd) queue.bytes += messageBytes(own) - own.payload.length
    queue.restore(reference.position, deliveryOf(session, reference, own))
  }
  if (!page.more) {
    restoreReleased(session, session.pageEnd)
    queue.residentEnd = Math.max(queue.residentEnd, session.pageEnd)
  }
  session.client?.pump()
}

function deliveryOf(session: Session, reference: RecoveredReference, message: Message): Delivery {
  const { sharedFilter, qos, retain, subscriptionIdentifiers } = reference
  const group = sharedFilter === '' ? null : (session.subscriptions.get(sharedFilter)?.group ?? null)
  const delivery = waitingDelivery(message, qos, retain, subscriptionIdentifiers, group)
  if (session.dupRemaining > 0 && reference.position < session.queue.recoveredEnd) {
    session.dupRemaining--
    delivery.dup = true
  }
  return delivery
}

function messageOf(stored: RecoveredMessage): Message {
  const { id, topic, payload, properties, qos, expiresAt, publisher, publishedAt } = stored
  const common = { id, payload, qos, expiresAt, publisher, publishedAt, references: 0 }
  return { ...common, name: topic, topic: encodeUtf8(topic), forwardProperties: properties }
}

/** The other way: as a session is stored now. */
export function recoveredSession(session: Session, expiresAt: number): RecoveredSession {
  const { number, clientId, version, expiryInterval, username, principal } = session
  const connected = session.client !== null
  return { number, clientId, version, expiryInterval, expiresAt, connected, username, namespace: '', principal }
}

/** The other way: the shape in which a message is stored. */
export function recoveredForm(message: Message): RecoveredMessage {
  const { id, name: topic, payload, forwardProperties: properties, qos, expiresAt, publisher, publishedAt } = message
  return { id, topic, payload, properties, qos, expiresAt, publisher, publishedAt }
}

function willOf(stored: RecoveredWill): Will {
  const properties = { ...publishProperties(stored.properties) }
  if (stored.delayInterval > 0) properties.willDelayInterval = stored.delayInterval
  if (stored.messageExpiryInterval >= 0) properties.messageExpiryInterval = stored.messageExpiryInterval
  const { topic, payload, qos, retain } = stored
  return { topic, payload, qos, retain, properties, forwardProperties: stored.properties }
}
