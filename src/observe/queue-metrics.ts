/** Queues as metrics. */
import type { QueueState, Queues, QueueTotals } from '../core/ports/queues.ts'
import { familyOf, type MetricFamily, type NamedMetric, present } from './named-metrics.ts'

export interface QueueReading extends QueueState {
  /** Undefined: it is empty, or that is not known yet. */
  oldestAgeSeconds: number | undefined
}

function total(name: string, help: string, read: keyof QueueTotals): NamedMetric<QueueReading> {
  return { name: `mqtt_queue_${name}_total`, help, type: 'counter', read: ({ totals }) => totals[read] }
}

const metrics: readonly NamedMetric<QueueReading>[] = [
  {
    name: 'mqtt_queue_messages',
    help: 'Unsettled messages of each queue now: ready, leased (with a consumer), waiting (for their next attempt).',
    type: 'gauge',
    byState: true,
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
  total('duplicates', 'Messages acknowledged and not taken in, since they were there before.', 'duplicates'),
  total(
    'dedupe_forgotten',
    'Ids of messages and publishers that were forgotten early, because there were too many.',
    'forgotten',
  ),
  total('refused', 'Messages that were not taken in since the queue was full.', 'refused'),
]

/** Of all queues, at a time of the broker's. */
export function* queueReadings(queues: Pick<Queues, 'list'>, now: number): Iterable<QueueReading> {
  for (const queue of present(queues.list())) {
    const { oldestAt } = queue
    yield { ...queue, oldestAgeSeconds: oldestAt === null ? undefined : Math.max(0, (now - oldestAt) / 1000) }
  }
}

export function queueMetrics(queues: Pick<Queues, 'list'>, now: number): MetricFamily {
  return familyOf('queue', metrics, queueReadings(queues, now))
}
