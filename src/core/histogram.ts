/** How often something was how large: counted between bounds that stay the same, so that nothing is kept of the values themselves. */
export class Histogram {
  /** Upper bounds, each included, in order. */
  readonly bounds: readonly number[]
  /** How many values fell to each bound and above the one before; the last: above all of them. */
  readonly counts: Float64Array
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let step = 0
    while (step < this.bounds.length && value > this.bounds[step]!) step++
    this.counts[step]!++
    this.sum += value
  }

  get count(): number {
    return this.counts.reduce((total, one) => total + one, 0)
  }
}
