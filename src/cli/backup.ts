/** `mqtide backup FILE`: a consistent copy of the database, also while the gateway runs. */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { type CliContext, CliError } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

export function registerBackup(program: Command, context: CliContext): void {
  program
    .command('backup')
    .description('copy the database to a file, consistently, also while the gateway runs')
    .argument('<file>', 'file to write; its folder must exist')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--force', 'replace the file if it exists')
    .action(async (file: string, flags: DirectoryFlags & { force?: boolean }) => {
      const { backupStore } = await import('../store/backup.ts')
      const dataDir = dataDirOf(flags, context)
      const overwrite = flags.force === true
      if (!overwrite && existsSync(file)) throw new CliError(`${file} exists; --force replaces it`)
      const { bytes } = withStoreErrors(() => backupStore(dataDir, file, { overwrite }))
      context.stdout.write(`${file}: ${bytes} bytes, checked\n`)
    })
}
