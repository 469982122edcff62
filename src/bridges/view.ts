/** What is seen of a bridge from outside. */
import type { TopicRule } from './settings.ts'

/** `refused`: it would be a bridge to the gateway itself, and is not tried again. */
export type BridgeState = 'connecting' | 'connected' | 'waiting' | 'refused' | 'stopped'

export interface OutboxState {
  /** Not sent to the other broker yet. */
  readonly waiting: number
  readonly waitingBytes: number
  /** Sent and not acknowledged. */
  readonly inflight: number
  /** Messages that it lost to its limits, to expiry or with its end. */
  readonly dropped: number
}

export interface BridgeView extends OutboxState {
  namespace: string
  name: string
  /** Who made it. */
  source: 'configuration' | 'api'
  url: string
  protocolVersion: 4 | 5
  clientId: string
  connections: number
  state: BridgeState
  /** Milliseconds since the epoch; null: it is not connected, or no attempt is planned, or none has failed. */
  connectedAt: number | null
  nextAttemptAt: number | null
  lastFailure: { reason: string; text: string; at: number } | null
  /** Attempts that failed, one after the other. */
  attempts: number
  connects: number
  /** PUBLISH packets, those sent again included. */
  sent: number
  received: number
  /** Messages by why they did not go over, and connections by why they ended. */
  skippedOut: Record<string, number>
  skippedIn: Record<string, number>
  refused: Record<string, number>
  failures: Record<string, number>
  topics: readonly TopicRule[]
}
