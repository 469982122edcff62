/** Messages and verdicts that are taken all or none. */
import { counter, labelled, type Metric } from './metric.ts'

export const bundleMetrics: readonly Metric[] = [
  counter(
    'mqtt_bundles_total',
    'Bundles of messages and verdicts that were taken, all in one commit.',
    (c) => c.bundlesTaken,
  ),
  labelled(
    'mqtt_bundles_refused_total',
    'Bundles of which nothing was taken, by what the first item was refused for.',
    'reason',
    (c) => c.bundlesRefused,
  ),
]
