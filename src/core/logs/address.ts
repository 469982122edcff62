/**
 * Topics that are addresses: what is published there goes to a thing of the gateway itself, not to the subscribers of the topic.
 *
 * An address is read once, when its topic gets an entry in the route cache; an ordinary topic has none (null) and pays nothing.
 *
 *     $queue/<name>[/<topic>]    into this queue, as a message of <topic>, or of a topic that is called like the queue
 *     $queue/<name>/$ack         a verdict on a message of the queue; also $nack, $reject, $extend
 *     $stream/…                  nothing: a stream takes in what is published to its topics
 *     $delayed/<n>/<topic>       published to <topic> later: n below 42,949,670 is seconds, else Unix seconds
 *     $delayed/cancel/<id>       takes back the message that the same user gave this `schedule-id`
 */
import { isValidTopicName } from '../../mqtt/topic.ts'
import type { QueueVerdict } from '../ports/queues.ts'

export type Address =
  | { readonly kind: 'queue'; readonly queue: string; readonly topic: string }
  | { readonly kind: 'verdict'; readonly queue: string; readonly verdict: QueueVerdict }
  | {
      readonly kind: 'delayed'
      /** Seconds from now on, or since 1970 on the clock of the system. */
      readonly seconds: number
      readonly isDate: boolean
      /** Where it is published when it is due. */
      readonly topic: string
    }
  | { readonly kind: 'cancel'; readonly scheduleId: string }
  | { readonly kind: 'malformed'; readonly finding: string }

export const queuePrefix = '$queue/'
export const streamPrefix = '$stream/'
export const delayedPrefix = '$delayed/'
const cancelPrefix = '$delayed/cancel/'
const dollar = 0x24

/** From here on a number of seconds is a date. */
const firstDateSeconds = 42_949_670
/** The last second of the year 9999. */
const lastDateSeconds = 253_402_300_799

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
  if (topic === '$delayed' || topic.startsWith(delayedPrefix)) return delayedAddress(topic)
  if (topic === '$stream' || topic.startsWith(streamPrefix))
    return malformed('a stream takes in what is published to its topics')
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

function delayedAddress(topic: string): Address {
  if (topic.startsWith(cancelPrefix)) {
    const scheduleId = topic.slice(cancelPrefix.length)
    return scheduleId === '' ? malformed('a schedule-id has to follow') : { kind: 'cancel', scheduleId }
  }
  const slash = topic.indexOf('/', delayedPrefix.length)
  const digits = topic.slice(delayedPrefix.length, slash)
  const to = topic.slice(slash + 1)
  if (slash < 0 || !/^\d{1,12}$/.test(digits)) return malformed('expected $delayed/<seconds>/<topic>')
  const seconds = Number(digits)
  if (seconds > lastDateSeconds) return malformed('it is later than the year 9999')
  if (!isValidTopicName(to)) return malformed('a topic has to follow the seconds')
  const nested = addressOf(to)
  if (nested !== null && nested.kind !== 'queue') return malformed('only a topic or a queue can get a message later')
  return { kind: 'delayed', seconds, isDate: seconds >= firstDateSeconds, topic: to }
}

const malformed = (finding: string): Address => ({ kind: 'malformed', finding })
