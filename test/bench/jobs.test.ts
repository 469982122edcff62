import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generate } from '../../bench/experiment.ts'
import { eventLoopDelayP99, scrapeEventLoopDelay } from '../../bench/generator/event-loop-delay.ts'
import type { Answer, Job } from '../../bench/generator/job.ts'
import { openCrowd } from '../../bench/generator/jobs/crowd.ts'
import { defaultLoad, type LoadSpec } from '../../bench/generator/load.ts'
import { benchUser } from '../../bench/peers/access.ts'
import { gateway } from '../../bench/peers/mqtide.ts'
import { findPeers } from '../../bench/peers/registry.ts'
import { RunningBroker } from '../../bench/running.ts'
import { type JobBody, targetOf } from '../../bench/scenarios/scenario.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-jobs-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** aedes keeps sessions and retained messages in memory: they survive a connection, but no restart. */
describe('what was stored is looked for', () => {
  let broker: RunningBroker
  beforeAll(async () => {
    broker = await RunningBroker.start(findPeers([{ name: 'aedes' }]).brokers[0]!, folder, [])
  })
  afterAll(() => broker.stop())

  function run(body: JobBody): Promise<Answer> {
    return generate({ ...body, target: targetOf(broker, 'tcp'), connectTimeoutMs: 10_000 } as Job)
  }

  const make = { kind: 'make-sessions', sessions: 500, filtersEach: 3, msMax: 60_000 } as const
  const find = { kind: 'find-sessions', sessions: 500, step: 10 } as const
  const spec: LoadSpec = { ...defaultLoad, topology: 'fan-in', publishQos: 1, subscribers: 2 }
  const retain = { kind: 'retain', spec, messages: 1000, fillMsMax: 60_000 } as const
  const collect = { kind: 'collect', spec, topicsPerPublisher: 100 } as const
  const sentBy = ({ figures }: Answer) => Array.from({ length: 10 }, (_, index) => figures[`sent.${index}`] ?? 0)

  test('sessions, and reported as forgotten when the broker lost them', async () => {
    expect(await run(make)).toMatchObject({ figures: { sessions: 500 }, faults: [] })
    expect(await run(find)).toMatchObject({ figures: { sessionsLookedFor: 50, sessionsPresent: 50 }, faults: [] })
    await broker.restart('SIGKILL')
    expect(await run(find)).toMatchObject({ figures: { sessionsPresent: 0 }, faults: ['50 of 50 sessions forgotten'] })
  })

  test('no more sessions are made than there is time for', async () => {
    const { figures, faults } = await run({ ...make, sessions: 10_000_000, msMax: 300 })
    expect(faults).toEqual([])
    expect(figures['sessions']).toBeGreaterThan(0)
    expect(figures['sessions']).toBeLessThan(10_000_000)
  })

  test('retained messages, by every collector, and reported as lost when the broker lost them', async () => {
    const stored = await run(retain)
    expect(stored).toMatchObject({ figures: { retained: 1000 }, faults: [] })
    const sentByPublisher = sentBy(stored)
    expect(await run({ ...collect, sentByPublisher })).toMatchObject({ figures: { delivered: 2000 }, faults: [] })
    await broker.restart('SIGKILL')
    expect((await run({ ...collect, sentByPublisher })).faults).toEqual(['2000 of 2000 messages lost'])
  })
})

describe('TLS, users and rules', () => {
  const brokers = [
    ...gateway({ folder: process.cwd(), name: 'MQTide', version: '1' }).slice(0, 1),
    ...findPeers([{ name: 'mosquitto' }]).brokers.slice(0, 1),
  ]
  test.each(brokers.map((one) => [one.name, one] as const))(
    'are there where a scenario needs them: %s',
    async (_, broker) => {
      const running = await RunningBroker.start(broker, folder, ['tls', 'password', 'acl'])
      try {
        const target = targetOf(running, 'tcp')
        const run = (body: JobBody, at = target) => generate({ ...body, target: at, connectTimeoutMs: 10_000 } as Job)
        const load = { kind: 'throughput', crowdSubscriptions: 0, warmupMs: 50, measureMs: 100 } as const
        const letIn = await run({ ...load, spec: { ...defaultLoad, ...benchUser } })
        expect(letIn.faults).toEqual([])
        expect((await run({ ...load, spec: defaultLoad })).faults).not.toEqual([])
      } finally {
        await running.stop()
      }
      const encrypted = await RunningBroker.start(broker, folder, ['tls'])
      try {
        const target = targetOf(encrypted, 'tls')
        for (const resumed of [false, true]) {
          const body = { kind: 'storm', connections: 20, pendingMax: 5, resumed } as const
          const { figures, faults } = await generate({ ...body, target, connectTimeoutMs: 10_000 })
          expect(faults).toEqual([])
          expect(figures['connectsPerSecond']).toBeGreaterThan(0)
        }
      } finally {
        await encrypted.stop()
      }
    },
  )
})

test('a crowd that a broker does not take in time is given up', async () => {
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const endpoint = { host: '127.0.0.1', port: (silent.address() as AddressInfo).port, transport: 'tcp' } as const
  await expect(openCrowd(100, endpoint, 50)).rejects.toThrow('only 0 of 100 subscriptions made in time')
  silent.close()
})

describe('the event-loop delay', () => {
  test("is the gateway's figure without the probe's own period of 20 ms", () => {
    const text = (value: string) => `# TYPE x gauge\nnodejs_eventloop_lag_p99_seconds ${value}\nother 1\n`
    expect(eventLoopDelayP99(text('0.0325'))).toBeCloseTo(12_500)
    expect(eventLoopDelayP99(text('0.019'))).toBe(0)
    expect([eventLoopDelayP99(text('NaN')), eventLoopDelayP99('')]).toEqual([undefined, undefined])
  })

  test('is there for the gateway and for no other broker', async () => {
    const [memory] = gateway({ folder: process.cwd(), name: 'MQTide', version: '1' })
    const running = await RunningBroker.start(memory!, folder, [])
    try {
      await scrapeEventLoopDelay(running.metricsUrl)
      // One period of the probe at least.
      await expect.poll(() => scrapeEventLoopDelay(running.metricsUrl)).toBeGreaterThanOrEqual(0)
      expect(await scrapeEventLoopDelay(undefined)).toBeUndefined()
      expect(await scrapeEventLoopDelay(`${running.metricsUrl}-not-there`)).toBeUndefined()
    } finally {
      await running.stop()
    }
  })
})
