/** A message to its recipients: the retained change it makes, then every destination of its route and one member of each group. */
import type { PublishFrame } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { drop } from '../drop.ts'
import type { Explainer } from '../explain/explainer.ts'
import type { Address } from '../logs/address.ts'
import { Queue } from '../logs/queue.ts'
import type { Namespace } from '../namespace.ts'
import { retain } from '../retained/retained-changes.ts'
import type { Session } from '../session/session.ts'
import { chooseMember, type Dispatched, isGroupFull } from '../subscriptions/shared-group.ts'
import { type Route, type Subscription, withoutNoLocal } from '../subscriptions/subscription-index.ts'
import { Export } from './export.ts'
import type { Message } from './message.ts'
import type { Publication } from './publication.ts'
import type { TopicEntry } from './route-cache.ts'

/** What became of a PUBLISH. */
export type PublishOutcome =
  | 'delivered'
  | 'no-subscribers'
  /** At least one queue has it already, and did not take it in again. */
  | 'duplicate'
  | 'quota-exceeded'
  | 'malformed-address'
  /** Its `message-id` or `seq`, by which a queue goes that would get it. */
  | 'malformed-id'

/** The message was not taken. */
export function isRefused(
  outcome: PublishOutcome,
): outcome is Extract<PublishOutcome, 'quota-exceeded' | `malformed-${string}`> {
  return outcome === 'quota-exceeded' || outcome === 'malformed-address' || outcome === 'malformed-id'
}

/** Routes a client's PUBLISH, whose topic and rights were checked. The frame is valid only during this call. */
export function publishFrame(
  broker: Broker,
  frame: PublishFrame,
  version5: boolean,
  entry: TopicEntry,
  publisher: Session,
): PublishOutcome {
  const publication = broker.publication
  publication.beginFrame(frame, version5, entry, publisher, broker.now)
  // Its bytes have the topic that it had.
  if (broker.incomingPublish.isRewritten) publication.verbatim = false
  const outcome = route(broker, publication)
  if (broker.exported.length > 0) publishExported(broker)
  return outcome
}

/** Routes a message of the server itself: a will, one published by the program, $SYS. */
export function publishMessage(
  broker: Broker,
  namespace: Namespace,
  message: Message,
  retain: boolean,
  publisher: Session | null,
): PublishOutcome {
  const outcome = publishHere(broker, namespace, message, retain, publisher)
  if (broker.exported.length > 0) publishExported(broker)
  return outcome
}

function publishHere(
  broker: Broker,
  namespace: Namespace,
  message: Message,
  retain: boolean,
  publisher: Session | null,
): PublishOutcome {
  const publication = broker.publication
  publication.beginMessage(message, broker.topics.lookupName(namespace, message.name), retain, publisher, broker.now)
  return route(broker, publication)
}

/** What was routed goes on into other namespaces, and from there maybe further. */
function publishExported(broker: Broker): void {
  const { exported } = broker
  for (let next = exported.shift(); next !== undefined; next = exported.shift()) {
    const { namespace, message, retain } = next
    let outcome: PublishOutcome = 'quota-exceeded'
    try {
      outcome = publishHere(broker, namespace, message, retain, null)
    } catch (error) {
      // With the prefix it may have more levels than are served.
      if (!(error instanceof ProtocolError)) throw error
    }
    if (isRefused(outcome)) drop(message.name, 'export_refused', namespace)
  }
}

function route(broker: Broker, publication: Publication): PublishOutcome {
  return broker.explainer === null
    ? routeOn(broker, publication)
    : routeExplained(broker, broker.explainer, publication)
}

/** A function of its own: a closure's variables would cost an allocation for each message, also where none is explained. */
function routeExplained(broker: Broker, explainer: Explainer, publication: Publication): PublishOutcome {
  return explainer.routed(publication, () => routeOn(broker, publication))
}

function routeOn(broker: Broker, publication: Publication): PublishOutcome {
  const { address } = publication.entry!
  if (address !== null) return routeAddressed(broker, publication, address)
  const found = broker.topics.route(publication.entry!)
  if (found.ownPolicies) {
    broker.cameBefore = false
    if (idFinding(found, publication) !== '') {
      publication.end()
      return 'malformed-id'
    }
  }
  if (publication.qos > 0 && mustRefuse(broker, publication, found)) {
    publication.end()
    return 'quota-exceeded'
  }
  // At QoS 0 nobody could be told: the message goes to whoever is subscribed, only to keep it fails.
  if (publication.retain && !retain(broker, publication) && publication.qos > 0) {
    publication.end()
    return 'quota-exceeded'
  }
  const { recipients, groups } = found
  broker.cost.steps += 1 + recipients.length + groups.length
  if (broker.explainer === null || !broker.explainer.deliver(publication, found)) acceptAll(broker, publication, found)
  publication.end()
  if (found.ownPolicies && broker.cameBefore) return 'duplicate'
  return recipients.length === 0 && groups.length === 0 ? 'no-subscribers' : 'delivered'
}

