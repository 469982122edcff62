/**
 * What a bridge asks of its gateway: a session of its own, in which waits what the other broker has not acknowledged, and a client's
 * connection to it. The composition root brings both.
 */
import type { Qos } from '../mqtt/packet.ts'
import type { QueueFull } from './settings.ts'
import type { OutboxState } from './view.ts'

export interface OutboxSubscription {
  readonly topicFilter: string
  readonly qos: Qos
  readonly retainHandling: 0 | 1 | 2
}

export interface OutboxLimits {
  readonly messagesMax: number
  readonly bytesMax: number
  readonly full: QueueFull
}

/** What the gateway takes of its clients. */
export interface Accepts {
  readonly packetBytesMax: number
  readonly propertiesPerPacketMax: number
  readonly maximumQos: Qos
  readonly retainAvailable: boolean
}

/** The client's end of a connection to the gateway itself. */
export interface LocalConnection {
  onData(chunk: Buffer): void
  onDrain(): void
  onClosed(reason: string): void
}

/** What the gateway's end of it does. As `engine/byte-stream.ts`. */
export interface LocalStream {
  readonly headroomBytes: number
  write(buffer: Buffer, start: number, end: number): boolean
  pause(): void
  resume(): void
  end(): void
  destroy(): void
}

export interface Outbox {
  readonly clientId: string
  readonly accepts: Accepts
  /**
   * Makes the session where there is none, with these subscriptions and no others, before anything is published. Returns whether it was
   * made, and which of them may still have to get retained messages.
   */
  declare(
    subscriptions: readonly OutboxSubscription[],
    limits: OutboxLimits,
  ): { made: boolean; retainedDue: readonly OutboxSubscription[] }
  /** What `declare` returned has got its retained messages, if all have been sent: those that get them but once are not due again. */
  noteRetained(): void
  /** It does not end, however long its client is away. To be called after CONNACK. */
  keep(): void
  connect(stream: LocalStream): LocalConnection
  /** QoS 2 packet identifiers of the other broker's that are not released. */
  incoming(): readonly number[]
  /** Packet identifiers that its deliveries come to last. */
  sparePacketIds(count: number): readonly number[]
  state(): OutboxState
  /** Ends the session with all that waits in it. */
  end(): void
}
