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

export interface PendingWill {
  readonly will: Will
  /** Set while it waits for its delay. */
  deadline: Deadline | null
}

/** The network connection ended without a DISCONNECT that removes the will. */
export function connectionLost(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  const delay = Math.min(pending.will.properties.willDelayInterval ?? 0, session.expiryInterval)
  if (delay === 0) {
    publishWill(broker, session)
    return
  }
  delayWill(broker, session, broker.now + delay * 1000)
  if (session.stored) broker.journal.will(session, pending)
}

export function delayWill(broker: Broker, session: Session, dueAt: number): void {
  const pending = session.will!
  pending.deadline ??= new Deadline(() => publishWill(broker, session))
  broker.deadlines.set(pending.deadline, dueAt)
}

/** Forgets the will without publishing it: DISCONNECT 0x00, or the client came back in time. */
export function discardWill(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  if (pending.deadline !== null) broker.deadlines.clear(pending.deadline)
  session.will = null
  broker.journal.willEnd(session)
}

export function publishWill(broker: Broker, session: Session): void {
  const pending = session.will
  if (pending === null) return
  const { will } = pending
  discardWill(broker, session)
  broker.counters.willsPublished++
  try {
    publishMessage(broker, willMessage(will, session.clientId, broker.now), will.retain, session)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    // For instance a recovered will, where fewer levels are allowed than before: what its session has to do goes on.
    drop(broker, null, 'will_refused', null)
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
  }
}
