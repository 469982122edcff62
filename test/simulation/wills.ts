/**
 * Which will is to be published when (sections 3.1.2.5 and 3.1.3.2.2), from what was said on the wires and when processes
 * died. Where a crash leaves it open whether the gateway had heard of something, a will may come and need not.
 */
import type { Books } from './books.ts'

export interface ExpectedWill {
  readonly id: string
  readonly client: string
  readonly delayMs: number
  readonly sessionMs: number
  /** offered: no CONNACK yet. armed: connected. due: it comes between `fromMs` and `toMs`. over: it must not come. */
  state: 'offered' | 'armed' | 'due' | 'maybe' | 'over'
  fromMs: number
  toMs: number
  /** The gateway has committed what made it due, or over. */
  committed: boolean
  seen: boolean
}

export class Wills {
  readonly #books: Books
  readonly #graceMs: number
  readonly #wills = new Map<string, ExpectedWill>()
  #unjudged: { will: ExpectedWill; nowMs: number }[] = []
  published = 0

  constructor(books: Books, graceMs: number) {
    this.#books = books
    this.#graceMs = graceMs
  }

  #of(client: string): ExpectedWill[] {
    return [...this.#wills.values()].filter((will) => will.client === client && will.state !== 'over')
  }

  /** A CONNECT with this will was sent. */
  offer(id: string, client: string, delayMs: number, sessionMs: number): void {
    const times = { fromMs: Number.POSITIVE_INFINITY, toMs: Number.POSITIVE_INFINITY }
    this.#books.note(`${client} has will ${id}, delay ${delayMs}, session ${sessionMs}`)
    this.#wills.set(id, { id, client, delayMs, sessionMs, state: 'offered', ...times, committed: false, seen: false })
  }

  /** A CONNECT with Clean Start ends the session, and with it the delay of its will. */
  wiped(client: string, atMs: number): void {
    for (const will of this.#of(client)) if (will.state === 'due') will.fromMs = Math.min(will.fromMs, atMs)
  }

  /** The gateway said CONNACK to the CONNECT that came at `atMs`, with `id` as its will. */
  accepted(client: string, id: string | undefined, atMs: number, sessionPresent: boolean, cleanStart: boolean): void {
    for (const will of this.#of(client)) {
      if (will.id === id) will.state = 'armed'
      else this.#returned(will, atMs, sessionPresent, cleanStart)
    }
  }

  /** Its client is back: a will that was not due yet is over, unless its session ended. */
  #returned(will: ExpectedWill, atMs: number, sessionPresent: boolean, cleanStart: boolean): void {
    if (will.state !== 'due' || will.seen) return
    const sessionEnded = !sessionPresent && will.sessionMs > 0
    if (will.toMs <= atMs) return
    if (sessionEnded && !cleanStart) will.toMs = Math.min(will.toMs, atMs)
    else if (sessionEnded && will.committed) {
      will.fromMs = Math.min(will.fromMs, atMs)
      will.toMs = atMs
    } else will.state = will.fromMs > atMs && sessionPresent ? 'over' : 'maybe'
  }

  /** The connection ended without a DISCONNECT that removes the will. */
  lost(client: string, atMs: number): void {
    for (const will of this.#of(client)) {
      if (will.state === 'offered') will.state = 'maybe'
      if (will.state !== 'armed') continue
      will.state = 'due'
      will.committed = false
      will.fromMs = atMs + Math.min(will.delayMs, will.sessionMs)
      will.toMs = will.fromMs
    }
  }

  /** A CONNECT was sent and its CONNACK never came: whether its client counts as back is not known. */
  unanswered(client: string): void {
    for (const will of this.#of(client)) if (will.state !== 'armed') will.state = 'maybe'
  }

  /** Whether its DISCONNECT was read is not known. */
  uncertain(client: string): void {
    for (const will of this.#of(client)) will.state = 'maybe'
  }

  disconnected(client: string): void {
    for (const will of this.#of(client)) {
      if (will.state !== 'armed' && will.state !== 'offered') continue
      will.state = 'over'
      will.committed = false
    }
  }

  crashed(): void {
    for (const will of this.#wills.values()) {
      if (will.state === 'offered' || (will.state === 'over' && !will.committed)) will.state = 'maybe'
    }
  }

  /** The clock was set between two processes. */
  timesUnknown(): void {
    for (const will of this.#wills.values()) if (will.state === 'armed' || will.state === 'due') will.state = 'maybe'
  }

  /** A process began at `atMs`. */
  restarted(atMs: number): void {
    for (const will of this.#wills.values()) {
      if (will.seen) continue
      const sinceNow = Math.max(will.delayMs, this.#graceMs)
      const earliest = atMs + (will.sessionMs > 0 ? Math.min(sinceNow, will.sessionMs) : sinceNow)
      const latest = atMs + sinceNow
      if (will.state === 'armed') {
        will.state = 'due'
        will.fromMs = earliest
        will.toMs = latest
        will.committed = false
      } else if (will.state === 'due') {
        const settled = will.committed && will.fromMs > atMs
        will.toMs = Math.max(will.toMs, settled ? will.toMs : latest)
      }
    }
  }

  /** Everything that the gateway knows is in its store. */
  committed(): void {
    for (const will of this.#wills.values()) if (will.state === 'due' || will.state === 'over') will.committed = true
  }

  /** The gateway wrote it to the watcher. Whether it was time is judged when the turn has ended: only then is known who left. */
  written(id: string, nowMs: number): void {
    const will = this.#wills.get(id)
    if (will === undefined || will.seen) return
    will.seen = true
    this.published++
    this.#unjudged.push({ will, nowMs })
  }

  judgeWritten(): void {
    for (const { will, nowMs } of this.#unjudged.splice(0)) {
      if (will.state === 'maybe' || (will.state === 'due' && nowMs >= will.fromMs)) continue
      this.#books.fault(`will ${will.id} came at ${nowMs}: it was ${JSON.stringify(will)}`)
    }
  }

  /** To be asked when nothing is under way. */
  check(nowMs: number): void {
    for (const will of this.#wills.values()) {
      if (will.state !== 'due' || will.seen || will.toMs > nowMs) continue
      this.#books.fault(`will ${will.id} of ${will.client} was due ${nowMs - will.toMs} ms ago and did not come`)
      will.state = 'maybe'
    }
  }
}
