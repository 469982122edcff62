/** The words for where a stream is read from, and what a declaration may say. */
import { describe, expect, it } from 'vitest'
import { defaultStreamDefinition, isStartOfNewReader } from '../../src/core/logs/stream-definition.ts'
import { isStreamStart, streamStartOf } from '../../src/core/logs/stream-start.ts'
import type { StreamQuery } from '../../src/core/ports/streams.ts'

const from = (text: string): StreamQuery['from'] | null => streamStartOf(text)

describe('where a stream is read from', () => {
  it('is said in words, as an offset, as a time, or reckoned back from now', () => {
    expect(['earliest', 'first', 'latest', 'next', 'last'].map((word) => from(word)?.kind)).toEqual([
      'first',
      'first',
      'next',
      'next',
      'last',
    ])
    expect(from('offset:123')).toEqual({ kind: 'offset', offset: 123 })
    expect(from('-90s')).toEqual({ kind: 'ago', ms: 90_000 })
    expect(from('-7d')).toEqual({ kind: 'ago', ms: 604_800_000 })
    expect(from('1763800000000500')).toEqual({ kind: 'time', at: 1_763_800_000_000.5 })
    expect(from('2026-11-22T01:00:00Z')).toEqual({ kind: 'time', at: Date.UTC(2026, 10, 22, 1) })
    expect(from('2026-11-22T01:00:00.250-01:00')).toEqual({ kind: 'time', at: Date.UTC(2026, 10, 22, 2, 0, 0, 250) })
  })

  it('as a date is what the calendar says', () => {
    for (const [year, month, day] of [
      [1970, 1, 1],
      [1999, 12, 31],
      [2000, 2, 29],
      [2024, 2, 29],
      [2026, 3, 1],
      [2100, 3, 1],
    ] as const) {
      const text = `${new Date(Date.UTC(year, month - 1, day, 23, 59, 7)).toISOString()}`
      expect(from(text), text).toEqual({ kind: 'time', at: Date.parse(text) })
    }
  })

  it('is nothing else', () => {
    const wrong = ['', 'newest', 'offset:', 'offset:-1', 'offset:1e3', '-1', '-1y', '1h', '+1h', '1.5', 'toString']
    for (const text of [
      ...wrong,
      '2026-11-22',
      '2026-13-01T00:00:00Z',
      '2025-02-29T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-11-22T01:00:00',
    ]) {
      expect(isStreamStart(text), text).toBe(false)
    }
  })

  it('may not be an offset for readers to come: the message goes one day', () => {
    expect(isStartOfNewReader('-1h')).toBe(true)
    expect(isStartOfNewReader('offset:1')).toBe(false)
    expect(isStartOfNewReader(defaultStreamDefinition.startAt)).toBe(true)
  })
})
