/** How retained messages change: by a PUBLISH with RETAIN, by expiry, and at recovery. */
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import { drop } from '../drop.ts'
import type { Namespace } from '../namespace.ts'
import type { Message } from '../publish/message.ts'
import type { Publication } from '../publish/publication.ts'
import { nothingAhead } from '../subscriptions/destination.ts'

/** Does what RETAIN says. False: there is no room for one more retained message, and nothing was changed. */
export function retain(broker: Broker, publication: Publication): boolean {
  const { namespace, topic, readOnly } = publication.entry!
  const { journal, counters } = broker
  const message = publication.payloadLength === 0 ? null : publication.message
  const refusal =
    message === null || broker.inBundle ? null : retainRefusal(broker, namespace, { topic, message, readOnly })
  if (refusal !== null) {
    drop(topic, refusal, namespace)
    return false
  }
  const previous = setRetained(broker, namespace, topic, message)
  counters.retainedChanges++
  if (!readOnly && (message !== null || previous !== null))
    journal.retain(namespace.storedName, topic, message, previous)
  return true
}

/** Why a message can't be retained; null: it can. `ahead`: others that come before it, all of topics without one. */
export function retainRefusal(
  { options, budgets, storeFull }: Broker,
  namespace: Namespace,
  { topic, message, readOnly }: { topic: string; message: Message; readOnly: boolean },
  ahead = nothingAhead,
): 'retained_limit' | 'store_full' | null {
  const { retained, quotas } = namespace
  const previous = retained.get(topic)
  if (previous === null && retained.count + ahead.messages >= options.retainedMessagesMax) return 'retained_limit'
  const bytes = ahead.bytes + retained.bytesOf(message) - (previous === null ? 0 : retained.bytesOf(previous))
  if (!readOnly && !quotas.retainedBytes.admits(bytes)) return 'retained_limit'
  if (!budgets.retainedBytes.admits(bytes)) return 'retained_limit'
  return storeFull && !readOnly ? 'store_full' : null
}

/** Sets or removes (null) a topic's retained message, and when it expires. Returns what it replaces. */
export function setRetained(
  broker: Broker,
  namespace: Namespace,
  topic: string,
  message: Message | null,
): Message | null {
  const { deadlines } = broker
  const { retained } = namespace
  const previous = namespace.setRetained(topic, message)
  if (previous !== null && previous.expiresAt !== Infinity) {
    const expiry = retained.expiries.get(previous)
    retained.expiries.delete(previous)
    if (expiry !== undefined) deadlines.clear(expiry)
  }
  if (message !== null && message.expiresAt !== Infinity) {
    const expiry = new Deadline(() => expireRetained(broker, namespace, topic, message))
    retained.expiries.set(message, expiry)
    deadlines.set(expiry, message.expiresAt)
  }
  return previous
}

/** Removes an expired retained message unless another has taken its place. */
export function expireRetained(broker: Broker, namespace: Namespace, topic: string, message: Message): void {
  if (namespace.retained.get(topic) !== message) return
  setRetained(broker, namespace, topic, null)
  drop(topic, 'retained_expired', namespace)
  if (!namespace.isReadOnly(topic)) broker.journal.retain(namespace.storedName, topic, null, message)
}
