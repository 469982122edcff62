/**
 * Levels of durability as numbers, from the weakest on, so that the strictest of several is their maximum. The core hands
 * them from links to the journal and knows nothing else of them.
 */
import { type Durability, durabilities } from '../store/store.ts'

export const durabilityLevels: readonly Durability[] = durabilities.toReversed()

/** Nothing is waited for. */
export const levelNone = 0

export function levelOf(durability: Durability): number {
  return durabilityLevels.indexOf(durability)
}
