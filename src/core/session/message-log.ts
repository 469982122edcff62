/**
 * Messages in order, each at a position counted up from 0 for the log's life, in memory and in the store. It knows how far was
 * sent, and nothing of who gets it: packet identifiers are the window's (`window.ts`), what a position holds is its owner's.
 *
 * Positions divide into three stretches:
 *
 *     base ........ sendPosition ........ residentEnd ........ nextPosition
 *      sent           waiting, in memory     waiting, in the store only
 *
 * What is sent stays until it is removed, for a second sending; with what waits in memory it stands in one ring indexed by
 * position. Removals may come in any order and leave holes; `base` moves past those behind `sendPosition`.
 *
 * Of what is in the store only, nothing but positions, a count and bytes are known: whether a position is empty or expired is
 * learnt from a page. The fields from `dropFrom` on say how far that was done, for a log that is full (`full-queue.ts`).
 */
import type { Budget, QueueBudget } from '../budgets.ts'
import { type Message, messageBytes } from '../publish/message.ts'

export interface LogEntry {
  /** Null where nothing is kept for a second sending. */
  readonly message: Message | null
}

const ringSizeMin = 8

/** Running totals over all sessions of a namespace, for whoever looks: nobody walks a hundred thousand sessions for them. */
export interface QueueTotals {
  waiting: number
  inflight: number
}

export class MessageLog<Entry extends LogEntry> {
  #ring: (Entry | null)[] | null = null
  #mask = 0
  /** Oldest position that may hold an entry. */
  base = 0
  /** The first that was not sent. */
  sendPosition = 0
  /** From here on, entries are in the store only. */
  residentEnd = 0
  nextPosition = 0
  /** Of those, the ones in memory. */
  resident = 0
  /** Everything below this position is recorded as sent, with this turn at the latest. Only for a log that is stored. */
  marked = 0
  /** Below this position nothing is left in memory that a full queue may drop. */
  dropFrom = 0
  /** No message that waits in memory expires earlier. */
  residentExpiry = Infinity
  /** The same of those in the store only; -Infinity: not known. */
  storedExpiry = Infinity
  /** When it was last searched for expired messages. */
  searchedAt = 0
  /** Below this position nothing that was not sent is left in the store only. */
  dropStoredFrom = 0
  /** From here on, each position in the store only has a message. */
  denseFrom = 0
  /** Positions before `denseFrom` of which a page said that they have one, up to `searchFrom`. */
  readonly found: number[] = []
  searchFrom = 0
  /** No message that a search has found expires earlier. */
  foundExpiry = Infinity
  /** Messages taken beyond the limit until a page says what may go for them. */
  overdraft = 0
  /** Positions before this were in the store when the process began. */
  recoveredEnd = 0
  /** Every position below this one was sent by an earlier process, or on an earlier connection. */
  recoveredSent = 0
  /** Message bytes in memory. */
  residentBytes = 0
  readonly #budget: QueueBudget
  /** Of the bytes that wait in all logs of a namespace. */
  readonly #waitingBytes: Budget
  #bytes = 0
  readonly #totals: QueueTotals
  #waiting = 0

  constructor(budget: QueueBudget, waitingBytes: Budget, totals: QueueTotals = { waiting: 0, inflight: 0 }) {
    this.#budget = budget
    this.#waitingBytes = waitingBytes
    this.#totals = totals
  }

  /** Not yet sent, in memory and in the store. */
  get waiting(): number {
    return this.#waiting
  }

  set waiting(waiting: number) {
    this.#totals.waiting += waiting - this.#waiting
    this.#waiting = waiting
  }

  /** Bytes of what waits, in memory and in the store. What was sent is bounded by the window instead. */
  get bytes(): number {
    return this.#bytes
  }

  set bytes(bytes: number) {
    this.#waitingBytes.used += bytes - this.#bytes
    this.#bytes = bytes
  }

  /** Whether nothing waits: what comes now may be sent now. */
  get drained(): boolean {
    return this.sendPosition === this.nextPosition
  }

  /** The first position in the store only that was not sent before, nor dropped by this process. */
  get firstUnsentStored(): number {
    return Math.max(this.residentEnd, this.recoveredSent, this.dropStoredFrom)
  }

