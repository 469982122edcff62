/** SUBSCRIBE to a queue, and what a session's life means for what it consumes. */
import type { Properties, Qos, SubscriptionRequest } from '../../mqtt/packet.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { parseTopicFilter, sharePrefix } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { mayConsume } from '../ports/authority.ts'
import type { Session } from '../session/session.ts'
import { noIdentifiers } from '../subscriptions/subscription-index.ts'
import { queuePrefix } from './address.ts'
import { Consumer } from './consumer.ts'
import { explicitPrefetchDefault } from './definition.ts'
import type { Queue } from './queue.ts'
import { connectionLost, releaseAll } from './verdict.ts'

/** Why a queue may not be consumed, or a stream not be read; the text is for the client. */
export interface ConsumeRefusal {
  readonly code: ReasonCode
  readonly reason: string
}

export const refusal = (code: ReasonCode, reason: string): ConsumeRefusal => ({ code, reason })

/** Whether the filter is about a queue, in a share group too. */
export function isQueueFilter(filter: string): boolean {
  if (filter.startsWith(queuePrefix)) return true
  return filter.startsWith(sharePrefix) && (parseTopicFilter(filter)?.filter.startsWith(queuePrefix) ?? false)
}

/** The queue that a filter of a subscription names; a text: why it names none. */
export function queueOf({ namespace }: Session, filter: string): Queue | string {
  if (!filter.startsWith(queuePrefix)) return 'a queue is its own group: subscribe to $queue/<name> without $share'
  const slash = filter.indexOf('/', queuePrefix.length)
  const name = filter.slice(queuePrefix.length, slash < 0 ? undefined : slash)
  const queue = namespace.queues.get(name)
  if (queue === undefined || !queue.declared) {
    return `there is no queue ${name}; a shared subscription is $share/<group>/<filter>`
  }
  const declared = queue.definition.filter
  if (slash < 0 || filter.slice(slash + 1) === declared) return queue
  return declared === null ? `the queue ${name} has no filter` : `the queue ${name} has the filter ${declared}`
}

interface Wishes {
  prefetch: number
  explicit: boolean
}

/** What the user properties of SUBSCRIBE ask for; a text: what is wrong with them. */
function wishesOf({ userProperties = [] }: Properties, { definition }: Queue): Wishes | string {
  const wishes: Wishes = { prefetch: Infinity, explicit: definition.settle === 'explicit' }
  for (const [name, value] of userProperties) {
    if (name === 'prefetch') {
      wishes.prefetch = Number(value)
      if (!/^[1-9][0-9]{0,4}$/.test(value)) return 'prefetch is a number from 1 to 99999'
    }
    if (name !== 'settle') continue
    if (value !== 'puback' && value !== 'explicit') return 'settle is puback or explicit'
    wishes.explicit = value === 'explicit'
  }
  if (wishes.explicit && wishes.prefetch === Infinity) wishes.prefetch = explicitPrefetchDefault
  return wishes
}

/** Whether the client may; limits on subscriptions are the caller's. Nothing is changed yet. */
export function consumeRefusal(
  session: Session,
  request: SubscriptionRequest,
  properties: Properties,
): ConsumeRefusal | null {
  const queue = queueOf(session, request.topicFilter)
  if (typeof queue === 'string') return refusal(ReasonCode.topicFilterInvalid, queue)
  const { definition, name } = queue
  if (!mayConsume(session.client?.grant ?? null, `${queuePrefix}${name}`, definition.filter)) {
    return refusal(ReasonCode.notAuthorized, `not authorized to consume the queue ${name}`)
  }
  if (request.qos === 0 && !definition.allowQos0) {
    return refusal(ReasonCode.implementationSpecificError, `the queue ${name} is consumed at QoS 1`)
  }
  const wishes = wishesOf(properties, queue)
  return typeof wishes === 'string' ? refusal(ReasonCode.implementationSpecificError, wishes) : null
}

/** The session consumes the queue from here on. Returns the granted QoS. */
export function consume(broker: Broker, session: Session, request: SubscriptionRequest, properties: Properties): Qos {
  const queue = queueOf(session, request.topicFilter) as Queue
  const consumer = consumerOf(broker, session, queue, request.topicFilter)
  const { prefetch, explicit } = wishesOf(properties, queue) as Wishes
  consumer.qos = request.qos === 0 ? 0 : 1
  consumer.prefetch = prefetch
  consumer.explicit = explicit
  const identifier = properties.subscriptionIdentifiers?.[0] ?? 0
  consumer.identifiers = identifier > 0 ? [identifier] : noIdentifiers
  if (session.stored) broker.journal.subscription(session, consumer)
  return consumer.qos
}

/** The one by this filter, made where there is none. */
export function consumerOf(broker: Broker, session: Session, queue: Queue, filter: string): Consumer {
  const existing = session.subscriptions.get(filter)
  if (existing instanceof Consumer) return existing
  const consumer = new Consumer(broker, queue, session, filter)
  consumer.explicit = queue.definition.settle === 'explicit'
  if (consumer.explicit) consumer.prefetch = explicitPrefetchDefault
  session.subscriptions.set(filter, consumer)
  session.consumers ??= new Set()
  session.consumers.add(consumer)
  session.namespace.countConsumer(1)
  queue.addConsumer(consumer)
  return consumer
}

/** It consumes no more, though its session goes on; all that is with it goes back. */
export function endConsumer(broker: Broker, consumer: Consumer): void {
  forget(consumer)
  releaseAll(broker, consumer)
}

/** The session ends: what is with it is as with a connection that broke, unless it was released before. */
export function endConsumers(broker: Broker, session: Session): void {
  if (session.consumers === null) return
  for (const consumer of session.consumers) {
    connectionLost(broker, consumer)
    session.subscriptions.delete(consumer.filter)
    forget(consumer)
  }
  session.consumers = null
}

function forget(consumer: Consumer): void {
  const { session } = consumer
  session.consumers?.delete(consumer)
  session.namespace.countConsumer(-1)
  consumer.end()
}

/** The client says that it leaves: nobody has to wait for what is with it. */
export function releaseConsumers(broker: Broker, session: Session): void {
  for (const consumer of session.consumers ?? []) consumer.isLeaving = true
  for (const consumer of session.consumers ?? []) releaseAll(broker, consumer)
}

/** Its session may have room for messages. */
export function offerRoom(consumers: ReadonlySet<Consumer>): void {
  for (const consumer of consumers) {
    consumer.queue.offer(consumer)
    consumer.queue.pump()
  }
}
