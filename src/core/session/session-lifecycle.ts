/** The life of sessions: attach to a connection, detach, expire, end. */
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { workStepsMax } from '../cost.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import { endConsumers, releaseConsumers } from '../logs/consume.ts'
import { endReaders, readersBack, readersGone, releaseReaders } from '../logs/read-stream.ts'
import type { SessionEnd } from '../ports/hooks.ts'
import type { Leaving } from '../presence.ts'
import { rewind } from '../publish/deliver.ts'
import { endShaped } from '../shaping/shaper.ts'
import type { SharedGroup } from '../subscriptions/shared-group.ts'
import { HandOver } from './hand-over.ts'
import { groupsInMemory, groupsLeft, LeftGroupSearch, mayHaveLeftGroups } from './left-groups.ts'
import { neverExpires, type Session } from './session.ts'
import { unloadWhenCommitted } from './unload.ts'
import { connectionLost, discardWill, publishWill } from './will.ts'

/** In the store, of a session that has ended and is there only for what its share groups have not taken over yet. */
export const endedAt = 0

export function attach(broker: Broker, session: Session, client: Client): void {
  session.client = client
  session.link = client.link
  session.connectedAt = broker.now
  session.version = client.version || session.version
  session.namespace.presence?.note(session.clientId, null)
  if (session.expiry !== null) broker.deadlines.clear(session.expiry)
  cancelHandOvers(session)
  session.stored ||= broker.journal.durable && session.durable
  if (session.stored) broker.journal.session(session, Infinity)
  rewind(session)
  for (const consumer of session.consumers ?? []) consumer.endGrace()
  readersBack(session)
}

/** The client says that it leaves: there is no will, and nobody has to wait for what it works on. */
export function leaveOrderly(broker: Broker, session: Session): void {
  discardWill(broker, session)
  releaseConsumers(broker, session)
  releaseReaders(session)
}

/** The connection is gone. `lost`: without a DISCONNECT that removes the will. */
export function detach(broker: Broker, session: Session, leaving: Leaving): void {
  session.client = null
  session.link = null
  if (broker.shuttingDown) return
  session.namespace.presence?.note(session.clientId, leaving)
  endShaped(session)
  rewind(session)
  connectionLost(broker, session)
  if (!session.durable) {
    endSession(broker, session, 'disconnected')
    return
  }
  for (const consumer of session.consumers ?? []) consumer.startGrace()
  readersGone(session)
  // What is in flight of a group that it had left is as good as unsent now.
  cancelHandOvers(session)
  handOver(broker, session, groupsLeft(session).values())
  const { expiryInterval } = session
  const expiresAt = expiryInterval === neverExpires ? Infinity : broker.now + expiryInterval * 1000
  scheduleExpiry(broker, session, expiresAt)
  if (session.stored) broker.journal.session(session, expiresAt)
  unloadWhenCommitted(broker, session)
}

export function scheduleExpiry(broker: Broker, session: Session, expiresAt: number): void {
  session.expiry ??= new Deadline(() => {
    session.namespace.traffic.sessionsExpired++
    endSession(broker, session, 'expired')
  })
  broker.deadlines.set(session.expiry, expiresAt)
}

/** Ends a session: its will is due now at the latest, its subscriptions and its queue go [MQTT-3.1.2-23]. */
export function endSession(broker: Broker, session: Session, because: SessionEnd): void {
  if (broker.hooks !== null) broker.hooks.sessionEnded(session, because)
  if (session.expiry !== null) broker.deadlines.clear(session.expiry)
  publishWill(broker, session)
  endConsumers(broker, session)
  endReaders(session)
  session.namespace.removeSession(session)
  session.namespace.presence?.note(session.clientId, null)
  session.pendingRetained.clear()
  cancelHandOvers(session)
  session.ended = true
  session.expiryInterval = 0
  if (session.recorded) broker.endings.add(session, broker.journal.ticket)
  const groups = groupsLeft(session)
  if (mayHaveLeftGroups(session)) searchLeftGroups(broker, session, groups.keys())
  handOver(broker, session, groups.values())
  removeSubscriptions(broker, session)
  if (!finishIfLeft(broker, session) && session.recorded) broker.journal.session(session, endedAt)
}

/** A hundred thousand of them take turns. What still finds the session meanwhile has nobody to deliver to, nor has a group. */
function removeSubscriptions(broker: Broker, session: Session): void {
  const { cost } = broker
  const { subscriptions, namespace } = session
  const piece = (stepsEnd: number): boolean => {
    for (const [filter, subscription] of subscriptions) {
      if (cost.steps >= stepsEnd) return false
      cost.steps += stepsPerSubscription
      subscriptions.delete(filter)
      namespace.removeSubscription(subscription)
    }
    return true
  }
  if (!piece(cost.steps + workStepsMax)) broker.later(piece)
}

const stepsPerSubscription = 5

/** A session leaves a share group while its client stays. */
export function leaveGroup(broker: Broker, session: Session, group: SharedGroup): void {
  const { queue } = session
  const inMemory = queue.residentEnd === queue.nextPosition
  if (!inMemory || groupsInMemory(session).has(group.filter)) handOver(broker, session, [group])
}

/**
 * What a session has of these share groups goes to other members, as far as they can take it. It may be in a hundred thousand; only
 * those are gone through of which something waits, or may wait in the store.
 */
function handOver(broker: Broker, session: Session, groups: Iterable<SharedGroup>): void {
  const onEnd = (): void => {
    if (session.ended) finishIfLeft(broker, session)
    else if (session.client === null) unloadWhenCommitted(broker, session)
  }
  const handOvers: HandOver[] = []
  for (const group of groups) handOvers.push(new HandOver(broker, session, group, onEnd))
  if (handOvers.length === 0) return
  session.handOvers ??= new Set()
  for (const handOver of handOvers) session.handOvers.add(handOver)
  const stepsEnd = broker.cost.steps + workStepsMax
  for (const handOver of handOvers) {
    if (broker.cost.steps < stepsEnd) handOver.pump()
    else broker.awaitTurn(handOver)
  }
}

/** Of groups that it unsubscribed from before the gateway was restarted. */
function searchLeftGroups(broker: Broker, session: Session, known: Iterable<string>): void {
  const search = new LeftGroupSearch(broker, session, known, {
    onFound: (group) => handOver(broker, session, [group]),
    onEnd: () => finishIfLeft(broker, session),
  })
  session.handOvers ??= new Set()
  session.handOvers.add(search)
  search.pump()
}

function cancelHandOvers(session: Session): void {
  if (session.handOvers === null) return
  for (const handOver of session.handOvers) handOver.cancel()
  session.handOvers = null
}

/** Whether the last that an ended session had has gone to others, or has nobody to go to. */
function finishIfLeft(broker: Broker, session: Session): boolean {
  if (session.handOvers !== null) return false
  if (!broker.sessionsByNumber.delete(session.number)) return true
  if (session.principal === '') broker.budgets.anonymousSessions.used--
  if (session.queue.waiting > 0) drop('', 'session_ended', session, session.queue.waiting)
  if (session.recorded) broker.journal.sessionEnd(session)
  // Routes that are resolved anew only when their topic comes again still name the session.
  session.queue.abandon()
  session.window.inflight = 0
  return true
}
