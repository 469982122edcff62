/** Whether a client's session is to be found by its next CONNECT (Session Present), from what was said and when. */
import type { Books } from './books.ts'

interface Expected {
  state: 'none' | 'connected' | 'away' | 'unknown'
  /** Away: the session ends between these. */
  fromMs: number
  toMs: number
  committed: boolean
  sessionMs: number
}

export class Sessions {
  readonly #books: Books
  readonly #sessions = new Map<string, Expected>()

  constructor(books: Books) {
    this.#books = books
  }

  /** The CONNECT of `atMs` was answered. */
  accepted(client: string, atMs: number, sessionMs: number, cleanStart: boolean, sessionPresent: boolean): void {
    const before = this.#sessions.get(client)
    const wanted = cleanStart ? false : presentAt(before, atMs)
    if (wanted !== undefined && wanted !== sessionPresent) {
      this.#books.fault(
        `${client}: CONNACK says session present ${sessionPresent}: it is ${JSON.stringify(before)} at ${atMs}`,
      )
    }
    this.#sessions.set(client, { state: 'connected', fromMs: 0, toMs: 0, committed: false, sessionMs })
  }

  lost(client: string, atMs: number): void {
    const session = this.#sessions.get(client)
    if (session?.state !== 'connected') return
    session.state = session.sessionMs > 0 ? 'away' : 'none'
    session.fromMs = atMs + session.sessionMs
    session.toMs = session.fromMs
    session.committed = false
  }

  unanswered(client: string): void {
    const session = this.#sessions.get(client)
    if (session === undefined) this.#sessions.set(client, { ...unknown })
    else session.state = 'unknown'
  }

  crashed(atMs: number): void {
    for (const client of this.#sessions.keys()) this.lost(client, atMs)
  }

  /** The clock was set between two processes. */
  timesUnknown(): void {
    for (const session of this.#sessions.values()) {
      if (session.state === 'away' && session.sessionMs < Number.POSITIVE_INFINITY) session.state = 'unknown'
    }
  }

  restarted(atMs: number): void {
    for (const session of this.#sessions.values()) {
      if (session.state === 'away' && !session.committed) {
        // It is kept for its will, which waits for as long as its delay is, 60 s here.
        session.toMs = Math.max(session.toMs, atMs + Math.max(session.sessionMs, 60_000))
      }
    }
  }

  committed(): void {
    for (const session of this.#sessions.values()) session.committed = true
  }
}

const unknown: Expected = { state: 'unknown', fromMs: 0, toMs: 0, committed: false, sessionMs: 0 }

function presentAt(session: Expected | undefined, atMs: number): boolean | undefined {
  if (session === undefined || session.state === 'none') return false
  if (session.state === 'unknown') return undefined
  if (session.state === 'connected') return session.sessionMs > 0
  if (atMs < session.fromMs) return true
  return atMs > session.toMs ? false : undefined
}
