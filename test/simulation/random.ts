/** The only source of chance in a simulated life: the same seed chooses the same steps. */

/** Mulberry32: small, and good enough to choose steps. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
}

export class Random {
  readonly next: () => number

  constructor(seed: number) {
    this.next = randomOf(seed)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  /** A whole number from 0 to `end` - 1. */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  pick<One>(choices: readonly One[]): One {
    return choices[this.below(choices.length)]!
  }

  /** One of the named choices, each as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const entries = Object.entries(weights) as [Name, number][]
    let at = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) {
      at -= weight
      if (at < 0) return name
    }
    return entries[entries.length - 1]![0]
  }
}
