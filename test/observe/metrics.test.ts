import { describe, expect, test } from 'vitest'
import { Counters, dropReasons, type Gauges } from '../../src/core/counters.ts'
import { PacketType } from '../../src/mqtt/packet.ts'
import { flatMetrics, metricsText } from '../../src/observe/metrics.ts'

const gauges: Gauges = {
  refusals: 0,
  namespaces: new Map(),
  connections: 2,
  sessions: 5,
  subscriptions: 7,
  sharedSubscriptions: 1,
  retainedMessages: 3,
  retainedBytes: 30,
  queuedMessages: 4,
  queuedBytes: 40,
  delayedMessages: 3,
  delayedBytes: 1600,
  inflightMessages: 6,
  routeCacheEntries: 8,
  routeCacheBytes: 4096,
  budgets: { willBytes: { used: 100, max: 1000, refused: 2 } },
  bannedClients: 0,
  dropLinesLost: 0,
}

function counted(): Counters {
  const counters = new Counters()
  counters.bytesReceived = 11
  counters.messagesReceived[1] = 5
  counters.protocolErrors.add('malformed_packet', 2)
  counters.messagesDropped.add('slow_consumer')
  counters.acknowledgedAtOnce = 7
  counters.acknowledgements.add('fsync', 3)
  counters.authenticationSteps.add('jwt\tnot-mine', 4)
  counters.packetsSent[PacketType.suback] = 9
  return counters
}

describe('metrics', () => {
  test('gateway.metrics() names series as Prometheus writes them', () => {
    expect(flatMetrics(counted(), gauges)).toMatchObject({
      mqtt_connections: 2,
      'mqtt_sessions{state="connected"}': 2,
      'mqtt_sessions{state="disconnected"}': 3,
      mqtt_bytes_received_total: 11,
      'mqtt_auth_steps_total{step="jwt",answer="not-mine"}': 4,
      'mqtt_acknowledgements_total{after="nothing"}': 7,
      'mqtt_acknowledgements_total{after="fsync"}': 3,
      'mqtt_packets_sent_total{type="suback"}': 9,
      'mqtt_packets_sent_total{type="publish"}': 0,
      'mqtt_messages_received_total{qos="1"}': 5,
      'mqtt_messages_received_total{qos="2"}': 0,
      'mqtt_protocol_errors_total{reason="malformed_packet"}': 2,
      'mqtt_messages_dropped_total{reason="slow_consumer"}': 1,
    })
  })

  test('commits are told by how long they took and how large they were, each bound with all below it', async () => {
    const counters = counted()
    expect(await metricsText(counters, gauges)).not.toContain('storage_commit_seconds')
    counters.store = {
      commits: 3,
      recordsWritten: 1,
      databaseBytes: 1,
      walBytes: 1,
      unusedBytes: 1,
      diskFreeBytes: 1,
      full: false,
    }
    for (const seconds of [0.001, 0.0011, 20]) counters.commitSeconds.observe(seconds)
    const lines = (await metricsText(counters, gauges))
      .split('\n')
      .filter((line) => line.includes('storage_commit_seconds'))
    expect(lines.slice(1, 5)).toEqual([
      '# TYPE storage_commit_seconds histogram',
      'storage_commit_seconds_bucket{le="0.0005"} 0',
      'storage_commit_seconds_bucket{le="0.001"} 1',
      'storage_commit_seconds_bucket{le="0.0025"} 2',
    ])
    expect(lines.slice(-4)).toEqual([
      'storage_commit_seconds_bucket{le="10"} 2',
      'storage_commit_seconds_bucket{le="+Inf"} 3',
      'storage_commit_seconds_sum 20.0021',
      'storage_commit_seconds_count 3',
    ])
    expect(flatMetrics(counters, gauges)).toMatchObject({
      'storage_commit_seconds_bucket{le="+Inf"}': 3,
      storage_batch_records_count: 0,
    })
  })

  test('every reason for which a message may be dropped is there from the beginning, so that its first drop is a rise', () => {
    const reasons = Object.entries(flatMetrics(new Counters(), gauges)).filter(([name]) =>
      name.startsWith('mqtt_messages_dropped_total'),
    )
    expect(reasons).toEqual(dropReasons.map((reason) => [`mqtt_messages_dropped_total{reason="${reason}"}`, 0]))
  })

  test('what Prometheus scrapes holds the same series and values, with help and type, and those of the process', async () => {
    const text = await metricsText(counted(), gauges)
    const lines = text.split('\n')
    for (const [series, value] of Object.entries(flatMetrics(counted(), gauges)))
      expect(lines).toContain(`${series} ${value}`)
    expect(lines).toContain('# TYPE mqtt_connections gauge')
    expect(lines).toContain('# TYPE mqtt_protocol_errors_total counter')
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m)
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
    expect(text).toMatch(/^process_cpu_seconds_total /m)
  })

  test('a second scrape shows what was counted since, and no series twice', async () => {
    const counters = counted()
    await metricsText(counters, gauges)
    counters.bytesReceived += 1
    const series = (await metricsText(counters, gauges))
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    expect(series).toContain('mqtt_bytes_received_total 12')
    const names = series.map((line) => line.slice(0, line.lastIndexOf(' ')))
    expect(new Set(names).size).toBe(names.length)
  })

  test("a durable store's figures are there, those of a store in memory are not", async () => {
    const counters = counted()
    expect(Object.keys(flatMetrics(counters, gauges)).filter((name) => name.startsWith('storage_'))).toEqual([])
    expect(await metricsText(counters, gauges)).not.toContain('storage_')
    counters.store = {
      commits: 1,
      recordsWritten: 2,
      databaseBytes: 3,
      walBytes: 4,
      unusedBytes: 6,
      diskFreeBytes: 5,
      full: true,
    }
    const storage = {
      storage_commits_total: 1,
      storage_records_written_total: 2,
      storage_database_bytes: 3,
      storage_wal_bytes: 4,
      storage_disk_free_bytes: 5,
    }
    expect(flatMetrics(counters, gauges)).toMatchObject(storage)
    const lines = (await metricsText(counters, gauges)).split('\n')
    for (const [name, value] of Object.entries(storage)) expect(lines).toContain(`${name} ${value}`)
  })

  test('every plain counter is exported', () => {
    const counters = new Counters()
    let next = 1000
    for (const [name, value] of Object.entries(counters)) {
      if (typeof value === 'number') Object.assign(counters, { [name]: next++ })
    }
    const values = Object.values(flatMetrics(counters, gauges))
    for (let value = 1000; value < next; value++) expect(values).toContain(value)
  })
})
