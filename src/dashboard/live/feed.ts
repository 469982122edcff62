/**
 * Messages as they arrive, for pages that show them: the gateway's stream of server-sent events (docs/browser.md), read with fetch, since
 * that tells why a stream is refused and EventSource does not. A stream that ends is asked for again, later and later.
 *
 * Of a payload only its beginning is kept.
 */
import { detailOf } from '../api.ts'
import { bytesOf } from '../shown.ts'
import { EventParser } from './event-parser.ts'
import { type Arrival, payloadBytesKept } from './topic-tree.ts'

export type FeedState = 'connecting' | 'connected' | 'offline' | 'refused'

export interface Feed {
  close(): void
}

export interface FeedWanted {
  filter: string
  onMessage(arrival: Arrival): void
  /** `reason`: why not, in the gateway's words. */
  onState(state: FeedState, reason: string): void
}

interface Message {
  topic: string
  payload: string
  encoding: 'utf8' | 'base64'
  qos: 0 | 1 | 2
  retain: boolean
}

const firstDelayMs = 1000
const delayMsMax = 15_000
/** The gateway says something every 15 seconds. */
const silenceMsMax = 40_000

export function openFeed(wanted: FeedWanted): Feed {
  const ending = new AbortController()
  void keepReading(wanted, ending.signal)
  return { close: () => ending.abort() }
}

async function keepReading(wanted: FeedWanted, signal: AbortSignal): Promise<void> {
  let delayMs = firstDelayMs
  while (!signal.aborted) {
    wanted.onState('connecting', '')
    const began = Date.now()
    const end = await readOnce(wanted, signal)
    if (signal.aborted) return
    wanted.onState(end.refused ? 'refused' : 'offline', end.reason)
    if (end.refused) return
    if (Date.now() - began > delayMsMax) delayMs = firstDelayMs
    // A gateway that restarts shouldn't meet all pages at once.
    await pause(delayMs * (0.5 + Math.random() / 2), signal)
    delayMs = Math.min(delayMs * 2, delayMsMax)
  }
}

interface End {
  /** It would be again. */
  refused: boolean
  reason: string
}

async function readOnce({ filter, onMessage, onState }: FeedWanted, signal: AbortSignal): Promise<End> {
  const silent = new AbortController()
  let timer = setTimeout(() => silent.abort(), silenceMsMax)
  let reason = ''
  const parser = new EventParser((event, data) => {
    if (event === 'message') onMessage(arrivalOf(JSON.parse(data) as Message))
    else if (event === 'end') reason = (JSON.parse(data) as { message?: string }).message ?? ''
  })
  try {
    const response = await fetch(`/api/v1/stream?topic=${encodeURIComponent(filter)}`, {
      signal: AbortSignal.any([signal, silent.signal]),
    })
    if (!response.ok || response.body === null) {
      const again = response.status === 429 || response.status >= 500
      return { refused: !again, reason: await detailOf(response) }
    }
    onState('connected', '')
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
      const { done, value } = await reader.read()
      if (done) return { refused: false, reason }
      clearTimeout(timer)
      timer = setTimeout(() => silent.abort(), silenceMsMax)
      parser.take(value)
    }
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof DOMException)) throw error
    return { refused: false, reason }
  } finally {
    clearTimeout(timer)
  }
}

function arrivalOf({ topic, payload, encoding, qos, retain }: Message): Arrival {
  const all = bytesOf(payload, encoding)
  return { topic, qos, retain, at: Date.now(), bytes: all.slice(0, payloadBytesKept), size: all.length }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
