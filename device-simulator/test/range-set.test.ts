import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RangeSet } from '../verdict/range-set.ts'

function setOf(range: RangeSet): Set<number> {
  const numbers = new Set<number>()
  for (const [first, last] of range.ranges()) for (let n = first; n <= last; n++) numbers.add(n)
  return numbers
}

const small = fc.array(fc.nat(60), { maxLength: 80 })
const spans = fc.array(fc.tuple(fc.nat(60), fc.nat(12)), { maxLength: 20 })

describe('range sets', () => {
  test('are the sets that they claim to be, whatever the order of additions', () => {
    fc.assert(
      fc.property(small, spans, (numbers, ranges) => {
        const range = new RangeSet()
        const plain = new Set<number>()
        for (const n of numbers) {
          expect(range.add(n)).toBe(!plain.has(n))
          plain.add(n)
        }
        for (const [first, length] of ranges) {
          let present = 0
          for (let n = first; n <= first + length; n++) {
            if (plain.has(n)) present += 1
            plain.add(n)
          }
          expect(range.addRange(first, first + length)).toBe(present)
        }
        expect(setOf(range)).toEqual(plain)
        expect(range.size).toBe(plain.size)
        for (let n = 0; n < 75; n++) expect(range.has(n)).toBe(plain.has(n))
        const pairs = range.toPairs()
        for (let i = 2; i < pairs.length; i += 2) expect(pairs[i]!).toBeGreaterThan(pairs[i - 1]! + 1)
      }),
    )
  })

  test('subtract and intersect as sets do', () => {
    fc.assert(
      fc.property(small, small, small, (a, b, c) => {
        const [x, y, z] = [a, b, c].map((numbers) => {
          const range = new RangeSet()
          for (const n of numbers) range.add(n)
          return range
        }) as [RangeSet, RangeSet, RangeSet]
        const rest = new Set(a.filter((n) => !b.includes(n) && !c.includes(n)))
        expect(setOf(x.without(y, z))).toEqual(rest)
        expect(x.intersectionSize(y)).toBe(new Set(a.filter((n) => b.includes(n))).size)
        expect(setOf(RangeSet.from(x.toPairs()))).toEqual(new Set(a))
      }),
    )
  })

  test('10^8 sequences with a thousand gaps are a thousand ranges', () => {
    const range = new RangeSet()
    for (let i = 0; i < 1000; i++) range.addRange(i * 100_000, i * 100_000 + 99_998)
    expect(range.size).toBe(99_999_000)
    expect(range.rangeCount).toBe(1000)
    expect(range.add(99_999)).toBe(true)
    expect(range.rangeCount).toBe(999)
  })
})
