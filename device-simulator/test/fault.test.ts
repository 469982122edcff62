/** Each fault against a real gateway, with the verdict that MQTT's promises lead to. */
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import type { Summary } from '../report/summary.ts'
import { runTimeoutMs, simulate } from './simulate.ts'

let gateway: Broker

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

beforeAll(async () => {
  gateway = await openBroker('gateway', { gateway: { arguments: [] } }, false)
})
afterAll(() => gateway.close())

interface Setup {
  fault: string
  name: string
  client?: 'mqttjs' | 'lean'
  /** Devices and consumers with clean sessions instead of durable ones. */
  clean?: boolean
  seconds?: number
  groupsHit?: string
  keepAlive?: string
}

function run({
  fault,
  name,
  client = 'mqttjs',
  clean = false,
  seconds = 4,
  groupsHit = 'devices, consumers',
  keepAlive = '30s',
}: Setup): Promise<Summary> {
  const session = clean ? 'clean' : 'durable'
  const groups = fault.includes('groups:') || groupsHit === '' ? '' : `, groups: [${groupsHit}]`
  return simulate(
    gateway.url,
    `
stages:
  - { type: ramp, duration: 300ms }
  - { type: hold, duration: ${seconds}s, faults: [{ ${fault}${groups} }] }
  - { type: hold, duration: 500ms }
  - { type: drain, duration: 20s }
groups:
  devices:
    count: 6
    clientId: ${name}-{index}
    protocol: [5.0, 3.1.1]
    session: ${session}
    keepAlive: ${keepAlive}
    reconnect: { min: 50ms, max: 500ms }
    publications:
      - { topic: "${name}/{index}/one", rate: 20, qos: 1, payload: { fields: { v: { type: counter } } } }
      - { topic: "${name}/{index}/two", rate: 20, qos: 2, payload: { fields: { v: { type: counter } } } }
  consumers:
    clientId: ${name}-consumer
    session: ${session}
    keepAlive: ${keepAlive}
    reconnect: { min: 50ms, max: 500ms }
    subscriptions: [{ filter: "${name}/#", qos: 2 }]
`,
    { client },
  )
}

function expectKept({ verdict }: Summary): void {
  expect(verdict.offenders).toEqual([])
  expect(verdict).toMatchObject({ violations: 0, unacknowledged: 0 })
  expect(verdict.expected).toBeGreaterThan(300)
}

const clients = ['mqttjs', 'lean'] as const

describe.concurrent('faults of the network: durable sessions keep every promise', () => {
  test.each(clients)('socket-death, with %s', async (client) => {
    const summary = await run({ fault: 'type: socket-death, every: 1s, down: 100ms', name: `death-${client}`, client })
    expectKept(summary)
    expect(summary.counters.disconnects).toBeGreaterThan(5)
    expect(summary.faults[0]!.events).toBeGreaterThan(5)
  })

  test.each(clients)('half-open, with %s: the device gives up and comes back', async (client) => {
    const summary = await run({ fault: 'type: half-open, every: 2s, hold: 500ms', name: `half-${client}`, client })
    expectKept(summary)
    expect(summary.counters.disconnects).toBeGreaterThan(2)
  })

  test('delay and jitter show in the latency and break nothing', async () => {
    const summary = await run({ fault: 'type: delay, delay: 80ms, jitter: 40ms', name: 'delay' })
    expectKept(summary)
    // Device to broker and broker to consumer: two delays of 80 ms at least, for most of the measured time.
    expect(summary.latency.endToEndFromSend.p50).toBeGreaterThan(150)
    const jitter = await run({ fault: 'type: jitter, jitter: 100ms', name: 'jitter' })
    expectKept(jitter)
  })

  test('bandwidth: a thin line delays and loses nothing', async () => {
    const summary = await run({ fault: 'type: bandwidth, up: 2kB, down: 4kB', name: 'bandwidth', groupsHit: 'devices' })
    expectKept(summary)
    expect(summary.latency.endToEnd.p50).toBeGreaterThan(100)
  })

  test.each(clients)('flapping, with %s', async (client) => {
    const summary = await run({ fault: 'type: flapping, up: 800ms, down: 200ms', name: `flap-${client}`, client })
    expectKept(summary)
    expect(summary.counters.disconnects).toBeGreaterThan(10)
  })

  test('slow-reader: the consumer gets everything late', async () => {
    const summary = await run({ fault: 'type: slow-reader, rate: 8kB, groups: [consumers]', name: 'slow' })
    expectKept(summary)
  })

  test('flaky-wifi', async () => {
    const summary = await run({ fault: 'type: flaky-wifi, intensity: 5', name: 'wifi', seconds: 5 })
    expectKept(summary)
    expect(summary.counters.disconnects).toBeGreaterThan(3)
  })

  test('cellular-tunnel', async () => {
    const tunnel = await run({ fault: 'type: cellular-tunnel, intensity: 8', name: 'tunnel', seconds: 5 })
    expectKept(tunnel)
    expect(tunnel.faults[0]!.events).toBeGreaterThan(6)
  })

  test('brown-out and reconnect-storm: all go at once and all come back', async () => {
    for (const fault of ['brown-out, down: 500ms', 'reconnect-storm']) {
      const summary = await run({ fault: `type: ${fault}, groups: [devices]`, name: fault.slice(0, 5), seconds: 3 })
      expectKept(summary)
      expect(summary.counters.disconnects).toBe(6)
      expect(summary.counters.connects).toBe(13)
    }
  })
})

