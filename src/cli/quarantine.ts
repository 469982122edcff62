/** `--quarantine-store`: before a start, a damaged database is set aside; a whole one stays as it is. */
import { existsSync } from 'node:fs'
import type { Log } from '../observe/log.ts'
import { checkStore } from '../store/check.ts'
import { quarantineStore } from '../store/quarantine.ts'
import { databasePath } from '../store/sqlite-files.ts'
import { StoreError } from '../store/store.ts'

/** Reads the whole database, which takes its time. @throws StoreError if it is in use or of a newer version */
export function quarantineIfDamaged(dataDir: string, log: Log): void {
  const findings = damageOf(dataDir)
  if (findings.length === 0) return
  log.error({ dataDir, findings }, 'the database is damaged: it is set aside')
  const { movedTo, kept, lost } = quarantineStore(dataDir)
  log.warn({ movedTo, kept, lost }, 'a new database holds what could be read of the damaged one')
}

function damageOf(dataDir: string): string[] {
  if (!existsSync(databasePath(dataDir))) return []
  try {
    return checkStore(dataDir).findings
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'corrupt') return [error.message]
    throw error
  }
}
