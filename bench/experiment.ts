/**
 * Runs scenarios against brokers in alternation: A B C A B C A B C. What disturbs a round disturbs all brokers of it, and ratios are
 * taken within a round.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Answer, Job } from './generator/job.ts'
import type { Transport } from './generator/link.ts'
import type { Broker } from './peers/broker.ts'
import type { BrokerResult, Run, ScenarioResult } from './results.ts'
import { onCore, RunningBroker } from './running.ts'
import { type JobBody, type Scenario, type Stage, targetOf } from './scenarios/scenario.ts'

export interface Plan {
  brokers: readonly Broker[]
  rounds: number
  quick: boolean
  dataFolder: string
  /** Told of every run as it ends. */
  onRun(scenario: Scenario, broker: Broker, run: Run): void
}

const generatorScript = fileURLToPath(new URL('generator/main.ts', import.meta.url))
const timing = { quick: { warmupMs: 1000, measureMs: 1000 }, full: { warmupMs: 2000, measureMs: 3000 } } as const
const connectTimeoutMs = 120_000
/** The longest a job may take: 1,000,000 messages through a slow broker. */
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
    const one = await RunningBroker.start(broker, plan.dataFolder, scenario.needs.includes('tls'))
    running = one
    if (scenario.needs.includes('tls') && one.place.certificate === undefined) {
      return { figures: {}, faults: ['needs openssl for a certificate: apt-get install openssl'] }
    }
    const stage: Stage = {
      broker: one,
      quick: plan.quick,
      ...timing[plan.quick ? 'quick' : 'full'],
      generate(body: JobBody, transport: Transport = 'tcp') {
        return generate({ ...body, target: targetOf(one, transport), connectTimeoutMs } as Job)
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
  if (scenario.store === 'memory' && broker.settings !== 'memory') return 'not-meant'
  // The gateway itself is judged with what it promises; the peers also with their in-memory settings, for comparison.
  if (scenario.store === 'durable' && broker.settings === 'memory' && broker.name === subject) return 'not-meant'
  if (scenario.store === 'surviving' && broker.settings === 'memory') return 'not-meant'
  const lacking = scenario.needs.filter((need) => !broker.capabilities.has(need))
  return lacking.length > 0 ? `has no ${lacking.join(', ')}` : undefined
}

/** One scenario, all rounds, all brokers that have a part in it. `subjects` are judged in durable mode only. */
export async function runScenario(
  scenario: Scenario,
  plan: Plan,
  subjects: readonly string[],
): Promise<ScenarioResult> {
  const taking: { broker: Broker; result: BrokerResult }[] = []
  for (const broker of plan.brokers) {
    const subject = subjects.includes(broker.name) ? broker.name : ''
    const reason = unavailability(scenario, broker, subject)
    if (reason === 'not-meant') continue
    const label =
      scenario.store === 'durable' && broker.settings === 'memory' ? `${broker.label}, in memory` : broker.label
    taking.push({ broker, result: { label, runs: [], ...(reason === undefined ? {} : { unavailable: reason }) } })
  }
  for (let round = 1; round <= plan.rounds; round++) {
    for (const { broker, result } of taking) {
      if (result.unavailable !== undefined) continue
      const { figures, faults } = await runOnce(scenario, broker, plan)
      const run: Run = { round, figures, faults }
      result.runs.push(run)
      plan.onRun(scenario, broker, run)
    }
  }
  const { name, title, group, figures, growth } = scenario
  const brokers = taking.map(({ result }) => result)
  return { name, title, group, figures, ...(growth === undefined ? {} : { growth }), brokers }
}
