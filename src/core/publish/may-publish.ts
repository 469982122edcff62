/** Who may publish to an address: whoever may publish to what stands behind it. */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { DelayedMessage } from '../delayed/delayed-message.ts'
import { type Address, addressOf } from '../logs/address.ts'
import type { Namespace } from '../namespace.ts'
import type { Grant } from '../ports/authority.ts'

interface Manner {
  readonly qos: Qos
  readonly retain: boolean
}

interface Place {
  readonly namespace: Namespace
  readonly topic: string
}

/**
 * An address that is malformed, or takes back what the same user sent, is not refused for want of rights; and whether somebody may judge a
 * message of a queue is asked when it is known which.
 */
export function mayPublishTo(
  { namespace, topic }: Place,
  address: Address,
  grant: Grant | null,
  manner: Manner,
): boolean {
  if (address.kind !== 'delayed' && address.kind !== 'queue') return true
  const asked = address.kind === 'delayed' ? address.topic : topic
  if (namespace.isReadOnly(asked)) return false
  return grant === null || grant.mayPublish(asked, manner.qos, manner.retain)
}

export function mayPublishWill(namespace: Namespace, grant: Grant | null, will: Manner & { topic: string }): boolean {
  const { topic } = will
  const address = addressOf(topic)
  if (address !== null) return mayPublishTo({ namespace, topic }, address, grant, will)
  return grant === null || grant.mayPublish(topic, will.qos, will.retain)
}

/**
 * Whether a delayed message may be published now that it is due: by what its publisher may do now, if that is known, because it is
 * connected. Else by what it was allowed when it sent the message.
 */
export function mayPublishWhenDue(_broker: Broker, delayed: DelayedMessage): boolean {
  const { namespace, message, principal, retain } = delayed
  if (namespace.isReadOnly(message.name)) return false
  const client = namespace.sessions.get(message.publisher)?.client ?? null
  if (client === null || client.principal !== principal) return true
  return client.grant === null || client.grant.mayPublish(message.name, message.qos, retain)
}
