/** What the bench asks of a generator process (one JSON argument) and what it answers (one JSON line on stdout). */
import type { WorkQueueSpec } from './jobs/work-queue.ts'
import type { Endpoint } from './link.ts'
import type { LoadSpec } from './load.ts'
import type { WorkQueueEndpoint } from './work-queues.ts'

export interface Target {
  publishers: Endpoint
  subscribers: Endpoint
  /** The broker's processes, for CPU time and memory. */
  brokerPids: readonly number[]
  /** Where the gateway shows its metrics; other brokers have none that are read. */
  metricsUrl?: string
}

interface Timed {
  warmupMs: number
  measureMs: number
}

export type Job = { target: Target; connectTimeoutMs: number } & (
  | ({ kind: 'throughput'; spec: LoadSpec; crowdSubscriptions: number } & Timed)
  | ({ kind: 'latency'; spec: LoadSpec; shares: readonly number[] } & Timed)
  | ({ kind: 'stalled'; spec: LoadSpec } & Timed)
  /** Retained messages, up to `messages` or as many as the broker accepts in `fillMsMax`. */
  | { kind: 'retain'; spec: LoadSpec; messages: number; fillMsMax: number }
  /** The load's subscribers subscribe to all of them at once. */
  | { kind: 'collect'; spec: LoadSpec; sentByPublisher: readonly number[]; topicsPerPublisher: number }
  /** Up to `messages`, or as many as the broker accepts in `fillMsMax`. */
  | { kind: 'fill'; spec: LoadSpec; messages: number; fillMsMax: number }
  /** A queue of a broker that MQTT clients can't consume. */
  | ({ kind: 'work-queue'; spec: WorkQueueSpec; endpoint: WorkQueueEndpoint } & Timed)
  | { kind: 'drain'; spec: LoadSpec; sentByPublisher: readonly number[] }
  /** Durable sessions with `filtersEach` subscriptions, made and left, as many as there is time for. */
  | { kind: 'make-sessions'; sessions: number; filtersEach: number; msMax: number }
  /** Every `step`th of them must be there. */
  | { kind: 'find-sessions'; sessions: number; step: number }
  /** `resumed`: over TLS, each with the session of a connection before it. */
  | { kind: 'storm'; connections: number; pendingMax: number; resumed?: boolean }
  | { kind: 'idle'; connections: readonly number[]; carryBytes: number }
)

/**
 * The answer: figures by name. `generatorBusy`, `brokerBusy` and `othersBusy` are cores; `lost`, `duplicated` and the like
 * are messages; further names belong to the kind of job.
 */
export type Figures = Record<string, number>

export interface Answer {
  figures: Figures
  /** Why the figures don't count, if they don't: messages lost, a client disconnected, a limit reached. */
  faults: string[]
}
