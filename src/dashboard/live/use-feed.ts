/** A feed for as long as a page is open, drawn a few times a second however much arrives. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { Drawing } from './drawing.ts'
import { type FeedState, openFeed } from './feed.ts'
import type { Arrival } from './topic-tree.ts'

export interface Live {
  filter: string
  state: FeedState
  reason: string
  /** Counts up with each drawing. */
  drawn: number
  drawNow(): void
}

export function useFeed(filter: string, onMessage: (arrival: Arrival) => void): Live {
  const [known, setKnown] = useState<Pick<Live, 'filter' | 'state' | 'reason'>>({
    filter,
    state: 'connecting',
    reason: '',
  })
  const [drawn, setDrawn] = useState(0)
  const take = useRef(onMessage)
  take.current = onMessage
  useEffect(() => {
    const drawing = new Drawing(() => setDrawn((before) => before + 1))
    const feed = openFeed({
      filter,
      onState: (state, reason) => setKnown({ filter, state, reason }),
      onMessage(arrival) {
        take.current(arrival)
        drawing.changed = true
      },
    })
    return () => {
      drawing.end()
      feed.close()
    }
  }, [filter])
  // What the feed of another filter said says nothing about this one.
  const connection = known.filter === filter ? known : { filter, state: 'connecting' as const, reason: '' }
  return { ...connection, drawn, drawNow: () => setDrawn((before) => before + 1) }
}