/** What is wrong with the properties by which a queue among the recipients would know the message; empty: nothing. */
export function idFinding({ recipients, ownPolicies }: Route, message: Pick<Publication, 'parts'>): string {
  if (!ownPolicies) return ''
  for (const { destination } of recipients) {
    // Its parts are made when somebody asks for them.
    if (!(destination instanceof Queue) || destination.seen === null) continue
    const finding = destination.seen.findingOf(message.parts.forwardProperties)
    if (finding !== '') return finding
  }
  return ''
}

/** `explain/judge.ts` walks the same way. */
function acceptAll(broker: Broker, publication: Publication, { recipients, groups }: Route): void {
  for (let i = 0; i < recipients.length; i++) {
    const recipient = recipients[i]!
    const { destination } = recipient
    if (recipient.noLocal && destination === publication.publisher) {
      const other = withoutNoLocal(recipient)
      if (other !== null) destination.accept(broker, publication, other)
    } else {
      destination.accept(broker, publication, recipient)
    }
  }
  for (const group of groups) {
    const member = chooseMember(group, publication)
    if (member !== null) member.destination.accept(broker, publication, member)
  }
}

/** What is published to an address has no subscribers: the address says what becomes of it. */
function routeAddressed(broker: Broker, publication: Publication, address: Address): PublishOutcome {
  const outcome = toAddress(broker, publication, address)
  publication.end()
  return outcome
}

function toAddress(broker: Broker, publication: Publication, address: Address): PublishOutcome {
  const { delayed } = broker
  switch (address.kind) {
    case 'delayed':
      return delayed.accept(address, publication)
    case 'cancel':
      return delayed.cancel(address.scheduleId, publication) ? 'delivered' : 'no-subscribers'
    case 'malformed':
      return 'malformed-address'
    default:
      return toQueue(broker, publication, address)
  }
}

/** What is published to `$queue/<name>`: to nobody but this queue. */
function toQueue(broker: Broker, publication: Publication, address: Address): PublishOutcome {
  const { message, qos } = publication
  const { namespace } = publication.entry!
  const queue = address.kind === 'queue' ? namespace.queues.get(address.queue) : undefined
  if (address.kind !== 'queue' || queue?.declared !== true) {
    drop(message.name, 'no_queue', namespace)
    return 'no-subscribers'
  }
  const { seen } = queue
  if (seen !== null && seen.findingOf(message.forwardProperties) !== '') return 'malformed-id'
  const counts = publication.frame !== null || broker.inBundle
  const isKnown = seen?.knows(message, counts) === true
  if (qos > 0 && !broker.inBundle && !isKnown && (broker.storeFull || (queue.refuses && !queue.hasRoom))) {
    queue.totals.refused++
    return 'quota-exceeded'
  }
  const own = { ...message, name: address.topic, topic: encodeUtf8(address.topic) }
  if (!queue.add(broker, own, counts) && qos > 0) return 'quota-exceeded'
  return isKnown ? 'duplicate' : 'delivered'
}

/** Whether a message that would have to be kept can't be: nobody gets it then, and its publisher is told. */
function mustRefuse(broker: Broker, publication: Publication, found: Route): boolean {
  if (!broker.storeFull && broker.options.sessionQueueFull !== 'reject' && !found.ownPolicies) return false
  if (broker.inBundle) return false
  const retains = publication.retain && publication.payloadLength > 0 && !publication.entry!.readOnly
  return (broker.storeFull && retains) || hasNoRoom(broker, publication, found)
}

/** Here, or in a namespace that it is exported to. */
function hasNoRoom(broker: Broker, message: Dispatched, { recipients, groups, ownPolicies }: Route): boolean {
  const isStored = ({ destination, qos }: Subscription): boolean => destination.stored && qos > 0
  if (broker.storeFull && (recipients.some(isStored) || groups.some(({ members }) => members.some(isStored))))
    return true
  const { sessionQueueFull } = broker.options
  if (ownPolicies && isOwnFull(broker, recipients)) return true
  if (sessionQueueFull === 'reject') {
    if (recipients.some(({ qos, destination }) => qos > 0 && destination.refuses && !destination.hasRoom)) return true
    if (groups.some((group) => isGroupFull(group, message))) return true
  }
  return recipients.some(
    ({ destination }) => destination instanceof Export && hasNoRoomThere(broker, message, destination),
  )
}

/** Whether one that has a policy of its own, and refuses then, is full, and does not have the message already; counted. */
function isOwnFull({ publication }: Broker, recipients: readonly Subscription[]): boolean {
  let full = false
  for (const { destination, qos } of recipients) {
    if (!destination.ownPolicy || !destination.refuses || destination.hasRoom) continue
    if (destination instanceof Queue) {
      if (destination.seen?.knows(publication.message, publication.frame !== null)) continue
      destination.totals.refused++
    } else if (qos === 0) continue
    full = true
  }
  return full
}

function hasNoRoomThere(broker: Broker, message: Dispatched, destination: Export): boolean {
  const topicName = destination.topicOf(message.topicName)
  const { qos, retain } = message
  return hasNoRoom(broker, { topicName, publisherName: '', qos, retain }, destination.to.index.match(topicName))
}
