/**
 * Runs scenarios against brokers in alternation: A B C A B C A B C. What disturbs a round disturbs all brokers of it, and ratios are
 * taken within a round.
 */
import { spawn } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import type { Answer, Job } from './generator/job.ts'
import type { Transport } from './generator/link.ts'
import type { Broker } from './peers/broker.ts'
import type { PlannedRun } from './progress.ts'
import type { BrokerResult, Run, ScenarioResult } from './results.ts'
import { onCore, RunningBroker } from './running.ts'
import { type JobBody, type Scenario, type Stage, targetOf } from './scenarios/scenario.ts'

export interface Plan {
  brokers: readonly Broker[]
  /** Names of the gateway, of this checkout and of the base. */
  subjects: readonly string[]
  /** For all scenarios; undefined: each has its own. */
  rounds: number | undefined
  quick: boolean
  /** Everything runs: brokers that start slowly are left out of rows that only vary others. */
  everything: boolean
  dataFolder: string
  /** Told of every run as it ends. */
  onRun(scenario: Scenario, broker: Broker, run: Run): void
}

const generatorScript = fileURLToPath(new URL('generator/main.ts', import.meta.url))
const timing = {
  quick: { warmupMs: 1000, measureMs: 1000 },
  varied: { warmupMs: 1000, measureMs: 2000 },
  compared: { warmupMs: 1500, measureMs: 2000 },
} as const
/** Also for the subscriptions of a crowd. */
const connectTimeoutMs = { quick: 15_000, full: 40_000 } as const
/** The longest a job may take: idle connections are watched for a minute, and a full queue is drained from a slow broker. */
const jobTimeoutMs = 180_000

/** Runs one job in a generator process on the generator's core. Never rejects: what goes wrong is a fault in the answer. */
export function generate(job: Job): Promise<Answer> {
  const [program, args] = onCore('generator', process.execPath, [generatorScript, JSON.stringify(job)])
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const timer = setTimeout(() => child.kill('SIGKILL'), jobTimeoutMs)
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  return new Promise((resolve) => {
    const fault = (reason: string): void => resolve({ figures: {}, faults: [reason] })
    child.once('error', (error) => fault(error.message))
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      process.off('exit', kill)
      if (signal !== null) return fault(`the generator was ended by ${signal} (no answer in ${jobTimeoutMs / 1000} s?)`)
      if (code !== 0) return fault(`the generator failed: ${errors.trim().split('\n').slice(0, 6).join(' | ')}`)
      resolve(JSON.parse(output) as Answer)
    })
  })
}

async function runOnce(scenario: Scenario, broker: Broker, plan: Plan): Promise<Answer> {
  let running: RunningBroker | undefined
  try {
    const one = await RunningBroker.start(broker, plan.dataFolder, scenario.needs)
    running = one
    if (scenario.needs.includes('tls') && one.place.certificate === undefined) {
      return { figures: {}, faults: ['needs openssl for a certificate: apt-get install openssl'] }
    }
    const stage: Stage = {
      broker: one,
      quick: plan.quick,
      ...timing[plan.quick ? 'quick' : scenario.varies ? 'varied' : 'compared'],
      generate(body: JobBody, transport: Transport = 'tcp', publishers: Transport = 'tcp') {
        const frame = {
          target: targetOf(one, transport, publishers),
          connectTimeoutMs: connectTimeoutMs[plan.quick ? 'quick' : 'full'],
        }
        return generate({ ...body, ...frame } as Job)
      },
    }
    return await scenario.run(stage)
  } catch (error) {
    return { figures: {}, faults: [error instanceof Error ? error.message : String(error)] }
  } finally {
    await running?.stop()
  }
}

/** Why `broker` has no part in `scenario`, if it has none; `not-meant` when its settings are for another kind of scenario. */
export function unavailability(scenario: Scenario, broker: Broker, subject: string): string | undefined {
  const isSubject = broker.name === subject
  if (scenario.store === 'own') return isSubject ? undefined : 'not-meant'
  if (scenario.store === 'memory' && broker.settings !== 'memory') return 'not-meant'
  // The gateway itself is judged with what it promises; the peers also with their in-memory settings, for comparison.
  if (scenario.store === 'durable' && broker.settings === 'memory' && (isSubject || broker.alwaysDurable))
    return 'not-meant'
  if (scenario.store === 'surviving' && broker.settings === 'memory') return 'not-meant'
  const lacking = scenario.needs.filter((need) => !broker.capabilities.has(need))
  if (lacking.length === 0) return undefined
  return lacking.map((need) => broker.lacks?.[need] ?? `has no ${need}`).join(', ')
}

