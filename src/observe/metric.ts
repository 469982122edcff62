/** What a metric is: its name, what it means, and how it is read from the counters when somebody asks. */
import type { Counters, Gauges, LabelledCounter, NamespaceGauges, StoreFigures } from '../core/counters.ts'
import type { Histogram } from '../core/histogram.ts'
import { PacketType } from '../mqtt/packet.ts'

/** Undefined: there is nothing to show, as of a store's size without a store. */
export type Reading = number | undefined | Iterable<readonly [label: string, value: number]>

export interface Metric {
  name: string
  help: string
  type: 'counter' | 'gauge'
  /** Name of the label when `read` gives several values; of several labels, with tabs between their values. */
  label?: string | readonly string[]
  read(counters: Counters, gauges: Gauges): Reading
}

export function counter(name: string, help: string, read: (counters: Counters) => number): Metric {
  return { name, help, type: 'counter', read }
}

export function labelled(
  name: string,
  help: string,
  label: string | readonly string[],
  read: (counters: Counters) => LabelledCounter,
): Metric {
  return { name, help, type: 'counter', label, read: (counters) => read(counters).counts }
}

export function byQos(name: string, help: string, read: (counters: Counters) => readonly number[]): Metric {
  return {
    name,
    help,
    type: 'counter',
    label: 'qos',
    read: (counters) => read(counters).map((value, qos) => [String(qos), value] as const),
  }
}

export function byType(name: string, help: string, read: (counters: Counters) => ArrayLike<number>): Metric {
  return {
    name,
    help,
    type: 'counter',
    label: 'type',
    read: (counters) =>
      Object.entries(PacketType).map(([type, number]) => [type, read(counters)[number] ?? 0] as const),
  }
}

export function gauge(name: string, help: string, read: (gauges: Gauges) => number): Metric {
  return { name, help, type: 'gauge', read: (_, gauges) => read(gauges) }
}

export function budget(
  name: string,
  help: string,
  type: Metric['type'],
  read: (budget: Gauges['budgets'][string]) => number,
): Metric {
  const readAll = (_: Counters, { budgets }: Gauges) =>
    Object.entries(budgets).map(([kind, one]) => [kind, read(one)] as const)
  return { name, help, type, label: 'kind', read: readAll }
}

export function store(
  name: string,
  help: string,
  type: Metric['type'],
  read: (figures: StoreFigures) => number,
): Metric {
  return { name, help, type, read: (counters) => counters.store && read(counters.store) }
}

export function ofNamespaces(name: string, help: string, read: (gauges: NamespaceGauges) => number): Metric {
  const readAll = (_: Counters, { namespaces }: Gauges) =>
    [...namespaces].map(([namespace, one]) => [namespace, read(one)] as const)
  return { name, help, type: name.endsWith('_total') ? 'counter' : 'gauge', label: 'namespace', read: readAll }
}

/** Values by how large they were. Undefined: there is nothing to show. */
export interface HistogramMetric {
  name: string
  help: string
  read(counters: Counters): Histogram | undefined
}

/** Each with its name's ending and its bound, in Prometheus' order. */
export function* stepsOf(histogram: Histogram): Generator<readonly [bound: string, count: number]> {
  let count = 0
  for (const [step, bound] of histogram.bounds.entries()) {
    count += histogram.counts[step]!
    yield [String(bound), count]
  }
  yield ['+Inf', histogram.count]
}

/** As Prometheus scrapes it. */
export function histogramText({ name, help }: HistogramMetric, histogram: Histogram): string {
  const buckets = [...stepsOf(histogram)].map(([bound, count]) => `${name}_bucket{le="${bound}"} ${count}`)
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`, ...buckets]
  return `${[...lines, `${name}_sum ${histogram.sum}`, `${name}_count ${histogram.count}`].join('\n')}\n\n`
}
