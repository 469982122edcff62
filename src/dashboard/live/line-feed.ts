/**
 * An answer of the gateway that goes on, one JSON value on each line (docs/api.md), read as it comes. What ends is not asked for again by
 * itself: a trace has its time.
 */
import { detailOf } from '../api.ts'

export type LinesState = 'connecting' | 'connected' | 'ended' | 'refused'

export interface LinesWanted {
  path: string
  query: Readonly<Record<string, string>>
  onLine(line: Readonly<Record<string, unknown>>): void
  onState(state: LinesState, reason: string): void
}

/** Returns what ends it, after which it says nothing more. */
export function openLines(wanted: LinesWanted): () => void {
  const ending = new AbortController()
  void read(wanted, ending.signal).then(([state, reason]) => {
    if (!ending.signal.aborted) wanted.onState(state, reason)
  })
  return () => ending.abort()
}

async function read({ path, query, onLine, onState }: LinesWanted, signal: AbortSignal): Promise<[LinesState, string]> {
  onState('connecting', '')
  try {
    const response = await fetch(`/api/v1${path}?${new URLSearchParams(query)}`, { signal })
    if (!response.ok || response.body === null) return ['refused', await detailOf(response)]
    onState('connected', '')
    let rest = ''
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { done, value } = await reader.read()
      if (done) return ['ended', '']
      const lines = (rest + value).split('\n')
      rest = lines.pop()!
      for (const line of lines) if (line !== '') onLine(JSON.parse(line) as Record<string, unknown>)
    }
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error
    return ['ended', '']
  }
}
