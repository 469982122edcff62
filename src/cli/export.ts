/** `mqtide export FILE`: what the store has, as JSON lines; also while the gateway runs, and from a backup. */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { version } from '../observe/version.ts'
import type { ExportReport } from '../store/export/store-export.ts'
import { type CliContext, CliError } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

interface Flags extends DirectoryFlags {
  from?: string
  namespace?: string[]
  force?: boolean
  json?: boolean
}

export function registerExport(program: Command, context: CliContext): void {
  program
    .command('export')
    .description('write sessions, subscriptions, queues, retained and delayed messages to a file as JSON lines')
    .argument('<file>', 'file to write; its folder must exist')
    .option('--from <file>', 'read a file that `mqtide backup` wrote, not the database')
    .option('--namespace <name...>', 'of these namespaces only')
    .option('--force', 'replace the file if it exists')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--json', 'print the report as JSON')
    .action(async (file: string, flags: Flags) => {
      const { exportStore } = await import('../store/export/store-export.ts')
      const { from: backup, namespace: namespaces, force: overwrite = false } = flags
      if (!overwrite && existsSync(file)) throw new CliError(`${file} exists; --force replaces it`)
      const from = backup === undefined ? { dataDir: dataDirOf(flags, context) } : { backup }
      const order = { from, file, overwrite, namespaces, gatewayVersion: version }
      const report = withStoreErrors(() => exportStore(order))
      context.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : described(file, report))
    })
}

function described(file: string, { bytes, lines, counts, runsSetAside }: ExportReport): string {
  const kinds = Object.entries(counts).map(([kind, count]) => `  ${kind.padEnd(14)}${count}`)
  const missing = runsSetAside > 0 ? [`  ${runsSetAside} damaged parts of queues, set aside before, are not in it`] : []
  return [`${file}: ${bytes} bytes, ${lines} lines`, ...kinds, ...missing].map((line) => `${line}\n`).join('')
}
