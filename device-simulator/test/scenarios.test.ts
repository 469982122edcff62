/** The scenarios that come along: each is valid, teaches in its head, and runs, made small, with every promise kept. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Broker, openBroker } from '../broker.ts'
import { listScenarios, resolveTask, scenarioJsonSchema } from '../cli.ts'
import { Run } from '../run.ts'
import { isListener } from '../swarm/fleet.ts'

import { runTimeoutMs } from './simulate.ts'

const folder = new URL('../scenarios/', import.meta.url)
const names = readdirSync(folder).map((file) => file.replace('.yaml', ''))

/** What the scenarios' own brokers would have. */
const queues = { orders: { filter: 'orders/#', orderBy: 'topic', retry: { firstMs: 100, maxMs: 500 } } }
const streams = { readings: { filter: 'readings/#' } }
let gateway: Broker

vi.setConfig({ testTimeout: runTimeoutMs, hookTimeout: runTimeoutMs })

beforeAll(async () => {
  gateway = await openBroker('gateway', { gateway: { arguments: [], options: { queues, streams } } }, false)
})
afterAll(() => gateway.close())

describe('the scenarios that come along', () => {
  test('are twelve, each with a description', () => {
    expect(listScenarios().map(({ name }) => name)).toEqual(names.toSorted())
    expect(names.length).toBe(12)
    for (const { description } of listScenarios()) expect(description.length).toBeGreaterThan(40)
  })

  test('the published JSON Schema is the schema that files are checked with', () => {
    const published = readFileSync(new URL('../scenario.schema.json', import.meta.url), 'utf8')
    expect(
      JSON.parse(published),
      'run: node device-simulator/main.ts --schema > device-simulator/scenario.schema.json',
    ).toEqual(JSON.parse(scenarioJsonSchema()))
  })

  test.concurrent.each(names)('%s, made small, keeps every promise', async (name) => {
    const { scenario, folder: base } = resolveTask(name, { broker: gateway.url }, {})
    scenario.generatorLagMax = 3_600_000
    for (const group of Object.values(scenario.groups)) {
      group.clientId = `${name}-${group.clientId}`
      if (!isListener(group)) group.count = Math.min(group.count, 6)
    }
    for (const stage of scenario.stages ?? []) {
      stage.duration = stage.type === 'ramp' ? 200 : stage.type === 'drain' ? 20_000 : Math.min(stage.duration, 1500)
    }
    scenario.stages ??= [
      { type: 'ramp', duration: 200, rate: 1, to: 1, spread: 0, faults: [] },
      { type: 'hold', duration: 2000, rate: 1, to: 1, spread: 0, faults: [] },
    ]
    const run = new Run({
      scenario,
      folder: base,
      seed: scenario.seed ?? 1,
      startNumber: 0,
      workers: undefined,
      onSecond: () => {},
      onNote: () => {},
      signal: new AbortController().signal,
    })
    const { verdict, retained, counters, problems } = await run.execute()
    expect(problems).toEqual([])
    expect(verdict.offenders).toEqual([])
    expect({ ...verdict, ...retained }).toMatchObject({ violations: 0, wrong: 0, unacknowledged: 0 })
    expect(counters.sent + counters.commandsAnswered).toBeGreaterThan(5)
  })
})
