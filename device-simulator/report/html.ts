/**
 * The report as one HTML file: no script, no network, plots as inline SVG, light and dark. It is made for people who were
 * not there: the verdict first, then when things happened, then the figures.
 */
import type { LatencyFigures } from '../measure/histogram.ts'
import { latencyKinds } from '../measure/measures.ts'
import { formatCount, formatDuration } from '../units.ts'
import { type Plot, plotSvg } from './plot.ts'
import { conclusionText, queueText, type Second, type Summary } from './summary.ts'

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

const style = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #fff; --line: #d8dee6; --good: #1a7f4b; --bad: #c0362c;
  --a: #2563c9; --b: #d97a1e; --shade: #d97a1e22 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --paper: #14181f; --line: #313a46; --good: #4cc38a;
  --bad: #ff7b72; --a: #6ea8ff; --b: #f0a45d; --shade: #f0a45d22 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { margin: 0 } h2 { margin: 2rem 0 .5rem; font-size: 1.15rem } .soft { color: var(--soft) }
.verdict { border-left: .4rem solid var(--good); padding: .5rem 1rem; margin: 1rem 0; font-weight: 600 }
.verdict.bad { border-color: var(--bad) } .good { color: var(--good) } .bad { color: var(--bad) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums } .scroll { overflow-x: auto }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: var(--soft); font-weight: 500 }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0 } .tiles b { display: block; font-size: 1.4rem }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--soft); font-size: 11px } .grid { stroke: var(--line) }
.a { stroke: var(--a); fill: none; stroke-width: 1.8 } .b { stroke: var(--b); fill: none; stroke-width: 1.8 } .shade { fill: var(--shade) }
.stage { stroke: var(--soft); stroke-dasharray: 2 4 } .key-a { color: var(--a) } .key-b { color: var(--b) } li { margin: .2rem 0 }
code { font-size: .9em }
`

type Cell = string | number

function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const cells = (row: readonly Cell[], tag: string): string =>
    row.map((cell) => `<${tag}>${typeof cell === 'number' ? formatCount(cell) : escapeHtml(cell)}</${tag}>`).join('')
  const body = rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')
  return `<div class="scroll"><table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body}</tbody></table></div>`
}

export function htmlReport(summary: Summary): string {
  const parts = [
    headline(summary),
    tiles(summary),
    plots(summary),
    verdictTable(summary),
    latencyTable(summary),
    eventTables(summary),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(summary.name)}: MQTide simulator report</title>
<style>${style}</style>
</head>
<body>
${parts.join('\n')}
</body>
</html>
`
}

function headline(summary: Summary): string {
  const { problems, thresholds, interrupted, conclusion, missingEvidence } = summary
  const failed = thresholds.filter(({ passed }) => !passed)
  const isGood = conclusion === 'kept' && failed.length === 0 && problems.length === 0
  const text = conclusionText(summary)
  const sentence = `${text[0]!.toUpperCase()}${text.slice(1)}.`
  const more = [
    ...problems,
    ...missingEvidence,
    ...failed.map(({ text, value }) => `Threshold not met: ${text} (was ${value})`),
    ...(interrupted ? ['The run was interrupted.'] : []),
  ]
  return `<h1>${escapeHtml(summary.name)}</h1>
<p class="soft">${escapeHtml(summary.startedAt)} · ${summary.durationSeconds} s · seed ${summary.seed} · run ${summary.run} · ${Object.values(summary.brokers).map(escapeHtml).join(', ')}</p>
<div class="verdict${isGood ? '' : ' bad'}">${escapeHtml(sentence)}${more.map((text) => `<br>${escapeHtml(text)}`).join('')}</div>`
}

function tiles(summary: Summary): string {
  const { counters, latency, memory } = summary
  const list: readonly [string, string][] = [
    [formatCount(summary.devices), `devices (${summary.client})`],
    [formatCount(counters.sent), `sent, ${formatCount(summary.sentPerSecond)}/s`],
    [formatCount(counters.received), `received, ${formatCount(summary.receivedPerSecond)}/s`],
    [formatDuration(latency.endToEnd.p99), 'p99 end to end'],
    [formatCount(counters.disconnects), 'connections broken'],
    // In a small swarm the program itself outweighs its devices.
    summary.devices < 500
      ? [`${formatCount(memory.residentBytes / 1_048_576)} MiB`, 'simulator memory']
      : [`${formatCount(memory.perDeviceBytes / 1024)} KiB`, 'simulator memory per device'],
  ]
  return `<div class="tiles">${list.map(([value, label]) => `<div><b>${value}</b>${escapeHtml(label)}</div>`).join('')}</div>`
}

