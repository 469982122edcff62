/** What goes out and would come back in. */
import { filtersOverlap } from './overlap.ts'
import { type BridgeSettings, isIn, isOut, remoteFilter } from './settings.ts'

/** Whether what goes out is subscribed to there. */
export function goesRound({ topics }: Pick<BridgeSettings, 'topics'>): boolean {
  const incoming = topics.filter(isIn)
  return topics
    .filter(isOut)
    .some((out) => incoming.some((one) => filtersOverlap(remoteFilter(out), remoteFilter(one))))
}

export const wouldLoop =
  'the other broker does not know bridges (3.1.1), and what goes out would come back in: use 5.0, or other prefixes'
