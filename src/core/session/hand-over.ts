/**
 * What a member leaves behind when it goes away from its share group: QoS 1, and whatever was never sent, goes to another
 * member. QoS 2 in flight stays with its session and ends with it [MQTT-4.8.2-4, MQTT-4.8.2-5].
 *
 * A message never leaves before another has it. Between two stored sessions it moves by one record, body and all, also when it
 * is in the store only. Who may take it over:
 *
 * - While the leaver's session lives on: a member that is connected; of a stored session, only one that is stored too. Without
 *   such a member the message stays and waits for its own client.
 * - When the session ends: stored members first, connected or not, then any that is connected. From then on the message is
 *   as safe as whoever has it. Only where nobody is left who could take it does it end with the session, counted.
 *
 * Whoever may not receive a message takes none over. Where those who could take it have no room now, it waits with the leaver and is tried again. So an ended session stays, and
 * is in the store as ended (`endedSession`), until the last of its groups' messages is gone; a restart goes on with it.
 * It is done in steps, so many messages in a turn.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { discard, enqueue, put } from '../publish/deliver.ts'
import { type Message, messageBytes, republished } from '../publish/message.ts'
import { sendQos0 } from '../publish/send.ts'
import { chooseMember, dispatchedMessage, mayTake, type SharedGroup } from '../subscriptions/shared-group.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { type Delivery, waitingDelivery } from './delivery.ts'
import { endLeaving, keepLeftGroup, type Leaving } from './left-groups.ts'
import { messageOf, requestPage } from './queue-pages.ts'
import { Session } from './session.ts'

const messagesPerTurnMax = 500
/** Places of the queue that are looked at. */
const stepsPerTurnMax = 10_000
/** So long a hand-over waits when nobody has room. */
const retryMs = 1000

/** 'stays': as long as things are as they are, nobody can take it. 'waits': nobody has room now. */
type Outcome = 'given' | 'stays' | 'waits'

export class HandOver implements Leaving {
  readonly #broker: Broker
  readonly #session: Session
  readonly #group: SharedGroup
  readonly #onEnd: () => void
  /** Everything of the group before this position was looked at. */
  #position: number
  #retry: Deadline | null = null
  /** Nobody has room until `#retry`. */
  #waits = false
  #over = false

  /** `onEnd`: of an ended session, which is to be told. */
  constructor(broker: Broker, session: Session, group: SharedGroup, onEnd: () => void) {
    this.#broker = broker
    this.#session = session
    this.#group = group
    this.#onEnd = onEnd
    // A client that merely unsubscribed still acknowledges what is in flight to it.
    this.#position = session.link === null ? session.queue.base : session.queue.sendPosition
  }

