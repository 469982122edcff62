/** `quarantineStore` and `--quarantine-store`: before a start, a damaged database is set aside; a whole one stays as it is. */
import { existsSync } from 'node:fs'
import { checkStore } from './check.ts'
import { quarantineStore } from './quarantine.ts'
import { databasePath } from './sqlite-files.ts'
import { StoreError } from './store.ts'

/** Of the log; pino fits. */
export interface QuarantineLog {
  warn(fields: object, text: string): void
  error(fields: object, text: string): void
}

/** Reads the whole database, which takes its time. @throws StoreError if it is in use or of a newer version */
export function quarantineIfDamaged(dataDir: string, log: QuarantineLog): void {
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
