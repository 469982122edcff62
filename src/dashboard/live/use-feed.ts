/** A feed for as long as a page is open, drawn a few times a second however much arrives. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { type FeedState, openFeed } from './feed.ts'
import type { Arrival } from './topic-tree.ts'

const drawIntervalMs = 250

export interface Live {
  state: FeedState
  reason: string
  /** Counts up with each drawing. */
  drawn: number
  drawNow(): void
}

/** Of the user that MQTT clients log in as, where they have to; forgotten with the page. */
export const login = { username: '', password: '' }

export function useFeed(filter: string, attempt: number, onMessage: (arrival: Arrival) => void): Live {
  const [connection, setConnection] = useState<{ state: FeedState; reason: string }>({
    state: 'connecting',
    reason: '',
  })
  const [drawn, setDrawn] = useState(0)
  const take = useRef(onMessage)
  take.current = onMessage
  useEffect(() => {
    if (filter === '') return
    let changed = false
    const feed = openFeed({
      filter,
      ...login,
      onState: (state, reason) => setConnection({ state, reason }),
      onMessage(arrival) {
        take.current(arrival)
        changed = true
      },
    })
    const timer = setInterval(() => {
      if (!changed || document.hidden) return
      changed = false
      setDrawn((before) => before + 1)
    }, drawIntervalMs)
    return () => {
      clearInterval(timer)
      feed.close()
    }
  }, [filter, attempt])
  return { ...connection, drawn, drawNow: () => setDrawn((before) => before + 1) }
}
