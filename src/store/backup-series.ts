/** Backups one after the other in a folder, named by their time: the newest so many stay. For timers. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type BackupReport, backupStore } from './backup.ts'

/** Whatever else is in the folder is somebody else's. */
const namePattern = /^mqtide-\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z\.db$/

export interface SeriesReport extends BackupReport {
  /** Names of older ones that gave way. */
  removed: string[]
}

/** Nothing is removed before the new one is whole. Throws a `StoreError`. */
export function backupIntoSeries(dataDir: string, folder: string, keep: number, now = new Date()): SeriesReport {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const name = `mqtide-${now.toISOString().replaceAll(':', '-')}.db`
  const made = backupStore(dataDir, join(folder, name))
  // Names in the order of their text are in the order of their time.
  const names = readdirSync(folder)
    .filter((one) => namePattern.test(one))
    .sort()
  const removed = names.slice(0, Math.max(0, names.length - keep))
  for (const old of removed) rmSync(join(folder, old))
  return { ...made, removed }
}
