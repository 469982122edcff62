/** Functions of the program that the gateway is part of. */
import { counter, labelled, type Metric } from './metric.ts'

export const hookMetrics: readonly Metric[] = [
  labelled(
    'mqtide_hook_errors_total',
    "Errors of the program's hooks and consumers, and answers of hooks that are none, by hook.",
    'hook',
    (c) => c.hookErrors,
  ),
  counter(
    'mqtide_hook_events_lost_total',
    'Events that hooks of the program were not told of, because too many waited.',
    (c) => c.hookEventsLost,
  ),
]
