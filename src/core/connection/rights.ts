/**
 * Rights that change while a client is connected or while its session waits. What is published or sent next is asked of the new
 * grant anyway; what was granted for longer, subscriptions and the will, is looked through here.
 */
import { parseTopicFilter } from '../../mqtt/topic.ts'
import type { Broker } from '../broker.ts'
import { workStepsMax } from '../cost.ts'
import { drop } from '../drop.ts'
import { queuePrefix, streamPrefix } from '../logs/address.ts'
import { Consumer } from '../logs/consumer.ts'
import { StreamReader } from '../logs/stream-reader.ts'
import { type Grant, mayConsume } from '../ports/authority.ts'
import { mayPublishWill } from '../publish/may-publish.ts'
import type { Session } from '../session/session.ts'
import { discardWill } from '../session/will.ts'
import { unsubscribe } from '../subscriptions/subscribe.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import type { Client } from './client.ts'

/** The client has this grant from here on; null: it may do everything. */
export function changeGrant(broker: Broker, client: Client, grant: Grant | null): void {
  client.grant = grant
  const { session } = client
  if (session === null || grant === null) return
  endForbiddenSubscriptions(broker, session, grant)
  const pending = session.will
  if (pending === null) return
  if (mayPublishWill(session.namespace, grant, pending.will)) return
  discardWill(broker, session)
  drop(pending.will.topic, 'not_authorized', session.namespace)
}

/**
 * MQTT has no packet that tells a client that a subscription ended. It ends all the same: a session must not hold, for a later
 * grant or after a restart, what its owner may not have. The client meets the refusal when it subscribes again. A hundred
 * thousand take turns; until theirs has come, no message is sent to them that may not be received.
 */
export function endForbiddenSubscriptions(broker: Broker, session: Session, grant: Grant): void {
  const { cost } = broker
  const { client } = session
  // Subscriptions that are made meanwhile, which the iterator meets too, were asked for already.
  const subscriptions = session.subscriptions.values()
  const piece = (stepsEnd: number): boolean => {
    // Whoever came in between, or the same client's next grant, is asked about all of them.
    if (session.client !== client || client?.grant !== grant) return true
    while (cost.steps < stepsEnd) {
      const next = subscriptions.next()
      if (next.done === true) return true
      cost.steps += stepsPerSubscription
      endIfForbidden(broker, session, grant, next.value)
    }
    return false
  }
  if (!piece(cost.steps + workStepsMax)) broker.later(piece)
}

function mayKeep(grant: Grant, subscription: Subscription): boolean {
  if (subscription instanceof Consumer) {
    const { name, definition } = subscription.queue
    return mayConsume(grant, `${queuePrefix}${name}`, definition.filter)
  }
  if (subscription instanceof StreamReader) {
    const { stream, topicFilter, consumerGroup } = subscription
    const group = consumerGroup?.name ?? null
    return mayConsume(grant, `${streamPrefix}${stream.name}`, topicFilter ?? stream.definition.filter, group)
  }
  const { filter, qos } = subscription
  const parsed = parseTopicFilter(filter)
  return parsed === undefined || grant.maySubscribe(parsed.filter, qos, parsed.shared?.group ?? null)
}

/** A rule is some look-ups and comparisons. */
const stepsPerSubscription = 5

function endIfForbidden(broker: Broker, session: Session, grant: Grant, subscription: Subscription): void {
  const { filter } = subscription
  if (mayKeep(grant, subscription)) return
  unsubscribe(broker, session, filter)
  broker.counters.subscriptionsRevoked++
  broker.log.info({ audit: true, clientId: session.clientId, filter }, 'subscription ended: its client may not have it')
}
