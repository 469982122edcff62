/**
 * Makes a directory with its parents. Node's own `recursive` never comes back from where nothing can be made and nothing is there either:
 * below /proc the answer is ENOENT, which it takes for a parent that is missing, again and again.
 */
import { mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Returns the outermost one that was not there before; undefined: all of them were. @throws as mkdir does */
export function makeDirectory(path: string, mode = 0o777): string | undefined {
  const missing: string[] = []
  let at = resolve(path)
  for (; statSync(at, { throwIfNoEntry: false }) === undefined; at = dirname(at)) missing.push(at)
  for (const one of missing.toReversed()) makeOne(one, mode)
  // What is there may be a file.
  if (missing.length === 0 && !statSync(at).isDirectory()) mkdirSync(at)
  return missing.at(-1)
}

function makeOne(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Somebody else was as fast.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error
  }
}
