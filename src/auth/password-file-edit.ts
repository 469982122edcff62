/**
 * Changes to a file of users, line by line: comments and the other users' lines stay as they are.
 *
 * The new file is written beside the old one, readable by its owner alone, brought to the disk and then put in its place:
 * whoever reads it meanwhile, as a gateway that reloads, sees the old one or the new one and nothing in between. Who changes it is
 * alone with it, so that of two at once none undoes what the other did.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** The text with one user's line put in or replaced. */
export function withUser(text: string, name: string, hash: string): string {
  const line = `${name}:${hash}`
  const lines = linesOf(text)
  const index = lines.findIndex((one) => isLineOf(one, name))
  if (index === -1) lines.push(line)
  else lines[index] = line
  return textOf(lines)
}

/** The text without one user's line; undefined: the user isn't in it. */
export function withoutUser(text: string, name: string): string | undefined {
  const lines = linesOf(text)
  const kept = lines.filter((one) => !isLineOf(one, name))
  return kept.length === lines.length ? undefined : textOf(kept)
}

function isLineOf(line: string, name: string): boolean {
  const colon = line.indexOf(':')
  return colon !== -1 && !line.startsWith('#') && line.slice(0, colon).trim() === name
}

function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  return lines
}

function textOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}

/** A lock that is older was left by a process that was killed: nobody holds one for longer than it takes to write a file. */
const lockHeldMsMax = 10_000
const lockRetryMs = 20

/** Reads a file and replaces it while nobody else does. The lock is a file beside it. */
export function whileAlone<Result>(path: string, change: () => Result): Result {
  const lock = `${realPath(path)}.lock`
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  while (!takeLock(lock)) Atomics.wait(nobody, 0, 0, lockRetryMs)
  try {
    return change()
  } finally {
    rmSync(lock, { force: true })
  }
}

function takeLock(lock: string): boolean {
  try {
    closeSync(openSync(lock, 'wx', 0o600))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const takenAt = statSync(lock, { throwIfNoEntry: false })?.mtimeMs
    if (takenAt !== undefined && Math.abs(Date.now() - takenAt) > lockHeldMsMax) rmSync(lock, { force: true })
    return false
  }
}

/** Replaces a file as a whole; where the path is a link, what it points to. */
export function replaceFile(path: string, text: string): void {
  const target = realPath(path)
  const temporary = `${target}.${randomBytes(6).toString('hex')}.new`
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  renameSync(temporary, target)
  syncFolder(dirname(target))
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** The new name is safe only then. Systems that can't open folders have no such call. */
function syncFolder(path: string): void {
  if (process.platform === 'win32') return
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
