/**
 * Changes to a file of users, line by line: comments and the other users' lines stay as they are.
 *
 * The new file is written beside the old one, readable by its owner alone, brought to the disk and then put in its place:
 * whoever reads it meanwhile, as a gateway that reloads, sees the old one or the new one and nothing in between.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, writeSync } from 'node:fs'
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