interface Participant {
  broker: Broker
  label: string
  unavailable?: string
}

/** The brokers that have a column in `scenario`. `subjects` are the gateway's names, which is judged by its durable settings. */
export function participants(
  scenario: Scenario,
  { brokers, subjects, everything }: Pick<Plan, 'brokers' | 'subjects' | 'everything'>,
): Participant[] {
  const mixed = scenario.store === 'durable' || scenario.store === 'own'
  return brokers.flatMap((broker) => {
    const lack = unavailability(scenario, broker, subjects.includes(broker.name) ? broker.name : '')
    if (lack === 'not-meant') return []
    const slow = everything && scenario.varies && broker.startsSlowly === true
    const reason = lack ?? (slow ? `left out: slow to start (\`npm run bench -- ${scenario.name}\` has it)` : undefined)
    const label = mixed && broker.settings === 'memory' ? `${broker.label}, in memory` : broker.label
    return [{ broker, label, ...(reason === undefined ? {} : { unavailable: reason }) }]
  })
}

/** All runs that `scenarios` come to. */
export function plannedRuns(scenarios: readonly Scenario[], plan: Plan): PlannedRun[] {
  return scenarios.flatMap((scenario) => {
    const { name, expectedSeconds } = scenario
    const taking = participants(scenario, plan).filter((one) => one.unavailable === undefined)
    const round = taking.map(({ broker }) => ({ scenario: name, broker: broker.name, expectedSeconds }))
    return Array.from({ length: roundsOf(scenario, plan) }, () => round).flat()
  })
}

function roundsOf(scenario: Scenario, plan: Plan): number {
  return plan.rounds ?? scenario.rounds
}

/** A failed run that took longer than this isn't repeated. */
const patienceSeconds = 20

/** Whether a broker has shown that it can't do this in reasonable time. */
export function gaveUp({ runs }: BrokerResult): boolean {
  return runs.some((run) => run.faults.length > 0 && run.seconds > patienceSeconds)
}

/** Names the scenario of the same series, among those that have run, in which `label` was too slow. */
export function tooSlowIn(scenario: Scenario, label: string, before: readonly ScenarioResult[]): string | undefined {
  if (scenario.series === undefined) return undefined
  return before.find(
    (one) => one.series === scenario.series && one.brokers.some((broker) => broker.label === label && gaveUp(broker)),
  )?.name
}

/** One scenario, all rounds, all brokers that have a part in it. `before` is what has run already. */
export async function runScenario(
  scenario: Scenario,
  plan: Plan,
  before: readonly ScenarioResult[],
): Promise<ScenarioResult> {
  const taking = participants(scenario, plan).map(({ broker, label, unavailable }) => {
    const slow = tooSlowIn(scenario, label, before)
    const reason = unavailable ?? (slow === undefined ? undefined : `left out: too slow in ${slow}`)
    const result: BrokerResult = { label, runs: [], ...(reason === undefined ? {} : { unavailable: reason }) }
    return { broker, result }
  })
  const rounds = roundsOf(scenario, plan)
  for (let round = 1; round <= rounds; round++) {
    for (const { broker, result } of taking) {
      if (result.unavailable !== undefined || gaveUp(result)) continue
      const started = performance.now()
      const { figures, faults } = await runOnce(scenario, broker, plan)
      const run: Run = { round, seconds: (performance.now() - started) / 1000, figures, faults }
      result.runs.push(run)
      plan.onRun(scenario, broker, run)
    }
  }
  const { name, title, group, figures, growth, series } = scenario
  const optional = { ...(growth === undefined ? {} : { growth }), ...(series === undefined ? {} : { series }) }
  return { name, title, group, figures, ...optional, rounds, brokers: taking.map(({ result }) => result) }
}
