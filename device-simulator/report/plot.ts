/** Line plots over the seconds of a run as SVG: two series on one axis, faults shaded, stages dotted. */
import { formatCount, formatDuration } from '../units.ts'
import { escapeHtml } from './html.ts'
import type { FaultSummary, StageSummary } from './summary.ts'

export interface Plot {
  seconds: readonly number[]
  endSeconds: number
  a: readonly number[]
  b: readonly number[]
  unit: 'count' | 'ms'
  stages: readonly StageSummary[]
  faults: readonly FaultSummary[]
}

const width = 960
const height = 200
const left = 64
const right = 8
const top = 16
const bottom = 22

/** 1, 2 or 5 times a power of ten, so that the axis has about `steps` marks. */
export function niceStep(most: number, steps: number): number {
  const raw = Math.max(most, 1e-9) / steps
  const power = 10 ** Math.floor(Math.log10(raw))
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= raw - 1e-12) ?? 10
  return factor * power
}

export function plotSvg({ seconds, endSeconds, a, b, unit, stages, faults }: Plot): string {
  const most = Math.max(unit === 'ms' ? 0.1 : 1, ...a, ...b)
  const step = niceStep(most, 4)
  const roof = Math.ceil(most / step) * step
  const end = Math.max(1, endSeconds, ...seconds)
  const x = (second: number): number => left + (second / end) * (width - left - right)
  const y = (value: number): number => height - bottom - (value / roof) * (height - top - bottom)
  const marks: string[] = []
  for (const { type, fromSeconds, toSeconds } of faults) {
    const wide = Math.max(2, x(toSeconds) - x(fromSeconds))
    marks.push(
      `<rect class="shade" x="${x(fromSeconds).toFixed(1)}" y="${top}" width="${wide.toFixed(1)}" height="${height - top - bottom}"><title>${escapeHtml(type)}</title></rect>`,
    )
  }
  for (let value = 0; value <= roof + step / 2; value += step) {
    const label = unit === 'ms' ? formatDuration(value) : formatCount(value)
    marks.push(
      `<line class="grid" x1="${left}" x2="${width - right}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/>`,
      `<text x="${left - 6}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${value === 0 ? '0' : label}</text>`,
    )
  }
  const stepX = niceStep(end, 8)
  for (let second = 0; second <= end; second += stepX) {
    marks.push(
      `<text x="${x(second).toFixed(1)}" y="${height - 6}" text-anchor="middle">${formatCount(second)} s</text>`,
    )
  }
  for (const { name, fromSeconds } of stages) {
    marks.push(
      `<line class="stage" x1="${x(fromSeconds).toFixed(1)}" x2="${x(fromSeconds).toFixed(1)}" y1="${top}" y2="${height - bottom}"/>`,
      `<text x="${(x(fromSeconds) + 3).toFixed(1)}" y="${top - 4}">${escapeHtml(name)}</text>`,
    )
  }
  const path = (values: readonly number[], kind: string): string => {
    const points = values.map((value, i) => `${x(seconds[i] ?? 0).toFixed(1)},${y(value).toFixed(1)}`)
    return points.length === 0 ? '' : `<polyline class="${kind}" points="${points.join(' ')}"/>`
  }
  return `<svg viewBox="0 0 ${width} ${height}" role="img">${marks.join('')}${path(a, 'a')}${path(b, 'b')}</svg>`
}
