/** `mqtide import FILE`: fills the database from an export; the gateway must be stopped. */
import type { Command } from 'commander'
import type { ImportReport } from '../store/export/store-import.ts'
import type { CliContext } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

interface Flags extends DirectoryFlags {
  into?: string
  dryRun?: boolean
  owners?: boolean
  json?: boolean
}

export function registerImport(program: Command, context: CliContext): void {
  program
    .command('import')
    .description('put what a file has into the database, all or nothing; the gateway must be stopped')
    .argument('<file>', 'file that `mqtide export` wrote, or mosquitto.db of Mosquitto 1.6 or 2.0')
    .option('--into <namespace>', 'everything into this namespace; the file must be of one')
    .option('--owners', 'of mosquitto.db: each session belongs to the user that opened it, and to nobody else')
    .option('--dry-run', 'read it all and say what it has; the database stays as it is')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--json', 'print the report as JSON')
    .action(async (file: string, flags: Flags) => {
      const { importInto } = await import('../store/export/store-import.ts')
      const { sourceOf } = await import('../store/export/sources.ts')
      const order = { dataDir: dataDirOf(flags, context), file, into: flags.into, dryRun: flags.dryRun === true }
      const report = withStoreErrors(() => importInto(order, sourceOf({ ownedByUsers: flags.owners === true })))
      context.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : described(file, report, order.dryRun))
    })
}

function described(file: string, { path, counts, leftOut, replaced }: ImportReport, dryRun: boolean): string {
  const kinds = Object.entries(counts).map(([kind, count]) => `  ${kind.padEnd(14)}${count}`)
  const lines = [
    dryRun ? `${file} can be imported into ${path}; nothing was changed` : `${path}: imported from ${file}`,
    ...kinds,
    ...leftOut.map((what) => `  left out: ${what}`),
    ...(replaced === undefined ? [] : [`The database as it was is kept in ${replaced}`]),
  ]
  return lines.map((line) => `${line}\n`).join('')
}
