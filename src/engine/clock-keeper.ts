/**
 * Keeps in the store what the next process needs to go on with the same clock: how far it is, once a minute in which something was
 * stored, and by how much the system's clock is ahead of it, as soon as that has changed.
 */
import { type Clock, wallOffset } from './clock.ts'

const lookEveryMs = 10_000
const storeEveryMs = 60_000
/** Less than this is how clocks are corrected in passing. */
const jumpMsMin = 2_000

export interface ClockRecords {
  /** Changes when something was stored. */
  readonly appended: number
  clock(time: number, wallOffset: number): void
}

export interface ClockKeeperContext {
  clock: Clock
  records: ClockRecords
  /** Runs it within a turn. */
  inTurn(action: () => void): void
  warn(fields: object, text: string): void
}

export class ClockKeeper {
  readonly #context: ClockKeeperContext
  #offset: number
  #storedAt: number
  #appended: number
  #cancel: (() => void) | null = null

  /** `offset`: that of the last process; null: there was none. */
  constructor(context: ClockKeeperContext, offset: number | null) {
    this.#context = context
    this.#offset = offset ?? 0
    this.#storedAt = offset === null ? -Infinity : context.clock.now()
    this.#appended = context.records.appended
  }

  start(): void {
    this.#look()
    this.#cancel = this.#context.clock.after(lookEveryMs, () => this.start())
  }

  stop(): void {
    this.#cancel?.()
    this.#look(0)
  }

  #look(storeAfterMs = storeEveryMs): void {
    const { clock, records, warn } = this.#context
    const offset = wallOffset(clock)
    const jumped = Math.abs(offset - this.#offset) >= jumpMsMin
    if (jumped) {
      const fields = { byMs: offset - this.#offset, systemClock: new Date(clock.now() + offset).toISOString() }
      warn(
        fields,
        'the clock of the system was set: connections, sessions and messages keep the time that they had left',
      )
    }
    const isNew = this.#storedAt === -Infinity
    const due = clock.now() - this.#storedAt >= storeAfterMs && records.appended !== this.#appended
    if (jumped || due || isNew) this.#store(offset)
  }

  #store(offset: number): void {
    const { clock, records, inTurn } = this.#context
    this.#offset = offset
    this.#storedAt = clock.now()
    inTurn(() => records.clock(this.#storedAt, offset))
    this.#appended = records.appended
  }
}
