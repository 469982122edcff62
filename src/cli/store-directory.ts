/** Which data directory a command means, and what the store's errors look like on a terminal. */
import { loadConfig } from '../config/load.ts'
import { type CliContext, CliError } from './context.ts'

export interface DirectoryFlags {
  config?: string
  dataDir?: string
}

/** As `mqtide start` would choose it: flag over environment over file over default. */
export function dataDirOf(flags: DirectoryFlags, { environment }: CliContext): string {
  const options = flags.dataDir === undefined ? {} : { dataDir: flags.dataDir }
  const sources = { file: flags.config, environment, flags: { options, names: { dataDir: '--data-dir' } } }
  return loadConfig(sources).config.dataDir
}

/** Runs `work`; what the store refuses ends the command with its text alone. */
export function withStoreErrors<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof Error && error.name === 'StoreError') throw new CliError(error.message)
    throw error
  }
}
