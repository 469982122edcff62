/** Packets and messages: how many, how many bytes, what became of them. */
import { byQos, byType, counter, labelled, type Metric } from './metric.ts'

export const messageMetrics: readonly Metric[] = [
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
  counter('mqtt_topics_rewritten_total', 'Messages whose topic was rewritten.', (c) => c.topicsRewritten),
  counter('mqtt_filters_rewritten_total', 'Filters of SUBSCRIBE that were rewritten.', (c) => c.filtersRewritten),
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
]
