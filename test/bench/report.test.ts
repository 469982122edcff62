import { describe, expect, test } from 'vitest'
import { growthPlots } from '../../bench/growth-plots.ts'
import { decades, renderPlot } from '../../bench/plot.ts'
import { parseStat } from '../../bench/proc.ts'
import { type CpuProfile, ownTime, renderOwnTime } from '../../bench/profile.ts'
import {
  type BrokerResult,
  isDisturbed,
  isSaturated,
  isWaiting,
  type Results,
  type ScenarioResult,
} from '../../bench/results.ts'
import { LatencyHistogram, median, pairedRatio, spread } from '../../bench/statistics.ts'
import { figureTitle, formatFigure, renderReport, timesBetter } from '../../bench/table.ts'

describe('statistics', () => {
  test('the median is the middle value, or the mean of the two in the middle', () => {
    expect([median([3, 1, 2]), median([4, 1, 3, 2]), median([])]).toEqual([2, 2.5, Number.NaN])
  })

  test('a spread has the extremes beside the median', () => {
    expect(spread([5, 9, 1])).toEqual({ median: 5, min: 1, max: 9 })
  })

  test('the paired ratio ignores what slows a whole round', () => {
    // The second round ran at a tenth of the speed: only the pairs show that nothing changed.
    expect(pairedRatio([200, 20, 210], [100, 10, 100])).toBe(2)
  })

  test('percentiles are exact below 128 us and within 1/64 above', () => {
    const histogram = new LatencyHistogram()
    for (let value = 1; value <= 10_000; value++) histogram.record(value)
    expect(histogram.percentile(0.0127)).toBe(127)
    expect(histogram.percentile(0.5)).toBeGreaterThan(5000 * (1 - 1 / 64))
    expect(histogram.percentile(0.5)).toBeLessThanOrEqual(5000)
    expect(histogram.percentile(0.99)).toBeGreaterThan(9900 * (1 - 1 / 64))
    expect([histogram.count, histogram.maxMicroseconds]).toEqual([10_000, 10_000])
  })

  test('a histogram holds the longest time 32 bits can say', () => {
    const histogram = new LatencyHistogram()
    histogram.record(0xffff_ffff)
    expect(histogram.percentile(1)).toBeGreaterThan(0xffff_ffff * (1 - 1 / 64))
    histogram.reset()
    expect([histogram.count, histogram.percentile(0.5)]).toEqual([0, 0])
  })
})

test('/proc/PID/stat is read behind the command name, whatever is in it', () => {
  const line = `12 (a) b (c) S 7 12 12 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000000 500`
  expect(parseStat(line)).toEqual({ parent: 7, cpuSeconds: 3 })
})

const throughput = { name: 'deliveredPerSecond', unit: 'per second', better: 'higher' } as const
const cost = { name: 'brokerMicrosecondsPerDelivery', unit: 'microseconds', better: 'lower' } as const

function broker(label: string, values: readonly number[], more: Record<string, number> = {}): BrokerResult {
  const runs = values.map((value, index) => {
    return { round: index + 1, seconds: 5, figures: { deliveredPerSecond: value, ...more }, faults: [] as string[] }
  })
  return { label, runs }
}

function results(scenarios: ScenarioResult[]): Results {
  return {
    date: '2026-01-02',
    commit: 'abc',
    rounds: 3,
    quick: false,
    machine: {
      processor: 'P',
      cores: 2,
      memoryBytes: 2 ** 34,
      kernel: '6',
      node: 'v24',
      pinned: true,
      dataFileSystem: 'ext4',
    },
    subject: 'MQTide',
    brokers: [
      { label: 'MQTide', version: '1', configuration: 'start --in-memory' },
      { label: 'Other', version: '2', configuration: 'listener 1' },
    ],
    missing: ['rabbitmq: apt-get install rabbitmq-server'],
    scenarios,
  }
}

function scenario(brokers: BrokerResult[]): ScenarioResult {
  return { name: 'qos0-pair', title: 'pairs', group: 'throughput', figures: [throughput], rounds: 3, brokers }
}

