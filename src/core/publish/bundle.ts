/**
 * A bundle: messages and verdicts on messages of queues that are taken all or none.
 *
 * First all of it is judged, and nothing changed: rights, addresses, leases, and the room that the whole of it needs (`bundle-room.ts`).
 * Then all of it is done within the same call, verdicts first, and nothing can be refused any more: what it appends to the journal is
 * part of one turn, and a turn is committed whole.
 *
 * What a verdict ends is not elided. An entry of a queue that was enqueued a moment ago and is not written yet would need no record at
 * all, and its publisher would be acknowledged before this turn is committed; a crash in between would leave neither the job nor what
 * was published in its place.
 */
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import type { Broker } from '../broker.ts'
import type { Address } from '../logs/address.ts'
import { judge, messageById } from '../logs/client-verdict.ts'
import type { QueuedMessage } from '../logs/queued-message.ts'
import type { BundledVerdict, BundleRefusal } from '../ports/bundle.ts'
import { rewrittenMessage } from '../rewrite/entrance.ts'
import type { Session } from '../session/session.ts'
import { type BundledMessage, BundleRoom } from './bundle-room.ts'
import { mayPublishTo } from './may-publish.ts'
import { messageBytes } from './message.ts'
import { idFinding, isRefused, type PublishOutcome, publishMessage } from './publish.ts'
import type { TopicEntry } from './route-cache.ts'

export interface Bundle {
  readonly messages: readonly BundledMessage[]
  readonly verdicts: readonly BundledVerdict[]
  /** Whose rights hold, and whose own subscriptions may not want it; null: the gateway's. */
  readonly publisher: Session | null
}

export interface BundleDone {
  readonly outcomes: readonly OwnOutcome[]
}

/** What becomes of one that was taken. */
type OwnOutcome = Exclude<PublishOutcome, 'quota-exceeded' | `malformed-${string}`>

type Finding = Pick<BundleRefusal, 'reason' | 'text'>

export function publishBundle(broker: Broker, given: Bundle): BundleRefusal | BundleDone {
  const { counters } = broker
  const leased: QueuedMessage[] = []
  const bundle = { ...given, messages: [...given.messages] }
  const refusal =
    rewriteMessages(broker, bundle.messages) ??
    judgeVerdicts(broker, bundle, leased) ??
    judgeMessages(broker, bundle, leased)
  if (refusal !== null) {
    counters.bundlesRefused.add(refusal.reason)
    return refusal
  }
  counters.bundlesTaken++
  broker.inBundle = true
  try {
    return take(broker, bundle, leased)
  } finally {
    broker.inBundle = false
  }
}

function take(broker: Broker, { messages, verdicts, publisher }: Bundle, leased: readonly QueuedMessage[]): BundleDone {
  for (const queued of leased) queued.record = -1
  for (const [index, { verdict, delayMs, reason = '' }] of verdicts.entries()) {
    judge(broker, leased[index]!, verdict, { delayMs, reason })
  }
  const outcomes = messages.map(({ namespace, message, retain }) => {
    const outcome = publishMessage(broker, namespace, message, retain, publisher)
    if (isRefused(outcome)) throw new Error(`${message.name} was judged before and is refused now: ${outcome}`)
    return outcome
  })
  return { outcomes }
}

/** In their place. */
function rewriteMessages(broker: Broker, messages: BundledMessage[]): BundleRefusal | null {
  for (const [index, bundled] of messages.entries()) {
    const { namespace, message } = bundled
    try {
      messages[index] = { ...bundled, message: rewrittenMessage(broker, namespace, message) }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return { part: 'messages', index, reason: 'malformed', text: error.message }
    }
  }
  return null
}

/** Puts the messages that the verdicts are about into `leased`. */
function judgeVerdicts(broker: Broker, { verdicts }: Bundle, leased: QueuedMessage[]): BundleRefusal | null {
  for (const [index, { queue: name, delivery, verdict }] of verdicts.entries()) {
    const refusal = (reason: Finding['reason'], text: string) => ({ part: 'settle', index, reason, text }) as const
    const queue = broker.namespaces.get(name.namespace)?.queues.get(name.name)
    if (queue === undefined) return refusal('unknown_queue', `no queue is called ${name.name}`)
    if (verdict === 'extend') return refusal('malformed', 'to extend a lease is no verdict')
    const queued = messageById(queue, delivery)
    if (queued === null || queued === 'settled' || queued.lease?.id !== delivery)
      return refusal('not_held', 'nothing unsettled has this delivery, or not any more')
    if (leased.includes(queued)) return refusal('not_held', 'the same delivery has a verdict before')
    leased.push(queued)
  }
  return null
}

function judgeMessages(broker: Broker, bundle: Bundle, leased: readonly QueuedMessage[]): BundleRefusal | null {
  const room = new BundleRoom(broker)
  for (const [index, queued] of leased.entries()) if (bundle.verdicts[index]!.verdict === 'ack') room.leaves(queued)
  for (const [index, message] of bundle.messages.entries()) {
    const finding = judgeMessage(broker, room, bundle.publisher, message)
    if (finding !== null) return { part: 'messages', index, ...finding }
  }
  return null
}

function judgeMessage(
  broker: Broker,
  room: BundleRoom,
  publisher: Session | null,
  bundled: BundledMessage,
): Finding | null {
  const { namespace, message } = bundled
  if (messageBytes(message) > broker.options.packetBytesMax)
    return { reason: 'too_large', text: 'the message is larger than limits.packetBytesMax' }
  try {
    const entry = broker.topics.lookupName(namespace, message.name)
    if (!mayPublish(entry, publisher, bundled))
      return { reason: 'not_authorized', text: `${message.name} may not be published to` }
    const { address } = entry
    if (address !== null) return judgeAddressed(room, bundled, address)
    const finding = idFinding(broker.topics.route(entry), { parts: message })
    if (finding !== '') return { reason: 'malformed', text: finding }
    const text = room.routed(bundled, entry)
    return text === '' ? null : { reason: 'no_room', text }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { reason: 'malformed', text: error.message }
  }
}

function mayPublish(entry: TopicEntry, publisher: Session | null, { message, retain }: BundledMessage): boolean {
  const { address, readOnly, topic } = entry
  const grant = publisher?.client?.grant ?? null
  const { qos } = message
  if (readOnly) return false
  if (address !== null) return mayPublishTo(entry, address, grant, { qos, retain })
  return grant === null || grant.mayPublish(topic, qos, retain)
}

function judgeAddressed(room: BundleRoom, bundled: BundledMessage, address: Address): Finding | null {
  const { namespace, message } = bundled
  switch (address.kind) {
    case 'malformed':
      return { reason: 'malformed', text: `${message.name}: ${address.finding}` }
    case 'verdict':
      return { reason: 'malformed', text: 'a verdict is no message: it is given beside them' }
    case 'cancel':
      return null
    case 'queue': {
      const queue = namespace.queues.get(address.queue)
      if (queue?.declared !== true) return { reason: 'malformed', text: `no queue is called ${address.queue}` }
      const finding = queue.seen?.findingOf(message.forwardProperties) ?? ''
      if (finding !== '') return { reason: 'malformed', text: finding }
      const text = room.queued(queue, message)
      return text === '' ? null : { reason: 'no_room', text }
    }
    case 'delayed': {
      const outcome = room.delayed(address, bundled)
      if (outcome === 'malformed-address')
        return { reason: 'malformed', text: `${message.name}: no topic to publish to later, or no schedule-id` }
      return outcome === 'quota-exceeded' ? { reason: 'no_room', text: 'no more messages can be delayed' } : null
    }
    default:
      return address satisfies never
  }
}
