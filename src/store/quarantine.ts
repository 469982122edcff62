/**
 * Starting again after damage: the database is moved aside whole, and what can be read of it goes into a new one.
 *
 * Rows are read in the order of their key until SQLite meets a damaged page; then from the other end, and, where the key is
 * one number, from beyond the damage in growing steps. A queue entry without its body, or without its session, can't be
 * delivered and is counted as lost. How many rows stood in pages that can't be read is unknown: the report says
 * where reading failed. The original stays in the quarantine folder for whoever wants to try more.
 */
import { existsSync, rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { countsOf, damagedRuns, disagreementsOf, repairDisagreements, type StoreCounts } from './check.ts'
import { damageInLog, textOfDamage } from './log-check.ts'
import { logOrigin } from './log-origin.ts'
import { copyWithLog } from './log-salvage.ts'
import { tables } from './records/tables.ts'
import { clearRestoring, finishReplacement, replaceDatabase } from './replacement.ts'
import { databasePath, lockDataDir, prepareDataDir, storeError } from './sqlite-files.ts'
import { applicationId, migrate, migrations } from './sqlite-schema.ts'
import { StoreError } from './store.ts'

export interface QuarantineReport {
  /** The folder that now holds the damaged files, or undefined if there were none. */
  movedTo: string | undefined
  kept: StoreCounts
  /** What is gone, in words; empty if every row could be read. */
  lost: string[]
}

/** Throws a `StoreError` if the directory is in use, or the database is whole but of a newer version. */
export function quarantineStore(dataDir: string, now = new Date()): QuarantineReport {
  const path = databasePath(dataDir)
  prepareDataDir(dataDir)
  const lock = lockDataDir(dataDir)
  try {
    finishReplacement(dataDir)
    const salvaged = new Database(clearRestoring(dataDir))
    let lost: string[]
    let kept: StoreCounts
    try {
      salvaged.pragma('page_size = 8192')
      salvaged.pragma('auto_vacuum = INCREMENTAL')
      lost = salvageWithLog(path, salvaged)
      kept = countsOf(salvaged)
    } finally {
      salvaged.close()
    }
    const movedTo = replaceDatabase(dataDir, 'quarantine', now)
    return { movedTo, kept, lost }
  } catch (error) {
    throw storeError(error, path, dataDir)
  } finally {
    lock.release()
  }
}

/** Where the log is damaged, from a copy that has all of it. */
function salvageWithLog(path: string, into: Database.Database): string[] {
  const walPath = `${path}-wal`
  const damage = existsSync(path) ? damageInLog(walPath, logOrigin(path)) : undefined
  if (damage === undefined) return salvage(path, into)
  const copy = `${path}.salvaging`
  try {
    copyWithLog(path, copy)
    const text = 'what could be read behind the damage was kept'
    return [`part of a transaction: ${textOfDamage(walPath, damage)} ${text}`, ...salvage(copy, into)]
  } finally {
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${copy}${suffix}`, { force: true })
  }
}

function salvage(path: string, into: Database.Database): string[] {
  let damaged: Database.Database | undefined
  try {
    if (!existsSync(path)) throw new Error(`${path} is missing, and its log alone says nothing`)
    damaged = new Database(path, { readonly: true, fileMustExist: true })
    const version = knownVersion(damaged, path)
    migrate(into, into.name, migrations.slice(0, version))
    return new Salvage(damaged, into, version).run()
  } catch (error) {
    if (error instanceof StoreError) throw error
    migrate(into, into.name)
    return [`everything: ${(error as Error).message}`]
  } finally {
    damaged?.close()
  }
}

/** The newest if the file does not say. */
function knownVersion(database: Database.Database, path: string): number {
  const version = database.pragma('user_version', { simple: true }) as number
  const application = database.pragma('application_id', { simple: true }) as number
  if (application === applicationId && version > migrations.length) {
    throw new StoreError('version', `${path} has schema version ${version}: start the newer mqtide that wrote it.`)
  }
  return application === applicationId && version > 0 ? version : migrations.length
}

class Salvage {
  readonly #from: Database.Database
  readonly #into: Database.Database
  readonly #version: number
  readonly #lost: string[] = []

  /** `into` has the tables of `version`. */
  constructor(from: Database.Database, into: Database.Database, version: number) {
    this.#from = from
    this.#into = into
    this.#version = version
  }

  run(): string[] {
    this.#into.exec('BEGIN')
    if (this.#version === 1) this.#bothEnds('queue', 'session, position')
    for (const { name, key } of tables) {
      if (!this.#exists(name)) continue
      const present = key.filter((column) => this.#hasColumn(name, column))
      if (present.length === 1 && name !== 'retained') this.#byNumber(name, present[0]!)
      else this.#bothEnds(name, present.join(', '))
    }
    this.#into.exec('COMMIT')
    migrate(this.#into, this.#into.name)
    this.#dropDamagedRuns()
    this.#settle()
    return this.#lost
  }

  /** An older version may have no such table, or a shorter key. */
  #exists(table: string): boolean {
    return this.#into.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`).get(table) !== undefined
  }

  #hasColumn(table: string, column: string): boolean {
    return (this.#into.pragma(`table_info(${table})`) as { name: string }[]).some(({ name }) => name === column)
  }

  /** Tables whose key is one number: beyond damage, reading goes on in growing steps. */
  #byNumber(table: string, key: string): void {
    const insert = this.#insert(table)
    let failures = 0
    for (let from = 0, step = 1; from <= Number.MAX_SAFE_INTEGER; ) {
      try {
        const rows = this.#from.prepare(`SELECT * FROM ${table} WHERE ${key} >= ? ORDER BY ${key}`).raw()
        for (const row of rows.iterate(from) as IterableIterator<unknown[]>) {
          insert(row)
          from = (row[0] as number) + 1
          step = 1
        }
        break
      } catch (error) {
        if (failures++ === 0) this.#lost.push(`part of ${table}: ${(error as Error).message}`)
        from += step
        step *= 2
      }
    }
  }

  /** Other tables: up to the damage from one end, then from the other. */
  #bothEnds(table: string, key: string): void {
    const insert = this.#insert(table)
    const descending = key.replaceAll(/\w+/g, (column) => `${column} DESC`)
    for (const order of [key, descending]) {
      try {
        const rows = this.#from.prepare(`SELECT * FROM ${table} ORDER BY ${order}`).raw()
        for (const row of rows.iterate() as IterableIterator<unknown[]>) insert(row)
        return
      } catch (error) {
        if (order === key) this.#lost.push(`part of ${table}: ${(error as Error).message}`)
      }
    }
  }

  /** A damaged row that breaks a column's type is left out like one that can't be read. */
  #insert(table: string): (row: unknown[]) => void {
    const columns = (this.#into.pragma(`table_info(${table})`) as unknown[]).length
    const statement = this.#into.prepare(
      `INSERT OR IGNORE INTO ${table} VALUES (${Array(columns).fill('?').join(', ')})`,
    )
    return (row) => {
      try {
        statement.run(...row)
      } catch (error) {
        if (!String((error as { code?: string }).code).startsWith('SQLITE_CONSTRAINT')) throw error
        this.#lost.push(`a row of ${table}: ${(error as Error).message}`)
      }
    }
  }

  #dropDamagedRuns(): void {
    const drop = this.#into.prepare('DELETE FROM queue_run WHERE id = ?')
    for (const { run, messages, finding } of damagedRuns(this.#into)) {
      this.#lost.push(`${messages} queued messages: ${finding}`)
      drop.run(run)
    }
  }

  #settle(): void {
    const { missingMessages, rowsWithoutSession, orphanedMessages } = disagreementsOf(this.#into)
    if (missingMessages > 0) this.#lost.push(`${missingMessages} messages that were queued or retained`)
    if (rowsWithoutSession > 0) this.#lost.push(`${rowsWithoutSession} rows of sessions that could not be read`)
    if (orphanedMessages > 0) this.#lost.push(`the recipients of ${orphanedMessages} messages`)
    repairDisagreements(this.#into)
    // A number must not be given twice, not even one whose row was lost.
    const counter = this.#counter()
    this.#into
      .prepare(
        `UPDATE counter SET
          next_session_number = max(?, (SELECT coalesce(max(number), 0) + 1 FROM session)),
          next_message_id = max(?, (SELECT coalesce(max(id), 0) + 1 FROM message))`,
      )
      .run(counter[0], counter[1])
  }

  #counter(): [session: number, message: number] {
    try {
      return this.#from.prepare('SELECT next_session_number, next_message_id FROM counter').raw().get() as [
        number,
        number,
      ]
    } catch {
      return [1, 1]
    }
  }
}
