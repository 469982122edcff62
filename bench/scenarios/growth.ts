/** Growth: what one message costs the broker when one dimension is 1, 10 and 100 times as large. */
import type { LoadSpec } from '../generator/load.ts'
import { costPerDelivery, deliveries, type Scenario, throughput } from './scenario.ts'
import { storedGrowth } from './stored.ts'

interface Dimension {
  dimension: string
  unit: string
  sizes: readonly [number, number, number]
  load(size: number): Partial<LoadSpec>
  crowd?(size: number): number
}

const dimensions: readonly Dimension[] = [
  {
    dimension: 'clients',
    unit: 'publishers and as many subscribers',
    sizes: [10, 100, 1000],
    // The window grows along, so that each client does the same at every size.
    load: (pairs) => ({ publishers: pairs, subscribers: pairs, windowMessages: pairs * 100 }),
  },
  {
    dimension: 'subscriptions',
    unit: 'other subscriptions',
    sizes: [1000, 10_000, 100_000],
    load: () => ({ topicsPerPublisher: 1000 }),
    crowd: (size) => size,
  },
  {
    dimension: 'topics',
    unit: 'topics',
    sizes: [1000, 10_000, 100_000],
    load: (topics) => ({ topicsPerPublisher: topics / 10 }),
  },
  {
    dimension: 'payload',
    unit: 'bytes of payload',
    sizes: [64, 640, 6400],
    load: (payloadBytes) => ({ payloadBytes, windowMessages: 2000 }),
  },
]

export const growthScenarios: readonly Scenario[] = [
  ...dimensions.flatMap(({ dimension, unit, sizes, load, crowd }) =>
    sizes.map((size) =>
      throughput({
        name: `growth-${dimension}-${size}`,
        title: `cost per message with ${size} ${unit}`,
        group: 'growth',
        figures: [costPerDelivery, deliveries],
        growth: { dimension, size, unit },
        series: `growth-${dimension}`,
        varies: true,
        crowdSubscriptions: crowd?.(size) ?? 0,
        load: load(size),
      }),
    ),
  ),
  ...storedGrowth,
]
