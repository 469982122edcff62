/**
 * Seeded random streams.
 *
 * One seed per run. Every consumer of randomness (one field of one payload of one device, one device's schedule, one
 * fault) draws from a stream of its own, found by hashing the seed with the names on the path to it. Nothing is drawn
 * from a shared stream, so neither the number of devices nor the order in which they run shifts anyone's values.
 *
 * The stream is xoshiro128** (Blackman, Vigna 2018), its state filled by splitmix32 from a 32-bit hash of the path.
 */

/** FNV-1a over the UTF-16 units of `text`, continued from `hash`. */
function fnv1a(text: string, hash: number): number {
  let h = hash
  for (let i = 0; i < text.length; i++) {
    h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  }
  return h >>> 0
}

function splitmix32(state: number): number {
  let z = (state + 0x9e3779b9) | 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return (z ^ (z >>> 15)) >>> 0
}

export class Random {
  #a: number
  #b: number
  #c: number
  #d: number
  #spareNormal: number | undefined

  /** `path` names the consumer, for example `['group sensors', 7, 'temperature']`. */
  constructor(seed: number, path: readonly (string | number)[]) {
    // Two hashes with different bases give 64 bits of key: with one, 10^5 streams would meet by the birthday bound.
    const text = path.join('\u001f')
    const seedKey = splitmix32(seed >>> 0) ^ splitmix32(Math.floor(seed / 0x100000000) ^ 0x3c6ef372)
    const low = splitmix32(fnv1a(text, 0x811c9dc5) ^ seedKey)
    const high = splitmix32(fnv1a(text, 0x9747b28c) ^ splitmix32(seedKey))
    this.#a = low
    this.#b = high
    this.#c = splitmix32(low ^ 0x5bd1e995)
    this.#d = splitmix32(high ^ 0x1b873593) | 1
  }

  /** 32 random bits. */
  uint32(): number {
    const t = Math.imul(this.#b, 5)
    const result = Math.imul((t << 7) | (t >>> 25), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result
  }

  /** Uniform in [0, 1) with 53 bits, as Math.random. */
  next(): number {
    return (this.uint32() * 0x200000 + (this.uint32() >>> 11)) / 0x20000000000000
  }

  uniform(min: number, max: number): number {
    return min + (max - min) * this.next()
  }

  /** Uniform whole number in [min, max]. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1))
  }

  /** Standard normal by the polar method, which needs no trigonometry and so gives the same bits on every platform. */
  normal(): number {
    const spare = this.#spareNormal
    if (spare !== undefined) {
      this.#spareNormal = undefined
      return spare
    }
    for (;;) {
      const u = 2 * this.next() - 1
      const v = 2 * this.next() - 1
      const s = u * u + v * v
      if (s > 0 && s < 1) {
        const factor = Math.sqrt((-2 * Math.log(s)) / s)
        this.#spareNormal = v * factor
        return u * factor
      }
    }
  }

  /** Exponential with the given mean: the gaps of a Poisson process. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }

  /** Index drawn in proportion to `weights`. */
  weighted(weights: readonly number[]): number {
    let total = 0
    for (const weight of weights) total += weight
    let draw = this.next() * total
    for (let i = 0; i < weights.length - 1; i++) {
      draw -= weights[i]!
      if (draw < 0) return i
    }
    return weights.length - 1
  }
}
