/** From the facts of all parts to the summary: the verdict, the retained messages, the thresholds, the exit code. */
import type { Broker } from '../broker.ts'
import type { Layout } from '../layout.ts'
import { latencyKinds } from '../measure/measures.ts'
import type { Scenario } from '../scenario/schema.ts'
import { readTls } from '../swarm/fleet.ts'
import type { PartFacts } from '../swarm/part.ts'
import { judge } from '../verdict/judge.ts'
import { mergeReceivers } from '../verdict/receiver.ts'
import { checkRetained, type RetainedVerdict } from '../verdict/retained.ts'
import { conclude, type FaultSummary, type Second, type StageSummary, type Summary } from './summary.ts'
import type { Tally } from './tally.ts'

export interface RunFacts {
  scenario: Scenario
  layout: Layout
  seed: number
  run: number
  workers: number
  brokers: ReadonlyMap<string, Broker>
  startedAt: Date
  durationSeconds: number
  stages: StageSummary[]
  faults: FaultSummary[]
  tally: Tally
  facts: readonly PartFacts[]
  residentBytes: number
  baselineBytes: number
  problems: string[]
  interrupted: boolean
  /** Messages still arrived when the drain's time was over, or the run was interrupted. */
  cutShort: boolean
  /** What the scenario's file names are relative to. */
  folder: string
  series: Second[]
}

/** Faults that try what a broker must refuse. */
const strangerFaults = new Set(['malformed', 'oversize', 'wrong-credentials'])

export async function summarise(facts: RunFacts): Promise<Summary> {
  const { scenario, layout, tally, brokers, problems } = facts
  const senders = facts.facts.flatMap((part) => part.senders)
  const receivers = mergeReceivers(facts.facts.flatMap((part) => part.receivers))
  const queues = facts.facts.flatMap((part) => part.queues)
  const verdict = judge(senders, receivers, { cutShort: facts.cutShort, queues })
  const retained = await retainedVerdict(facts, senders)
  const latency = Object.fromEntries(
    latencyKinds.map((kind) => [kind, tally.latency[kind].figures()]),
  ) as Summary['latency']
  const lagged = latency.scheduling.p99 > scenario.generatorLagMax
  const measuredSeconds = spanOf(facts.stages) || facts.durationSeconds
  if (verdict.refusedSubscriptions > 0)
    problems.push(`the broker refused ${verdict.refusedSubscriptions} subscriptions`)
  const { failedPublications } = tally.counters
  if (failedPublications > 0)
    problems.push(`${failedPublications} publications ended because their payload could not be made`)
  const { refusedLogins } = tally.counters
  if (refusedLogins > 0)
    problems.push(`the broker refused ${refusedLogins} logins: check the credentials of the groups`)
  for (const { type, unexpected, note } of facts.faults) {
    if (unexpected === 0 || !strangerFaults.has(type)) continue
    problems.push(`${type}: the broker let ${unexpected} of them in${note === '' ? '' : ` (${note})`}`)
  }
  if (!facts.interrupted) problems.push(...shutOutProblems(facts))
  if (tally.counters.connects === 0) problems.push('no device ever got a connection')
  return conclude(
    {
      name: scenario.name,
      version: 1,
      seed: facts.seed,
      run: facts.run.toString(16).padStart(6, '0'),
      client: scenario.client,
      workers: facts.workers,
      brokers: Object.fromEntries([...brokers].map(([name, { description }]) => [name, description])),
      devices: layout.deviceCount,
      startedAt: facts.startedAt.toISOString(),
      durationSeconds: Math.round(facts.durationSeconds * 10) / 10,
      stages: facts.stages,
      faults: facts.faults,
      counters: tally.counters,
      errors: Object.fromEntries(tally.errors),
      sentPerSecond: averageOf(facts, 'sentPerSecond', measuredSeconds, tally.counters.sent),
      receivedPerSecond: averageOf(facts, 'receivedPerSecond', measuredSeconds, tally.counters.received),
      latency,
      verdict,
      retained,
      generator: { schedulingP99: latency.scheduling.p99, schedulingLimit: scenario.generatorLagMax, lagged },
      memory: {
        residentBytes: facts.residentBytes,
        perDeviceBytes: Math.max(0, Math.round((facts.residentBytes - facts.baselineBytes) / layout.deviceCount)),
      },
      problems: lagged
        ? [
            ...problems,
            `the generator lagged: p99 of the scheduling error is ${latency.scheduling.p99.toFixed(1)} ms, over the limit of ` +
              `${scenario.generatorLagMax} ms; the latencies are the generator's, not the broker's`,
          ]
        : problems,
      interrupted: facts.interrupted,
      series: facts.series,
    },
    scenario.thresholds,
  )
}

function shutOutProblems({ facts, scenario }: RunFacts): string[] {
  return Object.entries(scenario.groups).flatMap(([name, { count }]) => {
    const never = facts.reduce((sum, { shutOut }) => sum + (shutOut[name] ?? 0), 0)
    return never === 0 ? [] : [`group ${name}: ${never} of ${count} devices never got a connection`]
  })
}

function spanOf(stages: readonly StageSummary[]): number {
  return stages
    .filter(({ measured }) => measured)
    .reduce((sum, { fromSeconds, toSeconds }) => sum + toSeconds - fromSeconds, 0)
}

/** Over the seconds of the measured stages; over the whole run when there was none. */
function averageOf(
  { series, stages, durationSeconds }: RunFacts,
  figure: 'sentPerSecond' | 'receivedPerSecond',
  measuredSeconds: number,
  total: number,
): number {
  const measured = new Set(stages.filter((stage) => stage.measured).map(({ name }) => name))
  let messages = 0
  let span = 0
  for (const [i, second] of series.entries()) {
    if (!measured.has(second.stage)) continue
    // A busy machine makes some seconds longer than others.
    const length = second.seconds - (series[i - 1]?.seconds ?? 0)
    messages += second[figure] * length
    span += length
  }
  if (span === 0 || measuredSeconds === 0) return Math.round(total / Math.max(1, durationSeconds))
  return Math.round(messages / span)
}

async function retainedVerdict(
  { scenario, layout, brokers, run, interrupted, folder }: RunFacts,
  senders: readonly Parameters<typeof judge>[0][number][],
): Promise<RetainedVerdict> {
  const total: RetainedVerdict = { checked: 0, wrong: 0, offenders: [] }
  const retaining = senders.filter(({ group, stream }) => {
    return scenario.groups[group]?.publications[Math.floor(stream / 3)]?.retain === true
  })
  if (retaining.length === 0 || interrupted) return total
  for (const [name, broker] of brokers) {
    const own = retaining.filter((sender) => sender.broker === name)
    const group = layout.groups.find((candidate) => candidate.name === own[0]?.group)
    if (group === undefined) continue
    const credentials = group.spec.credentials
    const username = credentials === undefined ? undefined : layout.variablesOf(group, 0)['username']
    try {
      const tls = group.spec.tls === undefined ? undefined : readTls(group.spec.tls, folder)
      const found = await checkRetained({ url: broker.url, run, tls, username, password: credentials?.password }, own)
      total.checked += found.checked
      total.wrong += found.wrong
      total.offenders.push(...found.offenders)
    } catch (error) {
      total.failed = `broker ${name}: ${(error as Error).message}`
    }
  }
  return total
}
