/** What devices say about themselves, seen by a plain client: Sparkplug B, Home Assistant, wills, sleepers; and WebSocket. */
import { createServer } from 'node:net'
import { connectAsync, type MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import { runTimeoutMs, simulate } from './simulate.ts'

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

let gateway: Broker
let webSocketUrl: string
let watcher: MqttClient
const seen: { topic: string; payload: Buffer; retain: boolean }[] = []

async function freePort(): Promise<number> {
  const free = createServer()
  await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
  const { port } = free.address() as { port: number }
  await new Promise((resolve) => free.close(resolve))
  return port
}

beforeAll(async () => {
  const httpPort = await freePort()
  webSocketUrl = `ws://127.0.0.1:${httpPort}/mqtt`
  gateway = await openBroker('gateway', { gateway: { arguments: ['--http-port', String(httpPort)] } }, false)
  watcher = await connectAsync(gateway.url)
  watcher.on('message', (topic, payload, { retain }) => seen.push({ topic, payload, retain }))
  await watcher.subscribeAsync(['spBv1.0/#', 'homeassistant/#', 'status/#', 'sleep/#'])
})
afterAll(async () => {
  await watcher.endAsync()
  await gateway.close()
})

/** The protobuf's top-level fields that are varints: field number -> value. */
function varints(bytes: Uint8Array): Map<number, number> {
  const found = new Map<number, number>()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const value = varint()
    if ((key & 7) === 0) found.set(key >> 3, value)
    else at += value
  }
  return found
}

const seqField = 3

describe('announcements', () => {
  test('Sparkplug B: births with all metrics, data in sequence, a rebirth when asked, the death as the will', async () => {
    const rebirth = setInterval(() => {
      if (!seen.some(({ topic }) => topic.includes('/DDATA/'))) return
      clearInterval(rebirth)
      watcher.publish('spBv1.0/P/NCMD/edge-0', Buffer.from('\u0012\u0015\u000a\u0013Node Control/Rebirth'))
    }, 20)
    await simulate(
      gateway.url,
      `
stages:
  - { type: ramp, duration: 200ms }
  - { type: hold, duration: 2s }
  - { type: hold, duration: 1s, faults: [{ type: socket-death, groups: [edge], every: 200ms, down: 5s }] }
  - { type: drain, duration: 3s }
groups:
  edge:
    sparkplug: { group: P, device: press }
    publications: [{ rate: 20, payload: { encoding: sparkplug, fields: { force: { type: counter }, oil: { type: object, fields: { heat: 1.5 } } } } }]
`,
    )
    clearInterval(rebirth)
    const own = seen.filter(({ topic }) => topic.startsWith('spBv1.0/P/') && !topic.includes('NCMD'))
    const kinds = own.map(({ topic }) => topic.split('/')[2])
    expect(kinds.slice(0, 3)).toEqual(['NBIRTH', 'DBIRTH', 'DDATA'])
    expect(own[0]!.payload.includes('bdSeq')).toBe(true)
    expect(own[1]!.payload.includes('force')).toBe(true)
    expect(own[1]!.payload.includes('oil/heat')).toBe(true)
    expect(own[0]!.topic).toBe('spBv1.0/P/NBIRTH/edge-0')
    expect(own[2]!.topic).toBe('spBv1.0/P/DDATA/edge-0/press')
    expect(kinds.filter((kind) => kind === 'NBIRTH').length).toBeGreaterThanOrEqual(2)
    expect(kinds).toContain('NDEATH')
    // seq begins at 0 with each NBIRTH and grows by one, modulo 256.
    let expected = 0
    for (const { topic, payload } of own) {
      const kind = topic.split('/')[2]
      if (kind === 'NDEATH') continue
      if (kind === 'NBIRTH') expected = 0
      expect(varints(payload).get(seqField) ?? 0).toBe(expected)
      expected = (expected + 1) % 256
    }
  })

  test('Home Assistant: retained discovery that points at the state, the availability and the value', async () => {
    await simulate(
      gateway.url,
      `
stages: [{ type: ramp, duration: 100ms }, { type: hold, duration: 1s }, { type: drain, duration: 3s }]
groups:
  lamp:
    will: { topic: 'status/{clientId}', payload: offline, retain: true }
    birth: { topic: 'status/{clientId}', payload: online, retain: true }
    homeAssistant: { device: { name: 'Lamp {index}' }, entities: [{ component: sensor, name: Power, field: watt, unit: W }] }
    publications: [{ topic: 'lamps/{clientId}', rate: 5, payload: { fields: { watt: 7 } } }]
`,
    )
    const late = await connectAsync(gateway.url)
    const retained = new Promise<string>((resolve) =>
      late.once('message', (_topic, payload) => resolve(payload.toString())),
    )
    await late.subscribeAsync('homeassistant/sensor/lamp-0-watt/config')
    expect(JSON.parse(await retained)).toEqual({
      name: 'Power',
      unique_id: 'lamp-0-watt',
      state_topic: 'lamps/lamp-0',
      value_template: '{{ value_json.watt }}',
      unit_of_measurement: 'W',
      availability_topic: 'status/lamp-0',
      payload_not_available: 'offline',
      payload_available: 'online',
      device: { identifiers: ['lamp-0'], name: 'Lamp 0' },
    })
    await late.endAsync()
    expect(seen.find(({ topic }) => topic === 'status/lamp-0')?.payload.toString()).toBe('online')
  })

  test.each(['mqttjs', 'lean'] as const)(
    'sleepers with %s send what they kept in batches, in order, and lose nothing',
    async (client) => {
      const summary = await simulate(
        gateway.url,
        `
stages: [{ type: ramp, duration: 100ms }, { type: hold, duration: 6s }, { type: drain, duration: 10s }]
groups:
  s:
    count: 3
    clientId: sleeper-${client}-{index}
    session: durable
    duty: { online: 500ms, offline: 1500ms }
    publications: [{ topic: 'sleep/{clientId}', rate: 20, qos: 1, payload: { fields: { v: { type: counter } } } }]
  c: { clientId: sleep-consumer-${client}, session: durable, subscriptions: [{ filter: 'sleep/#', qos: 1 }] }
`,
        { client },
      )
      expect(summary.verdict.offenders).toEqual([])
      expect(summary.verdict).toMatchObject({ violations: 0, unacknowledged: 0 })
      expect(summary.counters.connects).toBeGreaterThan(7)
      expect(summary.counters.disconnects).toBe(0)
      // Kept while asleep: the latency from the intended time shows it, the one from the send does not.
      expect(summary.latency.endToEnd.p90).toBeGreaterThan(500)
      expect(summary.latency.endToEndFromSend.p50).toBeLessThan(summary.latency.endToEnd.p90)
    },
  )
})

