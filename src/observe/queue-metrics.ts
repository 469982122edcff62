/**
 * Queues as metrics: one series for each queue and figure. Their names come from the configuration, so that the number of series is bounded by
 * it; at a scrape they are read from what each queue counts anyway.
 */
import { Counter, Gauge, type Registry } from '@prometheus-io/client'
import type { QueueState, Queues, QueueTotals } from '../core/ports/queues.ts'

export interface QueueReading extends QueueState {
  /** Undefined: it is empty, or that is not known yet. */
  oldestAgeSeconds: number | undefined
}

interface Metric {
  name: string
  help: string
  type: 'gauge' | 'counter'
  /** By the label `state`, or one value. */
  read(queue: QueueReading): number | undefined | Readonly<Record<string, number>>
}

function total(name: string, help: string, read: keyof QueueTotals): Metric {
  return { name: `mqtt_queue_${name}_total`, help, type: 'counter', read: ({ totals }) => totals[read] }
}

const metrics: readonly Metric[] = [
  {
    name: 'mqtt_queue_messages',
    help: 'Unsettled messages of each queue now: ready, leased (with a consumer), waiting (for their next attempt).',
    type: 'gauge',
    read: ({ ready, leased, waiting }) => ({ ready, leased, waiting }),
  },
  { name: 'mqtt_queue_bytes', help: 'Bytes of these.', type: 'gauge', read: ({ bytes }) => bytes },
  {
    name: 'mqtt_queue_oldest_age_seconds',
    help: 'How long the oldest of these has been there; not shown where the queue is empty or that is not known yet.',
    type: 'gauge',
    read: ({ oldestAgeSeconds }) => oldestAgeSeconds,
  },
  {
    name: 'mqtt_queue_consumers',
    help: 'Consumers of each queue now.',
    type: 'gauge',
    read: ({ consumers }) => consumers,
  },
  total('enqueued', 'Messages that each queue took in, dead letters and redriven ones among them.', 'enqueued'),
  total('settled', 'Messages that were done.', 'settled'),
  total('retried', 'Failed attempts after which there was another.', 'retried'),
  total('returned', 'Messages given back without a fault of theirs.', 'returned'),
  total('timed_out', 'Verdicts that did not come in time.', 'timedOut'),
  total('dead_lettered', 'Messages that became dead letters and went to another queue.', 'deadLettered'),
  total('redriven', 'Dead letters that went back where they came from.', 'redriven'),
  total('purged', 'Messages dropped by hand.', 'purged'),
  total(
    'dropped',
    'Messages that ended without having been settled; mqtt_messages_dropped_total has the reasons.',
    'dropped',
  ),
  total(
    'stalled',
    'Times that so many messages waited behind others of their key that no further ones were looked at.',
    'stalled',
  ),
  total('refused', 'Messages that were not taken in since the queue was full.', 'refused'),
]

/** Of all queues, at a time of the broker's. */
export function* queueReadings(queues: Pick<Queues, 'list'>, now: number): Iterable<QueueReading> {
  for (const queue of queues.list()) {
    if (queue === null) continue
    const { oldestAt } = queue
    yield { ...queue, oldestAgeSeconds: oldestAt === null ? undefined : Math.max(0, (now - oldestAt) / 1000) }
  }
}

function* valuesOf({ read }: Metric, queues: readonly QueueReading[]) {
  for (const queue of queues) {
    const { namespace, name } = queue
    const value = read(queue)
    if (typeof value === 'object') {
      for (const [state, one] of Object.entries(value)) yield [{ namespace, queue: name, state }, one] as const
    } else if (value !== undefined) yield [{ namespace, queue: name }, value] as const
  }
}

/** By series name, as Prometheus writes it. */
export function flatQueueMetrics(read: Iterable<QueueReading>): Record<string, number> {
  const queues = [...read]
  const flat: Record<string, number> = {}
  for (const metric of metrics) {
    for (const [labels, value] of valuesOf(metric, queues)) {
      const series = Object.entries(labels).map(([name, one]) => `${name}="${one}"`)
      flat[`${metric.name}{${series.join(',')}}`] = value
    }
  }
  return flat
}

export function setQueues(read: Iterable<QueueReading>, registry: Registry): void {
  const queues = [...read]
  if (queues.length === 0) return
  for (const metric of metrics) {
    const { name, help, type } = metric
    const labelNames = name === 'mqtt_queue_messages' ? ['namespace', 'queue', 'state'] : ['namespace', 'queue']
    const options = { name, help, labelNames, registers: [registry] }
    const made = type === 'gauge' ? new Gauge(options) : new Counter(options)
    for (const [labels, value] of valuesOf(metric, queues)) made.inc(labels, value)
  }
}
