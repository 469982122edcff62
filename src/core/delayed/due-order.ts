/**
 * The delayed messages of one clock, by when they are due.
 *
 * Those of the next hour are in memory, as far as they fit there; all others are in the store alone and are read page by page as
 * time goes on. Everything up to `end` is in memory. With a store that keeps nothing everything is.
 *
 * Pages are read behind everything that was recorded before they were asked for. What comes and goes while one is on its way is
 * noted: the page may have it or not.
 */
import { Deadline, Deadlines } from '../deadlines.ts'
import type { DelayClock, DelayedPlace } from '../ports/inspection.ts'
import type { Journal } from '../ports/journal.ts'
import type { RecoveredDelayedPage } from '../ports/recovered.ts'
import { type DelayedMessage, delayedBytes, isEarlier } from './delayed-message.ts'

/** How far ahead messages are read. */
const aheadMs = 3_600_000
/** In memory, of one clock; beyond either the later half goes back to the store. */
export const residentDelayedMessagesMax = 10_000
export const residentDelayedBytesMax = 32 * 1024 * 1024
const pageMessagesMax = 1000
const pageBytesMax = 1024 * 1024

const start: DelayedPlace = { dueAt: -Infinity, id: 0 }
const everything: DelayedPlace = { dueAt: Infinity, id: Infinity }

/** Its place among those in memory. */
class Resident extends Deadline {
  readonly delayed: DelayedMessage

  constructor(delayed: DelayedMessage) {
    super(() => {})
    this.delayed = delayed
    this.order = delayed.id
  }
}

export interface DueOrderContext {
  readonly clock: DelayClock
  readonly journal: Journal
  /** Milliseconds on that clock. */
  now(): number
  recovered(page: RecoveredDelayedPage): DelayedMessage[]
  /** More of it is in memory. */
  onPage(): void
}

export class DueOrder {
  readonly #context: DueOrderContext
  readonly #residents = new Map<number, Resident>()
  readonly #heap = new Deadlines()
  #residentBytes = 0
  /** In the store alone. */
  #storedOnly = 0
  #end = everything
  #reading = false
  /** What is read no longer follows on what is in memory. */
  #void = false
  /** While a page is on its way: what went, and what came behind what is in memory. */
  readonly #gone = new Set<number>()
  #come: DelayedMessage[] = []

  constructor(context: DueOrderContext) {
    this.#context = context
  }

  /** The store has so many more, which are not in memory. */
  recover(messages: number): void {
    this.#storedOnly += messages
    this.#end = start
  }

  get first(): DelayedMessage | undefined {
    return (this.#heap.first as Resident | undefined)?.delayed
  }

  get residentMessages(): number {
    return this.#residents.size
  }

  get residentBytes(): number {
    return this.#residentBytes
  }

  /** What is due later than this may not be in memory; Infinity: everything is. */
  get completeUntil(): number {
    return this.#end.dueAt
  }

  /** Of those in memory, behind a place and in order. */
  behind(place: DelayedPlace, messagesMax: number): DelayedMessage[] {
    const kept: DelayedMessage[] = []
    const shorten = () => kept.sort((a, b) => (isEarlier(a, b) ? -1 : 1)).splice(messagesMax)
    for (const { delayed } of this.#residents.values()) {
      if (isEarlier(place, delayed)) kept.push(delayed)
      if (kept.length >= 4 * messagesMax) shorten()
    }
    shorten()
    return kept
  }

  get(id: number): DelayedMessage | undefined {
    return this.#residents.get(id)?.delayed
  }

  /** Whether it would be in memory if it were there. */
  covers(place: DelayedPlace): boolean {
    return !isEarlier(this.#end, place)
  }

  add(delayed: DelayedMessage): void {
    if (!this.covers(delayed)) {
      this.#storedOnly++
      if (this.#reading) this.#come.push(delayed)
      return
    }
    this.#keep(delayed)
    const full =
      this.#residents.size > residentDelayedMessagesMax ||
      (this.#residentBytes > residentDelayedBytesMax && this.#residents.size > 1)
    if (full && this.#context.journal.durable) this.#giveBack()
  }

  /** It is no longer to come. */
  remove(id: number): void {
    if (this.#reading) this.#gone.add(id)
    const resident = this.#residents.get(id)
    if (resident === undefined) this.#storedOnly--
    else this.#forget(resident)
  }

  /** Asks for what comes next where that is due within the hour, and there is room for it. */
  look(): void {
    if (this.#reading) return
    if (this.#storedOnly === 0) {
      this.#end = everything
      return
    }
    if (this.#isHalfFull || this.#context.now() < this.#lookAt) return
    const untilDueAt = this.#context.now() + aheadMs
    const { clock, journal } = this.#context
    const query = { clock, after: this.#end, untilDueAt, messagesMax: pageMessagesMax, bytesMax: pageBytesMax }
    this.#reading = true
    journal.requestDelayed(query, (page) => this.#onPage(page, untilDueAt))
  }

  /** When the next page is to be asked for, on its clock; Infinity: not before something else has happened. */
  get nextLookAt(): number {
    return this.#storedOnly > 0 && !this.#reading && !this.#isHalfFull ? this.#lookAt : Infinity
  }

  /** Half an hour before what is in memory ends. */
  get #lookAt(): number {
    return this.#end.dueAt - aheadMs / 2
  }

  get #isHalfFull(): boolean {
    return this.#residents.size > residentDelayedMessagesMax / 2 || this.#residentBytes > residentDelayedBytesMax / 2
  }

  #onPage(page: RecoveredDelayedPage, untilDueAt: number): void {
    this.#reading = false
    const last = page.entries.at(-1)
    if (!this.#void) {
      this.#end = page.more && last !== undefined ? last : { dueAt: untilDueAt, id: Infinity }
      for (const delayed of [...this.#context.recovered(page), ...this.#come]) {
        const isKnown = this.#gone.has(delayed.id) || this.#residents.has(delayed.id)
        if (isKnown || !this.covers(delayed)) continue
        this.#storedOnly--
        this.#keep(delayed)
      }
    }
    this.#void = false
    this.#gone.clear()
    this.#come = []
    this.#context.onPage()
  }

  #keep(delayed: DelayedMessage): void {
    const resident = new Resident(delayed)
    this.#residents.set(delayed.id, resident)
    this.#residentBytes += delayedBytes(delayed)
    this.#heap.set(resident, delayed.dueAt)
  }

  #forget(resident: Resident): void {
    this.#residents.delete(resident.delayed.id)
    this.#residentBytes -= delayedBytes(resident.delayed)
    this.#heap.clear(resident)
  }

  /** The later half leaves memory, or more of it where it is the large ones that are late. */
  #giveBack(): void {
    const sorted = [...this.#residents.values()].sort((a, b) => (isEarlier(a.delayed, b.delayed) ? -1 : 1))
    let kept = 0
    let bytes = 0
    for (const { delayed } of sorted) {
      bytes += delayedBytes(delayed)
      if (kept > 0 && (kept >= residentDelayedMessagesMax / 2 || bytes > residentDelayedBytesMax / 2)) break
      kept++
    }
    for (const resident of sorted.slice(kept)) {
      this.#forget(resident)
      this.#storedOnly++
    }
    this.#end = sorted[kept - 1]!.delayed
    this.#void = this.#reading
  }
}