describe('other ways to the broker', () => {
  test.each(['mqttjs', 'lean'] as const)('WebSocket, with %s', async (client) => {
    const { verdict, problems } = await simulate(
      webSocketUrl,
      `
stages: [{ type: ramp, duration: 100ms }, { type: hold, duration: 1s, faults: [{ type: delay, delay: 5ms }] }, { type: drain, duration: 5s }]
groups:
  s: { count: 3, clientId: 'ws-${client}-{index}', protocol: [3.1, 3.1.1, 5.0], publications: [{ topic: 'ws/${client}/{index}', rate: 20, qos: 2, payload: { fields: {} } }] }
  c: { clientId: ws-consumer-${client}, subscriptions: [{ filter: 'ws/${client}/#', qos: 2 }] }
`,
      { client },
    )
    expect(problems).toEqual([])
    expect(verdict).toMatchObject({ violations: 0, lost: 0 })
    expect(verdict.received).toBe(verdict.expected)
    expect(verdict.expected).toBeGreaterThan(30)
  })

  test('a broker that dies for good ends the run with that problem and what happened so far', async () => {
    const own = await openBroker('mortal', { gateway: { arguments: [] } }, false)
    const running = simulate(
      own.url,
      `
stages: [{ type: ramp, duration: 100ms }, { type: hold, duration: 10m }]
groups: { s: { reconnect: { min: 50ms, max: 200ms }, publications: [{ topic: x, rate: 20, qos: 1, payload: { fields: {} } }] } }
`,
      { brokerGoneSeconds: 2, onNote: () => setTimeout(() => void own.kill('SIGKILL'), 2000) },
    )
    const summary = await running
    expect(summary.problems).toContain('the broker is gone: no device has been online for 2 s')
    expect(summary.exitCode).toBe(99)
    expect(summary.counters.sent).toBeGreaterThan(5)
  })
})
