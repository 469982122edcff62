import { connectAsync } from 'mqtt'
import { describe, expect, test } from 'vitest'
import { Counters, type Gauges } from '../../src/core/counters.ts'
import { PacketType } from '../../src/mqtt/packet.ts'
import { type SysReading, sysTopics } from '../../src/observe/sys-topics.ts'
import { connectClient, startGateway } from '../e2e/gateway.ts'
import { startMosquitto } from '../e2e/mosquitto.ts'
import { describePeer } from '../peers.ts'

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

function reading(counters: Counters, nowMs: number): SysReading {
  return { counters, gauges, queues: [], streams: [], nowMs, startedMs: 0, heapBytes: 1000, version: '1.2.3' }
}

function payloads(messages: readonly { topic: string; payload: string }[]): Record<string, string> {
  return Object.fromEntries(messages.map(({ topic, payload }) => [topic.replace('$SYS/broker/', ''), payload]))
}

describe('$SYS', () => {
  test('has no topic of more levels than the gateway takes', async () => {
    const gateway = await startGateway({ limits: { topicLevelsMax: 3 } })
    const client = await connectClient(gateway)
    await client.mqtt.subscribeAsync('$SYS/#')
    await client.until(1)
    await gateway.publish({ topic: 'a/b/c' })
    expect(client.received.filter(({ topic }) => topic.split('/').length > 3)).toEqual([])
  })

  test('the first call gives every topic', () => {
    const counters = new Counters()
    counters.packetsReceived[PacketType.publish] = 4
    counters.packetsReceived[PacketType.pingreq] = 1
    counters.messagesReceived[0] = 3
    counters.messagesReceived[2] = 1
    expect(payloads(sysTopics(undefined, reading(counters, 12_345)).messages)).toMatchObject({
      version: 'mqtide version 1.2.3',
      uptime: '12 seconds',
      'clients/total': '5',
      'clients/connected': '2',
      'clients/disconnected': '3',
      'clients/maximum': '2',
      'messages/received': '5',
      'publish/messages/received': '4',
      'retained messages/count': '3',
      'store/messages/count': '7',
      'store/messages/bytes': '70',
      'subscriptions/count': '7',
      'heap/maximum': '1000',
    })
  })

  test('later calls give what changed only', () => {
    const counters = new Counters()
    const first = sysTopics(undefined, reading(counters, 10_000))
    counters.messagesDropped.add('queue_full')
    const second = payloads(sysTopics(first.state, reading(counters, 20_000)).messages)
    expect(second).toEqual({
      uptime: '20 seconds',
      'publish/messages/dropped': '1',
      'load/publish/dropped/1min': '0.92',
      'load/publish/dropped/5min': '0.20',
      'load/publish/dropped/15min': '0.07',
    })
  })

  test('maxima stay when their value falls', () => {
    const counters = new Counters()
    const first = sysTopics(undefined, reading(counters, 10_000))
    const fallen = { ...reading(counters, 20_000), heapBytes: 10, gauges: { ...gauges, connections: 0 } }
    const second = sysTopics(first.state, fallen)
    expect(second.state.published.get('$SYS/broker/clients/maximum')).toBe('2')
    expect(second.state.published.get('$SYS/broker/heap/maximum')).toBe('1000')
  })

  test('a load average approaches a steady rate per minute and forgets it again', () => {
    const counters = new Counters()
    let state = sysTopics(undefined, reading(counters, 0)).state
    let nowMs = 0
    for (let step = 0; step < 1200; step++) {
      counters.bytesSent += 100
      state = sysTopics(state, reading(counters, (nowMs += 10_000))).state
    }
    for (const period of ['1min', '5min', '15min']) {
      expect(Number(state.published.get(`$SYS/broker/load/bytes/sent/${period}`))).toBeCloseTo(600, 0)
    }
    for (let step = 0; step < 6; step++) state = sysTopics(state, reading(counters, (nowMs += 10_000))).state
    expect(Number(state.published.get('$SYS/broker/load/bytes/sent/1min'))).toBeCloseTo(600 / Math.E, 0)
  })

  test('two calls at the same instant divide by nothing', () => {
    const counters = new Counters()
    const first = sysTopics(undefined, reading(counters, 10_000))
    counters.bytesSent = 5
    const second = sysTopics(first.state, reading(counters, 10_000))
    for (const payload of second.state.published.values()) expect(payload).not.toMatch(/NaN|Infinity/)
  })

  test('exporters can make a metric of every topic: plain names, numbers as payloads', () => {
    const names = new Set<string>()
    for (const { topic, payload } of sysTopics(undefined, reading(new Counters(), 10_000)).messages) {
      // What mosquitto-exporter makes of a topic's name; two topics with one name stop it.
      const name = topic.replace('$SYS/', '').replace(/[/ .-]/g, '_')
      expect(name).toMatch(/^[a-zA-Z_][a-zA-Z0-9_]*$/)
      expect(names.has(name)).toBe(false)
      names.add(name)
      if (!/version|uptime/.test(topic)) expect(payload).toMatch(/^\d+(\.\d\d)?$/)
    }
  })
})

describePeer('$SYS beside Mosquitto', ['mosquitto'], ({ mosquitto }) => {
  test('every topic that Mosquitto publishes is there, with a payload of the same form', async () => {
    const broker = await startMosquitto(mosquitto, ['sys_interval 1'])
    try {
      const theirs = await sysTopicsOf(broker.port)
      const ours = payloads(sysTopics(undefined, reading(new Counters(), 10_000)).messages)
      const form = (payload: string) => payload.replace(/\d+/g, '9').replace(/^\w+ version 9.*/, 'VERSION')
      for (const [topic, payload] of theirs) {
        expect(ours, topic).toHaveProperty([topic.replace('$SYS/broker/', '')])
        expect(form(ours[topic.replace('$SYS/broker/', '')]!), topic).toBe(form(payload))
      }
      expect(theirs.size).toBeGreaterThan(40)
    } finally {
      await broker.stop()
    }
  })
})

/** The retained $SYS topics that the broker on this port holds once it has seen a client. */
async function sysTopicsOf(port: number): Promise<Map<string, string>> {
  const client = await connectAsync({ host: '127.0.0.1', port })
  const topics = new Map<string, string>()
  const complete = new Promise<void>((resolve) => {
    client.on('message', (topic, payload) => {
      topics.set(topic, payload.toString())
      if (topic === '$SYS/broker/clients/maximum') resolve()
    })
  })
  await client.subscribeAsync('$SYS/#')
  await complete
  await client.endAsync()
  return topics
}
