/**
 * Thresholds: one comparison of a figure of the summary with a limit, `latency.endToEnd.p99 < 500ms` or `lost == 0`.
 */
import { parseDurationMs } from '../units.ts'

const operators = ['<=', '>=', '==', '!=', '<', '>'] as const
type Operator = (typeof operators)[number]

export interface Threshold {
  text: string
  metric: string
  operator: Operator
  /** Durations are in milliseconds, as the figures of the summary are. */
  limit: number
}

const kinds = ['connect', 'suback', 'puback', 'pubcomp', 'endToEnd', 'endToEndFromSend', 'command', 'scheduling']
const points = ['p50', 'p90', 'p99', 'p999', 'max', 'mean', 'count']
const counters = [
  'sent',
  'acknowledged',
  'received',
  'lost',
  'lostAllowed',
  'duplicates',
  'duplicatesAllowed',
  'outOfOrder',
  'corrupted',
  'misrouted',
  'retainedWrong',
  'excused',
  'unacknowledged',
  'violations',
  'sessionsLost',
  'connectFailures',
  'disconnects',
  'unansweredCommands',
  'unexpectedAnswers',
  'undelivered',
  'wrongQos',
  'sentPerSecond',
  'receivedPerSecond',
  'memoryPerDevice',
]

/** The names a threshold may use, as the summary's figures have them. */
export const thresholdMetrics: readonly string[] = [
  ...counters,
  ...kinds.flatMap((kind) => points.map((point) => `latency.${kind}.${point}`)),
]

/** The threshold, or what was expected instead. */
export function parseThreshold(text: string): Threshold | string {
  const match = /^\s*([\w.]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*$/.exec(text)
  if (match === null) {
    return 'expected a comparison such as "latency.endToEnd.p99 < 500ms" or "lost == 0"'
  }
  const metric = match[1]!
  if (!thresholdMetrics.includes(metric)) {
    return `expected one of ${counters.join(', ')} or latency.KIND.POINT (${kinds.join(', ')}; ${points.join(', ')})`
  }
  const operator = operators.find((candidate) => candidate === match[2])!
  const limit = /^-?\d+(\.\d+)?$/.test(match[3]!) ? Number(match[3]) : parseDurationMs(match[3]!)
  if (limit === undefined) return 'expected a number or a duration such as 500ms after the operator'
  return { text: text.trim(), metric, operator, limit }
}

export function meetsThreshold(threshold: Threshold, value: number): boolean {
  switch (threshold.operator) {
    case '<':
      return value < threshold.limit
    case '<=':
      return value <= threshold.limit
    case '>':
      return value > threshold.limit
    case '>=':
      return value >= threshold.limit
    case '==':
      return value === threshold.limit
    case '!=':
      return value !== threshold.limit
  }
}
