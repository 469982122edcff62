/**
 * A store as lines (`line.ts`): one moment of it, read row by row, in bounded memory whatever it holds.
 *
 * It is read within one transaction, so that it is one moment also while a gateway uses it. A store of an older version is copied, and the copy
 * changed to this version's tables. What is damaged ends the export: a file that is there is whole.
 */
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { checkLogUnlessInUse } from '../log-check.ts'
import { DamagedRuns } from '../records/damaged-runs.ts'
import { ParsedRuns } from '../records/parsed-runs.ts'
import { QueueReader } from '../records/queue-reader.ts'
import { checkHeaderOf, databasePath, storeError, syncDirectory } from '../sqlite-files.ts'
import { SqliteRecords } from '../sqlite-records.ts'
import { applicationId, migrate, migrations } from '../sqlite-schema.ts'
import { StoreError } from '../store.ts'
import { formatName, formatVersion, type Kind } from './line.ts'
import { LineRecovery } from './line-recovery.ts'
import { LineFile } from './line-text.ts'
import { unnamedNamespace } from './line-values.ts'

export interface ExportOrder {
  /** A data directory, or a file that `mqtide backup` wrote. */
  from: { dataDir: string } | { backup: string }
  file: string
  overwrite: boolean
  /** Undefined: all. */
  namespaces: readonly string[] | undefined
  gatewayVersion: string
}

export interface ExportReport {
  file: string
  bytes: number
  lines: number
  counts: Partial<Record<Kind, number>>
  /** Runs of queues that were damaged and set aside before; they are not in the file. */
  runsSetAside: number
}

/** Works while the gateway runs. Throws a `StoreError`, and leaves nothing behind then. */
export function exportStore(order: ExportOrder, now = new Date()): ExportReport {
  const target = resolve(order.file)
  if (existsSync(target) && !order.overwrite) throw new StoreError('io', `${order.file} exists: choose another name`)
  const path = sourceOf(order.from)
  const partial = `${target}.partial`
  const folder = dirname(target)
  try {
    const report = withDatabase(path, folder, (database) => {
      const lines = new LineFile(partial)
      try {
        return writeLines(database, lines, order, now)
      } finally {
        lines.close()
      }
    })
    renameSync(partial, target)
    syncDirectory(folder)
    return { file: target, bytes: statSync(target).size, ...report }
  } catch (error) {
    rmSync(partial, { force: true })
    throw exportError(error, path, order)
  }
}

function sourceOf(from: ExportOrder['from']): string {
  const path = 'backup' in from ? from.backup : databasePath(from.dataDir)
  if (!existsSync(path)) throw new StoreError('io', `${path} does not exist: there is nothing to export.`)
  const dataDir = 'backup' in from ? dirname(path) : from.dataDir
  if ('backup' in from) checkHeaderOf(path, dataDir)
  else checkLogUnlessInUse(dataDir)
  return path
}

function exportError(error: unknown, path: string, { from, file }: ExportOrder): Error {
  const translated = storeError(error, path, 'backup' in from ? dirname(path) : from.dataDir)
  if (translated instanceof StoreError || (error as NodeJS.ErrnoException).syscall === undefined) return translated
  return new StoreError('io', `${file}: ${translated.message}`, { cause: error })
}

/** Reads the store as it is at this moment, and as this version has it. A copy that takes is made in a folder of its own within `folder`. */
function withDatabase<Result>(path: string, folder: string, read: (database: Database.Database) => Result): Result {
  const database = new Database(path, { fileMustExist: true })
  try {
    if (versionOf(database, path) === migrations.length) {
      database.exec('BEGIN')
      return read(database)
    }
    const scratch = mkdtempSync(join(folder, '.mqtide-export-'))
    try {
      return withMigratedCopy(database, join(scratch, 'copy.db'), read)
    } finally {
      rmSync(scratch, { recursive: true, force: true })
    }
  } finally {
    database.close()
  }
}

function withMigratedCopy<Result>(
  database: Database.Database,
  copy: string,
  read: (database: Database.Database) => Result,
): Result {
  database.prepare('VACUUM INTO ?').run(copy)
  const migrated = new Database(copy, { fileMustExist: true })
  try {
    migrate(migrated, copy)
    return read(migrated)
  } finally {
    migrated.close()
  }
}

function versionOf(database: Database.Database, path: string): number {
  const version = database.pragma('user_version', { simple: true }) as number
  if (database.pragma('application_id', { simple: true }) !== applicationId) {
    throw new StoreError('version', `${path} is a SQLite database, but none of mqtide.`)
  }
  if (version <= migrations.length) return version
  throw new StoreError(
    'version',
    `${path} has schema version ${version}, and this mqtide knows versions up to ${migrations.length}. ` +
      'Export it with the mqtide that made it, or a newer one.',
  )
}

/** Whatever can't be read ends the export. */
class NoDamage extends DamagedRuns {
  override setAside(_run: number, _session: number, error: Error): void {
    throw error
  }

  override passOver(_session: number, error: Error): void {
    throw error
  }
}

function writeLines(database: Database.Database, lines: LineFile, order: ExportOrder, now: Date) {
  const { gatewayVersion, namespaces } = order
  if (namespaces !== undefined) requireNamespaces(database, namespaces)
  lines.add({
    format: formatName,
    formatVersion,
    gatewayVersion,
    exportedAt: now.toISOString(),
    ...(namespaces !== undefined && { namespaces }),
  })
  const damage = new NoDamage(database, () => {})
  const parsed = new ParsedRuns()
  const records = new SqliteRecords(database, damage, parsed)
  const recovery = new LineRecovery(lines, namespaces)
  try {
    records.recover(recovery)
    recovery.queues(new QueueReader(database, damage, parsed))
    recovery.delayed((query) => records.readDelayed(query))
  } finally {
    recovery.close()
  }
  lines.add({ kind: 'end', lines: lines.lines })
  lines.end()
  return { lines: lines.lines, counts: recovery.counts, runsSetAside: runsSetAside(database) }
}

export const namespacesWithContent = `
  SELECT namespace FROM session UNION SELECT namespace FROM retained UNION SELECT namespace FROM delayed
  UNION SELECT namespace FROM log WHERE name IS NOT NULL UNION SELECT namespace FROM stream`

function requireNamespaces(database: Database.Database, wanted: readonly string[]): void {
  const stored = database.prepare(namespacesWithContent).pluck().all() as string[]
  const present = stored.map((name) => name || unnamedNamespace)
  const missing = wanted.filter((name) => !present.includes(name))
  if (missing.length === 0) return
  const known = present.length === 0 ? 'nothing of any' : `something of ${present.sort().join(', ')}`
  throw new StoreError('io', `the store has nothing of the namespace ${missing.join(', ')}; it has ${known}.`)
}

function runsSetAside(database: Database.Database): number {
  return database
    .prepare('SELECT count(*) FROM set_aside WHERE run IN (SELECT id FROM queue_run)')
    .pluck()
    .get() as number
}
