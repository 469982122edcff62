/**
 * The counters as metrics: one table for Prometheus and for `gateway.metrics()`.
 *
 * Nothing is measured here: the plain integers of `Counters` are read when somebody asks. Labels come from closed sets
 * (reason names, packet types, QoS), never from clients, so the number of series is bounded.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from '@prometheus-io/client'
import type { Counters, Gauges } from '../core/counters.ts'
import { bundleMetrics } from './bundle-metrics.ts'
import { delayedMetrics } from './delayed-metrics.ts'
import { droppedLines } from './log.ts'
import {
  budget,
  byQos,
  byType,
  counter,
  gauge,
  type HistogramMetric,
  histogramText,
  labelled,
  type Metric,
  ofNamespaces,
  stepsOf,
  store,
} from './metric.ts'
import type { MetricFamily } from './named-metrics.ts'

const metrics: readonly Metric[] = [
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

  labelled('mqtt_connects_total', 'CONNECT packets answered, by result.', 'result', (c) => c.connects),
  labelled('mqtt_auth_total', 'Logins under configured authentication, by result.', 'result', (c) => c.logins),
  labelled(
    'mqtt_renewals_total',
    'Re-authentications by AUTH, by result; why the chain refused one is in mqtt_auth_total too.',
    'result',
    (c) => c.renewals,
  ),
  labelled('mqtt_disconnects_total', 'Connections that ended, by reason.', 'reason', (c) => c.disconnects),
  labelled(
    'mqtt_protocol_errors_total',
    'Faults of clients that ended their connection.',
    'reason',
    (c) => c.protocolErrors,
  ),
  byType('mqtt_packets_received_total', 'Packets received, by type.', (c) => c.packetsReceived),
  byType('mqtt_packets_sent_total', 'Packets sent, by type.', (c) => c.packetsSent),
  byQos('mqtt_messages_received_total', 'PUBLISH packets received.', (c) => c.messagesReceived),
  byQos('mqtt_messages_sent_total', 'PUBLISH packets sent.', (c) => c.messagesSent),
  labelled('mqtt_messages_dropped_total', 'Messages that a recipient did not get.', 'reason', (c) => c.messagesDropped),
  {
    name: 'mqtt_acknowledgements_total',
    help: "PUBACK and PUBREC for publishers, by what they wait for: nothing to store, or their listener's durability.",
    type: 'counter',
    label: 'after',
    read: (c) => [['nothing', c.acknowledgedAtOnce], ...c.acknowledgements.counts],
  },
  {
    name: 'mqtt_drop_lines_lost_total',
    help: 'Lines of the drop ledger that gave way to others: who lost those messages is not known any more.',
    type: 'counter',
    read: (_, gauges) => gauges.dropLinesLost,
  },
  counter('mqtt_bytes_received_total', 'Bytes received on MQTT connections.', (c) => c.bytesReceived),
  counter('mqtt_bytes_sent_total', 'Bytes sent on MQTT connections.', (c) => c.bytesSent),
  counter(
    'mqtt_publish_bytes_received_total',
    'Payload bytes of PUBLISH packets received.',
    (c) => c.publishBytesReceived,
  ),
  counter('mqtt_publish_bytes_sent_total', 'Payload bytes of PUBLISH packets sent.', (c) => c.publishBytesSent),
  counter('mqtt_connections_accepted_total', 'Network connections accepted.', (c) => c.connectionsAccepted),
  counter('mqtt_connections_refused_total', 'Network connections closed at once.', (c) => c.connectionsRefused),
  labelled(
    'mqtt_auth_steps_total',
    'Answers of the single steps of authentication: yes, not-mine, error, or why not.',
    ['step', 'answer'],
    (c) => c.authenticationSteps,
  ),
  labelled(
    'mqtide_json_requests_refused_total',
    'Operations of clients of JSON with something wrong in them, by reason.',
    'reason',
    (c) => c.jsonRequestsRefused,
  ),
  labelled('mqtt_publishes_refused_total', 'PUBLISH packets refused, by reason.', 'reason', (c) => c.publishesRefused),
  labelled(
    'mqtt_subscriptions_refused_total',
    'Topic filters of SUBSCRIBE refused, by reason.',
    'reason',
    (c) => c.subscriptionsRefused,
  ),
  labelled(
    'mqtt_rate_limited_total',
    'Times that somebody was faster than a limit allows, by limit.',
    'limit',
    (c) => c.rateLimited,
  ),
  labelled(
    'mqtt_rate_answers_total',
    'What publishers got who were: refused (0x97), paused, disconnected (0x96).',
    'answer',
    (c) => c.rateAnswers,
  ),
  gauge(
    'mqtt_banned_clients',
    'Clients refused since they were there when faults of the gateway itself ended the process.',
    (g) => g.bannedClients,
  ),
  counter('mqtt_sessions_created_total', 'Sessions created.', (c) => c.sessionsCreated),
  counter('mqtt_sessions_resumed_total', 'Sessions that a client came back to.', (c) => c.sessionsResumed),
  counter('mqtt_sessions_taken_over_total', 'Sessions taken over by another connection.', (c) => c.sessionsTakenOver),
  counter('mqtt_sessions_expired_total', 'Sessions that expired.', (c) => c.sessionsExpired),
  counter(
    'mqtt_sessions_adopted_total',
    'Sessions of nobody in particular that went to the first principal that came.',
    (c) => c.sessionsAdopted,
  ),
  counter(
    'mqtt_session_owner_refusals_total',
    "CONNECT packets refused since the client id is that of another principal's session.",
    (c) => c.sessionOwnerRefusals,
  ),
  counter(
    'mqtt_namespace_refusals_total',
    'CONNECT packets refused since the client belongs to a namespace that is not there, or not behind its listener.',
    (c) => c.namespaceRefusals,
  ),
  counter(
    'mqtt_subscriptions_revoked_total',
    'Subscriptions that ended since their client may not have them any more.',
    (c) => c.subscriptionsRevoked,
  ),
  counter(
    'mqtt_authority_errors_total',
    'Errors of authenticators and access rules, and answers of theirs that are none: each was taken for a no.',
    (c) => c.authorityErrors,
  ),
  counter(
    'mqtt_authority_timeouts_total',
    'Authenticators that did not answer in time: each was taken for a no.',
    (c) => c.authorityTimeouts,
  ),
  labelled('mqtt_api_answers_total', 'Calls of the HTTP API, by status of the answer.', 'status', (c) => c.apiAnswers),
  counter(
    'mqtt_traced_packets_left_out_total',
    'Packets that a trace was about and did not get: too many at once, or its reader was too slow.',
    (c) => c.tracedPacketsLeftOut,
  ),
  counter(
    'mqtt_explanations_missed_total',
    'Messages that somebody followed and was not told of, because there were too many at once.',
    (c) => c.explanationsMissed,
  ),
  ...delayedMetrics,
  ...bundleMetrics,
  counter('mqtt_wills_published_total', 'Will messages published.', (c) => c.willsPublished),
  counter('mqtt_retained_changes_total', 'Retained messages set or removed.', (c) => c.retainedChanges),
  counter('mqtt_route_cache_hits_total', 'Routes taken from the cache.', (c) => c.routeCacheHits),
  counter('mqtt_route_cache_misses_total', 'Routes that had to be looked up.', (c) => c.routeCacheMisses),
  counter('mqtt_route_cache_evictions_total', 'Topics that gave way to others.', (c) => c.routeCacheEvictions),
  counter(
    'mqtt_unknown_acknowledgements_total',
    'PUBACK, PUBREC and PUBCOMP for a packet identifier that is not in flight.',
    (c) => c.unknownAcknowledgements,
  ),
  counter(
    'mqtt_internal_errors_total',
    'Faults of the gateway itself; the first ends the process.',
    (c) => c.internalErrors,
  ),
  {
    name: 'mqtt_log_lines_dropped_total',
    help: 'Log lines of the process that were not written: more than a second may have of one reason, or nothing took them.',
    type: 'counter',
    label: 'reason',
    read: () => [
      ['left_out', droppedLines.leftOut],
      ['not_taken', droppedLines.unwritten],
    ],
  },
  store('storage_commits_total', 'Transactions committed.', 'counter', (store) => store.commits),
  store('storage_records_written_total', 'Records written.', 'counter', (store) => store.recordsWritten),
  store('storage_database_bytes', 'Size of the database file.', 'gauge', (store) => store.databaseBytes),
  store('storage_wal_bytes', 'Size of its write-ahead log.', 'gauge', (store) => store.walBytes),
  store('storage_unused_bytes', 'What the database file can use of itself.', 'gauge', (store) => store.unusedBytes),
  store('storage_disk_free_bytes', 'Free space on the disk of the database.', 'gauge', (store) => store.diskFreeBytes),
  {
    name: 'store_damaged_total',
    help: 'Queued messages that could not be read from the store, and are lost.',
    type: 'counter',
    read: (counters) => counters.storeDamaged,
  },
  store('store_full', '1 while nothing new is taken in that would have to be stored.', 'gauge', (store) =>
    Number(store.full),
  ),
  counter(
    'mqtt_commit_pauses_total',
    'Times that reading stopped since too much waited for a commit.',
    (c) => c.commitPauses,
  ),
  counter(
    'mqtt_closed_unacknowledged_total',
    'Connections closed for want of room without the acknowledgements of earlier messages, whose commit took five seconds.',
    (c) => c.closedUnacknowledged,
  ),
]

const histograms: readonly HistogramMetric[] = [
  {
    name: 'storage_commit_seconds',
    help: 'Seconds that the store took for a batch.',
    read: ({ store, commitSeconds }) => (store === undefined ? undefined : commitSeconds),
  },
  {
    name: 'storage_batch_records',
    help: 'Records of a batch.',
    read: ({ store, batchRecords }) => (store === undefined ? undefined : batchRecords),
  },
]

/** Values by series name, as Prometheus writes it: `mqtt_subscriptions`, `mqtt_protocol_errors_total{reason="malformed_packet"}`. */
export function flatMetrics(counters: Counters, gauges: Gauges): Record<string, number> {
  const flat: Record<string, number> = {}
  for (const metric of metrics) {
    const reading = metric.read(counters, gauges)
    if (reading === undefined) continue
    if (typeof reading === 'number') flat[metric.name] = reading
    else for (const [value, count] of reading) flat[`${metric.name}{${seriesOf(metric, value)}}`] = count
  }
  for (const { name, read } of histograms) {
    const histogram = read(counters)
    if (histogram === undefined) continue
    for (const [bound, count] of stepsOf(histogram)) flat[`${name}_bucket{le="${bound}"}`] = count
    flat[`${name}_sum`] = histogram.sum
    flat[`${name}_count`] = histogram.count
  }
  return flat
}

