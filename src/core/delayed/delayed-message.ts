/** A message that waits until it is due, as the core has it, and as it is stored. */
import { publishProperties } from '../../mqtt/publish.ts'
import type { Namespace } from '../namespace.ts'
import type { DelayClock, DelayedPlace } from '../ports/inspection.ts'
import type { RecoveredDelayed } from '../ports/recovered.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { messageOf } from '../session/queue-pages.ts'

export interface DelayedMessage {
  /** Unlike that of any other, also before a restart. */
  readonly id: number
  readonly namespace: Namespace
  readonly clock: DelayClock
  /** Milliseconds on that clock. */
  readonly dueAt: number
  readonly retain: boolean
  /** Of its publisher; empty: none. */
  readonly principal: string
  /** Empty: none. */
  readonly scheduleId: string
  /** How long it is good for once it is due; Infinity: for ever. */
  readonly expiryMs: number
  /** Its topic is where it is published. */
  readonly message: Message
}

/** About what the objects around one take, and its row. */
export const delayedObjectBytes = 500

export function delayedBytes({ message }: DelayedMessage): number {
  return messageBytes(message) + delayedObjectBytes
}

/** Of those due at the same time the older is the first. */
export function isEarlier(one: DelayedPlace, other: DelayedPlace): boolean {
  return one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.id < other.id)
}

/** The user property that names a delayed message, so that it can be replaced and cancelled. Undefined: it has none. */
export function scheduleIdOf({ forwardProperties }: Message): string | undefined {
  if (forwardProperties.length === 0) return undefined
  const { userProperties } = publishProperties(forwardProperties)
  return userProperties?.find(([name]) => name === 'schedule-id')?.[1]
}

export function storedDelayed(delayed: DelayedMessage): RecoveredDelayed {
  const { id, namespace, clock, dueAt, retain, principal, scheduleId, expiryMs, message } = delayed
  const { name: topic, payload, forwardProperties: properties, qos, publisher, publishedAt } = message
  const expirySeconds = expiryMs === Infinity ? -1 : expiryMs / 1000
  const own = { id, namespace: namespace.storedName, clock, dueAt, retain, principal, scheduleId, expirySeconds }
  return { ...own, topic, payload, properties, qos, publisher, publishedAt }
}

export function recoveredDelayed(stored: RecoveredDelayed, namespace: Namespace): DelayedMessage {
  const { id, clock, dueAt, retain, principal, scheduleId, expirySeconds } = stored
  const { topic, payload, properties, qos, publisher, publishedAt } = stored
  const body = { id: 0, topic, payload, properties, qos, expiresAt: Infinity, publisher, publishedAt }
  const expiryMs = expirySeconds < 0 ? Infinity : expirySeconds * 1000
  return { id, namespace, clock, dueAt, retain, principal, scheduleId, expiryMs, message: messageOf(body) }
}
