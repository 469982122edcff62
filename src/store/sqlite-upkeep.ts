/**
 * When the database's upkeep runs: between calls, in slices, so that a commit never waits for more than one.
 *
 * The owner says `touched` after each commit. Upkeep starts in the next iteration of the event loop, where a commit that
 * has arrived meanwhile goes first, and continues until nothing is left. What batches at `none` left open is committed
 * within `deferredCommitMs`. A failure is reported once; the database refuses everything from then on.
 */
import { isFull } from './disk-room.ts'
import { deferredCommitMs, type SqliteDatabase } from './sqlite-database.ts'

export class SqliteUpkeep {
  readonly #database: SqliteDatabase
  readonly #onFailure: (error: Error) => void
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(database: SqliteDatabase, onFailure: (error: Error) => void) {
    this.#database = database
    this.#onFailure = onFailure
  }

  touched(): void {
    if (this.#database.hasDeferred) {
      this.#timer ??= setTimeout(() => this.#commitDeferred(), deferredCommitMs)
    } else this.#immediate ??= setImmediate(() => this.#slice())
  }

  stop(): void {
    clearImmediate(this.#immediate)
    clearTimeout(this.#timer)
  }

  #slice(): void {
    this.#immediate = undefined
    try {
      if (this.#database.upkeep()) this.touched()
    } catch (error) {
      this.#onFailure(error as Error)
    }
  }

  #commitDeferred(): void {
    this.#timer = undefined
    try {
      this.#database.commitDeferred()
      this.touched()
    } catch (error) {
      if (isFull(error)) this.touched()
      else this.#onFailure(error as Error)
    }
  }
}
