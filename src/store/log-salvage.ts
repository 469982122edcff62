/**
 * A copy of a database whose log is damaged, with all that can be taken from the log in it.
 *
 * SQLite would read the log up to the damage. What lies behind was committed as well, so every page of every frame that belongs to
 * this use of the log is copied, the damaged one too: a page in which a bit flipped is nearer to the truth than an older one, and
 * whoever reads the copy takes nothing in it for granted.
 */
import { closeSync, constants, copyFileSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { eachFrame } from './log-check.ts'

/** Writes the copy. Neither file of the original is touched. */
export function copyWithLog(path: string, copy: string): void {
  copyFileSync(path, copy, constants.COPYFILE_FICLONE)
  const { lastCommit, pages } = lastCommitOf(`${path}-wal`)
  const descriptor = openSync(copy, 'r+')
  try {
    const header = eachFrame(`${path}-wal`, ({ index, current, page, content }) => {
      if (!current || index > lastCommit || page < 1 || page > pages) return
      writeSync(descriptor, content, 0, content.length, (page - 1) * content.length)
    })
    if (header !== undefined && pages > 0) ftruncateSync(descriptor, pages * header.pageBytes)
  } finally {
    closeSync(descriptor)
  }
}

function lastCommitOf(walPath: string): { lastCommit: number; pages: number } {
  let lastCommit = -1
  let pages = 0
  eachFrame(walPath, ({ index, current, valid, pagesAfterCommit }) => {
    if (!current || !valid || pagesAfterCommit === 0) return
    lastCommit = index
    pages = pagesAfterCommit
  })
  return { lastCommit, pages }
}
