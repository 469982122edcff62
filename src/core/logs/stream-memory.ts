/**
 * What of a stream is in memory: its newest messages, which those at its end get, and a few pages of the store, which those share that
 * are behind.
 *
 *     first ...... pages, read when somebody asks ...... tailStart ..... newest ..... end
 *
 * Without a store all of it is in memory. A page begins where a segment does, so that readers of the same hour meet in the same pages.
 * What is read is read one page after the other; whoever waits for one is told when any has come.
 */
import type { QueueBudget } from '../budgets.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import { messageOf } from '../session/queue-pages.ts'
import type { Segments } from './segments.ts'
import { StreamEntry } from './stream-entry.ts'

/** Of the newest messages, once they are in the store. */
const tailBytesMax = 1024 * 1024
const tailMessagesMax = 4096
const pagesMax = 4

interface HistoryPage {
  readonly from: number
  /** The first offset that it says nothing about. */
  readonly end: number
  /** In order of offset. */
  readonly entries: readonly StreamEntry[]
  usedAt: number
}

/** Asks the store for a page from an offset on. */
type RequestPage = (fromOffset: number) => void

export class StreamMemory {
  readonly #budget: QueueBudget
  readonly #requestPage: RequestPage
  readonly #segments: Segments
  #tail: StreamEntry[] = []
  /** Those before it are gone. */
  #head = 0
  #tailBytes = 0
  /** Of the first in memory; where there is none, that the next one gets. */
  tailStart = 0
  readonly #pages: HistoryPage[] = []
  #uses = 0
  /** What is being read; null: nothing is. */
  #asked: { readonly from: number; readonly end: number } | null = null

  constructor(budget: QueueBudget, segments: Segments, requestPage: RequestPage) {
    this.#budget = budget
    this.#segments = segments
    this.#requestPage = requestPage
  }

  push(entry: StreamEntry): void {
    this.#tail.push(entry)
    this.#tailBytes += messageBytes(entry.message)
    this.#budget.hold(entry.message)
  }

  /** Everything before this offset is in the store only, or nowhere. */
  startAt(offset: number): void {
    this.tailStart = offset
  }

  get #isTailTooLong(): boolean {
    if (this.#tail.length === this.#head) return false
    const count = this.#tail.length - this.#head
    return this.#tailBytes > tailBytesMax || count > tailMessagesMax || this.#budget.used > this.#budget.max
  }

  /** Of what is in the store too, lets go of the oldest. `end`: the first that may not be there yet. */
  shorten(end: number): void {
    while (this.tailStart < end && this.#isTailTooLong) this.#shift()
  }

  /** Nothing before this offset is there any more. */
  dropBefore(offset: number): void {
    while (this.tailStart < offset && this.#tail.length > this.#head) this.#shift()
    if (this.tailStart < offset) this.tailStart = offset
  }

  #shift(): void {
    const { message } = this.#tail[this.#head]!
    this.#tailBytes -= messageBytes(message)
    this.#budget.letGo(message)
    this.#head++
    this.tailStart++
    if (this.#head < 1024 || this.#head * 2 < this.#tail.length) return
    this.#tail = this.#tail.slice(this.#head)
    this.#head = 0
  }

  /** In the tail. */
  newest(offset: number): StreamEntry {
    return this.#tail[this.#head + offset - this.tailStart]!
  }

  /** The first entry from this offset on of a page that knows it; undefined: none knows. Null: up to the page's end there is none. */
  stored(offset: number): { readonly entry: StreamEntry | null; readonly end: number } | undefined {
    const page = this.#pageWith(offset)
    if (page === undefined) return undefined
    page.usedAt = ++this.#uses
    const entry = page.entries[indexFrom(page.entries, offset)] ?? null
    if (entry !== null && (entry.offset - page.from) * 2 > page.end - page.from) this.#readAhead(page.end)
    return { entry, end: page.end }
  }

  #pageWith(offset: number): HistoryPage | undefined {
    return this.#pages.find(({ from, end }) => from <= offset && offset < end)
  }

  #readAhead(offset: number): void {
    if (offset < this.tailStart && this.#asked === null && this.#pageWith(offset) === undefined) this.#ask(offset)
  }

  /** Asks for the page with this offset, unless another one is being read: then whoever waits asks again. */
  request(offset: number): void {
    if (this.#asked !== null) return
    let from = this.#segments.at(offset)?.firstOffset ?? offset
    for (let page = this.#pageWith(from); page !== undefined; page = this.#pageWith(from)) from = page.end
    this.#ask(Math.min(from, offset))
  }

  #ask(from: number): void {
    this.#asked = { from, end: this.tailStart }
    this.#requestPage(from)
  }

  onPage({ entries: stored, more }: RecoveredPage): void {
    const asked = this.#asked
    this.#asked = null
    if (asked === null) return
    const entries = stored.map(({ reference, message }) => new StreamEntry(reference.position, messageOf(message)))
    const last = entries.at(-1)
    const end = more && last !== undefined ? last.offset + 1 : Math.max(asked.end, (last?.offset ?? 0) + 1)
    for (const { message } of entries) this.#budget.hold(message)
    while (this.#pages.length >= (this.#budget.exceeded ? 1 : pagesMax)) this.#dropOldestPage()
    this.#pages.push({ from: asked.from, end, entries, usedAt: ++this.#uses })
  }

  #dropOldestPage(): void {
    let oldest = 0
    for (const [index, page] of this.#pages.entries()) if (page.usedAt < this.#pages[oldest]!.usedAt) oldest = index
    this.#dropPage(oldest)
  }

  #dropPage(index: number): void {
    const [page] = this.#pages.splice(index, 1)
    for (const { message } of page!.entries) this.#budget.letGo(message)
  }

  get hasPages(): boolean {
    return this.#pages.length > 0
  }

  /** Nobody is behind. */
  dropPages(): void {
    while (this.#pages.length > 0) this.#dropPage(0)
  }
}

/** Of entries in order, the first at this offset or behind it; their number if there is none. */
function indexFrom(entries: readonly StreamEntry[], offset: number): number {
  // Nearly always without holes.
  const guess = entries.length === 0 ? 0 : offset - entries[0]!.offset
  if (guess >= 0 && entries[guess]?.offset === offset) return guess
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.offset < offset) low = middle + 1
    else high = middle
  }
  return low
}

/** For a message that is taken in at another time than that at which it was published. */
export function takenInAt(message: Message, now: number): Message {
  if (message.publishedAt === now) return message
  return { ...message, id: 0, references: 0, holders: 0, publishedAt: now }
}
