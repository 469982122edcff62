/** What one life was, in numbers, and which promises were broken in it. */
import type { Books } from './books.ts'

export interface LifeReport {
  steps: number
  acknowledged: number
  received: number
  crashes: number
  drops: number
  wills: number
  /** That came when they were due. */
  delayed: number
  retained: number
  /** How often the disk became full. */
  filled: number
  /** Ended with a store that refused a flipped bit. */
  salvaged: number
  dropped: Record<string, number>
  faults: string[]
}

export function reportOf(
  books: Books,
  dropped: ReadonlyMap<string, number>,
  counts: Omit<LifeReport, 'acknowledged' | 'received' | 'dropped' | 'faults'>,
): LifeReport {
  const answered = [...books.publications.values()].filter((one) => one.answered < Number.POSITIVE_INFINITY)
  return {
    ...counts,
    acknowledged: answered.length,
    received: books.receipts.length,
    dropped: Object.fromEntries([...dropped].filter(([, count]) => count > 0)),
    faults: books.faults,
  }
}
