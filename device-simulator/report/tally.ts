/** The sum over all parts, second by second: what the views show and the summary ends with. */
import { Histogram } from '../measure/histogram.ts'
import { type Counters, emptyCounters, type LatencyKind, latencyKinds } from '../measure/measures.ts'
import type { PartSnapshot } from '../swarm/part.ts'
import type { Second } from './summary.ts'

export class Tally {
  readonly devices: number
  counters: Counters = emptyCounters()
  latency = emptyLatency()
  errors = new Map<string, number>()
  online = 0
  ready = 0
  pending = 0
  measuredFromMs = Number.POSITIVE_INFINITY
  #lastSeconds = 0
  #lastSent = 0
  #lastReceived = 0

  constructor(devices: number) {
    this.devices = devices
  }

  /** Counters and histograms of the parts are totals, so the sum replaces the one before. */
  take(snapshots: readonly PartSnapshot[], seconds: number, stage: string, faults: string[]): Second {
    const counters = emptyCounters()
    const latency = emptyLatency()
    const interval = new Histogram()
    this.errors = new Map()
    this.online = 0
    this.ready = 0
    this.pending = 0
    for (const snapshot of snapshots) {
      for (const name of Object.keys(counters) as (keyof Counters)[]) counters[name] += snapshot.measures.counters[name]
      for (const kind of latencyKinds) latency[kind].add(snapshot.measures.latency[kind])
      interval.add(snapshot.measures.interval)
      for (const [text, count] of snapshot.measures.errors) this.errors.set(text, (this.errors.get(text) ?? 0) + count)
      this.online += snapshot.online
      this.ready += snapshot.ready
      this.pending += snapshot.pending
    }
    this.counters = counters
    this.latency = latency
    const span = Math.max(0.001, seconds - this.#lastSeconds)
    const second: Second = {
      seconds: Math.round(seconds * 10) / 10,
      stage,
      online: this.online,
      sentPerSecond: Math.round((counters.sent - this.#lastSent) / span),
      receivedPerSecond: Math.round((counters.received - this.#lastReceived) / span),
      pending: this.pending,
      p50: interval.percentile(0.5) / 1000,
      p99: interval.percentile(0.99) / 1000,
      faults,
    }
    this.#lastSeconds = seconds
    this.#lastSent = counters.sent
    this.#lastReceived = counters.received
    return second
  }
}

function emptyLatency(): Record<LatencyKind, Histogram> {
  return Object.fromEntries(latencyKinds.map((kind) => [kind, new Histogram()])) as Record<LatencyKind, Histogram>
}
