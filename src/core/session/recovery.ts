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
import type { Broker } from '../broker.ts'
import { consumerOf, isQueueFilter, queueOf } from '../logs/consume.ts'
import type { Queue } from '../logs/queue.ts'
import { recoveredSeen, recoverLog } from '../logs/queue-set.ts'
import { isStreamFilter, recoverReader } from '../logs/read-stream.ts'
import type { SeenMessages } from '../logs/seen.ts'
import { endStreamRecovery, recoverCursor, recoverSegment, recoverStream } from '../logs/stream-set.ts'
import { defaultNamespaceName } from '../namespace.ts'
import type {
  RecoveredAttempt,
  RecoveredCursor,
  RecoveredDelayedCount,
  RecoveredDelayedName,
  RecoveredId,
  RecoveredLog,
  RecoveredMessage,
  RecoveredRetained,
  RecoveredSegment,
  RecoveredSequence,
  RecoveredSession,
  RecoveredStream,
  RecoveredSubscription,
  RecoveredWill,
} from '../ports/recovered.ts'
import { copyRetained } from '../publish/export.ts'
import type { Message } from '../publish/message.ts'
import { setRetained } from '../retained/retained-changes.ts'
import { Subscription } from '../subscriptions/subscription-index.ts'
import { messageOf, restoreReleased } from './queue-pages.ts'
import { neverExpires, Session } from './session.ts'
import { endedAt, endSession, scheduleExpiry } from './session-lifecycle.ts'
import { delayWill, setWill } from './will.ts'

export class BrokerRecovery {
  readonly #broker: Broker
  /** Queues that do not ask any more what they have seen. */
  readonly #unasked = new Map<Queue, SeenMessages>()
  /** Whose clients were connected when the last process ended. */
  readonly #left: Session[] = []
  readonly #setClock: (time: number, wallOffset: number) => void

  /** `setClock`: whoever drives the broker sets its clock, and `Broker.now`, by where that of the last process was. */
  constructor(broker: Broker, setClock: (time: number, wallOffset: number) => void = () => {}) {
    this.#broker = broker
    this.#setClock = setClock
  }

  /** Comes before everything else. */
  onClock(time: number, wallOffset: number): void {
    this.#setClock(time, wallOffset)
  }

  onSession(stored: RecoveredSession): void {
    const { sessionsByNumber, now } = this.#broker
    const namespace = this.#broker.namespace(stored.namespace || defaultNamespaceName)
    const session = new Session(stored.number, stored.clientId, stored.version, namespace)
    session.username = stored.username
    session.principal = stored.principal
    if (session.principal === '') this.#broker.budgets.anonymousSessions.used++
    session.expiryInterval = stored.expiryInterval
    session.recorded = true
    session.stored = true
    // One that had ended may have a successor by the same client id.
    if (stored.expiresAt === endedAt) session.ended = true
    else namespace.addSession(session)
    sessionsByNumber.set(session.number, session)
    const forever = stored.expiryInterval === neverExpires
    const sinceNow = forever ? Infinity : now + stored.expiryInterval * 1000
    scheduleExpiry(this.#broker, session, stored.connected ? sinceNow : stored.expiresAt)
    if (stored.connected) this.#left.push(session)
  }

  onSubscription(stored: RecoveredSubscription): void {
    const session = this.#broker.sessionsByNumber.get(stored.session)
    const parsed = parseTopicFilter(stored.topicFilter)
    if (session === undefined || parsed === undefined) return
    if (isQueueFilter(stored.topicFilter)) {
      this.#onConsumer(session, stored)
      return
    }
    if (isStreamFilter(stored.topicFilter)) {
      this.#onReader(session, stored)
      return
    }
    const subscription = new Subscription(session, stored.topicFilter)
    subscription.qos = stored.qos
    subscription.noLocal = stored.noLocal
    subscription.retainAsPublished = stored.retainAsPublished
    subscription.retainHandling = stored.retainHandling
    if (stored.identifier > 0) subscription.identifiers = [stored.identifier]
    session.subscriptions.set(stored.topicFilter, subscription)
    session.namespace.addSubscription(subscription, parsed)
  }

  /** How many messages it asked for is not stored: it says so again, or gets as many as the queue allows. */
  #onConsumer(session: Session, { topicFilter, qos, identifier }: RecoveredSubscription): void {
    const queue = queueOf(session, topicFilter)
    if (typeof queue === 'string') {
      this.#passOver(session, topicFilter, queue)
      return
    }
    const consumer = consumerOf(this.#broker, session, queue, topicFilter)
    consumer.qos = qos
    if (identifier > 0) consumer.identifiers = [identifier]
  }

  #onReader(session: Session, { topicFilter, qos, identifier }: RecoveredSubscription): void {
    const reader = recoverReader(this.#broker, session, topicFilter)
    if (typeof reader === 'string') {
      this.#passOver(session, topicFilter, reader)
      return
    }
    reader.qos = qos
    if (identifier > 0) reader.identifiers = [identifier]
  }

  #passOver({ clientId }: Session, topicFilter: string, why: string): void {
    this.#broker.log.warn({ clientId, topicFilter }, `a subscription is passed over: ${why}`)
  }