  /** The client is back, and so are its messages; or its session ends, and all begins anew. */
  cancel(): void {
    keepLeftGroup(this.#session, this.#group)
    this.#close()
  }

  #close(): void {
    this.#over = true
    if (this.#retry !== null) this.#broker.deadlines.clear(this.#retry)
  }

  /** Goes on; called too when a page of the queue has come, and in a turn that was asked for. */
  pump(): void {
    if (this.#over || this.#waits) return
    const { queue } = this.#session
    const { filter } = this.#group
    if (this.#session.link !== null) this.#position = Math.max(this.#position, queue.sendPosition)
    const { cost } = this.#broker
    const stepsEnd = cost.steps + stepsPerTurnMax
    for (let budget = messagesPerTurnMax; this.#position < queue.residentEnd; this.#position++) {
      if (cost.steps++ >= stepsEnd) {
        this.#broker.awaitTurn(this)
        return
      }
      const delivery = queue.at(this.#position)
      if (delivery === null || delivery.message === null || delivery.group?.filter !== filter) continue
      if (delivery.qos === 2 && delivery.dup) continue
      if (budget-- === 0) {
        this.#broker.awaitTurn(this)
        return
      }
      if (delivery.message.expiresAt <= this.#broker.now) {
        // Its own client may get again what it was sent [MQTT-4.3.3-7], another may not [MQTT-3.3.2-5].
        if (delivery.dup && !this.#session.ended) continue
        drop(delivery.message?.name ?? '', 'expired', this.#session)
        discard(this.#broker, this.#session, this.#position, delivery)
        continue
      }
      const outcome = this.#give(this.#position, delivery, delivery.message, delivery.retain)
      if (outcome !== 'given' && this.#pause(outcome)) return
    }
    if (!this.#session.stored || this.#position >= queue.nextPosition) this.#end()
    else requestPage(this.#broker, this.#session, this.#position, filter, (page) => this.#onPage(page))
  }

  /** Entries that only the store has. */
  #onPage(page: RecoveredPage): void {
    if (this.#over) return
    const session = this.#session
    for (const { reference, message } of page.entries) {
      const { position, qos, retain } = reference
      if (position < this.#position) continue
      const sent = position < session.queue.recoveredSent
      if (sent ? qos === 2 : position < session.queue.firstUnsentStored) continue
      this.#position = position
      if (message.expiresAt <= this.#broker.now) {
        if (sent && !session.ended) continue
        drop('', 'expired', session)
        this.#broker.journal.dequeue(session, position, null)
        this.#leftStore(message.payload.length)
        continue
      }
      const outcome = this.#give(position, null, messageOf(message), retain)
      if (outcome !== 'given' && this.#pause(outcome)) return
    }
    const last = page.entries.at(-1)
    if (last !== undefined) this.#position = Math.max(this.#position, last.reference.position + 1)
    if (!page.more) this.#end()
    // Else onQueuePage calls `pump`, which asks for the next.
  }

  /** Returns false where the rest is to be tried all the same. */
  #pause(outcome: 'stays' | 'waits'): boolean {
    if (outcome === 'stays') {
      // Of an ended session, another message may have another taker: QoS 2, or another key.
      if (this.#session.ended) return false
      this.#end(true)
      return true
    }
    this.#waits = true
    this.#retry ??= new Deadline(() => this.#onRetry())
    this.#broker.deadlines.set(this.#retry, this.#broker.now + retryMs)
    return true
  }

  #onRetry(): void {
    this.#waits = false
    this.pump()
  }

  /** `stays`: what a group that was unsubscribed from has left goes on when the client leaves or the session ends; others may be there by then. */
  #end(stays = false): void {
    this.#close()
    const session = this.#session
    if (stays) keepLeftGroup(session, this.#group)
    else session.leftGroups?.delete(this.#group.filter)
    endLeaving(session, this)
    this.#onEnd()
  }

  /** `delivery`: null where it is in the store only. */
  #give(position: number, delivery: Delivery | null, message: Message, retain: boolean): Outcome {
    const session = this.#session
    const storedOnly = session.stored ? this.#choose(message, retain, true) : null
    const member = storedOnly ?? (session.stored && !session.ended ? null : this.#choose(message, retain, false))
    if (member === null) return 'stays'
    const qos: Qos = message.qos < member.qos ? message.qos : member.qos
    const { destination } = member
    if (!(destination.ready || (qos > 0 && destination.hasRoom))) return 'waits'
    if (qos > 0 && destination instanceof Session) {
      const next = waitingDelivery(message, qos, retain && member.retainAsPublished, member.identifiers, member.group)
      if (session.stored && destination.stored) this.#move(position, delivery, destination, next)
      else {
        enqueue(this.#broker, destination, { ...next, message: republished(message) })
        this.#takeAway(position, delivery, message)
      }
      return 'given'
    }
    this.#send(member, message, retain && member.retainAsPublished)
    this.#takeAway(position, delivery, message)
    return 'given'
  }

  /** A group that was empty for a while is another one now. */
  #groupNow(): SharedGroup {
    if (this.#group.members.length > 0) return this.#group
    return this.#session.namespace.index.group(this.#group.filter) ?? this.#group
  }

  #choose(message: Message, retain: boolean, storedOnly: boolean): Subscription | null {
    const { ended } = this.#session
    const dispatched = dispatchedMessage(message, retain)
    const excluded = (member: Subscription): boolean =>
      member.destination === this.#session ||
      (!ended && !member.destination.online) ||
      (storedOnly && (!member.destination.stored || member.qos === 0)) ||
      !mayTake(member, dispatched)
    return chooseMember(this.#groupNow(), dispatched, excluded)
  }

  /** From one stored session to another, by one record. */
  #move(position: number, delivery: Delivery | null, to: Session, next: Delivery): void {
    const { journal } = this.#broker
    const toPosition = put(this.#broker, to, next)
    journal.move(this.#session, position, delivery, { owner: to, position: toPosition, delivery: next })
    const bytes = messageBytes(next.message!)
    if (delivery === null) this.#leftStore(bytes)
    else this.#leftMemory(position, bytes)
    to.client?.pump()
  }

  /** At QoS 0, or to a subscriber inside the program. */
  #send(member: Subscription, message: Message, retain: boolean): void {
    const { destination, identifiers } = member
    const broker = this.#broker
    if (!(destination instanceof Session)) {
      const { publication } = broker
      publication.beginMessage(republished(message), null, retain, null, broker.now)
      destination.accept(broker, publication, member)
      publication.end()
    } else {
      sendQos0(broker, destination.client!, message, retain, identifiers)
    }
  }

  /** Another has it, and not by a record that takes it from here. */
  #takeAway(position: number, delivery: Delivery | null, message: Message): void {
    if (delivery !== null) {
      discard(this.#broker, this.#session, position, delivery)
      return
    }
    this.#broker.journal.dequeue(this.#session, position, null)
    this.#leftStore(messageBytes(message))
  }

  #leftMemory(position: number, bytes: number): void {
    const { queue } = this.#session
    queue.taken(bytes)
    queue.clear(position)
  }

  #leftStore(bytes: number): void {
    const { queue } = this.#session
    queue.takenStored(-1, bytes)
    queue.leaveHoles()
  }
}
