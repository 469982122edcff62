/**
 * Topics that are addresses: what is published there goes to a thing of the gateway itself, not to the subscribers of the topic.
 *
 * An address is read once, when its topic gets an entry in the route cache; an ordinary topic has none (null) and pays nothing.
 *
 *     $queue/<name>[/<topic>]    into this queue, as a message of <topic>, or of a topic that is called like the queue
 *     $queue/<name>/$ack         a verdict on a message of the queue; also $nack, $reject, $extend
 */
import type { QueueVerdict } from '../ports/queues.ts'

export type Address =
  | { readonly kind: 'queue'; readonly queue: string; readonly topic: string }
  | { readonly kind: 'verdict'; readonly queue: string; readonly verdict: QueueVerdict }
  | { readonly kind: 'malformed'; readonly finding: string }

export const queuePrefix = '$queue/'
const dollar = 0x24

/** The last level that says a verdict. */
const verdicts: Readonly<Record<string, QueueVerdict>> = {
  $ack: 'ack',
  $nack: 'nack',
  $reject: 'reject',
  $extend: 'extend',
}

/** Null: an ordinary topic. */
export function addressOf(topic: string): Address | null {
  if (topic.charCodeAt(0) !== dollar) return null
  return topic === '$queue' || topic.startsWith(queuePrefix) ? queueAddress(topic) : null
}

function queueAddress(topic: string): Address {
  const [, queue = '', ...levels] = topic.split('/')
  if (queue === '') return malformed('expected $queue/<name>')
  const last = levels.at(-1)
  if (last === undefined) return { kind: 'queue', queue, topic: queue }
  const verdict = levels.length === 1 ? verdicts[last] : undefined
  if (verdict !== undefined) return { kind: 'verdict', queue, verdict }
  if (levels.some((level) => level in verdicts)) return malformed('a verdict is $queue/<name>/<verb> and nothing else')
  const name = levels.join('/')
  if (name === '' || name.charCodeAt(0) === dollar)
    return malformed('the topic behind the queue may not be empty or begin with $')
  return { kind: 'queue', queue, topic: name }
}

const malformed = (finding: string): Address => ({ kind: 'malformed', finding })
