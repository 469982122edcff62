/**
 * What the first start of this version would change in a store, tried on a copy of it: the gateway that uses it may run meanwhile, and
 * notices nothing but the reading.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { backupStore } from './backup.ts'
import { checkStore, type StoreReport } from './check.ts'
import { databasePath, fileBytes } from './sqlite-files.ts'
import { migrate, migrations } from './sqlite-schema.ts'
import { StoreError } from './store.ts'

export interface UpgradeReport {
  path: string
  bytes: number
  schemaVersion: number
  /** That of this program. */
  wantedVersion: number
  /** `new table NAME`, `changed table NAME`, `table NAME is gone`, and the same of indexes. */
  changes: string[]
  /** Of the copy, after it was changed. */
  checked: Pick<StoreReport, 'findings' | 'disagreements' | 'counts'>
  milliseconds: number
}

/** The copy is made in a folder of its own within `scratch`, and removed. Throws a `StoreError`, also for a store of a newer version. */
export function rehearseUpgrade(dataDir: string, scratch: string): UpgradeReport {
  const path = databasePath(dataDir)
  const bytes = fileBytes(path)
  const { bavail, bsize } = statfsSync(scratch)
  // The copy, and what a migration writes anew beside it.
  const needed = 3 * bytes
  if (bavail * bsize < needed) {
    throw new StoreError('full', `${scratch} has no room for a copy to try it on: ${needed} bytes are needed.`)
  }
  const folder = mkdtempSync(join(scratch, 'mqtide-upgrade-'))
  try {
    backupStore(dataDir, databasePath(folder))
    const { version, changes, milliseconds } = upgrade(databasePath(folder))
    const { findings, disagreements, counts } = checkStore(folder)
    const checked = { findings, disagreements, counts }
    return { path, bytes, schemaVersion: version, wantedVersion: migrations.length, changes, checked, milliseconds }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function upgrade(path: string): { version: number; changes: string[]; milliseconds: number } {
  const database = new Database(path, { fileMustExist: true })
  try {
    const version = database.pragma('user_version', { simple: true }) as number
    const before = schemaOf(database)
    const begunAt = performance.now()
    migrate(database, path)
    const milliseconds = Math.round(performance.now() - begunAt)
    return { version, changes: changesBetween(before, schemaOf(database)), milliseconds }
  } finally {
    database.close()
  }
}

type Schema = ReadonlyMap<string, string>

/** Views carry no data, and are made anew at each start. */
function schemaOf(database: Database.Database): Schema {
  const rows = database
    .prepare(
      "SELECT type || ' ' || name AS name, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql IS NOT NULL",
    )
    .all() as { name: string; sql: string }[]
  return new Map(rows.map(({ name, sql }) => [name, sql.replace(/\s+/g, ' ')]))
}

function changesBetween(before: Schema, after: Schema): string[] {
  const made = [...after.keys()].filter((name) => !before.has(name)).map((name) => `new ${name}`)
  const changed = [...after].filter(([name, sql]) => before.has(name) && before.get(name) !== sql)
  const gone = [...before.keys()].filter((name) => !after.has(name)).map((name) => `${name} is gone`)
  return [...made, ...changed.map(([name]) => `changed ${name}`), ...gone]
}
