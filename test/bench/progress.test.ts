import { describe, expect, test } from 'vitest'
import { Progress } from '../../bench/progress.ts'

const run = (scenario: string, broker: string, expectedSeconds: number) => ({ scenario, broker, expectedSeconds })

describe('the time left', () => {
  test('is what was expected while nothing has run', () => {
    const progress = new Progress([run('a', 'x', 60), run('b', 'x', 120)])
    expect([progress.secondsLeft, `${progress}`]).toEqual([180, '0 of 2 runs, about 3 min left'])
  })

  test('follows each broker at its own pace', () => {
    const progress = new Progress([run('a', 'x', 5), run('a', 'y', 5), run('b', 'x', 10), run('b', 'y', 10)])
    progress.ended('a', 'x', 5)
    progress.ended('a', 'y', 15)
    expect(progress.secondsLeft).toBe(10 + 30)
  })

  test('takes the pace of all for a broker that has not run yet', () => {
    const progress = new Progress([run('a', 'x', 5), run('b', 'y', 10)])
    progress.ended('a', 'x', 10)
    expect(progress.secondsLeft).toBe(20)
  })

  test('does not wait for runs that were left out', () => {
    const progress = new Progress([run('a', 'x', 5), run('a', 'x', 5), run('b', 'x', 5)])
    progress.ended('a', 'x', 5)
    progress.closed('a')
    expect([progress.runsLeft, progress.secondsLeft, `${progress}`]).toEqual([
      1,
      5,
      '1 of 2 runs, less than a minute left',
    ])
  })
})
