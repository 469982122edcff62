/**
 * Runs that can't be read: a checksum that is wrong, entries that are no entries, a page that SQLite finds broken.
 *
 * Such a run is set aside, which costs one session up to 256 messages, and everybody else nothing. Its row stays where it is, untouched,
 * for whoever wants to look; from now on it is passed over. `check-store` still finds it, a quarantine leaves it behind.
 */
import type { Database } from 'better-sqlite3'
import { DamagedRowError, type DamageReport } from '../store.ts'

export const notSetAside = 'NOT IN (SELECT run FROM set_aside)'

/** Whether it is damage to what was read, and no other fault. */
export function isDamage(error: unknown): error is Error {
  return error instanceof DamagedRowError || String((error as { code?: unknown }).code).startsWith('SQLITE_CORRUPT')
}

export class DamagedRuns {
  readonly #put
  readonly #messages
  readonly #onDamage: (report: DamageReport) => void

  constructor(database: Database, onDamage: (report: DamageReport) => void) {
    this.#put = database.prepare('INSERT OR IGNORE INTO set_aside VALUES (?, ?, ?)')
    this.#messages = database.prepare('SELECT messages FROM queue_run WHERE id = ?').pluck()
    this.#onDamage = onDamage
  }

  setAside(run: number, session: number, error: Error): void {
    this.#put.run(run, session, error.message)
    this.#onDamage({ session, messages: this.#count(run), finding: error.message })
  }

  /** One message's body, which others may name too, can't be read. */
  passOver(session: number, error: Error): void {
    this.#onDamage({ session, messages: 1, finding: error.message })
  }

  /** As far as its row says, 0 if it does not. */
  #count(run: number): number {
    try {
      return (this.#messages.get(run) as number | undefined) ?? 0
    } catch (error) {
      if (isDamage(error)) return 0
      throw error
    }
  }
}
