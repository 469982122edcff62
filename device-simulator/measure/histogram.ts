/**
 * Latency histogram in the manner of HDR: whole microseconds, three significant digits, from 0 to 2^42 (50 days).
 *
 * Values below 2048 have a bucket each; above, each power of two is divided into 1024 buckets, so that a bucket is never
 * wider than a thousandth of its values. Counts are exact; a percentile is the highest value of its bucket.
 */
const linearBits = 11
const linear = 1 << linearBits
const perOctave = linear / 2
const octaves = 42 - linearBits
const buckets = linear + octaves * perOctave

export interface HistogramSnapshot {
  /** Pairs of bucket index and count, only those that are not empty. */
  counts: [bucket: number, count: number][]
  sumUs: number
  maxUs: number
}

/** Milliseconds. */
export interface LatencyFigures {
  count: number
  mean: number
  p50: number
  p90: number
  p99: number
  p999: number
  max: number
}

function bucketOf(us: number): number {
  if (us < linear) return us
  const octave = Math.floor(Math.log2(us)) - linearBits
  // log2 may round up just below a power of two.
  const shift = us < 2 ** (octave + linearBits) ? octave : octave + 1
  return Math.min(buckets - 1, linear + (shift - 1) * perOctave + Math.floor(us / 2 ** shift) - perOctave)
}

function highestOf(bucket: number): number {
  if (bucket < linear) return bucket
  const shift = Math.floor((bucket - linear) / perOctave) + 1
  const within = ((bucket - linear) % perOctave) + perOctave
  return (within + 1) * 2 ** shift - 1
}

export class Histogram {
  // Grown to the highest bucket in use: most histograms never see a minute.
  #counts = new Float64Array(linear)
  #count = 0
  #sumUs = 0
  #maxUs = 0

  get count(): number {
    return this.#count
  }

  /** Negative values count as 0. */
  record(us: number, times = 1): void {
    const value = us > 0 ? Math.round(us) : 0
    const bucket = bucketOf(value)
    if (bucket >= this.#counts.length) this.#grow(bucket)
    this.#counts[bucket]! += times
    this.#count += times
    this.#sumUs += value * times
    if (value > this.#maxUs) this.#maxUs = value
  }

  /** Microseconds; 0 when empty. `share` is in 0..1. */
  percentile(share: number): number {
    if (this.#count === 0) return 0
    const rank = Math.max(1, Math.ceil(share * this.#count))
    let seen = 0
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      seen += this.#counts[bucket]!
      if (seen >= rank) return Math.min(highestOf(bucket), this.#maxUs)
    }
    return this.#maxUs
  }

  figures(): LatencyFigures {
    const ms = (us: number): number => us / 1000
    return {
      count: this.#count,
      mean: this.#count === 0 ? 0 : ms(this.#sumUs / this.#count),
      p50: ms(this.percentile(0.5)),
      p90: ms(this.percentile(0.9)),
      p99: ms(this.percentile(0.99)),
      p999: ms(this.percentile(0.999)),
      max: ms(this.#maxUs),
    }
  }

  reset(): void {
    if (this.#count === 0) return
    this.#counts.fill(0)
    this.#count = 0
    this.#sumUs = 0
    this.#maxUs = 0
  }

  snapshot(): HistogramSnapshot {
    const counts: [number, number][] = []
    this.#counts.forEach((count, bucket) => {
      if (count > 0) counts.push([bucket, count])
    })
    return { counts, sumUs: this.#sumUs, maxUs: this.#maxUs }
  }

  add(snapshot: HistogramSnapshot): void {
    for (const [bucket, count] of snapshot.counts) {
      if (bucket >= this.#counts.length) this.#grow(bucket)
      this.#counts[bucket]! += count
      this.#count += count
    }
    this.#sumUs += snapshot.sumUs
    this.#maxUs = Math.max(this.#maxUs, snapshot.maxUs)
  }

  #grow(bucket: number): void {
    const length = Math.min(buckets, Math.ceil((bucket + 1) / perOctave) * perOctave)
    const larger = new Float64Array(length)
    larger.set(this.#counts)
    this.#counts = larger
  }
}
