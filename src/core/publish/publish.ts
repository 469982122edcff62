/** A message to its recipients: the retained change it makes, then every destination of its route and one member of each group. */
import type { PublishFrame } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Namespace } from '../namespace.ts'
import { retain } from '../retained/retained-changes.ts'
import type { Session } from '../session/session.ts'
import { chooseMember, isGroupFull } from '../subscriptions/shared-group.ts'
import { type Route, withoutNoLocal } from '../subscriptions/subscription-index.ts'
import type { Message } from './message.ts'
import type { Publication } from './publication.ts'
import type { TopicEntry } from './route-cache.ts'

/** What became of a PUBLISH. */
export type PublishOutcome = 'delivered' | 'no-subscribers' | 'quota-exceeded'

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
  return route(broker, publication)
}

/** Routes a message of the server itself: a will, one published by the program, $SYS. */
export function publishMessage(
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

function route(broker: Broker, publication: Publication): PublishOutcome {
  const found = broker.topics.route(publication.entry!)
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
  publication.end()
  return recipients.length === 0 && groups.length === 0 ? 'no-subscribers' : 'delivered'
}

/** Whether a message that would have to be kept can't be: nobody gets it then, and its publisher is told. */
function mustRefuse(broker: Broker, publication: Publication, found: Route): boolean {
  if (broker.storeFull) {
    if (
      (publication.retain && publication.payloadLength > 0) ||
      found.recipients.some(({ destination, qos }) => destination.stored && qos > 0)
    )
      return true
    if (found.groups.some((group) => group.members.some(({ destination, qos }) => destination.stored && qos > 0)))
      return true
  }
  return broker.options.sessionQueueFull === 'reject' && anyQueueFull(found, publication)
}

function anyQueueFull(found: Route, publication: Publication): boolean {
  if (found.recipients.some(({ qos, destination }) => qos > 0 && destination.refuses && !destination.hasRoom))
    return true
  return found.groups.some((group) => isGroupFull(group, publication))
}
