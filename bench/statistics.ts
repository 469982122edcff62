/** Order statistics of repeated runs, and a latency histogram. */

/** The middle value; the mean of the two middle ones for an even number. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]!
  return sorted.length === 0 ? Number.NaN : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export interface Spread {
  median: number
  min: number
  max: number
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/**
 * The median of the ratios of runs made right after one another. Pairing cancels what slows a whole round down (another
 * program on the machine, a cooler or hotter processor), which the ratio of two medians would not.
 */
export function pairedRatio(numerators: readonly number[], denominators: readonly number[]): number {
  const pairs = Math.min(numerators.length, denominators.length)
  const ratios: number[] = []
  for (let i = 0; i < pairs; i++) if (denominators[i] !== 0) ratios.push(numerators[i]! / denominators[i]!)
  return median(ratios)
}

/** Sub-buckets per power of two: the error of a percentile is below 1/64. */
const subBuckets = 64

/** Counts durations in microseconds in log-linear buckets; constant memory and cost per value. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(subBuckets * 32)
  count = 0
  maxMicroseconds = 0

  record(microseconds: number): void {
    this.count++
    if (microseconds > this.maxMicroseconds) this.maxMicroseconds = microseconds
    // Values below 128 have a bucket each; above, the seven highest bits choose it.
    const exponent = Math.max(0, 25 - Math.clz32(microseconds))
    this.#counts[exponent * subBuckets + (microseconds >>> exponent)]!++
  }

  /** The lower edge of the bucket that holds the given share (0 to 1) of all values; 0 when nothing was recorded. */
  percentile(share: number): number {
    let seen = 0
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i]!
      if (seen === 0 || seen < share * this.count) continue
      const exponent = Math.max(0, Math.floor(i / subBuckets) - 1)
      return (i - exponent * subBuckets) * 2 ** exponent
    }
    return 0
  }

  reset(): void {
    this.#counts.fill(0)
    this.count = 0
    this.maxMicroseconds = 0
  }
}
