import { describe, expect, test } from 'vitest'
import { Histogram } from '../measure/histogram.ts'
import { Random } from '../random.ts'

describe('latency histograms', () => {
  test('percentiles are within a thousandth of the exact ones, over six orders of magnitude', () => {
    const random = new Random(1, ['latency'])
    const histogram = new Histogram()
    const values = Array.from({ length: 50_000 }, () => Math.round(10 ** random.uniform(0, 8)))
    for (const value of values) histogram.record(value)
    values.sort((a, b) => a - b)
    for (const share of [0.001, 0.5, 0.9, 0.99, 0.999, 1]) {
      const exact = values[Math.max(0, Math.ceil(share * values.length) - 1)]!
      const found = histogram.percentile(share)
      expect(Math.abs(found - exact)).toBeLessThanOrEqual(Math.max(1, exact / 1000))
    }
    expect(histogram.figures().max).toBe(values.at(-1)! / 1000)
  })

  test('powers of two and their neighbours fall into buckets that hold them', () => {
    for (let bit = 0; bit < 42; bit++) {
      for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) {
        const histogram = new Histogram()
        histogram.record(value)
        histogram.record(2 ** 42 - 1)
        const found = histogram.percentile(0.5)
        expect(found).toBeGreaterThanOrEqual(value)
        expect(found - value).toBeLessThanOrEqual(value / 1000 + 1)
      }
    }
  })

  test('a snapshot added to another histogram gives the figures of both', () => {
    const all = new Histogram()
    const one = new Histogram()
    const two = new Histogram()
    for (let i = 1; i <= 10_000; i++) {
      all.record(i * 37)
      ;(i % 3 === 0 ? one : two).record(i * 37)
    }
    one.add(two.snapshot())
    expect(one.figures()).toEqual(all.figures())
  })

  test('an empty histogram has only zeros', () => {
    expect(new Histogram().figures()).toEqual({ count: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 })
  })
})
