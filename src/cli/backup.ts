/** `mqtide backup FILE`: a consistent copy of the database, also while the gateway runs; with `--folder` one of a series, for timers. */
import { existsSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { type CliContext, CliError, ExitCode } from './context.ts'
import { type DirectoryFlags, dataDirOf, withStoreErrors } from './store-directory.ts'

interface Flags extends DirectoryFlags {
  force?: boolean
  folder?: string
  keep?: number
}

const keepDefault = 7

export function registerBackup(program: Command, context: CliContext): void {
  program
    .command('backup')
    .description('copy the database to a file, consistently, also while the gateway runs')
    .argument('[file]', 'file to write; its folder must exist')
    .option('--config <file>', 'configuration file that names the folder of the database (MQTIDE_CONFIG)')
    .option('--data-dir <folder>', 'folder of the database (default ./data)')
    .option('--force', 'replace the file if it exists')
    .option('--folder <folder>', 'write to this folder, under the name of the time')
    .option('--keep <backups>', 'with --folder: the newest that stay (default 7)', positive)
    .action(async (file: string | undefined, flags: Flags) => {
      const { folder, keep = keepDefault, force = false } = flags
      if ((file === undefined) === (folder === undefined))
        throw new CliError('backup needs a file or --folder', ExitCode.usage)
      if (folder !== undefined) await intoFolder(folder, keep, dataDirOf(flags, context), context)
      else if (flags.keep === undefined) await intoFile(file!, force, dataDirOf(flags, context), context)
      else throw new CliError('--keep is for --folder', ExitCode.usage)
    })
}

function positive(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Expected a number from 1.')
}

async function intoFile(file: string, overwrite: boolean, dataDir: string, { stdout }: CliContext): Promise<void> {
  const { backupStore } = await import('../store/backup.ts')
  if (!overwrite && existsSync(file)) throw new CliError(`${file} exists; --force replaces it`)
  const { bytes } = withStoreErrors(() => backupStore(dataDir, file, { overwrite }))
  stdout.write(`${file}: ${bytes} bytes, checked\n`)
}

async function intoFolder(folder: string, keep: number, dataDir: string, { stdout }: CliContext): Promise<void> {
  const { backupIntoSeries } = await import('../store/backup-series.ts')
  const { file, bytes, removed } = withStoreErrors(() => backupIntoSeries(dataDir, folder, keep))
  stdout.write(`${file}: ${bytes} bytes, checked\n`)
  for (const name of removed) stdout.write(`removed ${name}\n`)
}
