/**
 * The counters as metrics: one table for Prometheus and for `gateway.metrics()`.
 *
 * Nothing is measured here: the plain integers of `Counters` are read when somebody asks. Labels come from closed sets
 * (reason names, packet types, QoS), never from clients, so the number of series is bounded.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from '@prometheus-io/client'
import type { Counters, Gauges } from '../core/counters.ts'
import { bundleMetrics } from './bundle-metrics.ts'
import { clientMetrics } from './client-metrics.ts'
import { delayedMetrics } from './delayed-metrics.ts'
import { hookMetrics } from './hook-metrics.ts'
import { type ListenerGauges, setListenerMetrics } from './listener-metrics.ts'
import { droppedLines } from './log.ts'
import { messageMetrics } from './message-metrics.ts'
import { counter, histogramText, labelled, type Metric, stepsOf } from './metric.ts'
import type { MetricFamily } from './named-metrics.ts'
import { stateMetrics } from './state-metrics.ts'
import { storeHistograms, storeMetrics } from './store-metrics.ts'
import { webMetrics } from './web-metrics.ts'

const metrics: readonly Metric[] = [
  ...stateMetrics,
  ...clientMetrics,
  ...messageMetrics,
  ...delayedMetrics,
  ...webMetrics,
  ...bundleMetrics,
  ...hookMetrics,
  labelled('mqtt_api_answers_total', 'Calls of the HTTP API, by status of the answer.', 'status', (c) => c.apiAnswers),
  counter(
    'mqtt_traced_packets_left_out_total',
    'Packets that a trace was about and did not get: too many at once, or its reader was too slow.',
    (c) => c.tracedPacketsLeftOut,
  ),
  counter(
    'mqtt_explanations_missed_total',
    'Messages that somebody followed and was not told of, because there were too many at once.',
    (c) => c.explanationsMissed,
  ),
  counter(
    'mqtt_internal_errors_total',
    'Faults of the gateway itself; the first ends the process.',
    (c) => c.internalErrors,
  ),
  {
    name: 'mqtt_log_lines_dropped_total',
    help: 'Log lines of the process that were not written: more than a second may have of one reason, or nothing took them.',
    type: 'counter',
    label: 'reason',
    read: () => [
      ['left_out', droppedLines.leftOut],
      ['not_taken', droppedLines.unwritten],
    ],
  },
  ...storeMetrics,
]

/** Values by series name, as Prometheus writes it: `mqtt_subscriptions`, `mqtt_protocol_errors_total{reason="malformed_packet"}`. */
export function flatMetrics(counters: Counters, gauges: Gauges): Record<string, number> {
  const flat: Record<string, number> = {}
  for (const metric of metrics) {
    const reading = metric.read(counters, gauges)
    if (reading === undefined) continue
    if (typeof reading === 'number') flat[metric.name] = reading
    else for (const [value, count] of reading) flat[`${metric.name}{${seriesOf(metric, value)}}`] = count
  }
  for (const { name, read } of storeHistograms) {
    const histogram = read(counters)
    if (histogram === undefined) continue
    for (const [bound, count] of stepsOf(histogram)) flat[`${name}_bucket{le="${bound}"}`] = count
    flat[`${name}_sum`] = histogram.sum
    flat[`${name}_count`] = histogram.count
  }
  return flat
}

function namesOf({ label = [] }: Metric): readonly string[] {
  return typeof label === 'string' ? [label] : label
}

function labelsOf(metric: Metric, value: string): Record<string, string> {
  const values = value.split('\t')
  return Object.fromEntries(namesOf(metric).map((name, index) => [name, values[index] ?? '']))
}

function seriesOf(metric: Metric, value: string): string {
  const labels = Object.entries(labelsOf(metric, value))
  return labels.map(([name, one]) => `${name}="${one}"`).join(',')
}

export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE

let processRegistry: Registry | undefined

/** The text that Prometheus scrapes: the gateway's metrics, then those of Node and of the process. */
export async function metricsText(
  counters: Counters,
  gauges: Gauges,
  listeners: readonly ListenerGauges[] = [],
  families: readonly MetricFamily[] = [],
): Promise<string> {
  const registry = new Registry()
  for (const metric of metrics) {
    const reading = metric.read(counters, gauges)
    if (reading === undefined) continue
    const set = valueSetter(metric, registry)
    if (typeof reading === 'number') set({}, reading)
    else for (const [value, count] of reading) set(labelsOf(metric, value), count)
  }
  for (const family of families) family.set(registry)
  setListenerMetrics(listeners, registry)
  const steps = storeHistograms.flatMap((metric) => {
    const histogram = metric.read(counters)
    return histogram === undefined ? [] : [histogramText(metric, histogram)]
  })
  return (await registry.metrics()) + steps.join('') + (await processMetrics().metrics())
}

type SetValue = (labels: Record<string, string>, value: number) => void

function valueSetter(metric: Metric, registry: Registry): SetValue {
  const { name, help, type } = metric
  const options = { name, help, labelNames: [...namesOf(metric)], registers: [registry] }
  if (type === 'gauge') {
    const made = new Gauge(options)
    return (labels, value) => made.set(labels, value)
  }
  const made = new Counter(options)
  return (labels, value) => made.inc(labels, value)
}

/**
 * One for the process, however many gateways run in it. Its probes of event loop and garbage collection start with the
 * first call, so a program that wants the first scrape to cover its start calls this early.
 */
export function processMetrics(): Registry {
  if (!processRegistry) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry, eventLoopMonitoringPrecision: 20 })
  }
  return processRegistry
}
