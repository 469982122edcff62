/** Results as Markdown. */
import type { Figures } from './generator/job.ts'
import { type BrokerResult, isDisturbed, isSaturated, isWaiting, type Results, type ScenarioResult } from './results.ts'
import { type Figure, groups } from './scenarios/scenario.ts'
import { pairedRatio, spread } from './statistics.ts'

const groupTitles: Record<(typeof groups)[number], string> = {
  throughput: 'Throughput',
  routing: 'Routing',
  durable: 'Stored messages',
  connections: 'Connections',
  latency: 'Latency',
  growth: 'Growth: processor time of the broker per message',
}

/** Three significant digits with the unit's customary prefix. */
export function formatFigure(value: number, unit: Figure['unit']): string {
  if (!Number.isFinite(value)) return '-'
  switch (unit) {
    case 'per second':
      return value >= 1e6
        ? `${significant(value / 1e6)} M/s`
        : value >= 1e3
          ? `${significant(value / 1e3)} k/s`
          : `${significant(value)}/s`
    case 'microseconds':
      return value >= 1e6
        ? `${significant(value / 1e6)} s`
        : value >= 1e3
          ? `${significant(value / 1e3)} ms`
          : `${significant(value)} us`
    case 'bytes':
      return Math.abs(value) >= 1e6
        ? `${significant(value / 1e6)} MB`
        : Math.abs(value) >= 1e4
          ? `${significant(value / 1e3)} KB`
          : `${Math.round(value)} B`
    case 'seconds':
      return `${significant(value)} s`
    case 'count':
      return Math.round(value).toLocaleString('en')
    case 'share':
      return `${significant(value * 100)} %`
  }
}

function significant(value: number): string {
  if (value === 0) return '0'
  const digits = 2 - Math.floor(Math.log10(Math.abs(value)))
  return value.toFixed(Math.min(Math.max(digits, 0), 4))
}

/** The figure in each run that counts. */
export function valuesOf(result: BrokerResult, figure: Figure): number[] {
  const values: number[] = []
  for (const run of result.runs) {
    const value = run.figures[figure.name]
    if (run.faults.length === 0 && value !== undefined) values.push(value)
  }
  return values
}

/** How many times better `subject` is than `other` in this figure; NaN when one of them has no value. */
export function timesBetter(figure: Figure, subject: BrokerResult, other: BrokerResult): number {
  const pairs: [number, number][] = []
  for (const run of subject.runs) {
    const against = other.runs.find((one) => one.round === run.round)
    const own = run.figures[figure.name]
    const its = against?.figures[figure.name]
    if (!sameAmount(figure, run.figures, against?.figures)) continue
    if (run.faults.length > 0 || own === undefined || its === undefined || against?.faults.length !== 0) continue
    pairs.push(figure.better === 'higher' ? [own, its] : [its, own])
  }
  return pairedRatio(
    pairs.map(([over]) => over),
    pairs.map(([, under]) => under),
  )
}

/** Amounts that differ by less than this are the same. */
const amountTolerance = 0.02

function sameAmount({ forAmount }: Figure, own: Figures, its: Figures | undefined): boolean {
  if (forAmount === undefined) return true
  const [ours = 0, theirs = 0] = [own[forAmount], its?.[forAmount]]
  return Math.abs(ours - theirs) <= amountTolerance * Math.max(ours, theirs)
}

function marks(result: BrokerResult): string {
  const saturated = result.runs.some((run) => isSaturated(run.figures)) ? ' ≥' : ''
  const disturbed = result.runs.some((run) => isDisturbed(run.figures)) ? ' ~' : ''
  const waiting = result.runs.some((run) => isWaiting(run.figures)) ? ' ◦' : ''
  return `${saturated}${waiting}${disturbed}`
}

/** A table's cell has no room for a stack trace, and no bars. */
const faultCharactersMax = 100

function faultsIn(result: BrokerResult, brief: boolean): string {
  const failed = result.runs.filter((run) => run.faults.length > 0)
  if (failed.length === 0) return ''
  if (brief) return ' ✗'
  const reason = failed[0]!.faults[0]!.replaceAll(/[|\s]+/g, ' ')
  const short = reason.length > faultCharactersMax ? `${reason.slice(0, faultCharactersMax)}…` : reason
  return ` ✗ ${failed.length} of ${result.runs.length} runs: ${short}`
}

function cell(result: BrokerResult, figure: Figure, subject: BrokerResult | undefined, brief: boolean): string {
  if (result.unavailable !== undefined) return brief ? '' : result.unavailable
  const values = valuesOf(result, figure)
  const faults = faultsIn(result, brief)
  if (values.length === 0) return faults.trim() || '-'
  const { median, min, max } = spread(values)
  const range = values.length > 1 ? ` (${formatFigure(min, figure.unit)} - ${formatFigure(max, figure.unit)})` : ''
  const ratio = subject === undefined || subject === result ? Number.NaN : timesBetter(figure, subject, result)
  const times = Number.isFinite(ratio) ? ` **${significant(ratio)}x**` : ''
  return `${formatFigure(median, figure.unit)}${marks(result)}${range}${times}${faults}`
}

