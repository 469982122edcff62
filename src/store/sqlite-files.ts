/**
 * The store's files in its data directory, and what is checked of them before SQLite opens them.
 *
 * - `mqtide.db`, with SQLite's `-wal` and `-shm` beside it while it is open or after a crash.
 * - `mqtide.db-boot`: under which circumstances the log was written, see `log-origin.ts`.
 * - `lock`: an empty SQLite database on which the owner holds an exclusive transaction. The kernel ends it with the
 *   process, so kill -9 leaves nothing to clean up, and the `sqlite3` shell can still read `mqtide.db`.
 *
 * SQLite itself would throw away a log that lost its database, and would notice a truncated file only when it reads one of
 * the missing pages. Both are looked for here.
 */
import { closeSync, existsSync, fsyncSync, openSync, readSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import Database from 'better-sqlite3'
import { makeDirectory } from './make-directory.ts'
import { DamagedRowError, StoreError } from './store.ts'

export const databaseName = 'mqtide.db'
const lockName = 'lock'
const headerBytes = 100
const walHeaderBytes = 32
const frameHeaderBytes = 24
const magic = 'SQLite format 3\0'

export function databasePath(dataDir: string): string {
  return join(dataDir, databaseName)
}

/** A whole copy that a restore was about to put in place. */
export function restoringPath(dataDir: string): string {
  return `${databasePath(dataDir)}.restoring`
}

export function remedy(dataDir: string): string {
  return (
    `Restore a backup with \`mqtide restore FILE --data-dir ${dataDir}\`, or let \`mqtide start --quarantine-store\` ` +
    'move the database aside and keep what can be read.'
  )
}

/** Makes the directory with its parents, and the entry of each in its own parent durable. */
export function prepareDataDir(dataDir: string): void {
  try {
    const outermost = makeDirectory(dataDir, 0o700)
    if (outermost === undefined) return
    const last = dirname(resolve(outermost))
    for (let parent = dirname(resolve(dataDir)); parent !== last; parent = dirname(parent)) syncDirectory(parent)
    syncDirectory(last)
  } catch (error) {
    throw fileError(error, dataDir)
  }
}

/** 0 if there is no such file. */
export function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

/** For its owner alone. SQLite takes an empty file for a new database, and gives what it makes beside it the same mode. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, 'a', 0o600))
}

export function syncDirectory(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export interface StoreLock {
  release(): void
}

/** Throws a `StoreError` of kind `locked` while another process, or this one, owns the directory. */
export function lockDataDir(dataDir: string): StoreLock {
  const path = join(dataDir, lockName)
  let database: Database.Database | undefined
  try {
    makePrivateFile(path)
    database = new Database(path, { timeout: 0 })
    // Nothing is ever written to it: without this, kill -9 would leave an empty journal beside it.
    database.pragma('journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    database?.close()
    if ((error as { code?: string }).code?.startsWith('SQLITE_BUSY')) {
      throw new StoreError(
        'locked',
        `${dataDir} belongs to a running mqtide (it holds ${path}). Stop that one, or choose another --data-dir.`,
        { cause: error },
      )
    }
    throw error instanceof Error && 'syscall' in error ? fileError(error, path) : storeError(error, path, dataDir)
  }
  const held = database
  return { release: () => held.close() }
}

/** Throws if the files can't be what a crash leaves: someone moved, cut or overwrote them. */
export function checkFiles(dataDir: string): void {
  const path = databasePath(dataDir)
  const walPath = `${path}-wal`
  try {
    const walBytes = existsSync(walPath) ? statSync(walPath).size : 0
    const bytes = existsSync(path) ? statSync(path).size : 0
    if (bytes === 0) {
      if (existsSync(restoringPath(dataDir))) {
        const found = `a restore or import into ${dataDir} was interrupted: ${path} is missing.`
        throw new StoreError('corrupt', `${found} Run \`mqtide restore\` or \`mqtide import\` again.`)
      }
      if (walBytes <= walHeaderBytes) return
      const found = `${path} is missing or empty, and its log ${walPath} holds ${walBytes} bytes that belong to it.`
      throw new StoreError('corrupt', `${found} Put the database back beside its log. Else: ${remedy(dataDir)}`)
    }
    checkHeader(path, bytes, walPath, walBytes, dataDir)
  } catch (error) {
    throw error instanceof StoreError ? error : fileError(error, path)
  }
}

/** The same for a file that has no log. */
export function checkHeaderOf(path: string, dataDir: string): void {
  checkHeader(path, statSync(path).size, `${path}-wal`, 0, dataDir)
}

function checkHeader(path: string, bytes: number, walPath: string, walBytes: number, dataDir: string): void {
  const header = readBytes(path, 0, headerBytes)
  if (header.length < headerBytes || header.toString('latin1', 0, 16) !== magic) {
    throw new StoreError('corrupt', `${path} is not a SQLite database: its first bytes are damaged. ${remedy(dataDir)}`)
  }
  const pageBytes = header.readUInt16BE(16) === 1 ? 65_536 : header.readUInt16BE(16)
  const pages = header.readUInt32BE(28)
  const present = Math.floor(bytes / pageBytes)
  // The page count is valid if the change counter says so; older writers left it stale.
  if (present >= pages || header.readUInt32BE(24) !== header.readUInt32BE(92)) return
  // A crash within a checkpoint leaves a short file too: then the log still holds every page that is missing.
  const inLog = pagesInLog(walPath, walBytes, pageBytes)
  for (let page = present + 1; page <= pages; page++) {
    if (inLog.has(page)) continue
    const found = `${path} was truncated: its header says ${pages} pages, ${present} are there.`
    throw new StoreError('corrupt', `${found} ${remedy(dataDir)}`)
  }
}

function pagesInLog(walPath: string, walBytes: number, pageBytes: number): Set<number> {
  const pages = new Set<number>()
  const frameBytes = frameHeaderBytes + pageBytes
  if (walBytes === 0) return pages
  for (let at = walHeaderBytes; at + frameBytes <= walBytes; at += frameBytes) {
    pages.add(readBytes(walPath, at, 4).readUInt32BE(0))
  }
  return pages
}

function readBytes(path: string, position: number, length: number): Buffer {
  const descriptor = openSync(path, 'r')
  try {
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(descriptor, bytes, 0, length, position))
  } finally {
    closeSync(descriptor)
  }
}

function fileError(error: unknown, path: string): StoreError {
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const user = process.getuid?.()
    return new StoreError(
      'permission',
      `${path} may not be written or read by this process (${code}${user === undefined ? '' : `, user id ${user}`}). ` +
        'Give its owner or its permissions to the user that runs mqtide, or choose another --data-dir.',
      { cause: error },
    )
  }
  if (code === 'ENOSPC') return new StoreError('full', `${path}: the disk is full.`, { cause: error })
  return new StoreError('io', `${path}: ${(error as Error).message}`, { cause: error })
}

