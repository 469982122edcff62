/** `mqtide restore FILE`: puts a backup in the database's place; the gateway must be stopped. */
import type { Command } from 'commander'
import type { CliContext } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

export function registerRestore(program: Command, context: CliContext): void {
  program
    .command('restore')
    .description("put a backup in the database's place; the gateway must be stopped")
    .argument('<file>', 'file that `mqtide backup` wrote')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .action(async (file: string, flags: DirectoryFlags) => {
      const { restoreStore } = await import('../store/backup.ts')
      const dataDir = dataDirOf(flags, context)
      const { path, bytes, replaced } = withStoreErrors(() => restoreStore(file, dataDir))
      context.stdout.write(`${path}: ${bytes} bytes, checked\n`)
      if (replaced !== undefined) context.stdout.write(`What was there is kept in ${replaced}\n`)
    })
}