describe.concurrent('faults of the network: clean sessions', () => {
  test.each(clients)('what was sent while the consumer was away is excused, with %s', async (client) => {
    const summary = await run({
      fault: 'type: socket-death, every: 1s, down: 300ms, groups: [consumers]',
      name: `clean-${client}`,
      client,
      clean: true,
    })
    expect(summary.verdict.offenders).toEqual([])
    expect(summary.verdict.lost).toBe(0)
    expect(summary.verdict.excused).toBeGreaterThan(10)
  })
})

describe.concurrent('faults of the client', () => {
  test.each(clients)(
    'keepalive-stall, with %s: the broker ends the silent connection, nothing is lost',
    async (client) => {
      const summary = await run({
        fault: 'type: keepalive-stall, every: 1s, hold: 4s',
        name: `stall-${client}`,
        client,
        groupsHit: 'devices',
        keepAlive: '1s',
        seconds: 6,
      })
      expectKept(summary)
      expect(summary.counters.disconnects).toBeGreaterThan(2)
    },
  )

  test.each(clients)('duplicate-sender, with %s: the copies are seen and known as sent twice', async (client) => {
    const summary = await run({
      fault: 'type: duplicate-sender, probability: 0.3',
      name: `twice-${client}`,
      client,
      groupsHit: 'devices',
    })
    expectKept(summary)
    expect(summary.verdict.duplicatesAllowed).toBeGreaterThan(50)
    expect(summary.counters.duplicatesSeen).toBe(summary.verdict.duplicatesAllowed)
  })

  test.each(clients)('takeover, with %s: the broker closes the old connection, nothing is lost', async (client) => {
    const summary = await run({
      fault: 'type: takeover, every: 1500ms',
      name: `take-${client}`,
      client,
      groupsHit: 'devices',
    })
    expectKept(summary)
    expect(summary.faults[0]!.asExpected).toBeGreaterThan(3)
    expect(summary.faults[0]!.unexpected).toBe(0)
  })

  test('clock-skew: the timestamps are off, the verdict is not', async () => {
    const watcher = await connectAsync(gateway.url)
    await watcher.subscribeAsync('skewed/#')
    const times: number[] = []
    watcher.on('message', (_topic, payload) => times.push(JSON.parse(payload.toString()).at))
    const summary = await simulate(
      gateway.url,
      `
stages: [{ type: ramp, duration: 100ms }, { type: hold, duration: 1s }, { type: hold, duration: 2s, faults: [{ type: clock-skew, offset: 3600 }] }, { type: drain, duration: 5s }]
groups:
  s: { publications: [{ topic: skewed/a, rate: 20, step: 1s, qos: 1, payload: { fields: { at: { type: timestamp, format: seconds } } } }] }
  c: { clientId: skew-consumer, subscriptions: [{ filter: skewed/#, qos: 1 }] }
`,
    )
    await watcher.endAsync()
    expect(summary.verdict.violations).toBe(0)
    const jumps = times.slice(1).map((time, i) => time - times[i]!)
    expect(jumps.filter((jump) => jump === 1).length).toBe(jumps.length - 1)
    expect(jumps.filter((jump) => jump === 3601).length).toBe(1)
  })
})

describe.concurrent('strangers: refused, and nobody else is harmed', () => {
  test('malformed packets', async () => {
    const summary = await run({ fault: 'type: malformed, every: 200ms', name: 'malformed', groupsHit: '' })
    expectKept(summary)
    expect(summary.faults[0]).toMatchObject({ unexpected: 0, note: '' })
    expect(summary.faults[0]!.asExpected).toBeGreaterThan(10)
    expect(summary.counters.disconnects).toBe(0)
  })

  test('an oversize packet', async () => {
    const summary = await run({ fault: 'type: oversize, every: 500ms', name: 'oversize', groupsHit: '' })
    expectKept(summary)
    expect(summary.faults[0]).toMatchObject({ unexpected: 0 })
    expect(summary.faults[0]!.asExpected).toBeGreaterThan(3)
  })

  test('wrong credentials: an open broker takes them, and the report says so', async () => {
    const summary = await run({ fault: 'type: wrong-credentials, every: 500ms', name: 'wrong', groupsHit: '' })
    expectKept(summary)
    expect(summary.faults[0]!.unexpected).toBeGreaterThan(3)
    expect(summary.faults[0]!.note).toBe('accepted: wrong credentials')
  })
})

describe('faults of the broker', () => {
  test('broker-restart: the gateway is killed and started again; nothing acknowledged is lost', async () => {
    const summary = await simulate(
      undefined,
      `
brokers: { main: { gateway: {} } }
stages:
  - { type: ramp, duration: 300ms }
  - { type: hold, duration: 6s, faults: [{ type: broker-restart, at: 1s, down: 200ms }, { type: socket-death, every: 3s, down: 100ms }] }
  - { type: drain, duration: 20s }
groups:
  devices:
    count: 5
    session: durable
    reconnect: { min: 50ms, max: 500ms }
    publications: [{ topic: "r/{index}", rate: 40, qos: { 1: 1, 2: 1 }, payload: { fields: {} } }]
  consumers: { session: durable, reconnect: { min: 50ms, max: 500ms }, subscriptions: [{ filter: r/#, qos: 2 }] }
`,
    )
    expectKept(summary)
    expect(summary.verdict.sessionsLost).toBe(0)
    expect(summary.faults.find(({ type }) => type === 'broker-restart')).toMatchObject({
      events: 1,
      asExpected: 1,
      unexpected: 0,
    })
  })

  test('a broker of others is not restarted, and the report says so', async () => {
    const summary = await run({ fault: 'type: broker-restart', name: 'others', groupsHit: '', seconds: 2 })
    expect(summary.faults[0]!.note).toMatch(/restarts only a broker that it started/)
    expect(summary.verdict.violations).toBe(0)
  })
})
