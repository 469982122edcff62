/**
 * What the main figures were: every second for ten minutes and every minute for a day, since the start. Rings of fixed size, filled
 * from running totals, so that it costs the same whatever goes on.
 *
 * Counters are kept as they stand: the difference of two is what came between them.
 */
import type { Counters } from '../core/counters.ts'

export const historySteps = ['1s', '1m'] as const
export type HistoryStep = (typeof historySteps)[number]

const secondMs = 1000
export const secondSamplesMax = 600
export const minuteSamplesMax = 1440

export interface History {
  /** When each sample was taken, in milliseconds since the epoch; oldest first. */
  times: number[]
  /** By series, a value for each time. */
  series: Record<string, number[]>
}

/** Values by series, the same ones in the same order each time. */
export type Figures = Readonly<Record<string, number>>

class Ring {
  readonly #samples: Float64Array[]
  #next = 0
  #count = 0

  constructor(samplesMax: number, seriesCount: number) {
    this.#samples = Array.from({ length: samplesMax }, () => new Float64Array(seriesCount + 1))
  }

  push(sample: Float64Array): void {
    this.#samples[this.#next]!.set(sample)
    this.#next = (this.#next + 1) % this.#samples.length
    this.#count = Math.min(this.#count + 1, this.#samples.length)
  }

  get samples(): Float64Array[] {
    const first = this.#next - this.#count + this.#samples.length
    return Array.from({ length: this.#count }, (_, i) => this.#samples[(first + i) % this.#samples.length]!)
  }
}

export class MetricsHistory {
  readonly #names: readonly string[]
  readonly #read: () => Figures
  readonly #rings: Readonly<Record<HistoryStep, Ring>>
  /** The time, then each series. */
  readonly #sample: Float64Array
  #seconds = 0

  constructor(read: () => Figures) {
    this.#names = Object.keys(read())
    this.#read = read
    const { length } = this.#names
    this.#rings = { '1s': new Ring(secondSamplesMax, length), '1m': new Ring(minuteSamplesMax, length) }
    this.#sample = new Float64Array(length + 1)
  }

  /** To be called every second. */
  sample(now: number): void {
    this.#sample[0] = now
    this.#sample.set(Object.values(this.#read()), 1)
    this.#rings['1s'].push(this.#sample)
    if (this.#seconds++ % 60 === 0) this.#rings['1m'].push(this.#sample)
  }

  /** Samples taken later than `since`. */
  read(step: HistoryStep, since = 0): History {
    const samples = this.#rings[step].samples.filter(([time]) => time! > since)
    const column = (at: number): number[] => samples.map((sample) => sample[at]!)
    const series = Object.fromEntries(this.#names.map((name, i) => [name, column(i + 1)]))
    return { times: column(0), series }
  }

  /** Keeps nobody's process alive. Returns what ends it. */
  start(now: () => number): () => void {
    this.sample(now())
    let due = performance.now() + secondMs
    const timer = setInterval(() => {
      const at = performance.now()
      eventLoopDelay.seconds = Math.max(0, at - due) / 1000
      due = at + secondMs
      this.sample(now())
    }, secondMs)
    timer.unref()
    return () => clearInterval(timer)
  }
}

/** By how much the timer of a second came late that sampled last: how long whatever else was due then had to wait, too. */
const eventLoopDelay = { seconds: 0 }

/** What the series are read from, none of it by walking anything. */
export interface HistorySource {
  readonly connections: number
  readonly budgets: Readonly<Record<'sessions' | 'subscriptions' | 'queueBytes' | 'retainedBytes', { used: number }>>
  totals(): Counters
}

/** By names as in /metrics, all labels of one together. */
export function mainFigures(source: HistorySource): Figures {
  const { budgets, connections } = source
  const totals = source.totals()
  return {
    mqtt_connections: connections,
    mqtt_sessions: budgets.sessions.used,
    mqtt_subscriptions: budgets.subscriptions.used,
    'mqtt_budget_used{kind="queueBytes"}': budgets.queueBytes.used,
    'mqtt_budget_used{kind="retainedBytes"}': budgets.retainedBytes.used,
    mqtt_messages_received_total: sum(totals.messagesReceived),
    mqtt_messages_sent_total: sum(totals.messagesSent),
    mqtt_messages_dropped_total: sum(totals.messagesDropped.counts.values()),
    mqtt_bytes_received_total: totals.bytesReceived,
    mqtt_bytes_sent_total: totals.bytesSent,
    mqtt_connections_accepted_total: totals.connectionsAccepted,
    mqtt_commit_pauses_total: totals.commitPauses,
    storage_disk_free_bytes: totals.store?.diskFreeBytes ?? 0,
    process_resident_memory_bytes: process.memoryUsage.rss(),
    process_event_loop_delay_seconds: eventLoopDelay.seconds,
    storage_commit_seconds_sum: totals.commitSeconds.sum,
    storage_commit_seconds_count: totals.commitSeconds.count,
  }
}

function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}
