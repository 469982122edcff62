/**
 * Wills: what a client asked to be published when it is gone without saying so, at once or after its Will Delay Interval,
 * at the latest when its session ends (sections 3.1.2.5 and 3.1.3.2.2).
 */
import type { Will } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import type { Message } from '../publish/message.ts'
import { publishMessage } from '../publish/publish.ts'
import type { Session } from './session.ts'

/** How long a will waits for room on the disk before it is tried again. */
const storeFullRetryMs = 5000

export interface PendingWill {
  readonly will: Will
  /** Set while it waits for its delay. */
  deadline: Deadline | null
}

/** What is kept of a will: its properties as the bytes they came in, not as objects too. */
export function keptWill(will: Will): Will {
  const { willDelayInterval, messageExpiryInterval } = will.properties
  return {
    ...will,
    properties: {
      ...(willDelayInterval !== undefined && { willDelayInterval }),
      ...(messageExpiryInterval !== undefined && { messageExpiryInterval }),
    },
  }
}

/** About what a will takes. */
export function willBytes({ topic, payload, forwardProperties }: Will): number {
  return topic.length + payload.length + forwardProperties.length + willObjectBytes
}

const willObjectBytes = 500

/** The session has this will from now on. */
export function setWill(broker: Broker, session: Session, will: Will): PendingWill {
  broker.budgets.willBytes.used += willBytes(will)
  session.will = { will, deadline: null }
  return session.will
}

/** The network connection ended without a DISCONNECT that removes the will. */
export function connectionLost(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  const delay = Math.min(pending.will.properties.willDelayInterval ?? 0, session.expiryInterval)
  if (delay === 0 && !mustWait(broker, session)) {
    publishWill(broker, session)
    return
  }
  delayWill(broker, session, broker.now + Math.max(delay * 1000, mustWait(broker, session) ? storeFullRetryMs : 0))
  if (session.stored) broker.journal.will(session, pending)
}

export function delayWill(broker: Broker, session: Session, dueAt: number): void {
  const pending = session.will!
  pending.deadline ??= new Deadline(() => {
    if (mustWait(broker, session)) delayWill(broker, session, broker.now + storeFullRetryMs)
    else publishWill(broker, session)
  })
  broker.deadlines.set(pending.deadline, dueAt)
}

/** A will that might have to be stored waits for room as long as its session lives. */
function mustWait(broker: Broker, session: Session): boolean {
  const { qos, retain } = session.will!.will
  return broker.storeFull && session.durable && (qos > 0 || retain)
}

/** Forgets the will without publishing it: DISCONNECT 0x00, or the client came back in time. */
export function discardWill(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  if (pending.deadline !== null) broker.deadlines.clear(pending.deadline)
  session.will = null
  broker.budgets.willBytes.used -= willBytes(pending.will)
  broker.journal.willEnd(session)
}

export function publishWill(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  const { will } = pending
  discardWill(broker, session)
  if (session.namespace.isReadOnly(will.topic)) {
    // It was taken when the topic was not yet what another namespace exports.
    drop(will.topic, 'will_refused', session.namespace)
    return
  }
  const willed = { message: willMessage(will, session.clientId, broker.now), retain: will.retain }
  const answer = broker.hooks === null ? null : broker.hooks.incoming(session, willed, true)
  if (typeof answer === 'number') {
    drop(will.topic, 'hook_refused', session.namespace)
    return
  }
  broker.counters.willsPublished++
  try {
    const { message, retain } = answer ?? willed
    const outcome = publishMessage(broker, session.namespace, message, retain, session)
    if (outcome === 'quota-exceeded' || outcome === 'malformed-address')
      drop(will.topic, 'will_refused', session.namespace)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    // For instance a recovered will, where fewer levels are allowed than before: what its session has to do goes on.
    drop(will.topic, 'will_refused', session.namespace)
    broker.log.error({ err: error, clientId: session.clientId }, 'a will could not be published')
  }
}

function willMessage(will: Will, publisher: string, now: number): Message {
  const expiry = will.properties.messageExpiryInterval
  return {
    id: 0,
    topic: encodeUtf8(will.topic),
    name: will.topic,
    payload: will.payload,
    forwardProperties: will.forwardProperties,
    qos: will.qos,
    expiresAt: expiry === undefined ? Infinity : now + expiry * 1000,
    publisher,
    publishedAt: now,
    references: 0,
    holders: 0,
  }
}
