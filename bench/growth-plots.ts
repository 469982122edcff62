/** One plot per growth dimension: processor time of the broker per message over the dimension's size. */
import { type Plot, renderPlot } from './plot.ts'
import type { Results } from './results.ts'
import { median } from './statistics.ts'
import { valuesOf } from './table.ts'

export interface NamedPlot {
  dimension: string
  svg: string
}

interface GrowingPlot extends Plot {
  series: { label: string; points: { x: number; y: number }[] }[]
}

export function growthPlots(results: Results): NamedPlot[] {
  const dimensions = new Map<string, GrowingPlot>()
  for (const { growth, figures, brokers } of results.scenarios) {
    if (growth === undefined) continue
    const { dimension, size, unit } = growth
    const title = `Cost of one message by ${dimension}`
    const plot = dimensions.get(dimension) ?? { title, xTitle: unit, yTitle: 'broker CPU per delivery, us', series: [] }
    dimensions.set(dimension, plot)
    for (const broker of brokers) {
      const y = median(valuesOf(broker, figures[0]!))
      let series = plot.series.find((one) => one.label === broker.label)
      if (series === undefined) plot.series.push((series = { label: broker.label, points: [] }))
      if (Number.isFinite(y)) series.points.push({ x: size, y })
    }
  }
  return [...dimensions]
    .map(([dimension, plot]) => ({ dimension, svg: renderPlot(plot) }))
    .filter(({ svg }) => svg !== '')
}