function plots(summary: Summary): string {
  const { series, stages, faults, durationSeconds } = summary
  const base = { seconds: series.map(({ seconds }) => seconds), endSeconds: durationSeconds, stages, faults }
  const line = (pick: (second: Second) => number): number[] => series.map(pick)
  const list: [string, Plot][] = [
    [
      'Throughput, messages per second: <span class="key-a">sent</span>, <span class="key-b">received</span>',
      {
        ...base,
        a: line(({ sentPerSecond }) => sentPerSecond),
        b: line(({ receivedPerSecond }) => receivedPerSecond),
        unit: 'count',
      },
    ],
    [
      'Latency, end to end from the intended time: <span class="key-a">p50</span>, <span class="key-b">p99</span>',
      { ...base, a: line(({ p50 }) => p50), b: line(({ p99 }) => p99), unit: 'ms' },
    ],
    [
      '<span class="key-a">Devices online</span>, <span class="key-b">messages unacknowledged</span>',
      { ...base, a: line(({ online }) => online), b: line(({ pending }) => pending), unit: 'count' },
    ],
  ]
  const marks = faults.length === 0 ? '' : '<p class="soft">Shaded: faults at work. Dotted: a new stage.</p>'
  return list.map(([title, plot]) => `<h2>${title}</h2>${plotSvg(plot)}`).join('\n') + marks
}

function verdictTable({ verdict, retained }: Summary): string {
  const rows = verdict.rows.map((row) => [
    `${row.from} → ${row.to}`,
    `${row.publishedQos} → ${row.deliveredQos}`,
    `${row.senderSession} → ${row.receiverSession}`,
    row.promise,
    row.expected,
    row.received,
    row.lost,
    row.lostAllowed,
    row.duplicates,
    row.duplicatesAllowed,
    row.outOfOrder,
    row.excused,
  ])
  const head = [
    'flow',
    'QoS',
    'session',
    'promise',
    'expected',
    'received',
    'lost',
    'allowed',
    'doubled',
    'allowed',
    'disorder',
    'excused',
  ]
  const offenders = [...verdict.offenders, ...retained.offenders]
  const list =
    offenders.length === 0
      ? ''
      : `<p>First offenders:</p><ul>${offenders.map((text) => `<li class="bad"><code>${escapeHtml(text)}</code></li>`).join('')}</ul>`
  const kept =
    retained.checked === 0
      ? ''
      : `<p>${formatCount(retained.checked)} retained messages checked, ${formatCount(retained.wrong)} wrong.</p>`
  const queues = verdict.queues.map((queue) => `<p>${escapeHtml(queueText(queue))}</p>`).join('')
  return `<h2>Verdict by contract</h2>${table(head, rows)}${queues}${kept}${list}
<p class="soft">Allowed: QoS 0 may lose, QoS 1 may double, and what the simulator itself sent twice. Excused: published while a clean session was away.</p>`
}

const titles: Record<(typeof latencyKinds)[number], string> = {
  connect: 'CONNECT to CONNACK',
  suback: 'SUBSCRIBE to SUBACK',
  puback: 'PUBLISH to PUBACK',
  pubcomp: 'PUBLISH to PUBCOMP',
  endToEnd: 'end to end, from the intended time',
  endToEndFromSend: 'end to end, from the actual send',
  command: 'command to answer',
  scheduling: "the generator's own lag",
}

function latencyTable({ latency, generator }: Summary): string {
  const points = (figures: LatencyFigures): string[] =>
    [figures.mean, figures.p50, figures.p90, figures.p99, figures.p999, figures.max].map(formatDuration)
  const rows = latencyKinds
    .filter((kind) => latency[kind].count > 0)
    .map((kind) => [titles[kind], latency[kind].count, ...points(latency[kind])])
  const lag = generator.lagged
    ? `<p class="bad">The generator lagged (p99 ${formatDuration(generator.schedulingP99)}, limit ${formatDuration(generator.schedulingLimit)}): these latencies are not the broker's alone.</p>`
    : ''
  return `<h2>Latency</h2>${table(['', 'count', 'mean', 'p50', 'p90', 'p99', 'p99.9', 'max'], rows)}${lag}`
}

function eventTables({ stages, faults, thresholds, counters, errors }: Summary): string {
  const parts = [
    `<h2>Stages</h2>${table(
      ['stage', 'kind', 'from', 'to', 'measured'],
      stages.map(({ name, type, fromSeconds, toSeconds, measured }) => [
        name,
        type,
        `${fromSeconds.toFixed(1)} s`,
        `${toSeconds.toFixed(1)} s`,
        measured ? 'yes' : 'no',
      ]),
    )}`,
  ]
  if (faults.length > 0) {
    const rows = faults.map((fault) => [
      fault.type,
      `${fault.fromSeconds.toFixed(1)} s`,
      `${fault.toSeconds.toFixed(1)} s`,
      fault.events,
      fault.asExpected,
      fault.unexpected,
      fault.note,
    ])
    parts.push(`<h2>Faults</h2>${table(['fault', 'from', 'to', 'times', 'as expected', 'not', 'note'], rows)}`)
  }
  if (thresholds.length > 0) {
    const rows = thresholds.map(({ text, value, passed }) => [
      text,
      Number.isInteger(value) ? value : value.toFixed(2),
      passed ? 'met' : 'NOT MET',
    ])
    parts.push(`<h2>Thresholds</h2>${table(['threshold', 'value', ''], rows)}`)
  }
  const clients = Object.entries(errors).map(([text, count]) => [text, count])
  parts.push(
    `<h2>Counters</h2>${table(['', ''], [...Object.entries(counters).filter(([, count]) => count > 0), ...clients])}`,
  )
  return parts.join('\n')
}
