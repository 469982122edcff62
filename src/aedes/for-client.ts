/** What a program does with a client's session: gives it a message, and subscriptions. To be called within a turn. */
import type { Broker } from '../core/broker.ts'
import { discard, enqueue } from '../core/publish/deliver.ts'
import type { Message } from '../core/publish/message.ts'
import { sendQos0 } from '../core/publish/send.ts'
import { waitingDelivery } from '../core/session/delivery.ts'
import type { Session } from '../core/session/session.ts'
import { subscribe } from '../core/subscriptions/subscribe.ts'
import type { Subscription } from './packets.ts'

export function deliverTo(broker: Broker, session: Session, message: Message, retain: boolean): void {
  if (session.ended) return
  if (message.qos > 0) enqueue(broker, session, waitingDelivery(message, message.qos, retain, [], null))
  else if (session.client !== null) sendQos0(broker, session.client, message, retain, [])
}

/** What is in the store only is not waited for: it comes when it is read. */
export function emptyQueueOf(broker: Broker, session: Session): void {
  const { queue } = session
  for (let position = queue.sendPosition; position < queue.residentEnd; position++) {
    const delivery = queue.at(position)
    if (delivery !== null && delivery.message !== null) discard(broker, session, position, delivery)
  }
}

export function subscribeFor(broker: Broker, session: Session, subscriptions: readonly Subscription[]): void {
  const pending: (() => void)[] = []
  for (const { topic, qos, rh, rap = false, nl = false } of subscriptions) {
    const request = {
      topicFilter: topic,
      qos: qos === 1 || qos === 2 ? qos : 0,
      noLocal: nl,
      retainAsPublished: rap,
      retainHandling: rh === 1 || rh === 2 ? rh : 0,
    } as const
    subscribe(broker, session, { request, identifier: 0, wishes: null, refusals: [] }, pending)
  }
  for (const begin of pending) begin()
  session.client?.pump()
}
