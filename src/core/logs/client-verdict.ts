/**
 * Verdicts as clients say them: by the reason code of a PUBACK, or by publishing to `$queue/<name>/$ack` and the like.
 *
 * A published verdict names its message by the user property `queue-delivery` or as JSON; without, it means the oldest that is with this
 * connection, which is what a client means that works on one after the other. Whichever comes first counts: the PUBACK of a message
 * that has its verdict only frees the packet identifier.
 */
import type { Properties } from '../../mqtt/packet.ts'
import { publishProperties } from '../../mqtt/publish.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import { decodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { mayConsume } from '../ports/authority.ts'
import type { QueueVerdict } from '../ports/queues.ts'
import type { Message } from '../publish/message.ts'
import type { Session } from '../session/session.ts'
import { queuePrefix } from './address.ts'
import type { Lease } from './lease.ts'
import type { Queue } from './queue.ts'
import type { QueuedMessage } from './queued-message.ts'
import { fail, giveBack, reject, settle } from './verdict.ts'

const rejecting: readonly number[] = [
  ReasonCode.notAuthorized,
  ReasonCode.topicNameInvalid,
  ReasonCode.payloadFormatInvalid,
]

/** PUBACK. Its packet identifier is free already. */
export function onLeaseAcknowledged(broker: Broker, lease: Lease, reasonCode: number, properties: Properties): void {
  const consumer = lease.consumer!
  const { queued } = lease
  const { queue } = queued.lane
  if (consumer.owes === lease.delivery) consumer.owes = null
  lease.delivery = null
  queue.offer(consumer)
  if (queued.stage === 'gone' || lease.judged || (consumer.explicit && reasonCode < 0x80)) {
    queue.pump()
    return
  }
  lease.judged = true
  if (reasonCode < 0x80) settle(broker, queued)
  else if (rejecting.includes(reasonCode)) reject(broker, queued, properties.reasonString ?? reasonName(reasonCode))
  // Its failure was that no verdict came, or it is with somebody else.
  else if (lease.ended) return
  else if (reasonCode === ReasonCode.quotaExceeded) {
    consumer.pauseFor(queue.definition.retry.firstMs)
    giveBack(broker, queued, false)
  } else fail(broker, queued, properties.reasonString ?? reasonName(reasonCode), delayOf(properties))
  queue.pump()
}

function delayOf({ userProperties = [] }: Properties): number | undefined {
  return wholeNumber(userProperties.find(([name]) => name === 'delay-ms')?.[1])
}

/** What JSON brings may be anything, also what can be no text. */
function wholeNumber(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined
  return /^[0-9]{1,9}$/.test(String(value)) ? Number(value) : undefined
}

/** What a published verdict says besides its verb. */
interface Details {
  delivery: string | undefined
  delayMs: number | undefined
  reason: string
}

/** Null: its payload begins like JSON, and is none. */
function detailsOf({ forwardProperties, payload }: Message): Details | null {
  const properties = publishProperties(forwardProperties)
  const property = (name: string) => properties.userProperties?.find(([key]) => key === name)?.[1]
  const text = payload[0] === 0x7b ? decodeUtf8(payload, 0, payload.length) : '{}'
  const json = text === undefined ? null : parsed(text)
  if (json === null) return null
  const { delivery, delayMs, reason } = json
  return {
    delivery: property('queue-delivery') ?? (typeof delivery === 'string' ? delivery : undefined),
    delayMs: wholeNumber(property('delay-ms') ?? delayMs),
    reason: property('reason') ?? (typeof reason === 'string' ? reason : ''),
  }
}

function parsed(text: string): { delivery?: unknown; delayMs?: unknown; reason?: unknown } | null {
  try {
    return JSON.parse(text) as object
  } catch {
    return null
  }
}

/** A published verdict. Returns the reason code for its publisher. */
export function onVerdict(
  broker: Broker,
  session: Session,
  address: { queue: string; verdict: QueueVerdict },
  message: Message,
): ReasonCode {
  const queue = session.namespace.queues.get(address.queue)
  if (queue === undefined) return ReasonCode.topicNameInvalid
  const details = detailsOf(message)
  if (details === null) return ReasonCode.payloadFormatInvalid
  const { delivery } = details
  const own = oldestOf(session, queue)
  const found = delivery === undefined ? own : messageById(queue, delivery)
  const isOwn = found !== null && found !== 'settled' && found.lease?.consumer?.session === session
  if (!isOwn && !mayJudge(session, queue)) return ReasonCode.notAuthorized
  if (found === null) return ReasonCode.implementationSpecificError
  if (found === 'settled')
    return address.verdict === 'ack' ? ReasonCode.success : ReasonCode.implementationSpecificError
  if (delivery !== undefined && isOvertaken(found, delivery, address.verdict))
    return ReasonCode.implementationSpecificError
  return judge(broker, found, address.verdict, details) ? ReasonCode.success : ReasonCode.implementationSpecificError
}

function mayJudge({ client }: Session, { name, definition }: Queue): boolean {
  return mayConsume(client?.grant ?? null, `${queuePrefix}${name}`, definition.filter)
}

function oldestOf({ consumers }: Session, queue: Queue): QueuedMessage | null {
  for (const consumer of consumers ?? []) {
    if (consumer.queue !== queue) continue
    const { first } = consumer.leases
    if (first !== null) return first.queued
  }
  return null
}

/** A lease's has its tag behind the message's. */
const leaseOrMessageId = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})-[0-9a-z]{1,11}(-[0-9a-z]{1,11}\.[0-9a-z]{1,11})?$/

/**
 * Whether the id is of a lease that has ended, and the message with somebody else by now: then no verdict of the first may take it
 * away. That the work is done holds whoever says it.
 */
export function isOvertaken({ lease, id }: QueuedMessage, saidOf: string, verdict: QueueVerdict | 'release'): boolean {
  return verdict !== 'ack' && lease !== null && saidOf !== id && saidOf !== lease.id
}

/** `settled`: it had its last verdict. Null: there never was such a one, or it is in the store only, with nobody. */
export function messageById({ lanes }: Queue, id: string): QueuedMessage | 'settled' | null {
  const [, number = '', place = ''] = leaseOrMessageId.exec(id) ?? []
  const lane = lanes.find((one) => one?.number.toString(36) === number)
  if (lane == null) return null
  const position = Number.parseInt(place, 36)
  const queued = lane.messages.get(position)
  if (queued !== undefined && (id === queued.id || id.startsWith(`${queued.id}-`))) return queued
  return position < lane.residentEnd ? 'settled' : null
}

/** False: it says nothing about a message that nobody has. */
export function judge(
  broker: Broker,
  queued: QueuedMessage,
  verdict: QueueVerdict,
  { delayMs, reason }: { delayMs: number | undefined; reason: string },
): boolean {
  const { lease, lane } = queued
  if (verdict === 'extend') {
    lease?.prolong(broker, delayMs)
    return lease !== null
  }
  if (verdict === 'release' && lease === null) return false
  if (lease !== null) lease.judged = true
  if (verdict === 'ack') settle(broker, queued)
  else if (verdict === 'nack') fail(broker, queued, reason, delayMs)
  else if (verdict === 'reject') reject(broker, queued, reason)
  else giveBack(broker, queued, false)
  lane.queue.pump()
  return true
}
