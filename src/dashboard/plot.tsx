/**
 * A plot over time, drawn by uPlot. Its colours are those of the page; its legend is ours and shows the values under the pointer, else
 * the last ones, in place, so that nothing moves. Where several plots stand together, the pointer is shown in all of them.
 */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import UPlot from 'uplot'
import { compact, time } from './format.ts'

export interface Line {
  label: string
  /** Which of the page's colours for lines: 1 to 6. */
  color: number
  /** Null: nothing is known of that moment. */
  values: readonly (number | null)[]
  /** The room below it is filled. */
  filled?: boolean
}

interface PlotProps {
  title: string
  /** Milliseconds since the epoch. */
  times: readonly number[]
  lines: readonly Line[]
  format?(value: number): string
  /** Of what stands at the axis, where there is less room. */
  axisFormat?(value: number): string
  height?: number
  /** Counts that differ by one are told apart; else the axis may end where the values do. */
  fromZero?: boolean
}

const darkness = matchMedia('(prefers-color-scheme: dark)')

function colorOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim()
}

/** Drawn anew when the page changes between light and dark: a canvas knows no variables. */
function useColors(): number {
  const [changes, setChanges] = useState(0)
  useEffect(() => {
    const onChange = () => setChanges((before) => before + 1)
    darkness.addEventListener('change', onChange)
    const observer = new MutationObserver(onChange)
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
    return () => {
      darkness.removeEventListener('change', onChange)
      observer.disconnect()
    }
  }, [])
  return changes
}

export function Plot(props: PlotProps) {
  const { title, times, lines, format = compact, axisFormat = format, height = 150, fromZero = true } = props
  const holder = useRef<HTMLDivElement>(null)
  const plot = useRef<UPlot | null>(null)
  const [pointed, setPointed] = useState<number | null>(null)
  const colors = useColors()
  const data = useMemo(() => dataOf(times, lines), [times, lines])
  const latest = useRef(data)
  latest.current = data
  const shape = lines.map(({ label, color, filled }) => `${label}:${color}:${filled}`).join()

  useEffect(() => {
    const target = holder.current!
    const drawn = new UPlot(
      optionsOf(lines, { width: target.clientWidth || 300, height, format: axisFormat, fromZero, onPoint: setPointed }),
      latest.current,
      target,
    )
    plot.current = drawn
    const resized = new ResizeObserver(() => drawn.setSize({ width: target.clientWidth, height }))
    resized.observe(target)
    return () => {
      resized.disconnect()
      drawn.destroy()
      plot.current = null
    }
  }, [shape, colors, height, fromZero])
  useEffect(() => plot.current?.setData(data), [data])

  const at = pointed ?? times.length - 1
  return (
    <figure class="plot">
      <figcaption>
        <span class="plot-title">{title}</span>
        <Legend lines={lines} at={at} format={format} />
        <span class={pointed === null ? 'plot-time' : 'plot-time pointed'}>
          {times[at] === undefined ? '' : time(times[at])}
        </span>
      </figcaption>
      <div ref={holder} class="plot-area" aria-hidden="true" />
    </figure>
  )
}

interface LegendProps {
  lines: readonly Line[]
  at: number
  format(value: number): string
}

function Legend({ lines, at, format }: LegendProps) {
  return (
    <span class="legend">
      {lines.map(({ label, color, values }) => {
        const value = values[at]
        return (
          <span key={label} class="legend-line">
            <span class={`swatch line-${color}`} aria-hidden="true" />
            {label} <b>{value === null || value === undefined ? '–' : format(value)}</b>
          </span>
        )
      })}
    </span>
  )
}

function dataOf(times: readonly number[], lines: readonly Line[]): UPlot.AlignedData {
  return [times.map((at) => at / 1000), ...lines.map(({ values }) => [...values])]
}

interface Drawing {
  width: number
  height: number
  format(value: number): string
  fromZero: boolean
  onPoint(index: number | null): void
}

function optionsOf(lines: readonly Line[], { width, height, format, fromZero, onPoint }: Drawing): UPlot.Options {
  const quiet = colorOf('--quiet')
  const axis = {
    stroke: quiet,
    grid: { stroke: colorOf('--grid'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  }
  return {
    width,
    height,
    legend: { show: false },
    cursor: { sync: { key: 'time' }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: { y: { range: (_plot, low, high) => rangeOf(low, high, fromZero) } },
    axes: [
      { ...axis, space: 80, size: 26, values: (_plot, splits) => momentsOf(splits) },
      { ...axis, space: 34, size: 58, values: (_plot, splits) => splits.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map(({ label, color, filled }) => ({
        label,
        stroke: colorOf(`--line-${color}`),
        width: 1.5,
        points: { show: false },
        ...(filled === true ? { fill: colorOf(`--fill-${color}`) } : {}),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => onPoint(cursor.idx ?? null)] },
  }
}

/** Seconds only where they tell one from the next. */
function momentsOf(splits: readonly number[]): string[] {
  const apart = (splits[1] ?? 0) - (splits[0] ?? 0)
  return splits.map((at) => (apart >= 60 ? time(at * 1000).slice(0, 5) : time(at * 1000)))
}

/** Without values, and where all are the same, the axis still has an extent. */
function rangeOf(low: number | null, high: number | null, fromZero: boolean): [number, number] {
  const bottom = low ?? 0
  const top = high ?? 0
  if (fromZero) return [Math.min(0, bottom), top <= 0 ? 1 : top * 1.1]
  const margin = top === bottom ? Math.max(1, Math.abs(top) * 0.1) : (top - bottom) * 0.1
  return [bottom - margin, top + margin]
}
