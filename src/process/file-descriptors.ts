/** How many files and sockets this process may have open at a time. */
import { readFileSync } from 'node:fs'

/** Undefined where the system doesn't say. Node raises its own limit to the highest that it may have (the hard one). */
export function fileDescriptorsMax(): number | undefined {
  try {
    return openFilesIn(readFileSync('/proc/self/limits', 'utf8'))
  } catch {
    return undefined
  }
}

export function openFilesIn(limits: string): number | undefined {
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(limits)?.[1]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Infinity : Number(soft)
}
