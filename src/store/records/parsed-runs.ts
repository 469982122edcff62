/**
 * The entries of runs that were read lately, by the run's id: a run is read for a page, and again by each batch that takes from it.
 * That holds since a run's row is never rewritten. Ids are given again: whoever deletes a run forgets it here, and what
 * a rolled back transaction has read is forgotten altogether.
 */
import type { RunEntry } from './queue-run.ts'

/** About 10 MB of entries, in full runs: the pages of a dozen sessions that drain at once. */
const runsMax = 128
/** Of a run whose entries are longer, as long topics make them, nothing is kept. */
const runTextLengthMax = 128 * 1024

export class ParsedRuns {
  readonly #runs = new Map<number, readonly RunEntry[]>()

  get(run: number): readonly RunEntry[] | undefined {
    return this.#runs.get(run)
  }

  keep(run: number, entries: readonly RunEntry[], text: string): void {
    if (text.length > runTextLengthMax) return
    if (this.#runs.size >= runsMax) this.#runs.delete(this.#runs.keys().next().value!)
    this.#runs.set(run, entries)
  }

  forget(run: number): void {
    this.#runs.delete(run)
  }

  clear(): void {
    this.#runs.clear()
  }
}