function namesOf({ label = [] }: Metric): readonly string[] {
  return typeof label === 'string' ? [label] : label
}

function labelsOf(metric: Metric, value: string): Record<string, string> {
  const values = value.split('\t')
  return Object.fromEntries(namesOf(metric).map((name, index) => [name, values[index] ?? '']))
}

function seriesOf(metric: Metric, value: string): string {
  const labels = Object.entries(labelsOf(metric, value))
  return labels.map(([name, one]) => `${name}="${one}"`).join(',')
}

export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE

let processRegistry: Registry | undefined

/** What is so at one listener now. */
export interface ListenerGauges {
  /** From the configuration, so that their number is bounded. */
  name: string
  kind: string
  clients: number
  handshakes: number
  /** In force there; their number is the configuration's. `expiresAt`: milliseconds since the epoch. */
  certificates: readonly { subject: string; expiresAt: number }[]
}

/** The text that Prometheus scrapes: the gateway's metrics, then those of Node and of the process. */
export async function metricsText(
  counters: Counters,
  gauges: Gauges,
  listeners: readonly ListenerGauges[] = [],
  families: readonly MetricFamily[] = [],
): Promise<string> {
  const registry = new Registry()
  for (const metric of metrics) {
    const reading = metric.read(counters, gauges)
    if (reading === undefined) continue
    const set = valueSetter(metric, registry)
    if (typeof reading === 'number') set({}, reading)
    else for (const [value, count] of reading) set(labelsOf(metric, value), count)
  }
  for (const family of families) family.set(registry)
  if (listeners.length > 0) setListeners(listeners, registry)
  if (listeners.some(({ certificates }) => certificates.length > 0)) setCertificates(listeners, registry)
  const steps = histograms.flatMap((metric) => {
    const histogram = metric.read(counters)
    return histogram === undefined ? [] : [histogramText(metric, histogram)]
  })
  return (await registry.metrics()) + steps.join('') + (await processMetrics().metrics())
}

