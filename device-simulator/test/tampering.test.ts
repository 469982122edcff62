/** Every word of the verdict against a proxy that did just that: nothing a broker can do wrong may pass for kept. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import type { Summary } from '../report/summary.ts'
import { runTimeoutMs, simulate } from './simulate.ts'
import { acknowledgementOf, passOn, type Tamper, tamperingProxy } from './tampering-proxy.ts'

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

let gateway: Broker
beforeAll(async () => {
  gateway = await openBroker('gateway', { gateway: { arguments: [] } }, false)
})
afterAll(() => gateway.close())

const body = (publishQos: number, subscribeQos = publishQos, drain = '3s'): string => `
stages: [{ type: ramp, duration: 300ms }, { type: hold, duration: 800ms }, { type: drain, duration: ${drain} }]
groups:
  sensors:
    count: 3
    protocol: 3.1.1
    session: durable
    publications: [{ topic: "tampered/{index}", rate: 40, qos: ${publishQos}, payload: { fields: { v: { type: counter } } } }]
  consumers: { protocol: 3.1.1, session: durable, subscriptions: [{ filter: tampered/#, qos: ${subscribeQos} }] }
`

async function tampered(tampers: { up?: Tamper; down?: Tamper }, scenario: string): Promise<Summary> {
  await using proxy = await tamperingProxy(gateway.url, tampers)
  return await simulate(proxy.url, scenario, { client: 'lean' })
}

const everyTenth =
  (tamper: Tamper): Tamper =>
  (publish, number) =>
    number % 10 === 5 ? tamper(publish, number) : passOn(publish)

const swallow: Tamper = (publish) => ({ onward: [], back: acknowledgementOf(publish) })

describe('the verdict on a broker that', () => {
  test('does nothing wrong: kept', async () => {
    const summary = await tampered({ up: passOn, down: passOn }, body(1))
    expect(summary).toMatchObject({ conclusion: 'kept', exitCode: 0, missingEvidence: [] })
  })

  test('acknowledges and does not pass on: lost', async () => {
    const summary = await tampered({ up: everyTenth(swallow) }, body(1))
    expect(summary).toMatchObject({ conclusion: 'broken', exitCode: 99 })
    expect(summary.verdict.lost).toBeGreaterThan(3)
  })

  test('drops on the way to the subscriber: lost', async () => {
    const summary = await tampered({ down: everyTenth(swallow) }, body(1))
    expect(summary.conclusion).toBe('broken')
    expect(summary.verdict.lost).toBeGreaterThan(3)
  })

  test('delivers QoS 0 not at all: inconclusive', async () => {
    const summary = await tampered({ down: swallow }, body(0))
    expect(summary).toMatchObject({ conclusion: 'inconclusive', exitCode: 98 })
  })

  test('never acknowledges and never delivers: inconclusive', async () => {
    const summary = await tampered({ up: () => ({ onward: [], back: [] }) }, body(1, 1, '3s'))
    expect(summary).toMatchObject({ conclusion: 'inconclusive', exitCode: 98 })
    expect(summary.verdict.unacknowledged).toBeGreaterThan(50)
  })

  test('delivers QoS 2 twice: duplicates', async () => {
    const twice: Tamper = (publish) => {
      const again = { ...publish, messageId: 30_000 + (publish.messageId ?? 0) }
      return { onward: [publish, again], back: [] }
    }
    const summary = await tampered({ down: everyTenth(twice) }, body(2, 2, '2s'))
    expect(summary.conclusion).toBe('broken')
    expect(summary.verdict.duplicates).toBeGreaterThan(3)
  })

  test('swaps messages: out of order', async () => {
    let kept: Parameters<Tamper>[0] | undefined
    const swap: Tamper = (publish) => {
      if (kept === undefined) {
        kept = publish
        return { onward: [], back: [] }
      }
      const first = kept
      kept = undefined
      return { onward: [publish, first], back: [] }
    }
    const summary = await tampered({ up: swap }, body(0))
    expect(summary.verdict.outOfOrder).toBeGreaterThan(0)
    expect(summary.conclusion).toBe('broken')
  })

  test('downgrades QoS 2 to QoS 0: wrong QoS', async () => {
    const downgrade: Tamper = ({ messageId: _id, ...publish }) => ({
      onward: [{ ...publish, qos: 0, dup: false }],
      back: [],
    })
    const summary = await tampered({ down: downgrade }, body(1, 1, '2s'))
    expect(summary.conclusion).toBe('broken')
    expect(summary.verdict.wrongQos).toBeGreaterThan(50)
    expect(summary.verdict.offenders[0]).toMatch(/^wrong QoS: tampered\/\d: published with QoS 1, came with QoS 0/)
  })

  test('changes payloads: corrupted', async () => {
    const corrupt: Tamper = (publish) => {
      const payload = Buffer.from(publish.payload as Buffer)
      payload[0]! ^= 1
      return { onward: [{ ...publish, payload }], back: [] }
    }
    const summary = await tampered({ up: everyTenth(corrupt) }, body(1))
    expect(summary.conclusion).toBe('broken')
    expect(summary.verdict.corrupted).toBeGreaterThan(3)
  })

  test('delivers to the wrong topic: misrouted', async () => {
    const misroute: Tamper = (publish) => ({ onward: [{ ...publish, topic: 'tampered/other' }], back: [] })
    const summary = await tampered({ down: everyTenth(misroute) }, body(1))
    expect(summary.conclusion).toBe('broken')
    expect(summary.verdict.misrouted).toBeGreaterThan(3)
  })
})

describe('without evidence', () => {
  test('a swarm that nobody listens to is inconclusive', async () => {
    const summary = await simulate(
      gateway.url,
      `stages: [{ type: ramp, duration: 200ms }, { type: hold, duration: 500ms }, { type: drain, duration: 3s }]
groups: { s: { count: 2, publications: [{ topic: "alone/{index}", rate: 20, qos: 1, payload: { fields: {} } }] } }`,
    )
    expect(summary).toMatchObject({ conclusion: 'inconclusive', exitCode: 98 })
    expect(summary.missingEvidence[0]).toMatch(/no subscription of the run matches/)
  })

  test("a client's own messages in spite of No Local are misrouted, and not missed when they stay away", async () => {
    const group = `stages: [{ type: ramp, duration: 200ms }, { type: hold, duration: 1s }, { type: drain, duration: 3s }]
groups:
  chatty:
    count: 2
    protocol: 5.0
    publications: [{ topic: "chat/{index}", rate: 20, qos: 1, payload: { fields: {} } }]
    subscriptions: [{ filter: chat/#, qos: 1, noLocal: true }]`
    const summary = await simulate(gateway.url, group)
    expect(summary).toMatchObject({ conclusion: 'kept', exitCode: 0 })
    expect(summary.verdict.expected).toBe(summary.counters.sent)
  })
})
