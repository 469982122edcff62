/** The summary of a run: plain data, the same for the JSON file, the report and the terminal. */
import type { FaultCounts } from '../fault/disturb.ts'
import type { LatencyFigures } from '../measure/histogram.ts'
import type { Counters, LatencyKind } from '../measure/measures.ts'
import { meetsThreshold, type Threshold } from '../scenario/threshold.ts'
import { formatCount } from '../units.ts'
import { missingEvidence } from '../verdict/evidence.ts'
import type { Verdict } from '../verdict/judge.ts'
import type { QueueFigures } from '../verdict/judge-queues.ts'
import type { RetainedVerdict } from '../verdict/retained.ts'

/** What was done with a queue, in a line. */
export function queueText({ queue, deliveries, done, failed, rejected, deadLetters }: QueueFigures): string {
  return (
    `queue ${queue}: ${formatCount(deliveries)} deliveries, ${formatCount(done)} jobs done, ${formatCount(failed)} failed attempts, ` +
    `${formatCount(rejected)} given up, ${formatCount(deadLetters)} dead letters`
  )
}

/** One second of the run. */
export interface Second {
  /** Since the run's start. */
  seconds: number
  stage: string
  online: number
  sentPerSecond: number
  receivedPerSecond: number
  pending: number
  /** Milliseconds, end to end, of what arrived in this second. */
  p50: number
  p99: number
  faults: string[]
}

export interface StageSummary {
  name: string
  type: string
  fromSeconds: number
  toSeconds: number
  measured: boolean
}

export interface FaultSummary extends FaultCounts {
  type: string
  fromSeconds: number
  toSeconds: number
  note: string
}

export interface Summary {
  name: string
  version: 1
  seed: number
  run: string
  client: string
  workers: number
  brokers: Record<string, string>
  devices: number
  startedAt: string
  durationSeconds: number
  stages: StageSummary[]
  faults: FaultSummary[]
  counters: Counters
  /** What the clients reported, and how often. */
  errors: Record<string, number>
  sentPerSecond: number
  receivedPerSecond: number
  latency: Record<LatencyKind, LatencyFigures>
  verdict: Verdict
  retained: RetainedVerdict
  thresholds: { text: string; value: number; passed: boolean }[]
  generator: {
    schedulingP99: number
    schedulingLimit: number
    lagged: boolean
  }
  memory: { residentBytes: number; perDeviceBytes: number }
  /** What ended the run early or makes it void, in words. */
  problems: string[]
  interrupted: boolean
  /** `kept` and `broken` rest on evidence; `inconclusive` is neither. */
  conclusion: 'kept' | 'broken' | 'inconclusive'
  /** Why it is inconclusive, one sentence each. */
  missingEvidence: string[]
  exitCode: number
  series: Second[]
}

/** All but what follows from it. */
export type SummaryFacts = Omit<Summary, 'thresholds' | 'conclusion' | 'missingEvidence' | 'exitCode'>

/** The figure that a threshold names. */
export function figureOf(summary: SummaryFacts, metric: string): number {
  const [first, kind, point] = metric.split('.')
  if (first === 'latency') {
    const figures = summary.latency[kind as LatencyKind]
    return figures[point as keyof LatencyFigures]
  }
  const { verdict, counters } = summary
  const figures: Record<string, number> = {
    sent: counters.sent,
    acknowledged: counters.acknowledged,
    received: verdict.received,
    lost: verdict.lost,
    lostAllowed: verdict.lostAllowed,
    duplicates: verdict.duplicates,
    duplicatesAllowed: verdict.duplicatesAllowed,
    outOfOrder: verdict.outOfOrder,
    corrupted: verdict.corrupted,
    misrouted: verdict.misrouted,
    wrongQos: verdict.wrongQos,
    undelivered: verdict.undelivered,
    retainedWrong: summary.retained.wrong,
    excused: verdict.excused,
    unacknowledged: verdict.unacknowledged,
    violations: verdict.violations + summary.retained.wrong,
    sessionsLost: verdict.sessionsLost,
    connectFailures: counters.connectFailures,
    disconnects: counters.disconnects,
    unansweredCommands: counters.unansweredCommands,
    unexpectedAnswers: summary.faults.reduce((sum, fault) => sum + fault.unexpected, 0),
    sentPerSecond: summary.sentPerSecond,
    receivedPerSecond: summary.receivedPerSecond,
    memoryPerDevice: summary.memory.perDeviceBytes,
  }
  return figures[metric] ?? Number.NaN
}

export const exitCodes = { ok: 0, badScenario: 2, inconclusive: 98, failed: 99, interrupted: 130 } as const

/** Thresholds and exit code: the last two things that are known. */
export function conclude(facts: SummaryFacts, thresholds: readonly Threshold[]): Summary {
  const results = thresholds.map((threshold) => {
    const value = figureOf(facts, threshold.metric)
    return { text: threshold.text, value, passed: meetsThreshold(threshold, value) }
  })
  const failed =
    facts.verdict.violations > 0 ||
    facts.retained.wrong > 0 ||
    facts.problems.length > 0 ||
    facts.generator.lagged ||
    results.some(({ passed }) => !passed)
  const { verdict, retained, counters } = facts
  const missing = missingEvidence({ verdict, retained, sent: counters.sent, untracked: counters.untracked })
  const broken = verdict.violations + retained.wrong > 0
  const conclusion = broken ? 'broken' : missing.length > 0 ? 'inconclusive' : 'kept'
  return { ...facts, thresholds: results, conclusion, missingEvidence: missing, exitCode: exitCode() }

  function exitCode(): number {
    if (facts.interrupted) return exitCodes.interrupted
    if (failed) return exitCodes.failed
    return conclusion === 'inconclusive' ? exitCodes.inconclusive : exitCodes.ok
  }
}

/** The verdict in one sentence. */
export function conclusionText({ conclusion, verdict, retained }: Summary): string {
  switch (conclusion) {
    case 'kept':
      return 'contract kept: nothing lost, doubled, out of order, corrupted, misrouted or downgraded against the promise'
    case 'inconclusive':
      return 'inconclusive: no promise was seen broken, but the run does not prove that all were kept'
    case 'broken':
      return (
        `contract broken ${formatCount(verdict.violations + retained.wrong)} times: ${verdict.lost} lost, ` +
        `${verdict.duplicates} duplicates, ${verdict.outOfOrder} out of order, ${verdict.corrupted} corrupted, ` +
        `${verdict.misrouted} misrouted, ${verdict.wrongQos} with the wrong QoS, ${retained.wrong} retained wrong`
      )
  }
}