function setListeners(listeners: readonly ListenerGauges[], registry: Registry): void {
  const options = { labelNames: ['listener', 'protocol'], registers: [registry] }
  const clients = new Gauge({ ...options, name: 'mqtt_listener_clients', help: 'Clients of each listener now.' })
  const handshakes = new Gauge({
    ...options,
    name: 'mqtt_listener_handshakes',
    help: 'Connections of each listener now whose CONNECT is not accepted yet.',
  })
  for (const { name: listener, kind: protocol, ...now } of listeners) {
    clients.set({ listener, protocol }, now.clients)
    handshakes.set({ listener, protocol }, now.handshakes)
  }
}

function setCertificates(listeners: readonly ListenerGauges[], registry: Registry): void {
  const expiry = new Gauge({
    name: 'mqtide_certificate_expires_at_seconds',
    help: 'When the certificates of each listener expire, in seconds since the epoch; of several with one subject the first.',
    labelNames: ['listener', 'subject'],
    registers: [registry],
  })
  for (const { name: listener, certificates } of listeners) {
    const last = certificates.toSorted((a, b) => b.expiresAt - a.expiresAt)
    for (const { subject, expiresAt } of last) expiry.set({ listener, subject }, Math.floor(expiresAt / 1000))
  }
}

type SetValue = (labels: Record<string, string>, value: number) => void

function valueSetter(metric: Metric, registry: Registry): SetValue {
  const { name, help, type } = metric
  const options = { name, help, labelNames: [...namesOf(metric)], registers: [registry] }
  if (type === 'gauge') {
    const made = new Gauge(options)
    return (labels, value) => made.set(labels, value)
  }
  const made = new Counter(options)
  return (labels, value) => made.inc(labels, value)
}

/**
 * One for the process, however many gateways run in it. Its probes of event loop and garbage collection start with the
 * first call, so a program that wants the first scrape to cover its start calls this early.
 */
export function processMetrics(): Registry {
  if (!processRegistry) {
    processRegistry = new Registry()
    collectDefaultMetrics({ register: processRegistry, eventLoopMonitoringPrecision: 20 })
  }
  return processRegistry
}
