/** Messages that wait until they are due, and schedules. */
import { counter, gauge, type Metric } from './metric.ts'

export const delayedMetrics: readonly Metric[] = [
  gauge('mqtt_delayed_messages', 'Messages that wait until they are due now.', (g) => g.delayedMessages),
  gauge(
    'mqtt_delayed_bytes',
    'Bytes of messages that wait until they are due now, 500 for each included.',
    (g) => g.delayedBytes,
  ),
  counter('mqtt_delayed_accepted_total', 'Messages taken to be published later.', (c) => c.delayedAccepted),
  counter('mqtt_delayed_published_total', 'Delayed messages published when they were due.', (c) => c.delayedPublished),
  counter(
    'mqtt_delayed_replaced_total',
    'Delayed messages replaced by one of the same schedule-id.',
    (c) => c.delayedReplaced,
  ),
  counter('mqtt_delayed_cancelled_total', 'Delayed messages taken back.', (c) => c.delayedCancelled),
  counter(
    'mqtt_delayed_lateness_seconds_total',
    'By how much later than they were due delayed messages were published, together.',
    (c) => c.delayedLatenessSeconds,
  ),
  counter('mqtt_schedules_published_total', 'Messages of schedules published.', (c) => c.schedulesPublished),
  counter(
    'mqtt_schedules_missed_total',
    'Occurrences of schedules that came more than a minute late, or not at all.',
    (c) => c.schedulesMissed,
  ),
]