  at(position: number): Entry | null {
    const ring = this.#ring
    return ring === null || position - this.base >= ring.length ? null : ring[position & this.#mask]!
  }

  /** Places in memory for entries. */
  get slots(): number {
    return this.#ring === null ? 0 : this.#ring.length
  }

  /** Appends behind everything that waits. Returns its position. */
  push(entry: Entry): number {
    const position = this.nextPosition++
    this.residentEnd = this.nextPosition
    this.#put(position, entry)
    return position
  }

  /** Takes a position for an entry that stays in the store only. */
  pushStored(): number {
    return this.nextPosition++
  }

  /** Puts an entry that was read from the store at its position, which must not be below `residentEnd`. */
  restore(position: number, entry: Entry): void {
    this.residentEnd = position + 1
    this.#put(position, entry)
  }

  replace(position: number, entry: Entry): void {
    this.#ring![position & this.#mask] = entry
  }

  /** Empties a position; `base` moves past the holes at the front. */
  clear(position: number): void {
    const ring = this.#ring!
    const entry = ring[position & this.#mask]
    if (entry != null) this.letGo(entry)
    ring[position & this.#mask] = null
    while (this.base < this.sendPosition && ring[this.base & this.#mask] === null) this.base++
    if (this.base < this.nextPosition) return
    // What was only estimated (`dropOldestStored`) is known now.
    this.waiting = 0
    this.resident = 0
    this.bytes = 0
    if (ring.length > 1024) this.#ring = null
  }

  /** Empties a position without moving anything. */
  forget(position: number): void {
    this.#ring![position & this.#mask] = null
  }

  /** Moves past an empty position that was to be sent next. */
  skip(): void {
    this.sendPosition++
    if (this.base === this.sendPosition - 1) this.base++
  }

  /**
   * Between what was sent and what waits a full log leaves a gap that grows with each entry it drops. What was sent moves up
   * by whole rounds of so many positions, after which packet identifiers repeat. Not for a log whose positions are in the store.
   */
  closeGap(round: number): void {
    const ring = this.#ring
    if (ring === null || this.dropFrom - this.base < 2 * round) return
    let last = this.dropFrom - 1
    while (last > this.base && this.at(last) === null) last--
    const moved = Math.floor((this.dropFrom - 1 - last) / round) * round
    if (moved === 0) return
    const sent = this.sendPosition > last
    for (let position = last; position >= this.base; position--) {
      const entry = ring[position & this.#mask]!
      ring[position & this.#mask] = null
      ring[(position + moved) & this.#mask] = entry
    }
    this.base += moved
    this.sendPosition = sent ? Math.max(this.sendPosition, last + moved + 1) : this.sendPosition + moved
  }

  /** The entry's message is kept no longer. */
  letGo({ message }: Entry): void {
    if (message === null) return
    this.residentBytes -= messageBytes(message)
    this.#budget.letGo(message)
  }

  /** All that is in memory is in the store too, and waits: from here on it is there alone. */
  unload(): void {
    let dense = this.denseFrom <= this.residentEnd
    for (let position = this.base; position < this.residentEnd; position++) {
      const entry = this.at(position)
      if (entry === null || entry.message === null) {
        if (position >= this.recoveredSent) dense = false
        continue
      }
      // Counted again when its page comes.
      const { message } = entry
      if (position < this.recoveredEnd) this.bytes -= messageBytes(message) - message.payload.length
      this.letGo(entry)
    }
    this.#ring = null
    this.residentEnd = this.base
    this.resident = 0
    this.storedExpiry = Math.min(this.storedExpiry, this.residentExpiry)
    this.residentExpiry = Infinity
    const { denseFrom } = this
    this.leaveHoles()
    if (dense) this.denseFrom = Math.min(denseFrom, Math.max(this.base, this.recoveredSent))
  }

  /** Its owner ended. Positions go on: they are never given twice. */
  abandon(): void {
    for (const entry of this.#ring ?? []) if (entry !== null) this.letGo(entry)
    this.#ring = null
    this.base = this.nextPosition
    this.sendPosition = this.nextPosition
    this.residentEnd = this.nextPosition
    this.waiting = 0
    this.resident = 0
    this.bytes = 0
  }

  /** An entry in memory does not wait any more. */
  taken(bytes: number): void {
    this.waiting--
    this.resident--
    this.bytes -= bytes
  }

  /** An entry in the store only does not wait any more. Positions up to `position` have gone, -1: this one alone. */
  takenStored(position: number, bytes: number): void {
    this.waiting--
    this.bytes = Math.max(0, this.bytes - bytes)
    if (position < 0) return
    this.dropStoredFrom = position + 1
    if (position !== this.residentEnd) return
    this.residentEnd++
    if (this.sendPosition === this.residentEnd - 1) this.skip()
  }

  /** Of what is in the store only, some has gone from the middle: what is left has to be searched for. */
  leaveHoles(): void {
    this.denseFrom = this.nextPosition
    this.searchFrom = 0
    this.found.length = 0
  }

  /** All is in memory: what was only estimated is known. */
  recount(): void {
    this.waiting = 0
    this.bytes = 0
    for (let position = this.sendPosition; position < this.residentEnd; position++) {
      const entry = this.at(position)
      if (entry === null || entry.message === null) continue
      this.waiting++
      this.bytes += messageBytes(entry.message)
    }
    this.resident = this.waiting
    this.storedExpiry = Infinity
  }

  /** Starts with what the store has: positions from `base` on, none resident. */
  recover(firstPosition: number, nextPosition: number, messages: number, bytes: number): void {
    this.base = firstPosition
    this.sendPosition = firstPosition
    this.residentEnd = firstPosition
    this.nextPosition = nextPosition
    this.recoveredEnd = nextPosition
    this.waiting = messages
    this.bytes = bytes
    this.denseFrom = messages === nextPosition - firstPosition ? firstPosition : nextPosition
    this.storedExpiry = messages > 0 ? -Infinity : Infinity
  }

  /** None of the positions that an earlier process sent goes to another message. Comes after `recover`. */
  recoverSent(): void {
    const end = this.recoveredSent
    this.marked = end
    if (end <= this.nextPosition) return
    this.denseFrom = end
    this.nextPosition = end
  }

  #put(position: number, entry: Entry): void {
    const { message } = entry
    if (message !== null) {
      this.residentBytes += messageBytes(message)
      this.#budget.hold(message)
    }
    const ring = this.#ring
    if (ring === null || position - this.base >= ring.length) this.#grow(position)
    this.#ring![position & this.#mask] = entry
  }

  #grow(position: number): void {
    const old = this.#ring
    let size = old === null ? ringSizeMin : old.length * 2
    while (position - this.base >= size) size *= 2
    const ring = new Array<Entry | null>(size).fill(null)
    if (old !== null) {
      const oldMask = old.length - 1
      for (let i = this.base; i < position && i < this.base + old.length; i++) ring[i & (size - 1)] = old[i & oldMask]!
    }
    this.#ring = ring
    this.#mask = size - 1
  }
}
