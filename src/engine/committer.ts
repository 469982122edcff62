/**
 * The journal's other end: hands the store one batch of turns at a time. While a batch is under way the next turns gather, so
 * that batches grow with the load and the cost per message falls.
 *
 * A turn that holds nothing but references whose recipients are connected waits up to `elisionWaitMs` for their
 * acknowledgements; when the last has come, it is as good as committed and its frames leave without any disk (see
 * `turn-journal.ts`). Everything else is handed over at once, up to `batchBytesMax`: what is beyond it waits for the next batch, since a
 * batch is written as one buffer, and nobody is served meanwhile.
 *
 * `committed` is a barrier that moves over the turns in order: past a turn once the store has it and every other leg that was
 * opened for it (`openLeg`) is done too, for instance a second place that has to have it. Each batch is committed at the
 * strictest level that a record in it asks for, so that it means for every turn: as safe as it has to be. A failed commit is
 * fatal: nothing is acknowledged any more.
 */

import type { DelayedPage, Durability, QueuePage, Store } from '../store/store.ts'
import type { Clock } from './clock.ts'
import { durabilityLevels, levelOf } from './durability.ts'
import type { Commits } from './engine.ts'
import { TurnJournal } from './turn-journal.ts'
import { pageBytesMax, pageMessagesMax, pageReadsMax, type TurnRecords } from './turn-records.ts'

export interface CommitterEvents {
  /** `committed` has moved on. */
  onCommit(): void
  onPage(page: QueuePage): void
  /** `use`: who asked for it. */
  onDelayedPage(page: DelayedPage, use: (page: DelayedPage) => void): void
  /** Nothing can be made safe any more. */
  onFatal(error: Error): void
  /** A batch is committed. */
  onBatch?(batch: { records: number; seconds: number }): void
}

export interface CommitterOptions {
  pendingBytesMax: number
  /** What commits have to survive where nobody demands anything else. */
  durability: Durability
  clock: Clock
  /** How long acknowledgements of recipients that are connected are waited for, to save the write. Default 2 ms. */
  elisionWaitMs?: number
  /** Of one batch, unless a single turn is larger. */
  batchBytesMax?: number
}

const elisionWaitMsDefault = 2
/** Packing so much takes a few milliseconds. */
const batchBytesMaxDefault = 8 * 1024 * 1024

export class Committer extends TurnJournal implements Commits {
  committed = 0
  readonly #store: Store
  readonly #events: CommitterEvents
  readonly #pendingBytesMax: number
  readonly #elisionWaitMs: number
  readonly #batchBytesMax: number
  #cancelWait: (() => void) | null = null
  #flyingBytes = 0
  /** The store has every turn up to this one, or it needs no store. */
  #stored = 0
  /** Turns with legs that are not done, in order. */
  readonly #legs: { ticket: number; open: number }[] = []
  #flying = false
  #failure: Error | null = null
  #hurry = false
  /** Pages being read. */
  #pageReads = 0
  batches = 0
  /** Whoever waits for a commit, by ticket. */
  #waiters: { ticket: number; resolve: () => void; reject: (error: Error) => void }[] = []

  constructor(store: Store, events: CommitterEvents, options: CommitterOptions) {
    super(store.durable, options.clock, levelOf(options.durability))
    this.#elisionWaitMs = options.elisionWaitMs ?? elisionWaitMsDefault
    this.#batchBytesMax = options.batchBytesMax ?? batchBytesMaxDefault
    this.#store = store
    this.#events = events
    this.#pendingBytesMax = options.pendingBytesMax
  }

  set nextMessageId(id: number) {
    this.packer.nextMessageId = id
  }

  get failed(): boolean {
    return this.#failure !== null
  }

  get backlogged(): boolean {
    return this.pendingBytes + this.#flyingBytes > this.#pendingBytesMax
  }

  endTurn(): void {
    this.seal()
    this.#advance()
  }