/** What SQLite or a reader of its rows threw, as a `StoreError` that names file, finding and remedy. Other errors are returned as they are. */
export function storeError(error: unknown, path: string, dataDir: string): Error {
  if (error instanceof StoreError) return error
  if (error instanceof DamagedRowError) {
    return new StoreError('corrupt', `${path} is damaged: ${error.message}. ${remedy(dataDir)}`, { cause: error })
  }
  const { code, message } = error as { code?: unknown; message: string }
  if (typeof code !== 'string' || !code.startsWith('SQLITE_')) return error as Error
  const finding = `${path}: ${message} (${code}).`
  const as = (kind: StoreError['kind'], advice: string) =>
    new StoreError(kind, `${finding} ${advice}`, { cause: error })
  if (code === 'SQLITE_FULL') {
    return as('full', 'The disk is full. Nothing that was acknowledged is lost; free space, then start again.')
  }
  const isDamage = code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB' || message === 'malformed JSON'
  if (isDamage) return as('corrupt', remedy(dataDir))
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) {
    return as('locked', 'Another program holds a write transaction on it. End that program, then start again.')
  }
  if (code === 'SQLITE_READONLY_DBMOVED') {
    return as('io', 'The file was moved or deleted while in use. Put it back, then start again.')
  }
  if (/^SQLITE_(READONLY|CANTOPEN|PERM|AUTH)/.test(code)) {
    const user = process.getuid?.()
    return as(
      'permission',
      `Give ${dataDir} and its files to the user that runs mqtide${user === undefined ? '' : ` (user id ${user})`}, ` +
        'or choose another --data-dir.',
    )
  }
  return as('io', 'Look at the disk and at the kernel log; nothing that was acknowledged is lost. Then start again.')
}
