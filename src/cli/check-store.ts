/** `mqtide check-store`: reads the whole database and says what it holds and what is wrong with it. */
import type { Command } from 'commander'
import type { Disagreements, StoreReport } from '../store/check.ts'
import { type CliContext, CliError } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

interface Flags extends DirectoryFlags {
  repair?: boolean
  json?: boolean
}

export function registerCheckStore(program: Command, context: CliContext): void {
  program
    .command('check-store')
    .description('check the whole database: structure, counts, orphans; exit code 1 if anything is wrong')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--repair', 'remove what can no longer be delivered and count again; the gateway must be stopped')
    .option('--json', 'print the report as JSON')
    .action(async (flags: Flags) => {
      const { checkStore } = await import('../store/check.ts')
      const dataDir = dataDirOf(flags, context)
      const report = withStoreErrors(() => checkStore(dataDir, { repair: flags.repair === true }))
      context.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : described(report))
      const faults = report.findings.length > 0 || Object.values(report.disagreements).some((count) => count > 0)
      if (faults && !report.repaired) throw new CliError(advice(report, dataDir))
    })
}

const labels: Record<keyof Disagreements, string> = {
  orphanedMessages: 'message bodies that nothing names',
  missingMessages: 'message bodies missing that a queue or a retained topic names',
  wrongCounts: 'message bodies with a wrong reference count',
  rowsWithoutSession: 'rows of sessions that do not exist',
}

function described({ path, bytes, schemaVersion, findings, counts, disagreements, repaired }: StoreReport): string {
  const numbers = Object.entries(counts).map(
    ([name, count]) => `  ${name.padEnd(14)}${count < 0 ? 'unreadable' : count}`,
  )
  const wrong = Object.entries(disagreements)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `  ${count} ${labels[name as keyof Disagreements]}${repaired ? ', repaired' : ''}`)
  return [
    `${path}: ${bytes} bytes, schema version ${schemaVersion}`,
    ...numbers,
    ...findings.map((finding) => `  damaged: ${finding}`),
    ...wrong,
    findings.length + wrong.length === 0 ? '  no faults' : '',
  ]
    .filter((line) => line !== '')
    .map((line) => `${line}\n`)
    .join('')
}

function advice({ findings }: StoreReport, dataDir: string): string {
  if (findings.length === 0) return 'the rows disagree; stop the gateway and run this command with --repair'
  return (
    `the database is damaged. Restore a backup with \`mqtide restore FILE --data-dir ${dataDir}\`, or let ` +
    '`mqtide start --quarantine-store` move it aside and keep what can be read.'
  )
}
