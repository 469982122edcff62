/** The outcomes of the cases as a Markdown table. */
import type { Measured } from './probe.ts'

export interface Outcome extends Partial<Measured> {
  /** Undefined: it was not over in time. */
  attackMs: number | undefined
  /** Resident bytes of the gateway before the attack, at most, and a while after it. */
  before: number
  peak: number
  after: number
  died: boolean
}

const megabytes = (bytes: number): string => String(Math.round(bytes / 1024 / 1024))

function duration(ms: number | undefined): string {
  if (ms === undefined) return '-'
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

function cells(outcome: Outcome | string): string[] {
  if (typeof outcome === 'string') return [outcome, '', '', '']
  const { workedMs, maxMs, p99Ms, before, peak, after, died, sent = 0, answered = 0 } = outcome
  const memory = `${megabytes(before)} → ${megabytes(peak)} → ${died ? 'ended' : megabytes(after)}`
  if (sent === 0 && !died) return ['never answered', '', '', memory]
  const unserved = died ? ' (the process ended)' : answered < sent ? ` (${sent - answered} not answered)` : ''
  return [duration(workedMs), `${duration(maxMs)}${unserved}`, duration(p99Ms), memory]
}

const heads = ['worked at a stretch', 'longest round trip', 'p99', 'resident MB'] as const

/** One row per case, four columns per checkout. */
export function renderOutcomes(
  names: readonly string[],
  rows: readonly { title: string; outcomes: readonly (Outcome | string)[] }[],
): string {
  const head = ['case', ...names.flatMap((name) => heads.map((one) => `${name}: ${one}`))]
  const lines = [head, head.map(() => '---'), ...rows.map(({ title, outcomes }) => [title, ...outcomes.flatMap(cells)])]
  return `${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`
}
