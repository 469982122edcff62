/**
 * Puts another database in the place of the one that is there, which goes into a folder of its own. An interruption at any
 * point leaves either the old database as it was, or a new one that the next start puts in place.
 *
 * The new database is written as `mqtide.db.restoring`. Once it is whole and on the disk it gets a name that says so and where the
 * old one goes, `replaced-2026-11-21T….pending.db`: from then on the replacement is decided. The rest, moving the old files into
 * the folder and the new one into their place, can be done any number of times (`finishReplacement`).
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { logOriginPath } from './log-origin.ts'
import { databasePath, makePrivateFile, restoringPath, syncDirectory } from './sqlite-files.ts'

export type ReplacementReason = 'replaced' | 'quarantine'

const pendingName = /^((?:replaced|quarantine)-.+)\.pending\.db$/

/** Removes what an interruption left, so that a new database can be written here. */
export function clearRestoring(dataDir: string): string {
  const path = restoringPath(dataDir)
  for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true })
  makePrivateFile(path)
  return path
}

/** Puts the database at `restoringPath` in place. Returns the folder that holds the old files, undefined if there were none. */
export function replaceDatabase(dataDir: string, reason: ReplacementReason, now: Date): string | undefined {
  const restoring = restoringPath(dataDir)
  syncFile(restoring)
  const pending = join(dataDir, `${reason}-${now.toISOString().replaceAll(':', '-')}.pending.db`)
  renameSync(restoring, pending)
  syncDirectory(dataDir)
  return finishReplacement(dataDir)
}

/** Does what is left of a replacement that was decided. The lock is held. */
export function finishReplacement(dataDir: string): string | undefined {
  const pending = readdirSync(dataDir).find((name) => pendingName.test(name))
  if (pending === undefined) return undefined
  const path = databasePath(dataDir)
  const folder = join(dataDir, pendingName.exec(pending)![1]!)
  for (const name of [path, `${path}-wal`, `${path}-shm`, logOriginPath(path)]) {
    if (!existsSync(name)) continue
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    renameSync(name, join(folder, basename(name)))
  }
  if (existsSync(folder)) syncDirectory(folder)
  syncDirectory(dataDir)
  renameSync(join(dataDir, pending), path)
  syncDirectory(dataDir)
  return existsSync(folder) ? folder : undefined
}

export function syncFile(path: string): void {
  const descriptor = openSync(path, 'r+')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
