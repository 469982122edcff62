/** Bridges as metrics. Their names come from the configuration and from administrators, and are at most a thousand. */
import type { BridgeView } from '../bridges/view.ts'
import { familyOf, type MetricFamily, type NamedMetric } from './named-metrics.ts'

const metrics: readonly NamedMetric<BridgeView>[] = [
  {
    name: 'mqtide_bridge_connected',
    help: '1 while a bridge is connected.',
    type: 'gauge',
    read: ({ state }) => Number(state === 'connected'),
  },
  {
    name: 'mqtide_bridge_waiting_messages',
    help: 'Messages that each bridge has not sent to the other broker yet.',
    type: 'gauge',
    read: ({ waiting }) => waiting,
  },
  {
    name: 'mqtide_bridge_waiting_bytes',
    help: 'Bytes of these.',
    type: 'gauge',
    read: (bridge) => bridge.waitingBytes,
  },
  {
    name: 'mqtide_bridge_inflight',
    help: 'Messages that the other broker has not acknowledged.',
    type: 'gauge',
    read: ({ inflight }) => inflight,
  },
  {
    name: 'mqtide_bridge_sent_total',
    help: 'PUBLISH packets to the other broker, those sent again included.',
    type: 'counter',
    read: ({ sent }) => sent,
  },
  {
    name: 'mqtide_bridge_received_total',
    help: 'PUBLISH packets of the other broker that were let in.',
    type: 'counter',
    read: ({ received }) => received,
  },
  {
    name: 'mqtide_bridge_dropped_total',
    help: 'Messages that a bridge lost to the limits of what may wait, or that expired.',
    type: 'counter',
    read: ({ dropped }) => dropped,
  },
  {
    name: 'mqtide_bridge_connects_total',
    help: 'Times that it was connected.',
    type: 'counter',
    read: ({ connects }) => connects,
  },
  byReason('mqtide_bridge_skipped_out_total', 'Messages that did not go out, by reason.', 'skippedOut'),
  byReason('mqtide_bridge_skipped_in_total', 'Messages that did not come in, by reason.', 'skippedIn'),
  byReason('mqtide_bridge_refused_total', 'Messages that the other broker refused, by its reason code.', 'refused'),
  byReason('mqtide_bridge_failures_total', 'Connections that ended or were not made, by reason.', 'failures'),
]

type Reasons = 'skippedOut' | 'skippedIn' | 'refused' | 'failures'

function byReason(name: string, help: string, what: Reasons): NamedMetric<BridgeView> {
  return { name, help, type: 'counter', by: 'reason', read: (bridge) => bridge[what] }
}

export function bridgeMetrics(views: Iterable<BridgeView>): MetricFamily {
  return familyOf('bridge', metrics, views)
}
