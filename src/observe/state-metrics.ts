/** What there is now: connections, sessions, what waits, and how far limits are used. */
import { budget, gauge, type Metric, ofNamespaces } from './metric.ts'

export const stateMetrics: readonly Metric[] = [
  gauge('mqtt_connections', 'Network connections now, those before their CONNECT included.', (g) => g.connections),
  {
    name: 'mqtt_sessions',
    help: 'Sessions now, with and without a connected client.',
    type: 'gauge',
    label: 'state',
    read: (_, g) => [
      ['connected', Math.min(g.connections, g.sessions)],
      ['disconnected', Math.max(0, g.sessions - g.connections)],
    ],
  },
  gauge('mqtt_subscriptions', 'Subscriptions now, shared ones included.', (g) => g.subscriptions),
  gauge('mqtt_shared_subscriptions', 'Shared subscriptions now.', (g) => g.sharedSubscriptions),
  gauge('mqtt_retained_messages', 'Retained messages now.', (g) => g.retainedMessages),
  gauge('mqtt_retained_bytes', 'Bytes of retained messages now.', (g) => g.retainedBytes),
  gauge('mqtt_queued_messages', 'Messages that wait in sessions now.', (g) => g.queuedMessages),
  gauge('mqtt_queued_bytes', 'Bytes of messages that wait in sessions now.', (g) => g.queuedBytes),
  gauge('mqtt_inflight', 'QoS 1 and 2 messages sent to clients and not yet acknowledged.', (g) => g.inflightMessages),
  gauge('mqtt_route_cache_entries', 'Topics whose recipients are kept resolved.', (g) => g.routeCacheEntries),
  gauge('mqtt_route_cache_bytes', 'Bytes that these take, about.', (g) => g.routeCacheBytes),
  ofNamespaces('mqtt_namespace_clients', 'Clients of each namespace now.', (one) => one.connections),
  ofNamespaces('mqtt_namespace_sessions', 'Sessions of each namespace now.', (one) => one.sessions),
  ofNamespaces('mqtt_namespace_subscriptions', 'Its subscriptions now.', (one) => one.subscriptions),
  ofNamespaces('mqtt_namespace_retained_messages', 'Its retained messages now.', (one) => one.retainedMessages),
  ofNamespaces('mqtt_namespace_queued_bytes', 'Bytes that wait in its sessions now.', (one) => one.queuedBytes),
  ofNamespaces('mqtt_namespace_refused_total', 'Times that a quota of it refused.', (one) => one.refusals),
  budget(
    'mqtt_budget_used',
    'What is kept of each kind that has a limit over all clients.',
    'gauge',
    (one) => one.used,
  ),
  budget('mqtt_budget_limit', 'Those limits.', 'gauge', (one) => one.max),
  budget('mqtt_budget_refused_total', 'Times that such a limit refused or let go.', 'counter', (one) => one.refused),
]
