/** Differences, rates and the past of the dashboard's figures. */
import { describe, expect, test } from 'vitest'
import { bytes, compact, duration, rate } from '../../src/dashboard/format.ts'
import { differenceOf } from '../../src/dashboard/live/difference.ts'
import { byLabel } from '../../src/dashboard/metrics.ts'

describe('the difference of two texts', () => {
  const shown = (before: string, after: string) =>
    differenceOf(before, after).map(({ kind, text }) => `${{ same: ' ', gone: '-', new: '+' }[kind]}${text}`)

  test('keeps the lines that both have, in order', () => {
    expect(shown('a\nb\nc', 'a\nx\nc')).toEqual([' a', '-b', '+x', ' c'])
    expect(shown('a', 'a')).toEqual([' a'])
    expect(shown('a\nb', 'b\na')).toEqual(['-a', ' b', '+a'])
  })

  test('of texts with too many lines everything went and came', () => {
    const long = Array.from({ length: 301 }, (_, line) => String(line)).join('\n')
    expect(shown(long, 'x').length).toBe(302)
  })
})

describe('figures', () => {
  test('are written in few digits with their unit', () => {
    expect([bytes(0), bytes(999), bytes(1000), bytes(1_234_567)]).toEqual(['0 B', '999 B', '1.0 kB', '1.2 MB'])
    expect([rate(0), rate(0.25), rate(12.4)]).toEqual(['0', '0.3', '12'])
    expect([compact(0.5), compact(9999), compact(12_000), compact(3e6)]).toEqual(['0.5', '9999', '12k', '3M'])
    expect([duration(0), duration(61), duration(3600), duration(90_061)]).toEqual([
      '0 s',
      '1 min 1 s',
      '1 h',
      '1 d 1 h',
    ])
  })

  test('of one metric are found by its label, also with quotes in it', () => {
    const metrics = { 'a_total{reason="x"}': 1, 'a_total{reason="y\\"z"}': 2, 'b_total{reason="x"}': 3, a_total: 4 }
    expect(byLabel(metrics, 'a_total')).toEqual([
      ['x', 1],
      ['y\\"z', 2],
    ])
  })
})
