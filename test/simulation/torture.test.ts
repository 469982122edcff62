import { describe, expect, it } from 'vitest'
import { randomOf, torture } from './torture.ts'

describe('a random life with crashes keeps every promise', () => {
  it.each(Array.from({ length: 12 }, (_, i) => i + 1))('seed %i', async (seed) => {
    const report = await torture(seed, 4000)
    expect(report.faults).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(100)
    expect(report.restarts + report.drops).toBeGreaterThan(10)
  })

  it.each(Array.from({ length: 12 }, (_, i) => i + 1))('seed %i, with listeners at all three levels', async (seed) => {
    const report = await torture(seed, 4000, true)
    expect(report.faults).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(100)
    expect(report.restarts + report.drops).toBeGreaterThan(10)
  })

  it('the same seed lives the same life', async () => {
    expect(await torture(7, 2000)).toEqual(await torture(7, 2000))
    expect(randomOf(1)()).not.toBe(randomOf(2)())
  })
})