describe('the table', () => {
  test('says when the run was interrupted', () => {
    const measured = results([scenario([broker('MQTide', [2e6])])])
    expect(renderReport({ ...measured, scenariosPlanned: 7 }, [])).toContain('Interrupted after 1 of 7 scenarios.')
    expect(renderReport({ ...measured, scenariosPlanned: 1 }, [])).not.toContain('Interrupted')
  })

  test('shows median, range and how many times better the gateway is', () => {
    const report = renderReport(
      results([scenario([broker('MQTide', [2e6, 2.2e6, 1.8e6]), broker('Other', [1e5, 1e5, 1e5])])]),
      [],
    )
    expect(report).toContain('| scenario | figure | MQTide | Other |')
    expect(report).toContain(
      '| `qos0-pair` | deliveries | 2.00 M/s (1.80 M/s - 2.20 M/s) | 100 k/s (100 k/s - 100 k/s) **20.0x** |',
    )
    expect(report).toContain('Not on this machine: rabbitmq: apt-get install rabbitmq-server.')
    expect(report).toContain('Other 2\n\n```\nlistener 1\n```')
  })

  test('says why a run does not count, without breaking the table, and leaves it out of the ratio', () => {
    const failing = broker('Other', [1e6, 1e5])
    failing.runs[0]!.faults.push('5 | 6\nmessages lost')
    const report = renderReport(results([scenario([broker('MQTide', [2e6, 2e6]), failing])]), [])
    expect(report).toContain('100 k/s **20.0x** ✗ 1 of 2 runs: 5 6 messages lost |')
  })

  test('marks runs in which the generator was the limit or others used the machine', () => {
    const limited = broker('Other', [1e5], { generatorBusy: 0.99, brokerBusy: 0.5, othersBusy: 0.4 })
    expect(renderReport(results([scenario([limited])]), [])).toContain('100 k/s ≥ ~ |')
    expect(isWaiting({ generatorBusy: 0.3, brokerBusy: 0.3, othersBusy: 0 })).toBe(true)
    expect(isWaiting({ generatorBusy: 0.3, brokerBusy: 0.98, othersBusy: 0 })).toBe(false)
    expect(isWaiting({ generatorBusy: 0.3, brokerBusy: 0.3, othersBusy: 1 })).toBe(false)
    expect(isWaiting({ bytesEach: 3 })).toBe(false)
    expect(isSaturated({ generatorBusy: 0.99, brokerBusy: 0.99 })).toBe(false)
    expect(isSaturated({ generatorBusy: 0.5, brokerBusy: 0.5 })).toBe(false)
    expect(isDisturbed({ othersBusy: 0.05 })).toBe(false)
  })

  test('says what a broker lacks', () => {
    const report = renderReport(results([scenario([{ label: 'Other', runs: [], unavailable: 'has no tls' }])]), [])
    expect(report).toContain('| `qos0-pair` | deliveries | has no tls |')
  })

  test('says how many rounds there were, in the list of scenarios where they differ', () => {
    const once = { ...scenario([broker('MQTide', [1])]), name: 'other', rounds: 1 }
    const report = renderReport(results([scenario([broker('MQTide', [1, 1, 1])]), once]), [])
    expect(report).toContain('\n1 to 3 rounds in alternation (the list of scenarios says how many).\n')
    expect(report).toContain('- `qos0-pair`: pairs; 3 rounds\n- `other`: pairs; 1 round\n')
    expect(renderReport(results([scenario([])]), [])).toContain('\n3 rounds in alternation.\n')
  })

  test('says once per scenario why a broker has no part in it', () => {
    const two = { ...scenario([{ label: 'Other', runs: [], unavailable: 'has no tls' }]), figures: [throughput, cost] }
    expect(renderReport(results([two]), []).match(/has no tls/g)).toHaveLength(1)
  })

  test('more is better for rates, less for costs', () => {
    const run = { round: 1, seconds: 5, faults: [] }
    const own = { label: 'a', runs: [{ ...run, figures: { [throughput.name]: 10, [cost.name]: 10 } }] }
    const other = { label: 'b', runs: [{ ...run, figures: { [throughput.name]: 5, [cost.name]: 5 } }] }
    expect([timesBetter(throughput, own, other), timesBetter(cost, own, other)]).toEqual([2, 0.5])
  })

  test('there is no ratio between different amounts', () => {
    const figure = { name: 'restartSeconds', unit: 'seconds', better: 'lower', forAmount: 'sessions' } as const
    const restarted = (sessions: number, restartSeconds: number) => {
      return { label: 'x', runs: [{ round: 1, seconds: 5, figures: { sessions, restartSeconds }, faults: [] }] }
    }
    expect(timesBetter(figure, restarted(100_000, 1), restarted(99_000, 3))).toBe(3)
    expect(timesBetter(figure, restarted(100_000, 1), restarted(20_000, 3))).toBeNaN()
  })

  test.each([
    [1_234_567, 'per second', '1.23 M/s'],
    [987, 'per second', '987/s'],
    [12.34, 'microseconds', '12.3 us'],
    [1500, 'microseconds', '1.50 ms'],
    [600, 'bytes', '600 B'],
    [12_345, 'bytes', '12.3 KB'],
    [150_000_000, 'bytes', '150 MB'],
    [0.953, 'share', '95.3 %'],
    [100_000, 'count', '100,000'],
    [Number.NaN, 'seconds', '-'],
  ] as const)('writes %d %s as %s', (value, unit, text) => {
    expect(formatFigure(value, unit)).toBe(text)
  })

  test('names latency and memory figures in words', () => {
    expect(figureTitle('at50.p999')).toBe('p99.9 at 50 %')
    expect(figureTitle('bytesEachAfterTraffic.1000')).toBe('memory each at 1000, after traffic')
  })
})

