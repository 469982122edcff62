/** Runs a scenario in the test's process, as the program does, and gives its summary. */

import type { Summary } from '../report/summary.ts'
import { Run } from '../run.ts'
import { parseScenario } from '../scenario/load.ts'

export interface SimulateOptions {
  client?: 'mqttjs' | 'lean'
  signal?: AbortSignal
  seed?: number
  startNumber?: number
  onNote?: (text: string) => void
  brokerGoneSeconds?: number
}

/** Whole runs take their time, more of it on a busy machine. */
export const runTimeoutMs = 120_000

/** @param body YAML without name and brokers; the run's problems are in the summary */
export function simulate(url: string | undefined, body: string, options: SimulateOptions = {}): Promise<Summary> {
  const broker = url === undefined ? '' : `brokers: { main: "${url}" }\n`
  // A busy machine delays the generator; that is no fault of what is tested here.
  const scenario = parseScenario(`name: test\ngeneratorLagMax: 1h\n${broker}${body}`, 'test.yaml')
  if (options.client !== undefined) scenario.client = options.client
  const run = new Run({
    scenario,
    folder: import.meta.dirname,
    seed: options.seed ?? 1,
    startNumber: options.startNumber ?? 0,
    workers: scenario.client === 'lean' ? 2 : undefined,
    onSecond: () => {},
    onNote: options.onNote ?? (() => {}),
    signal: options.signal ?? new AbortController().signal,
    ...(options.brokerGoneSeconds === undefined ? {} : { brokerGoneSeconds: options.brokerGoneSeconds }),
  })
  return run.execute()
}
