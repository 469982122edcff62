/**
 * Fills a store from elsewhere, all or nothing: into a database beside the one that is there, which takes its place when it is whole
 * (`replacement.ts`). What the store had stays in it; a namespace that has something already is not mixed with what comes.
 */
import { existsSync, rmSync } from 'node:fs'
import Database from 'better-sqlite3'
import { checkLog } from '../log-check.ts'
import { clearRestoring, finishReplacement, replaceDatabase } from '../replacement.ts'
import {
  checkFiles,
  databasePath,
  fileBytes,
  lockDataDir,
  prepareDataDir,
  restoringPath,
  storeError,
} from '../sqlite-files.ts'
import { pageBytes } from '../sqlite-open.ts'
import { migrate } from '../sqlite-schema.ts'
import { StoreError } from '../store.ts'
import { type ImportCounts, ImportTarget } from './import-target.ts'

export interface ImportOrder {
  dataDir: string
  file: string
  /** The namespace that gets everything; undefined: each its own. */
  into: string | undefined
  /** Look only: the store stays as it is. */
  dryRun: boolean
}

export interface ImportReport {
  path: string
  counts: ImportCounts
  /** Where the files that were there went. */
  replaced: string | undefined
  /** What the source has and the store can't have, in words. */
  leftOut: string[]
}

/** Says what it has to the target, in order, and returns what it leaves out. Throws a `SourceFault` for what can't be read. */
export type ImportSource = (file: string, target: ImportTarget) => string[]

/** What is wrong with a source, with its place in it. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault'
}

/** Throws a `StoreError`; the store is as it was then. */
export function importInto(
  { dataDir, file, into, dryRun }: ImportOrder,
  source: ImportSource,
  now = new Date(),
): ImportReport {
  if (!existsSync(file)) throw new StoreError('io', `${file} does not exist.`)
  const path = databasePath(dataDir)
  prepareDataDir(dataDir)
  const lock = lockDataDir(dataDir)
  try {
    finishReplacement(dataDir)
    const database = openCopy(dataDir)
    let leftOut: string[]
    let target: ImportTarget
    try {
      target = new ImportTarget(database, into)
      leftOut = source(file, target)
      target.end()
    } finally {
      database.close()
    }
    const replaced = dryRun ? undefined : replaceDatabase(dataDir, 'replaced', now)
    return { path, counts: target.counts, replaced, leftOut }
  } catch (error) {
    throw importError(error, file, dataDir)
  } finally {
    rmSync(restoringPath(dataDir), { force: true })
    lock.release()
  }
}

/** A database of this version beside the one that is there, with what that has. It is thrown away whole if anything fails. */
function openCopy(dataDir: string): Database.Database {
  const path = databasePath(dataDir)
  const hasStore = fileBytes(path) > 0
  if (hasStore) {
    checkFiles(dataDir)
    checkLog(dataDir)
  }
  const copy = clearRestoring(dataDir)
  if (hasStore) {
    const present = new Database(path, { fileMustExist: true })
    try {
      present.prepare('VACUUM INTO ?').run(copy)
    } finally {
      present.close()
    }
  }
  const database = new Database(copy)
  try {
    database.pragma(`page_size = ${pageBytes}`)
    if (!hasStore) database.pragma('auto_vacuum = INCREMENTAL')
    database.pragma('journal_mode = OFF')
    database.pragma('synchronous = OFF')
    migrate(database, copy)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function importError(error: unknown, file: string, dataDir: string): Error {
  if (error instanceof SourceFault) {
    return new StoreError('corrupt', `${file}: ${error.message}. Nothing was imported.`, { cause: error })
  }
  const translated = storeError(error, databasePath(dataDir), dataDir)
  if (translated instanceof StoreError || (error as NodeJS.ErrnoException).syscall === undefined) return translated
  return new StoreError('io', `${file}: ${translated.message}`, { cause: error })
}
