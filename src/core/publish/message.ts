/**
 * A message that outlives its turn: its bytes are its own, copied once out of the socket's chunk (a 64-byte view would pin
 * 64 KB) and shared by all sessions that hold it.
 */
import type { PublishFrame, Qos } from '../../mqtt/packet.ts'
import { forwardProperties, type PublishParts } from '../../mqtt/publish.ts'
import type { TopicEntry } from './route-cache.ts'

export interface Message extends PublishParts {
  /** Number in the store; 0 until a record names it. */
  id: number
  /** UTF-8 of `name`. */
  topic: Uint8Array
  name: string
  payload: Uint8Array
  /** Encoded MQTT 5.0 properties that every receiver gets, in the publisher's order [MQTT-3.3.2-17, MQTT-3.3.2-18]. */
  forwardProperties: Uint8Array
  /** As published; a delivery may have a lower one. */
  qos: Qos
  /** Milliseconds since the epoch; Infinity: never. */
  expiresAt: number
  /** Client id; empty: the server itself. */
  publisher: string
  publishedAt: number
  /** References and retained entries that the store holds or will hold in the turn being gathered. Kept by the journal. */
  references: number
  /** Places in queues in memory. Kept by `QueueBudget`. */
  holders: number
}

/** Copies a PUBLISH out of its chunk. */
export function messageFromFrame(frame: PublishFrame, entry: TopicEntry, publisher: string, now: number): Message {
  const payload = new Uint8Array(frame.end - frame.payloadStart)
  payload.set(frame.buffer.subarray(frame.payloadStart, frame.end))
  return {
    id: 0,
    topic: entry.bytes,
    name: entry.topic,
    payload,
    forwardProperties: forwardProperties(frame),
    qos: frame.qos,
    expiresAt: frame.messageExpiryInterval < 0 ? Infinity : now + frame.messageExpiryInterval * 1000,
    publisher,
    publishedAt: now,
    references: 0,
    holders: 0,
  }
}

/**
 * The same message for a new reference long after its publication: the store may have let its body go with the last record
 * that named it, so that this one is written with a body of its own. The bytes are shared.
 */
export function republished(message: Message): Message {
  return { ...message, id: 0, references: 0, holders: 0 }
}

/** Whole seconds that remain, at least 1 before the expiry; -1 for a message without expiry [MQTT-3.3.2-6]. */
export function remainingExpiry(message: Message, now: number): number {
  return message.expiresAt === Infinity ? -1 : Math.max(1, Math.ceil((message.expiresAt - now) / 1000))
}

/** Bytes a message counts for in a queue: its contents, not the objects around them. */
export function messageBytes(message: Message): number {
  return message.payload.length + message.topic.length + message.forwardProperties.length
}
