/** Streams as metrics. Groups have no series of their own: clients name them. The one that is furthest behind is what an alert needs. */
import type { StreamState, Streams, StreamTotals } from '../core/ports/streams.ts'
import { familyOf, type MetricFamily, type NamedMetric, present } from './named-metrics.ts'

export interface StreamReading extends StreamState {
  /** Messages that the group which is furthest behind has before it; undefined: there is no group. */
  lag: number | undefined
}

function total(name: string, help: string, read: keyof StreamTotals): NamedMetric<StreamReading> {
  return { name: `mqtt_stream_${name}_total`, help, type: 'counter', read: ({ totals }) => totals[read] }
}

function gauge(name: string, help: string, read: NamedMetric<StreamReading>['read']): NamedMetric<StreamReading> {
  return { name: `mqtt_stream_${name}`, help, type: 'gauge', read }
}

const metrics: readonly NamedMetric<StreamReading>[] = [
  gauge('messages', 'Messages that each stream has now.', ({ messages }) => messages),
  gauge('bytes', 'Bytes of these.', ({ bytes }) => bytes),
  gauge('first_offset', 'Offset of the oldest of these.', ({ firstOffset }) => firstOffset),
  gauge('next_offset', 'Offset that the next message gets.', ({ nextOffset }) => nextOffset),
  gauge('readers', 'Subscriptions to each stream now.', ({ readers }) => readers),
  gauge('groups', 'Consumer groups of each stream.', ({ groups }) => groups),
  gauge(
    'lag',
    'Messages that the group which is furthest behind has before it; not shown without groups.',
    ({ lag }) => lag,
  ),
  total('appended', 'Messages that each stream took in.', 'appended'),
  total('refused', 'Messages that were not taken in since the disk had no room.', 'refused'),
  total('delivered', 'Messages sent to readers, a second sending counted again.', 'delivered'),
  total('trimmed', 'Messages that retention let go, or somebody by hand.', 'trimmed'),
  total('gaps', 'Times that a reader came too late for what was next.', 'gaps'),
  total('missed', 'Messages that readers did not get because they came too late.', 'missed'),
]

type Listed = Pick<Streams, 'list' | 'groups'>

export function* streamReadings(streams: Listed): Iterable<StreamReading> {
  for (const stream of present(streams.list())) {
    let lag: number | undefined
    if (stream.groups > 0) for (const group of streams.groups(stream)) lag = Math.max(lag ?? 0, group.lag)
    yield { ...stream, lag }
  }
}

export function streamMetrics(streams: Listed): MetricFamily {
  return familyOf('stream', metrics, streamReadings(streams))
}
