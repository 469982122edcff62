import { describe, expect, test } from 'vitest'
import { Random } from '../random.ts'

describe('random streams', () => {
  test('the same seed and path give the same numbers', () => {
    const draw = (): number[] => {
      const random = new Random(42, ['sensors', 7, 'temperature'])
      return Array.from({ length: 100 }, () => random.uint32())
    }
    expect(draw()).toEqual(draw())
  })

  test('another seed, another device or another field gives other numbers', () => {
    const first = (seed: number, path: (string | number)[]): number => new Random(seed, path).uint32()
    const seen = new Set([
      first(42, ['a', 1]),
      first(43, ['a', 1]),
      first(42 + 2 ** 40, ['a', 1]),
      first(42, ['a', 2]),
      first(42, ['b', 1]),
      first(42, ['a', 1, 'x']),
    ])
    expect(seen.size).toBe(6)
  })

  test('100,000 devices draw 100,000 different first pairs', () => {
    const seen = new Set<string>()
    for (let device = 0; device < 100_000; device++) {
      const random = new Random(1, ['swarm', device])
      seen.add(`${random.uint32()} ${random.uint32()}`)
    }
    expect(seen.size).toBe(100_000)
  })

  test('uniform, normal and exponential draws have their mean and deviation', () => {
    const random = new Random(7, ['statistics'])
    const n = 200_000
    let uniform = 0
    let normal = 0
    let squares = 0
    let exponential = 0
    for (let i = 0; i < n; i++) {
      uniform += random.next()
      const z = random.normal()
      normal += z
      squares += z * z
      exponential += random.exponential(3)
    }
    expect(uniform / n).toBeCloseTo(0.5, 2)
    expect(normal / n).toBeCloseTo(0, 1)
    expect(squares / n).toBeCloseTo(1, 1)
    expect(exponential / n).toBeCloseTo(3, 1)
  })

  test('weighted draws follow the weights', () => {
    const random = new Random(7, ['weights'])
    const counts = [0, 0, 0]
    for (let i = 0; i < 30_000; i++) counts[random.weighted([1, 2, 0])]! += 1
    expect(counts[1]! / counts[0]!).toBeCloseTo(2, 0)
    expect(counts[2]).toBe(0)
  })
})