/** Throws unless every tag is closed in order and every attribute quoted. */
function assertWellFormed(xml: string): void {
  const open: string[] = []
  const rest = xml.replaceAll(
    /<(\/?)(\w+)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/g,
    (_, end: string, name: string, __, single: string) => {
      if (end) expect(open.pop()).toBe(name)
      else if (!single) open.push(name)
      return ''
    },
  )
  expect(open).toEqual([])
  expect(rest).not.toMatch(/[<>]|&(?!amp;|lt;|gt;|quot;)/)
}

describe('plots', () => {
  const points = [
    { x: 10, y: 0.5 },
    { x: 1000, y: 0.7 },
  ]
  const plot = { title: 'a < b & "c"', xTitle: 'x', yTitle: 'y', series: [{ label: 'one <1>', points }] }

  test('are well-formed SVG whatever the labels contain', () => {
    const svg = renderPlot(plot)
    assertWellFormed(svg)
    expect(svg).toContain('one &lt;1&gt;')
    expect(svg.match(/<circle/g)).toHaveLength(3)
  })

  test('keep every point inside the axes', () => {
    const svg = renderPlot({
      ...plot,
      series: [
        {
          label: 'a',
          points: [
            { x: 1, y: 9.99 },
            { x: 999, y: 0.011 },
          ],
        },
      ],
    })
    for (const [, x, y] of svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="4"/g)) {
      expect(Number(x)).toBeGreaterThanOrEqual(80)
      expect(Number(x)).toBeLessThanOrEqual(560)
      expect(Number(y)).toBeGreaterThanOrEqual(50)
      expect(Number(y)).toBeLessThanOrEqual(360)
    }
  })

  test('are left out when there is nothing to show', () => {
    expect(renderPlot({ ...plot, series: [{ label: 'a', points: [{ x: 10, y: 0 }] }] })).toBe('')
  })

  test('have powers of ten around their values', () => {
    expect(decades(15, 900)).toEqual([10, 100, 1000])
    expect(decades(100, 100)).toEqual([100, 1000])
  })

  test('gather the sizes of one dimension from its scenarios', () => {
    const grown = [10, 100].map((size): ScenarioResult => {
      const name = `growth-clients-${size}`
      const growth = { dimension: 'clients', size, unit: 'clients' }
      return {
        name,
        title: name,
        group: 'growth',
        figures: [throughput],
        growth,
        rounds: 1,
        brokers: [broker('MQTide', [size * 2])],
      }
    })
    const [only, ...others] = growthPlots(results(grown))
    expect(others).toEqual([])
    expect(only?.dimension).toBe('clients')
    expect(only?.svg.match(/r="4"/g)).toHaveLength(2)
    assertWellFormed(only!.svg)
  })
})

test('own time leaves out idle and the warm-up, largest first', () => {
  const frame = (functionName: string, url = '') => ({ functionName, url, lineNumber: 9 })
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(idle)') },
      { id: 2, callFrame: frame('send', 'file:///x/src/core/send.ts') },
      { id: 3, callFrame: frame('(garbage collector)') },
    ],
    samples: [3, 3, 3, 3, 2, 1, 2, 3],
    timeDeltas: [100, 100, 100, 100, 100, 900, 200, 100],
  }
  expect(ownTime(profile)).toEqual([
    { name: 'send core/send.ts:10', share: 0.75 },
    { name: '(garbage collector)', share: 0.25 },
  ])
  expect(renderOwnTime(ownTime(profile), 1)).toBe('  75.0 %  send core/send.ts:10')
})
