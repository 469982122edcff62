import { describe, expect, it } from 'vitest'
import { Life } from './life.ts'
import { torture } from './power-cuts.ts'
import { randomOf } from './random.ts'

const seeds = (count: number, first = 1) => Array.from({ length: count }, (_, i) => first + i)

/** Repeat and look into one: npm run torture -- --seed N --runs 1 --log 'text that lines contain'. */
describe('a random life of clients that come and go keeps every promise', () => {
  it.each(seeds(8))('in memory, seed %i', async (seed) => {
    const report = await new Life(seed, false).live(3000)
    expect(report.faults).toEqual([])
    expect(report.salvaged === 1 || report.acknowledged > 50).toBe(true)
  })

  it.each(seeds(5, 101))('on SQLite with torn commits, seed %i', async (seed) => {
    const report = await new Life(seed, true).live(3000)
    expect(report.faults).toEqual([])
    expect(report.salvaged === 1 || report.acknowledged > 50).toBe(true)
  })

  it('with messages that come to a full queue while a page of it is under way, seed 200105', async () => {
    expect((await new Life(200_105, false).live(5000)).faults).toEqual([])
  })

  it('the same seed lives the same life', async () => {
    expect(await new Life(7, false).live(1500)).toEqual(await new Life(7, false).live(1500))
    expect(randomOf(1)()).not.toBe(randomOf(2)())
  })
})

describe('what a crash takes from listeners at all three levels of durability was not promised', () => {
  it.each(seeds(12))('seed %i', async (seed) => {
    const report = await torture(seed, 4000, true)
    expect(report.faults).toEqual([])
    expect(report.acknowledged).toBeGreaterThan(100)
    expect(report.restarts + report.drops).toBeGreaterThan(10)
  })
})