  onStream(stream: RecoveredStream): void {
    recoverStream(this.#broker, stream)
  }

  onSegment(segment: RecoveredSegment): void {
    recoverSegment(this.#broker, segment)
  }

  onCursor(cursor: RecoveredCursor): void {
    recoverCursor(this.#broker, cursor)
  }

  onLog(log: RecoveredLog): void {
    recoverLog(this.#broker, log)
  }

  onAttempt(attempt: RecoveredAttempt): void {
    this.#broker.lanesByNumber.get(attempt.log)?.attempts.set(attempt.position, attempt)
  }

  onSeen(id: RecoveredId): void {
    recoveredSeen(this.#broker, id, this.#unasked)?.recoverId(id)
  }

  onCounted(sequence: RecoveredSequence): void {
    recoveredSeen(this.#broker, sequence, this.#unasked)?.recoverSequence(sequence)
  }

  onRetained({ namespace, topic, message: stored }: RecoveredRetained): void {
    const place = this.#broker.namespace(namespace || defaultNamespaceName)
    // From before it was what another namespace exports: it stays in the store until that ends.
    if (!place.isReadOnly(topic)) setRetained(this.#broker, place, topic, messageOf(stored))
  }

  onWill(stored: RecoveredWill): void {
    const { sessionsByNumber, now, options } = this.#broker
    const session = sessionsByNumber.get(stored.session)
    if (session === undefined) return
    setWill(this.#broker, session, willOf(stored))
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
    if (session !== undefined) session.queue.recoveredSent = position
  }

  onQueue(number: number, messages: number, bytes: number, firstPosition: number, lastPosition: number): void {
    const session = this.#broker.sessionsByNumber.get(number)
    session?.queue.recover(firstPosition, lastPosition + 1, messages, bytes)
    this.#broker.lanesByNumber.get(number)?.recover(firstPosition, lastPosition + 1, messages, bytes)
    this.#broker.streamsByNumber.get(number)?.recover(firstPosition, lastPosition + 1, bytes)
  }

  onDelayed(count: RecoveredDelayedCount): void {
    this.#broker.delayed.recoverCount(count)
  }

  onDelayedName(name: RecoveredDelayedName): void {
    this.#broker.delayed.recoverName(name)
  }

  /** After everything was handed over. */
  end(): void {
    for (const session of this.#broker.sessionsByNumber.values()) {
      const { queue } = session
      const positions = session.releasedPositions.sort((a, b) => a - b)
      const first = positions[0]
      if (first === undefined) {
        queue.recoverSent()
        if (queue.waiting === 0) queue.abandon()
        continue
      }
      const last = positions[positions.length - 1]!
      const { waiting, bytes, nextPosition } = queue
      if (waiting === 0) queue.recover(first, last + 1, 0, 0)
      else if (first < queue.base || last >= nextPosition) {
        queue.recover(Math.min(first, queue.base), Math.max(last + 1, nextPosition), waiting, bytes)
      }
      queue.recoverSent()
      if (waiting > 0) continue
      restoreReleased(session, Infinity)
      queue.residentEnd = queue.nextPosition
    }
    for (const session of [...this.#broker.sessionsByNumber.values()]) {
      if (session.expiryInterval === 0 && session.will === null) endSession(this.#broker, session, 'disconnected')
    }
    copyRetained(this.#broker)
    endStreamRecovery(this.#broker)
    this.#broker.delayed.look()
    const connected = new Set(this.#left)
    for (const { presence } of this.#broker.namespaces.values()) presence?.recovered(connected)
    for (const seen of this.#unasked.values()) seen.forgetAll()
    this.#recordLeaving()
  }

  /** From now on the store knows when they end: another restart does not begin their time anew. */
  #recordLeaving(): void {
    const { journal } = this.#broker
    for (const session of this.#left) {
      if (!session.recorded) continue
      journal.session(session, session.expiry?.at ?? Infinity)
      if (session.will !== null) journal.will(session, session.will)
    }
  }
}

/** The other way: a session as it is stored. */
export function storedSession(session: Session, expiresAt: number): RecoveredSession {
  const { number, clientId, version, expiryInterval, username, principal } = session
  const connected = session.client !== null
  const namespace = session.namespace.storedName
  return { number, clientId, version, expiryInterval, expiresAt, connected, username, namespace, principal }
}

/** A message as it is stored. */
export function storedMessage(message: Message): RecoveredMessage {
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
