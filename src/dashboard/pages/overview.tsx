/** What goes on: rates, connections, what waits, what was dropped, and how near the limits are. */
import type { ComponentChildren } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { type Budget, usePolled } from '../api.ts'
import { bytes, bytesInShort, compact, count, milliseconds, rate } from '../format.ts'
import { commitMs, type History, ratesOf, type Step, useHistory } from '../history.ts'
import { byLabel, type Metrics, sumOf } from '../metrics.ts'
import { Empty, Facts, Meter, Panel } from '../parts.tsx'
import { type Line, Plot } from '../plot.tsx'
import { linkTo } from '../routes.ts'
import { text } from '../text/text.ts'

const steps: readonly Step[] = ['1s', '1m']

export function Overview() {
  const [step, setStep] = useState<Step>('1s')
  const seconds = useHistory('1s')
  const history = useHistory(step)
  const { data } = usePolled<{ metrics: Metrics }>('/metrics', {}, 3000)
  const limits = usePolled<{ budgets: Record<string, Budget> }>('/limits', {}, 5000)
  const metrics = data?.metrics
  return (
    <>
      <div class="page-head">
        <h1>{text.pages.overview}</h1>
        <fieldset class="choice" aria-label={text.overview.range}>
          {steps.map((one) => (
            <button type="button" key={one} aria-pressed={one === step} onClick={() => setStep(one)}>
              {text.overview.ranges[one]}
            </button>
          ))}
        </fieldset>
      </div>
      <Figures history={seconds} metrics={metrics} />
      {history === undefined ? <PlotsToCome /> : <Plots history={history} />}
      <div class="columns">
        <DropsByReason metrics={metrics} />
        <Budgets budgets={limits.data?.budgets} />
        <StoreFigures metrics={metrics} />
      </div>
    </>
  )
}

interface FigureProps {
  label: string
  value: string
  unit?: string
  more?: ComponentChildren
  state?: 'calm' | 'bad'
}

function Figure({ label, value, unit = '', more, state = 'calm' }: FigureProps) {
  return (
    <div class={`figure ${state}`}>
      <dt>{label}</dt>
      <dd>
        <span class="figure-value">{value}</span>
        <span class="figure-unit">{unit}</span>
      </dd>
      <dd class="figure-more">{more}</dd>
    </div>
  )
}

function Figures({ history, metrics }: { history: History | undefined; metrics: Metrics | undefined }) {
  const { series = {}, times = [] } = history ?? {}
  const last = (name: string) => series[name]?.at(-1) ?? 0
  /** Over the last samples, so that a figure can be read before it changes. */
  const recent = (name: string) => {
    const values = series[name] ?? []
    const from = Math.max(0, values.length - 4)
    const spanSeconds = ((times.at(-1) ?? 0) - (times[from] ?? 0)) / 1000
    return spanSeconds <= 0 ? 0 : Math.max(0, (values.at(-1)! - values[from]!) / spanSeconds)
  }
  const shown = (name: string) => count(metrics === undefined ? 0 : sumOf(metrics, name))
  const sessions = last('mqtt_sessions')
  const dropped = recent('mqtt_messages_dropped_total')
  const words = text.overview
  return (
    <dl class="figures">
      <Figure
        label={words.in}
        value={rate(recent('mqtt_messages_received_total'))}
        unit={text.common.perSecond}
        more={`${bytes(recent('mqtt_bytes_received_total'))}${text.common.perSecond}`}
      />
      <Figure
        label={words.out}
        value={rate(recent('mqtt_messages_sent_total'))}
        unit={text.common.perSecond}
        more={`${bytes(recent('mqtt_bytes_sent_total'))}${text.common.perSecond}`}
      />
      <Figure
        label={words.connections}
        value={count(last('mqtt_connections'))}
        more={words.subscriptions(count(last('mqtt_subscriptions')))}
      />
      <Figure
        label={words.sessions}
        value={count(sessions)}
        more={words.away(metrics === undefined ? '0' : count(metrics['mqtt_sessions{state="disconnected"}'] ?? 0))}
      />
      <Figure
        label={words.waiting}
        value={shown('mqtt_queued_messages')}
        more={words.waitingMore(bytes(last('mqtt_budget_used{kind="queueBytes"}')))}
      />
      <Figure
        label={words.dropped}
        value={rate(dropped)}
        unit={text.common.perSecond}
        state={dropped > 0 ? 'bad' : 'calm'}
        more={`${count(last('mqtt_messages_dropped_total'))} ${words.droppedSince}`}
      />
    </dl>
  )
}

function PlotsToCome() {
  return (
    <div class="plots">
      {Array.from({ length: 8 }, (_, index) => (
        <div key={index} class="plot waiting">
          {index === 0 ? text.overview.collecting : ''}
        </div>
      ))}
    </div>
  )
}

interface Drawn {
  title: string
  lines: Line[]
  /** Bytes or milliseconds, not counts. */
  unit?: keyof typeof formats
}

