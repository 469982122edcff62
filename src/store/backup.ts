/**
 * Copies of the store: out of it while it's in use, and back into a data directory that nobody uses.
 *
 * A backup is one read transaction (`VACUUM INTO`): the state of one moment, compact, whatever is committed meanwhile. It
 * is written under another name, forced to the disk and then renamed, so that a file with the right name is whole. How a restore puts it
 * in place: `replacement.ts`.
 */
import { chmodSync, copyFileSync, existsSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { checkLogUnlessInUse } from './log-check.ts'
import { clearRestoring, finishReplacement, replaceDatabase, syncFile } from './replacement.ts'
import {
  checkHeaderOf,
  databasePath,
  lockDataDir,
  makePrivateFile,
  prepareDataDir,
  storeError,
  syncDirectory,
} from './sqlite-files.ts'
import { applicationId, migrations } from './sqlite-schema.ts'
import { StoreError } from './store.ts'

export interface BackupReport {
  file: string
  bytes: number
}

/** Works while the gateway runs. Throws a `StoreError`; an existing file is replaced only with `overwrite`. */
export function backupStore(dataDir: string, file: string, { overwrite = false } = {}): BackupReport {
  const path = databasePath(dataDir)
  const target = resolve(file)
  if (!existsSync(path))
    throw new StoreError('io', `${path} does not exist: there is nothing to back up in ${dataDir}.`)
  if (existsSync(target) && !overwrite) {
    throw new StoreError('io', `${file} exists: choose another name`)
  }
  const partial = `${target}.partial`
  try {
    rmSync(partial, { force: true })
    checkLogUnlessInUse(dataDir)
    makePrivateFile(partial)
    const database = new Database(path, { fileMustExist: true })
    try {
      database.prepare('VACUUM INTO ?').run(partial)
    } finally {
      database.close()
    }
    requireWhole(partial, 'quick_check')
    syncFile(partial)
    renameSync(partial, target)
    syncDirectory(dirname(target))
  } catch (error) {
    rmSync(partial, { force: true })
    throw copyError(error, file, dataDir)
  }
  return { file: target, bytes: statSync(target).size }
}

export interface RestoreReport {
  path: string
  bytes: number
  /** Where the files that were there went, or undefined. */
  replaced: string | undefined
}

/** Puts a backup in the place of the database. What was there is moved into a folder beside it. Throws a `StoreError`. */
export function restoreStore(file: string, dataDir: string, now = new Date()): RestoreReport {
  if (!existsSync(file)) throw new StoreError('io', `${file} does not exist.`)
  try {
    checkHeaderOf(file, dataDir)
    requireOurs(file)
    requireWhole(file, 'integrity_check')
    prepareDataDir(dataDir)
    const lock = lockDataDir(dataDir)
    try {
      finishReplacement(dataDir)
      const restoring = clearRestoring(dataDir)
      copyFileSync(file, restoring)
      chmodSync(restoring, 0o600)
      const replaced = replaceDatabase(dataDir, 'replaced', now)
      return { path: databasePath(dataDir), bytes: statSync(databasePath(dataDir)).size, replaced }
    } finally {
      lock.release()
    }
  } catch (error) {
    throw copyError(error, file, dataDir)
  }
}

function requireOurs(file: string): void {
  const database = new Database(file, { readonly: true })
  try {
    const version = database.pragma('user_version', { simple: true }) as number
    if (database.pragma('application_id', { simple: true }) !== applicationId) {
      throw new StoreError('version', `${file} is a SQLite database, but no backup made by mqtide.`)
    }
    if (version > migrations.length) {
      throw new StoreError(
        'version',
        `${file} has schema version ${version}, and this mqtide knows versions up to ${migrations.length}. ` +
          'Restore it with the mqtide that made it, or a newer one.',
      )
    }
  } finally {
    database.close()
  }
}

function requireWhole(file: string, check: 'quick_check' | 'integrity_check'): void {
  const database = new Database(file, { readonly: true })
  try {
    const finding = database.pragma(`${check}(1)`, { simple: true }) as string
    if (finding !== 'ok') throw new StoreError('corrupt', `${file} is damaged: ${finding}. It was not used.`)
  } finally {
    database.close()
  }
}

function copyError(error: unknown, file: string, dataDir: string): Error {
  const translated = storeError(error, file, dataDir)
  if (translated instanceof StoreError || (error as NodeJS.ErrnoException).code === undefined) return translated
  return new StoreError('io', `${file}: ${translated.message}`, { cause: error })
}
