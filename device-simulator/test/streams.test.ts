/** Readers of a stream: whole runs against a gateway that keeps its promises, and a proxy that does not. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import { runTimeoutMs, simulate } from './simulate.ts'
import { acknowledgementOf, passOn, type Tamper, tamperingProxy } from './tampering-proxy.ts'

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

const body = (faults = '') => `
stages: [{ type: ramp, duration: 300ms }, { type: hold, duration: 1500ms${faults} }, { type: drain, duration: 30s }]
groups:
  meters:
    count: 4
    session: durable
    publications: [{ topic: "readings/{index}", rate: 30, qos: 1, payload: { fields: { v: { type: counter } } } }]
  archive: { session: durable, reconnect: { min: 50ms, max: 200ms }, subscriptions: [{ stream: readings, filter: readings/#, qos: 1 }] }
  one: { subscriptions: [{ stream: readings, filter: readings/2, qos: 1 }] }
  billing:
    count: 3
    reconnect: { min: 50ms, max: 200ms }
    subscriptions: [{ stream: readings, group: billing, filter: readings/#, qos: 1, work: { mean: 1ms } }]
`

describe('the verdict on a stream of a broker that', () => {
  let gateway: Broker
  beforeAll(async () => {
    const options = { streams: { readings: { filter: 'readings/#' } } }
    gateway = await openBroker('gateway', { gateway: { arguments: [], options } }, false)
  })
  afterAll(() => gateway.close())

  test('keeps its place for readers and groups whose members die: kept', async () => {
    const faults = ', faults: [{ type: socket-death, groups: [archive, one, billing], every: 500ms, down: 50ms }]'
    const summary = await simulate(gateway.url, body(faults))
    expect(summary.verdict.offenders).toEqual([])
    expect(summary).toMatchObject({ conclusion: 'kept', exitCode: 0, missingEvidence: [] })
    const sent = summary.counters.sent
    const expected = Object.fromEntries(summary.verdict.rows.map((row) => [row.to, row.expected]))
    expect(expected).toMatchObject({ archive: sent, billing: sent })
    expect(expected['one']).toBeGreaterThan(sent / 8)
    expect(summary.verdict.excused).toBe(0)
  })

  test('skips an offset: lost', async () => {
    const skip: Tamper = (publish, number) =>
      number % 20 === 19 ? { onward: [], back: acknowledgementOf(publish) } : passOn(publish)
    await using proxy = await tamperingProxy(gateway.url, { down: skip }, 5)
    const { conclusion, verdict } = await simulate(proxy.url, body())
    expect(conclusion).toBe('broken')
    expect(verdict.lost).toBeGreaterThan(3)
  })
})

test('a group without a stream is a mistake', async () => {
  const text = 'groups: { w: { subscriptions: [{ filter: a, group: g }] } }'
  await expect(async () => simulate(undefined, text)).rejects.toThrow(/a group reads a stream: name it/)
})