function Plots({ history }: { history: History }) {
  const drawn = useMemo(() => plotsOf(history), [history])
  return (
    <div class="plots">
      {drawn.map(({ title, lines, unit = 'count' }) => (
        <Plot
          key={title}
          title={title}
          times={history.times}
          lines={lines}
          format={formats[unit]}
          axisFormat={axisFormats[unit]}
        />
      ))}
    </div>
  )
}

const formats = { count: rate, bytes, ms: milliseconds }
const axisFormats = { count: compact, bytes: bytesInShort, ms: milliseconds }

function plotsOf({ times, series }: History): Drawn[] {
  const words = text.overview
  const rates = (name: string) => ratesOf(times, series[name])
  const levels = (name: string) => series[name] ?? []
  const delays = levels('process_event_loop_delay_seconds')
  const of = words.series
  return [
    {
      title: words.plots.messages,
      lines: [
        { label: of.in, color: 1, values: rates('mqtt_messages_received_total'), filled: true },
        { label: of.out, color: 2, values: rates('mqtt_messages_sent_total') },
      ],
    },
    {
      title: words.plots.clients,
      lines: [
        { label: of.connections, color: 1, values: levels('mqtt_connections'), filled: true },
        { label: of.sessions, color: 3, values: levels('mqtt_sessions') },
      ],
    },
    {
      title: words.plots.dropped,
      lines: [{ label: of.dropped, color: 5, values: rates('mqtt_messages_dropped_total'), filled: true }],
    },
    {
      title: words.plots.bytes,
      unit: 'bytes',
      lines: [
        { label: of.in, color: 1, values: rates('mqtt_bytes_received_total'), filled: true },
        { label: of.out, color: 2, values: rates('mqtt_bytes_sent_total') },
      ],
    },
    {
      title: words.plots.queues,
      unit: 'bytes',
      lines: [{ label: of.queued, color: 4, values: levels('mqtt_budget_used{kind="queueBytes"}'), filled: true }],
    },
    {
      title: words.plots.memory,
      unit: 'bytes',
      lines: [{ label: of.memory, color: 6, values: levels('process_resident_memory_bytes'), filled: true }],
    },
    {
      title: words.plots.commits,
      unit: 'ms',
      lines: [{ label: of.commits, color: 2, values: commitMs({ times, series }), filled: true }],
    },
    {
      title: words.plots.delay,
      unit: 'ms',
      lines: [{ label: of.delay, color: 5, values: delays.map((seconds) => seconds * 1000), filled: true }],
    },
  ]
}

function DropsByReason({ metrics = {} }: { metrics: Metrics | undefined }) {
  const reasons = byLabel(metrics, 'mqtt_messages_dropped_total')
    .filter(([, value]) => value > 0)
    .sort(([, a], [, b]) => b - a)
  const words = text.overview
  return (
    <Panel title={words.drops} side={<a href={linkTo('drops')}>{words.dropsWho}</a>}>
      {reasons.length === 0 ? (
        <Empty>{words.dropsNone}</Empty>
      ) : (
        <ul class="bars">
          {reasons.map(([reason, value]) => (
            <li key={reason}>
              <a href={linkTo('drops', '', { filter: `reason:${reason}` })}>{reason.replaceAll('_', ' ')}</a>
              <meter class="meter bad" aria-label={reason} min={0} max={reasons[0]![1]} value={value} />
              <span class="numeric">{count(value)}</span>
            </li>
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Budgets({ budgets = {} }: { budgets: Record<string, Budget> | undefined }) {
  const words = text.overview.budget
  return (
    <Panel title={text.overview.budgets}>
      <ul class="bars">
        {Object.entries(budgets).map(([kind, { used, max, refused }]) => {
          const write = /bytes/i.test(kind) ? bytes : count
          return (
            <li key={kind}>
              <span>{wordsOf(kind)}</span>
              {max === null ? <span /> : <Meter label={kind} used={used} max={max} />}
              <span class="numeric">
                {write(used)} <small>{max === null ? words.unlimited : `${words.of} ${write(max)}`}</small>
                {refused > 0 && <span class="tag bad">{words.refused(count(refused))}</span>}
              </span>
            </li>
          )
        })}
      </ul>
    </Panel>
  )
}

/** `queueBytes` as it would be said. */
function wordsOf(name: string): string {
  return name.replace(/([a-z])([A-Z])/g, (_, end: string, start: string) => `${end} ${start.toLowerCase()}`)
}

function StoreFigures({ metrics = {} }: { metrics: Metrics | undefined }) {
  const words = text.overview.storeFigures
  const facts: [string, string][] = [
    [words.commits, count(metrics['storage_commits_total'] ?? 0)],
    [words.records, count(metrics['storage_records_written_total'] ?? 0)],
    [words.database, bytes(metrics['storage_database_bytes'] ?? 0)],
    [words.wal, bytes(metrics['storage_wal_bytes'] ?? 0)],
    [words.free, bytes(metrics['storage_disk_free_bytes'] ?? 0)],
  ]
  return (
    <Panel title={text.overview.store}>
      {metrics['storage_commits_total'] === undefined ? (
        <Empty>{text.overview.inMemory}</Empty>
      ) : (
        <Facts facts={facts} />
      )}
    </Panel>
  )
}
