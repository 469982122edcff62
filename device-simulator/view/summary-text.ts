/** The summary for people: what was promised, what came of it, and what to look at first. */
import type { LatencyFigures } from '../measure/histogram.ts'
import { conclusionText, queueText, type Summary } from '../report/summary.ts'
import { formatCount, formatDuration } from '../units.ts'

const latencyTitles: readonly [keyof Summary['latency'], string][] = [
  ['connect', 'connect'],
  ['suback', 'SUBACK'],
  ['puback', 'PUBACK'],
  ['pubcomp', 'PUBCOMP'],
  ['endToEnd', 'end to end, from intended time'],
  ['endToEndFromSend', 'end to end, from actual send'],
  ['command', 'command to answer'],
  ['scheduling', 'scheduling error'],
]

export function summaryText(summary: Summary, colours: boolean): string {
  const paint = (code: number, text: string): string => (colours ? `\x1b[${code}m${text}\x1b[0m` : text)
  const { verdict, counters, retained } = summary
  const lines = [
    '',
    `${summary.name}: ${formatCount(summary.devices)} devices (${summary.client}), ${summary.durationSeconds} s, seed ${summary.seed}`,
    `  sent ${formatCount(counters.sent)} (${formatCount(summary.sentPerSecond)}/s), acknowledged ${formatCount(counters.acknowledged)}` +
      `${counters.refused > 0 ? ` (${formatCount(counters.refused)} refused)` : ''}, ` +
      `received ${formatCount(counters.received)} (${formatCount(summary.receivedPerSecond)}/s)`,
    `  ${formatCount(counters.disconnects)} breaks, ${formatCount(counters.connectFailures)} failed connects, ` +
      `${formatCount(counters.skippedOffline + counters.skippedFull)} messages not sent because the device was offline`,
    '',
    ...table(
      [['latency', 'count', 'p50', 'p90', 'p99', 'p99.9', 'max']],
      latencyTitles.flatMap(([kind, title]) => latencyRow(title, summary.latency[kind])),
    ),
    '',
    ...table(
      [['verdict', 'QoS', 'promise', 'expected', 'lost', 'duplicates', 'disorder', 'excused']],
      verdict.rows.map((row) => [
        `${row.from} -> ${row.to} (${row.receiverSession})`,
        `${row.publishedQos}>${row.deliveredQos}`,
        row.promise,
        formatCount(row.expected),
        row.lostAllowed > 0 ? `${row.lostAllowed} allowed` : formatCount(row.lost),
        row.duplicatesAllowed > 0
          ? `${row.duplicates} (+${row.duplicatesAllowed} allowed)`
          : formatCount(row.duplicates),
        formatCount(row.outOfOrder),
        formatCount(row.excused),
      ]),
    ),
  ]
  if (counters.commandsSent > 0) {
    lines.push(
      `  commands: ${formatCount(counters.commandsSent)} sent, ${formatCount(counters.commandsAnswered)} answered, ${formatCount(counters.unansweredCommands)} unanswered`,
    )
  }
  for (const queue of verdict.queues) lines.push(`  ${queueText(queue)}`)
  if (retained.checked > 0) lines.push(`  retained: ${retained.checked} topics checked, ${retained.wrong} wrong`)
  for (const fault of summary.faults) lines.push(`  fault ${fault.type}: ${faultText(fault)}`)
  for (const [text, count] of Object.entries(summary.errors).slice(0, 5))
    lines.push(`  clients reported ${formatCount(count)} times: ${text}`)
  lines.push('')
  for (const { text, value, passed } of summary.thresholds) {
    lines.push(
      `  ${passed ? paint(32, 'pass') : paint(31, 'FAIL')}  ${text} (${Number.isInteger(value) ? value : value.toFixed(2)})`,
    )
  }
  for (const offender of [...verdict.offenders, ...retained.offenders].slice(0, 10))
    lines.push(`  ${paint(31, offender)}`)
  for (const problem of summary.problems) lines.push(`  ${paint(31, problem)}`)
  for (const missing of summary.missingEvidence) lines.push(`  ${paint(33, missing)}`)
  const colour = { kept: 32, inconclusive: 33, broken: 31 }[summary.conclusion]
  lines.push(
    `  ${paint(colour, conclusionText(summary))}`,
    `  exit code ${summary.exitCode}${summary.interrupted ? ' (interrupted)' : ''}`,
    '',
  )
  return lines.join('\n')
}

function faultText({
  events,
  asExpected,
  unexpected,
  fromSeconds,
  toSeconds,
  note,
}: Summary['faults'][number]): string {
  const answers = asExpected + unexpected > 0 ? `, ${asExpected} answered as expected, ${unexpected} not` : ''
  return `${fromSeconds.toFixed(0)}-${toSeconds.toFixed(0)} s, ${formatCount(events)} times${answers}${note === '' ? '' : ` (${note})`}`
}

function latencyRow(title: string, figures: LatencyFigures): string[][] {
  if (figures.count === 0) return []
  const { count, p50, p90, p99, p999, max } = figures
  return [[title, formatCount(count), ...[p50, p90, p99, p999, max].map(formatDuration)]]
}

function table(head: readonly string[][], rows: readonly string[][]): string[] {
  const all = [...head, ...rows]
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
    return `  ${cells.join('  ')}`.trimEnd()
  })
}
