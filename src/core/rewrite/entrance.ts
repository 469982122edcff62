/** Where messages and subscriptions come in: from here on they have the topics that the rules give them. */
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { encodeUtf8, isEncodable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import type { Namespace } from '../namespace.ts'
import type { Message } from '../publish/message.ts'
import type { TopicEntry } from '../publish/route-cache.ts'
import type { Rewrite, RewrittenTopic } from './rewrites.ts'

/** The entry of where a message goes whose topic is rewritten. `publisher`: a client id; empty: the program. */
export function rewrittenEntry(
  broker: Broker,
  { namespace }: TopicEntry,
  rewrite: Rewrite,
  publisher: string,
): TopicEntry {
  const target = chosen(broker, rewrite, publisher)
  namespace.traffic.topicsRewritten++
  if (target.entry?.live !== true) {
    if (!isEncodable(target.topic)) {
      throw new ProtocolError(ReasonCode.topicNameInvalid, 'the topic is longer than 65,535 bytes when it is rewritten')
    }
    target.entry = broker.topics.lookupName(namespace, target.topic)
  }
  return target.entry
}

function chosen(broker: Broker, { targets, chooseBy }: Rewrite, publisher: string): RewrittenTopic {
  const [first] = targets
  if (targets.length === 1) return first!
  const place = chooseBy === 'publisher' ? shareOf(publisher) : broker.random()
  return targets.find(({ upTo }) => place < upTo) ?? first!
}

/** From 0 up to 1, the same for the same name. */
function shareOf(name: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < name.length; at++) hash = Math.imul(hash ^ name.charCodeAt(at), 0x01000193)
  // Names that differ in their last character alone would lie beside each other.
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b)
  return ((hash ^ (hash >>> 16)) >>> 0) / 0x100000000
}

/** A message of the program's, or a will that is taken. */
export function rewrittenTopic(broker: Broker, namespace: Namespace, topic: string, publisher: string): string {
  if (namespace.rewrites.isEmpty) return topic
  const entry = broker.topics.lookupName(namespace, topic)
  return entry.rewrite === null ? topic : rewrittenEntry(broker, entry, entry.rewrite, publisher).topic
}

export function rewrittenMessage(broker: Broker, namespace: Namespace, message: Message): Message {
  const name = rewrittenTopic(broker, namespace, message.name, message.publisher)
  return name === message.name ? message : { ...message, name, topic: encodeUtf8(name) }
}

/** A filter of SUBSCRIBE. */
export function rewrittenFilter({ rewrites, traffic }: Namespace, filter: string): string {
  if (rewrites.isEmpty) return filter
  const rewritten = rewrites.filter(filter)
  if (rewritten !== filter) traffic.filtersRewritten++
  return rewritten
}
