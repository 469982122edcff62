/** What one part of the swarm counts and times. Plain numbers, added up over the parts. */
import { Histogram, type HistogramSnapshot } from './histogram.ts'

export const latencyKinds = [
  'connect',
  'suback',
  'puback',
  'pubcomp',
  'endToEnd',
  'endToEndFromSend',
  'command',
  'scheduling',
] as const
export type LatencyKind = (typeof latencyKinds)[number]

export const counterNames = [
  'sent',
  'sentBytes',
  'untracked',
  'acknowledged',
  'refused',
  'received',
  'receivedBytes',
  'foreign',
  'untrackedReceived',
  'skippedOffline',
  'skippedFull',
  'connects',
  'connectFailures',
  'refusedConnects',
  'refusedLogins',
  'disconnects',
  'errors',
  'commandsSent',
  'commandsAnswered',
  'unansweredCommands',
  'repliesSent',
  'failedPublications',
  'retainedDeliveries',
  'duplicatesSeen',
  'outOfOrderSeen',
  'corruptedSeen',
  'misroutedSeen',
] as const
export type CounterName = (typeof counterNames)[number]
export type Counters = Record<CounterName, number>

const errorTextsMax = 20

export function emptyCounters(): Counters {
  return Object.fromEntries(counterNames.map((name) => [name, 0])) as Counters
}

export interface MeasuresSnapshot {
  counters: Counters
  errors: [text: string, count: number][]
  /** Of the measured stages. */
  latency: Record<LatencyKind, HistogramSnapshot>
  /** End to end since the snapshot before, measured or not. */
  interval: HistogramSnapshot
}

export class Measures {
  readonly counters = emptyCounters()
  readonly latency = Object.fromEntries(latencyKinds.map((kind) => [kind, new Histogram()])) as Record<
    LatencyKind,
    Histogram
  >
  readonly interval = new Histogram()
  /** The first different things that clients reported, and how often. */
  readonly errors = new Map<string, number>()
  /** Messages intended in this span of the run's clock count for the latency figures. */
  fromMs = Number.POSITIVE_INFINITY
  toMs = Number.POSITIVE_INFINITY

  noteError(text: string): void {
    this.counters.errors += 1
    const known = this.errors.get(text)
    if (known !== undefined) this.errors.set(text, known + 1)
    else if (this.errors.size < errorTextsMax) this.errors.set(text, 1)
  }

  isMeasured(intendedMs: number): boolean {
    return intendedMs >= this.fromMs && intendedMs < this.toMs
  }

  take(): MeasuresSnapshot {
    const latency = Object.fromEntries(latencyKinds.map((kind) => [kind, this.latency[kind].snapshot()])) as Record<
      LatencyKind,
      HistogramSnapshot
    >
    const snapshot = {
      counters: { ...this.counters },
      errors: [...this.errors],
      latency,
      interval: this.interval.snapshot(),
    }
    this.interval.reset()
    return snapshot
  }
}