  /** Resolves when everything appended so far is committed, whatever is appended meanwhile; rejects when it can't be. */
  async settled(): Promise<void> {
    this.#hurry = true
    this.endTurn()
    const ticket = this.ticket - 1
    if (this.committed >= ticket) return
    if (this.#failure !== null) throw this.#failure
    await new Promise<void>((resolve, reject) => this.#waiters.push({ ticket, resolve, reject }))
  }

  /** Commits what needs no disk, and hands over what has to go and waits no longer. */
  #advance(): void {
    if (this.#flying || this.#failure !== null) return
    if (this.pages.length > 0 || this.delayedReads.length > 0) {
      // A page is read behind everything that was appended before it was asked for.
      this.seal()
      this.#hurry = true
    }
    const before = this.committed
    while (this.sealed.length > 0 && this.sealed[0]!.live === 0) {
      const turn = this.sealed.shift()!
      this.pendingBytes -= turn.bytes
      this.handedOver = turn.ticket
      this.#stored = turn.ticket
    }
    this.#moveBarrier()
    const due = this.#due()
    if (due > 0) this.#handOver(this.sealed.splice(0, due))
    this.#readPages()
    this.#readDelayed()
    if (this.committed > before) this.#onMoved()
    this.#arm()
  }

  /**
   * The turn being gathered counts as committed only when what is returned was called too, once. Records may be empty: what
   * waits for this turn waits for the leg alone then.
   */
  openLeg(): () => void {
    const { ticket } = this
    let turn = this.#legs.at(-1)
    if (turn?.ticket !== ticket) {
      turn = { ticket, open: 0 }
      this.#legs.push(turn)
    }
    const own = turn
    own.open++
    this.appended++
    this.current.hasLegs = true
    return () => {
      own.open--
      const before = this.committed
      this.#moveBarrier()
      if (this.committed > before && this.#failure === null) this.#onMoved()
    }
  }

  #moveBarrier(): void {
    const legs = this.#legs
    while (legs.length > 0 && legs[0]!.open === 0) legs.shift()
    this.committed = legs.length === 0 ? this.#stored : Math.min(this.#stored, legs[0]!.ticket - 1)
  }

  #onMoved(): void {
    this.#events.onCommit()
    while (this.#waiters.length > 0 && this.#waiters[0]!.ticket <= this.committed) this.#waiters.shift()!.resolve()
  }

  /** How many turns from the oldest on are to be handed over now. */
  #due(): number {
    const { sealed } = this
    let due = sealed.length
    if (!this.#hurry) {
      const now = this.time.now()
      while (due > 0 && this.#mayWait(sealed[due - 1]!, now)) due--
    }
    const fitting = this.#fitting(due)
    if (fitting === sealed.length) this.#hurry = false
    return fitting
  }

  /** How many of the oldest turns one batch takes: one at least. */
  #fitting(due: number): number {
    let bytes = 0
    for (let turn = 0; turn < due; turn++) {
      bytes += this.sealed[turn]!.bytes
      if (bytes > this.#batchBytesMax && turn > 0) return turn
    }
    return due
  }

  /** A turn that was sealed in the future does not wait: the clock was set back. */
  #mayWait({ urgent, sealedAt }: TurnRecords, now: number): boolean {
    return !urgent && sealedAt > now - this.#elisionWaitMs && sealedAt <= now
  }

  #arm(): void {
    if (this.#cancelWait !== null || this.#flying || this.sealed.length === 0) return
    this.#cancelWait = this.time.after(this.#elisionWaitMs, () => {
      this.#cancelWait = null
      this.#advance()
    })
  }

  #handOver(turns: readonly TurnRecords[]): void {
    const packer = this.packer
    let bytes = 0
    let level = 0
    for (const turn of turns) {
      bytes += turn.bytes
      level = Math.max(level, turn.level)
    }
    this.pendingBytes -= bytes
    this.#flyingBytes = bytes
    this.handedOver = turns[turns.length - 1]!.ticket
    this.#flying = true
    this.batches++
    let records = 0
    try {
      for (const turn of turns) {
        records += turn.records.length
        for (const record of turn.records) {
          if (typeof record === 'function') record(packer)
          else if (!record.elided) packer.reference(record)
        }
      }
      const begunAt = performance.now()
      this.#store.commit(packer.take(), durabilityLevels[level]!).then(
        () => {
          this.#events.onBatch?.({ records, seconds: (performance.now() - begunAt) / 1000 })
          this.#onCommitted()
        },
        (error: unknown) => this.fail(error),
      )
    } catch (error) {
      this.fail(error)
    }
  }

  #onCommitted(): void {
    this.#flying = false
    this.#flyingBytes = 0
    this.#stored = this.handedOver
    this.#moveBarrier()
    this.#onMoved()
    this.#advance()
  }

  /** Nothing more is handed over. */
  fail(cause: unknown): void {
    if (this.#failure !== null) return
    const error = cause instanceof Error ? cause : new Error(String(cause))
    this.#failure = error
    this.#events.onFatal(error)
    for (const { reject } of this.#waiters.splice(0)) reject(error)
  }

  #readDelayed(): void {
    for (const { query, use } of this.delayedReads.splice(0, this.#readable(this.delayedReads))) {
      this.#pageReads++
      this.#store.readDelayed(query).then(
        (page) => this.#onDelayedPage(page, use),
        (error: unknown) => this.fail(error),
      )
    }
  }

  /**
   * Those before whose asking nothing waits to be handed over. A commit waits behind the reads under way: when a thousand sessions come back at once, the
   * others wait here.
   */
  #readable(requests: readonly { readonly ticket: number }[]): number {
    const waiting = this.sealed.length === 0 ? Infinity : this.sealed[0]!.ticket
    const due = requests.findIndex(({ ticket }) => ticket >= waiting)
    return Math.min(pageReadsMax - this.#pageReads, due < 0 ? requests.length : due)
  }

  #readPages(): void {
    for (const { owner, fromPosition, sharedFilter } of this.pages.splice(0, this.#readable(this.pages))) {
      this.#pageReads++
      this.#store.readQueue(owner.number, fromPosition, pageMessagesMax, pageBytesMax, sharedFilter).then(
        (page) => this.#onPage(page),
        (error: unknown) => this.fail(error),
      )
    }
  }

  #onPage(page: QueuePage): void {
    this.#pageReads--
    this.#events.onPage(page)
    this.#readOn()
  }

  #onDelayedPage(page: DelayedPage, use: (page: DelayedPage) => void): void {
    this.#pageReads--
    this.#events.onDelayedPage(page, use)
    this.#readOn()
  }

  #readOn(): void {
    if (this.pages.length > 0 || this.delayedReads.length > 0) this.#advance()
  }
}