const figureWords: Record<string, string> = {
  deliveredPerSecond: 'deliveries',
  'drain.deliveredPerSecond': 'deliveries while draining',
  acknowledgedPerSecond: 'acknowledged publishes',
  storedPerSecond: 'stored',
  brokerMicrosecondsPerDelivery: 'broker CPU per delivery',
  'drain.brokerMicrosecondsPerDelivery': 'broker CPU per delivery',
  bytesPerSubscription: 'memory per subscription',
  bytesPerRetained: 'memory per retained message',
  retained: 'messages stored',
  residentAfterFillBytes: 'resident memory after filling',
  residentWhenIdleBytes: 'resident memory after 12 s of silence',
  residentAfterRestartBytes: 'resident memory after restart',
  sessionsPerSecond: 'sessions made',
  sessions: 'sessions',
  eventLoopDelayP99: 'event-loop delay p99',
  acknowledged: 'messages queued',
  restartSeconds: 'ready after restart',
  seconds: 'all connected',
  keptShare: 'throughput kept',
  stalledPerSecond: 'deliveries to the others',
}

export function figureTitle(name: string): string {
  const idle = /^bytesEach(AfterTraffic)?\.(\d+)$/.exec(name)
  if (idle) return `memory each at ${idle[2]}${idle[1] === undefined ? '' : ', after traffic'}`
  const latency = /^at(\d+)\.(.+)$/.exec(name)
  if (latency) return `${latency[2]!.replace('p999', 'p99.9')} at ${latency[1]} %`
  return figureWords[name] ?? name
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

/** One table: the given scenarios, one row per figure, one column per broker label that occurs in them. */
function table(scenarios: readonly ScenarioResult[], subjectLabels: ReadonlySet<string>): string[] {
  const labels = [...new Set(scenarios.flatMap((scenario) => scenario.brokers.map((broker) => broker.label)))]
  const lines = [row(['scenario', 'figure', ...labels]), row(['---', '---', ...labels.map(() => '---')])]
  for (const scenario of scenarios) {
    const subject = scenario.brokers.find((broker) => subjectLabels.has(broker.label))
    for (const [index, figure] of scenario.figures.entries()) {
      const cells = labels.map((label) => {
        const result = scenario.brokers.find((broker) => broker.label === label)
        return result === undefined ? '' : cell(result, figure, subject, index > 0)
      })
      lines.push(row([index === 0 ? `\`${scenario.name}\`` : '', figureTitle(figure.name), ...cells]))
    }
  }
  return lines
}

function roundsOf({ rounds }: { rounds: number }): string {
  return `${rounds} round${rounds === 1 ? '' : 's'}`
}

function roundsText({ rounds, scenarios }: Results): string {
  const fewest = Math.min(rounds, ...scenarios.map((scenario) => scenario.rounds))
  if (fewest === rounds) return `${roundsOf({ rounds })} in alternation`
  return `${fewest} to ${roundsOf({ rounds })} in alternation (the list of scenarios says how many)`
}

/** The whole report. `plots` are file names of SVG images beside it. */
export function renderReport(results: Results, plots: readonly string[]): string {
  const { machine } = results
  const subjectLabels = new Set(
    results.brokers.filter((one) => one.label.startsWith(results.subject)).map((one) => one.label),
  )
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GB`
  const pinning = machine.pinned ? 'broker on core 0, generator on core 1' : 'not pinned to cores'
  const lines = [
    `# Benchmark ${results.date}, commit ${results.commit}`,
    '',
    `${machine.processor}, ${machine.cores} cores, ${memory}, Linux ${machine.kernel}, Node ${machine.node}; ${pinning}; durable files on ${machine.dataFileSystem}.`,
    `${roundsText(results)}${results.quick ? ', quick (short runs: for a look, not for a record)' : ''}.`,
    `Cells: median (minimum - maximum) and, in bold, how many times better ${results.subject} is (median of the rounds' own ratios).`,
    'Marks: ≥ the generator was at its limit, so the broker can do at least this; ◦ neither used its core fully, so the disk, the window or the kernel set the pace; ~ other programs used the machine meanwhile; ✗ the run does not count.',
  ]
  const { scenarios: done, scenariosPlanned = done.length } = results
  if (done.length < scenariosPlanned)
    lines.push('', `Interrupted after ${done.length} of ${scenariosPlanned} scenarios.`)
  if (results.missing.length > 0) lines.push('', `Not on this machine: ${results.missing.join('; ')}.`)
  for (const group of groups) {
    const scenarios = results.scenarios.filter((scenario) => scenario.group === group)
    const parts = [
      scenarios.filter((one) => one.brokers.every((broker) => !broker.label.includes(', '))),
      scenarios.filter((one) => one.brokers.some((broker) => broker.label.includes(', '))),
    ].filter((part) => part.length > 0)
    if (parts.length > 0) lines.push('', `## ${groupTitles[group]}`)
    for (const part of parts) lines.push('', ...table(part, subjectLabels))
  }
  for (const plot of plots) lines.push('', `![${plot}](${plot})`)
  lines.push('', '## Scenarios', '')
  for (const scenario of results.scenarios)
    lines.push(`- \`${scenario.name}\`: ${scenario.title}; ${roundsOf(scenario)}`)
  lines.push('', '## Brokers and their configurations')
  for (const { label, version, configuration } of results.brokers) {
    lines.push('', `${label} ${version}`, '', '```', configuration.trim(), '```')
  }
  return `${lines.join('\n')}\n`
}
