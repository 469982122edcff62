/** How tokens are taken, owed and paid. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../src/core/token-bucket.ts'

describe('a token bucket', () => {
  it('has a burst at once, and then what time brings', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 3 }, 0)
    expect([bucket.take(1, 0), bucket.take(1, 0), bucket.take(1, 0)]).toEqual([0, 0, 0])
    expect(bucket.take(1, 0)).toBe(100)
    expect(bucket.take(1, 0)).toBe(200)
    expect(bucket.take(1, 300)).toBe(0)
    expect(bucket.isFull(500)).toBe(false)
    expect(bucket.isFull(600)).toBe(true)
  })

  it('never holds more than its burst, however long it waits and however much is given back', () => {
    const bucket = new TokenBucket({ perSecond: 1000, burst: 2 }, 0)
    bucket.giveBack(5)
    expect(bucket.take(3, 1_000_000)).toBe(1)
  })

  it('takes a clock that stands still or goes back for no time', () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 1 }, 1000)
    bucket.take(1, 1000)
    expect(bucket.take(1, 0)).toBe(1000)
  })

  it('keeps what is owed when its rate changes', () => {
    const bucket = new TokenBucket({ perSecond: 1, burst: 1 }, 0)
    bucket.take(11, 0)
    bucket.change({ perSecond: 100, burst: 100 }, 0)
    expect(bucket.take(0, 0)).toBe(100)
    bucket.change({ perSecond: 100, burst: 1 }, 10_000)
    expect(bucket.take(2, 10_000)).toBe(10)
  })

  it('never lets more through than burst and rate, whatever is asked for and when', () => {
    const asked = fc.array(fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 20 })), { maxLength: 200 })
    fc.assert(
      fc.property(
        asked,
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 50 }),
        (steps, perSecond, burst) => {
          const bucket = new TokenBucket({ perSecond, burst }, 0)
          let now = 0
          let taken = 0
          for (const [pause, amount] of steps) {
            now += pause
            const waitMs = bucket.take(amount, now)
            taken += amount
            // What is taken is there at the latest when the wait is over.
            expect(taken).toBeLessThanOrEqual(burst + ((now + waitMs) * perSecond) / 1000 + 1e-6)
          }
        },
      ),
    )
  })
})
