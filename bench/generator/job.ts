/** What the bench asks of a generator process (one JSON argument) and what it answers (one JSON line on stdout). */
import type { Endpoint } from './link.ts'
import type { LoadSpec } from './load.ts'

export interface Target {
  publishers: Endpoint
  subscribers: Endpoint
  /** The broker's processes, for CPU time and memory. */
  brokerPids: readonly number[]
}

interface Timed {
  warmupMs: number
  measureMs: number
}

export type Job = { target: Target; connectTimeoutMs: number } & (
  | ({ kind: 'throughput'; spec: LoadSpec; crowdSubscriptions: number } & Timed)
  | ({ kind: 'latency'; spec: LoadSpec; shares: readonly number[] } & Timed)
  | ({ kind: 'stalled'; spec: LoadSpec } & Timed)
  /** `collectors` clients subscribe to all messages at once. */
  | { kind: 'retained'; spec: LoadSpec; messages: number; collectors: number }
  /** Up to `messages`, or as many as the broker accepts in `fillMsMax`. */
  | { kind: 'fill'; spec: LoadSpec; messages: number; fillMsMax: number }
  | { kind: 'drain'; spec: LoadSpec; sentByPublisher: readonly number[] }
  | { kind: 'storm'; connections: number; pendingMax: number }
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
