/** SUBSCRIBE and UNSUBSCRIBE: each filter answered on its own; retained messages follow the SUBACK. */
import { encodeSuback, encodeUnsuback } from '../../mqtt/encoder.ts'
import type { Properties, Qos, SubscribePacket, SubscriptionRequest, UnsubscribePacket } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import { parseTopicFilter, type TopicFilter } from '../../mqtt/topic.ts'
import { sayable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { subscriptionObjectBytes } from '../budgets.ts'
import type { Client } from '../connection/client.ts'
import { yieldWhereDue } from '../cost.ts'
import { delayedPrefix } from '../logs/address.ts'
import { consume, consumeRefusal, endConsumer, isQueueFilter } from '../logs/consume.ts'
import { Consumer } from '../logs/consumer.ts'
import { endReader, isStreamFilter, read, readRefusal } from '../logs/read-stream.ts'
import { StreamReader } from '../logs/stream-reader.ts'
import type { Namespace } from '../namespace.ts'
import type { BrokerOptions } from '../options.ts'
import { limitsOf } from '../publish/publish-rates.ts'
import { rewrittenFilter } from '../rewrite/entrance.ts'
import type { Session } from '../session/session.ts'
import { leaveGroup } from '../session/session-lifecycle.ts'
import { shape } from '../shaping/shape.ts'
import { forgetShaped, Shaper } from '../shaping/shaper.ts'
import { type Wishes, wishesOf } from '../shaping/wishes.ts'
import { noIdentifiers, Subscription } from './subscription-index.ts'

/** To parse a filter, to find its node and to write it down. */
const stepsPerFilter = 5

/** SUBACK's only failure code in 3.1.1. */
const failure = 0x80

export function onSubscribe(broker: Broker, client: Client, packet: SubscribePacket): void {
  const session = client.session!
  const appended = broker.journal.appended
  const identifier = packet.properties.subscriptionIdentifiers?.[0] ?? 0
  const pending: (() => void)[] = []
  const wishes = wishesOf(packet.properties)
  const refusals: string[] = []
  const reasonCodes = packet.subscriptions.map((given) => {
    const request = rewritten(session, given)
    const isLog = isQueueFilter(request.topicFilter) || isStreamFilter(request.topicFilter)
    const code = isLog
      ? subscribeToLog(broker, session, request, packet.properties, refusals)
      : subscribe(broker, session, { request, identifier, wishes, refusals }, pending)
    if (code >= failure) noteRefusal(broker, client, request, code)
    if (code < failure || client.version === 5) return code
    // To 3.1, which has no failure code, it would look like a granted QoS.
    if (client.version === 3) throw new ProtocolError(code as ReasonCode, `${request.topicFilter} is refused`)
    return failure
  })
  const ticket = broker.journal.appended === appended ? 0 : broker.journal.ticket
  client.answer(subackOf(client, packet.packetId, reasonCodes, refusals), ticket)
  for (const begin of pending) begin()
  client.pump()
  yieldWhereDue(broker.cost, client.link)
}

/** A bridge of ours names topics as they are here. */
function rewritten({ namespace, client }: Session, request: SubscriptionRequest): SubscriptionRequest {
  if (client?.peer.relays === true) return request
  const topicFilter = rewrittenFilter(namespace, request.topicFilter)
  return topicFilter === request.topicFilter ? request : { ...request, topicFilter }
}

/** What is longer than the client accepts goes without its text [MQTT-3.9.2-1]. */
function subackOf(client: Client, packetId: number, reasonCodes: number[], refusals: readonly string[]): Uint8Array {
  const { version } = client.session!
  const whole = encodeSuback(version, { packetId, reasonCodes, properties: reasonsOf(client, refusals) })
  return whole.length <= client.maximumPacketSize
    ? whole
    : encodeSuback(version, { packetId, reasonCodes, properties: {} })
}

/** Only queues, streams and shaped subscriptions say more than their code. */
function reasonsOf({ problemInformation }: Client, refusals: readonly string[]): Properties {
  return refusals.length === 0 || !problemInformation ? {} : { reasonString: sayable(refusals.join('; ')) }
}

/** The same as `subscribe` for `$queue/<name>` and `$stream/<name>`. Why not, in words, is added to `refusals`. */
function subscribeToLog(
  broker: Broker,
  session: Session,
  request: SubscriptionRequest,
  properties: Properties,
  refusals: string[],
): number {
  broker.cost.steps += stepsPerFilter
  const parsed = parseTopicFilter(request.topicFilter)
  if (parsed === undefined) return invalidFilter(session, request.topicFilter)
  if (wishesOf(properties) !== null) {
    refusals.push('queues and streams are not shaped')
    return ReasonCode.topicFilterInvalid
  }
  const isStream = isStreamFilter(request.topicFilter)
  const refusal = isStream
    ? readRefusal(broker, session, request, properties)
    : consumeRefusal(session, request, properties)
  if (refusal !== null) {
    refusals.push(refusal.reason)
    return refusal.code
  }
  if (!mayHaveAnother(broker, session, request.topicFilter, parsed)) return ReasonCode.quotaExceeded
  return (isStream ? read : consume)(broker, session, request, properties)
}

function noteRefusal(
  { counters, audit }: Broker,
  client: Client,
  { topicFilter }: SubscriptionRequest,
  code: number,
): void {
  const reason = reasonName(code)
  counters.subscriptionsRefused.add(reason)
  audit.refused('subscribe', client, topicFilter, reason)
}

export interface AskedSubscription {
  request: SubscriptionRequest
  identifier: number
  /** Null: it comes unshaped. A text: what is wrong with them. */
  wishes: Wishes | string | null
  /** What is added to is told to the client. */
  refusals: string[]
}

/** Returns the granted QoS or the reason why not. */
export function subscribe(
  broker: Broker,
  session: Session,
  { request, identifier, wishes, refusals }: AskedSubscription,
  pending: (() => void)[],
): number {
  broker.cost.steps += stepsPerFilter
  const { topicFilter } = request
  const parsed = parseTopicFilter(topicFilter)
  if (parsed === undefined) return invalidFilter(session, topicFilter)
  const existing = session.subscriptions.get(topicFilter)
  const refusal = checkRequest(broker, session, parsed, request, identifier)
  if (refusal !== undefined) return refusal
  const shaped = wishes === null ? null : shape(broker, session, topicFilter, wishes)
  if (shaped !== null && !(shaped instanceof Shaper)) {
    refusals.push(shaped.reason)
    return shaped.code
  }
  const { maximumQos } = broker.options
  const asked: Qos = request.qos < maximumQos ? request.qos : maximumQos
  const qos = shaped === null ? asked : shaped.qosOf(asked)
  // What goes elsewhere than before is another one by the same filter.
  const changed = shaped === null && existing?.destination === session ? existing : undefined
  if (existing !== undefined && changed === undefined) remove(broker, session, existing)
  const subscription = changed ?? shaped?.subscription ?? new Subscription(session, topicFilter)
  subscription.qos = qos
  subscription.noLocal = request.noLocal || (session.bridge && parsed.shared === undefined)
  subscription.retainAsPublished = request.retainAsPublished || session.bridge
  subscription.retainHandling = request.retainHandling
  subscription.identifiers = identifier > 0 ? [identifier] : noIdentifiers
  if (changed === undefined) {
    session.subscriptions.set(topicFilter, subscription)
    session.namespace.addSubscription(subscription, parsed)
  } else {
    session.namespace.index.changed(parsed)
  }
  if (session.stored && shaped === null) broker.journal.subscription(session, subscription)
  const wantsRetained = request.retainHandling === 0 || (request.retainHandling === 1 && existing === undefined)
  if (wantsRetained && parsed.shared === undefined) {
    const { identifiers } = subscription
    pending.push(() => {
      const messages = session.namespace.retained.match(parsed.filter)
      const ticket = session.stored ? broker.journal.ticket : 0
      session.pendingRetained.push({ subscription, messages, qos, identifiers, ticket })
    })
  }
  return qos
}

/** A plain subscription leaves the session, the index and the store, a shaped one the first two. */
function remove(broker: Broker, session: Session, subscription: Subscription): void {
  const { filter, destination } = subscription
  if (destination instanceof Shaper) {
    forgetShaped(session, destination)
    return
  }
  session.subscriptions.delete(filter)
  session.namespace.removeSubscription(subscription)
  if (session.stored) broker.journal.unsubscription(session, filter)
}

function checkRequest(
  broker: Broker,
  session: Session,
  parsed: TopicFilter,
  request: SubscriptionRequest,
  identifier: number,
): number | undefined {
  const { options } = broker
  // Nothing is ever published under such topics: a subscription would be silent for ever.
  const isSilent = parsed.filter.startsWith(delayedPrefix)
  if (parsed.levels > options.topicLevelsMax || isSilent) return ReasonCode.topicFilterInvalid
  const unavailable = unavailableFeature(options, parsed, identifier)
  if (unavailable !== undefined) {
    // A 5.0 client was told in CONNACK (sections 3.2.2.3.11 to 3.2.2.3.13).
    if (session.version === 5) throw new ProtocolError(unavailable, 'SUBSCRIBE uses what CONNACK said is not available')
    return unavailable
  }
  const grant = session.client?.grant ?? null
  if (grant !== null && !grant.maySubscribe(parsed.filter, request.qos, parsed.shared?.group ?? null)) {
    return ReasonCode.notAuthorized
  }
  return mayHaveAnother(broker, session, request.topicFilter, parsed) ? undefined : ReasonCode.quotaExceeded
}

/** Whether it has the subscription already, or there is room for it. */
function mayHaveAnother(broker: Broker, session: Session, filter: string, parsed: TopicFilter): boolean {
  if (session.subscriptions.has(filter)) return true
  if (session.stored && broker.storeFull) return false
  return session.subscriptions.size < subscriptionsMax(broker, session) && hasRoom(session.namespace, parsed)
}

function subscriptionsMax(broker: Broker, { client }: Session): number {
  const own = client === null ? undefined : limitsOf(broker, client).subscriptionsMax
  return own ?? broker.options.subscriptionsPerSessionMax
}

/** Among the subscriptions of all, and among the groups of the filter. */
function hasRoom({ budgets, quotas, index, options }: Namespace, parsed: TopicFilter): boolean {
  if (!quotas.subscriptions.admits(1)) return false
  if (!budgets.subscriptions.admits(1)) return false
  if (!budgets.subscriptionBytes.admits(parsed.filter.length + subscriptionObjectBytes)) return false
  return parsed.shared === undefined || index.groupsBeside(parsed) < options.sharedGroupsPerFilterMax
}

function unavailableFeature(options: BrokerOptions, parsed: TopicFilter, identifier: number): ReasonCode | undefined {
  if (parsed.hasWildcard && !options.wildcardSubscriptionAvailable) return ReasonCode.wildcardSubscriptionsNotSupported
  if (parsed.shared !== undefined && !options.sharedSubscriptionAvailable) {
    return ReasonCode.sharedSubscriptionsNotSupported
  }
  if (identifier > 0 && !options.subscriptionIdentifiersAvailable) return ReasonCode.subscriptionIdentifiersNotSupported
  return undefined
}

/** 5.0 answers per filter; in 3.x, which has no code for it, a filter against the rules is a protocol violation [MQTT-4.8.0-1]. */
function invalidFilter(session: Session, filter: string): ReasonCode {
  if (session.version !== 5) {
    throw new ProtocolError(
      ReasonCode.topicFilterInvalid,
      `not a topic filter: ${JSON.stringify(filter.slice(0, 200))}`,
    )
  }
  return ReasonCode.topicFilterInvalid
}

export function onUnsubscribe(broker: Broker, client: Client, packet: UnsubscribePacket): void {
  const session = client.session!
  const appended = broker.journal.appended
  const reasonCodes = packet.topicFilters.map((filter) => unsubscribe(broker, session, filter))
  const ticket = broker.journal.appended === appended ? 0 : broker.journal.ticket
  const unsuback = encodeUnsuback(session.version, { packetId: packet.packetId, reasonCodes, properties: {} })
  client.answer(unsuback, ticket)
  yieldWhereDue(broker.cost, client.link)
}

export function unsubscribe(broker: Broker, session: Session, given: string): number {
  broker.cost.steps += stepsPerFilter
  if (parseTopicFilter(given) === undefined) return invalidFilter(session, given)
  const rewritten = session.namespace.rewrites.filter(given)
  // It may be from before the rule was there.
  const filter = session.subscriptions.has(rewritten) ? rewritten : given
  const subscription = session.subscriptions.get(filter)
  if (subscription === undefined) return ReasonCode.noSubscriptionExisted
  if (subscription instanceof Consumer || subscription instanceof StreamReader) {
    session.subscriptions.delete(filter)
    if (subscription instanceof Consumer) endConsumer(broker, subscription)
    else endReader(broker, subscription)
    if (session.stored) broker.journal.unsubscription(session, filter)
  } else remove(broker, session, subscription)
  if (subscription.group !== null) leaveGroup(broker, session, subscription.group)
  return ReasonCode.success
}
