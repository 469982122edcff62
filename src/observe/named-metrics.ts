/**
 * Metrics of things that the configuration names, such as queues: one series for each thing and figure. Their names come from the
 * configuration, so that the number of series is bounded by it; at a scrape they are read from what each thing counts anyway.
 */
import { Counter, Gauge, type Registry } from '@prometheus-io/client'

interface Named {
  readonly namespace: string
  readonly name: string
}

export interface NamedMetric<Reading> {
  name: string
  help: string
  type: 'gauge' | 'counter'
  /** By the label `state` or `by`, or one value; undefined: not known. */
  read(thing: Reading): number | undefined | Readonly<Record<string, number>>
  /** It has the label `state`. */
  byState?: true
  /** The same, of another name. */
  by?: string
}

/** The metrics of one kind of things, and the things as they are now. */
export interface MetricFamily {
  /** By series name, as Prometheus writes it. */
  flat(): Record<string, number>
  set(registry: Registry): void
}

export function familyOf<Reading extends Named>(
  label: string,
  metrics: readonly NamedMetric<Reading>[],
  things: Iterable<Reading>,
): MetricFamily {
  const valuesOf = function* ({ read, by = 'state' }: NamedMetric<Reading>, found: readonly Reading[]) {
    for (const thing of found) {
      const labels = { namespace: thing.namespace, [label]: thing.name }
      const value = read(thing)
      if (typeof value === 'object') {
        for (const [state, one] of Object.entries(value)) yield [{ ...labels, [by]: state }, one] as const
      } else if (value !== undefined) yield [labels, value] as const
    }
  }
  return {
    flat() {
      const found = [...things]
      const flat: Record<string, number> = {}
      for (const metric of metrics) {
        for (const [labels, value] of valuesOf(metric, found)) {
          const series = Object.entries(labels).map(([name, one]) => `${name}="${one}"`)
          flat[`${metric.name}{${series.join(',')}}`] = value
        }
      }
      return flat
    },
    set(registry) {
      const found = [...things]
      if (found.length === 0) return
      for (const metric of metrics) {
        const { name, help, type, byState, by = byState ? 'state' : undefined } = metric
        const labelNames = ['namespace', label, ...(by === undefined ? [] : [by])]
        const options = { name, help, labelNames, registers: [registry] }
        const made = type === 'gauge' ? new Gauge(options) : new Counter(options)
        for (const [labels, value] of valuesOf(metric, found)) made.inc(labels, value)
      }
    },
  }
}

/** Of things as the core lists them. */
export function* present<Found>(list: Iterable<Found | null>): Iterable<Found> {
  for (const one of list) if (one !== null) yield one
}
