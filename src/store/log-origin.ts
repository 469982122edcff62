/**
 * Under which circumstances the write-ahead log was written: kept in `mqtide.db-boot`, read by whoever opens the log next.
 *
 * The file names the start of the system (Linux gives each an id), and says whether any commit was not forced to the disk. It is
 * written when the log is empty, and again before the first commit that is not forced.
 */
import { closeSync, constants, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { syncDirectory } from './sqlite-files.ts'

/** The system has run since; or it was started again, and all commits were forced before; or not all of them were. */
export type LogOrigin = 'same-boot' | 'forced' | 'unforced'

const unforcedWord = 'unforced'

export function logOriginPath(databasePath: string): string {
  return `${databasePath}-boot`
}

export function logOrigin(databasePath: string, boot = bootId()): LogOrigin {
  let written: string
  try {
    written = readFileSync(logOriginPath(databasePath), 'utf8')
  } catch {
    // As mqtide 0.1 left it: it forced what was to be forced, and that is the default.
    return 'forced'
  }
  const [writtenBoot, word] = written.split('\n')
  if (boot !== '' && writtenBoot === boot) return 'same-boot'
  return word === unforcedWord ? 'unforced' : 'forced'
}

/** On return it is on the disk. */
export function writeLogOrigin(databasePath: string, directory: string, forced: boolean): void {
  // In place and of one length: it must be possible on a full disk.
  const descriptor = openSync(logOriginPath(databasePath), constants.O_RDWR | constants.O_CREAT, 0o600)
  try {
    writeSync(descriptor, `${bootId()}\n${(forced ? '' : unforcedWord).padEnd(unforcedWord.length)}\n`, 0)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  syncDirectory(directory)
}

/** Empty where the system does not say. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
