/** A line plot on two logarithmic axes as a self-contained SVG, readable on a light and on a dark page. */

export interface Series {
  label: string
  points: readonly { x: number; y: number }[]
}

export interface Plot {
  title: string
  xTitle: string
  yTitle: string
  series: readonly Series[]
}

const width = 720
const height = 420
const area = { left: 80, right: 560, top: 50, bottom: 360 } as const
// Colours that keep their order of lightness for colour-blind readers; shapes tell the series apart as well.
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8c8c8c'] as const

export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

/** Powers of ten from just below `min` to just above `max`. */
export function decades(min: number, max: number): number[] {
  const first = Math.floor(Math.log10(min))
  const last = Math.max(first + 1, Math.ceil(Math.log10(max)))
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index))
}

function scale(ticks: readonly number[], from: number, to: number): (value: number) => number {
  const low = Math.log10(ticks[0]!)
  const high = Math.log10(ticks.at(-1)!)
  return (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from)
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escapeXml(content)}</text>`
}

/** Points without a positive, finite place on both axes are left out. Empty when nothing remains. */
export function renderPlot(plot: Plot): string {
  const series = plot.series
    .map(({ label, points }) => ({
      label,
      points: points.filter(({ x, y }) => x > 0 && y > 0 && Number.isFinite(x * y)),
    }))
    .filter(({ points }) => points.length > 0)
  const all = series.flatMap(({ points }) => points)
  if (all.length === 0) return ''
  const xTicks = decades(Math.min(...all.map(({ x }) => x)), Math.max(...all.map(({ x }) => x)))
  const yTicks = decades(Math.min(...all.map(({ y }) => y)), Math.max(...all.map(({ y }) => y)))
  const xOf = scale(xTicks, area.left, area.right)
  const yOf = scale(yTicks, area.bottom, area.top)
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(plot.title)}</title>`,
    '<style>text { fill: #333 } .grid { stroke: #bbb; stroke-width: 0.5 } .page { fill: #fff }</style>',
    `<rect class="page" width="${width}" height="${height}"/>`,
    text(area.left, 28, plot.title, 'font-size="15"'),
    text((area.left + area.right) / 2, height - 16, plot.xTitle, 'text-anchor="middle"'),
    text(
      18,
      (area.top + area.bottom) / 2,
      plot.yTitle,
      `text-anchor="middle" transform="rotate(-90 18 ${(area.top + area.bottom) / 2})"`,
    ),
  ]
  for (const tick of xTicks) {
    const x = xOf(tick).toFixed(1)
    lines.push(`<line class="grid" x1="${x}" y1="${area.top}" x2="${x}" y2="${area.bottom}"/>`)
    lines.push(text(xOf(tick), area.bottom + 18, tick.toLocaleString('en'), 'text-anchor="middle"'))
  }
  for (const tick of yTicks) {
    const y = yOf(tick).toFixed(1)
    lines.push(`<line class="grid" x1="${area.left}" y1="${y}" x2="${area.right}" y2="${y}"/>`)
    lines.push(text(area.left - 6, yOf(tick) + 4, String(Number(tick.toPrecision(3))), 'text-anchor="end"'))
  }
  for (const [index, { label, points }] of series.entries()) {
    const colour = colours[index % colours.length]!
    const path = points.map(({ x, y }) => `${xOf(x).toFixed(1)},${yOf(y).toFixed(1)}`).join(' ')
    lines.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    for (const { x, y } of points) {
      lines.push(`<circle cx="${xOf(x).toFixed(1)}" cy="${yOf(y).toFixed(1)}" r="4" fill="${colour}"/>`)
    }
    const legendY = area.top + 16 + index * 20
    lines.push(`<circle cx="${area.right + 20}" cy="${legendY - 4}" r="5" fill="${colour}"/>`)
    lines.push(text(area.right + 32, legendY, label))
  }
  lines.push('</svg>')
  return `${lines.join('\n')}\n`
}
