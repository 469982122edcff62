/**
 * Tells a torn write-ahead log from a damaged one.
 *
 * SQLite reads its log up to the first frame whose checksum is wrong, and takes what follows for the remains of a crash. After a
 * power cut that is right: the last transaction may be torn. But a bit that flips in the middle of the log makes SQLite pass over
 * everything behind it without a word. So the log is read here before SQLite opens it.
 *
 * Each frame's checksum starts from the one that is written in the frame before, so a frame behind a damaged one can still be
 * verified. One that is valid and ends a transaction was committed; if a frame before it is not valid, that one is damaged, unless
 * the disk may have got the two in the wrong order. It may only have done so in a power cut, with what nobody forced:
 *
 * - if the system has not been started again since the log was written, in nothing;
 * - else, if all commits were forced, in the last transaction;
 * - else anywhere, and nothing can be told.
 *
 * What the log was written under stands in the file `mqtide.db-boot`, see `log-origin.ts`. Frames of an earlier use of the
 * file have another salt and count for nothing. Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { type LogOrigin, logOrigin } from './log-origin.ts'
import { databasePath, lockDataDir, remedy, type StoreLock } from './sqlite-files.ts'
import { StoreError } from './store.ts'

export const walHeaderBytes = 32
export const frameHeaderBytes = 24
const magicLittleEndian = 0x377f0682
const magicBigEndian = 0x377f0683
const framesPerRead = 64

export interface LogFrame {
  /** From 0. */
  index: number
  /** Where in the file. */
  offset: number
  page: number
  /** The database's size in pages, at the end of a transaction; else 0. */
  pagesAfterCommit: number
  /** Written since the log began anew, as its salts say. */
  current: boolean
  /** Its checksum is right, taking the one before as it is written. */
  valid: boolean
  /** A view that is void with the next frame. */
  content: Uint8Array
}

export interface LogDamage {
  /** The first frame that is not as it was written. */
  frame: number
  offset: number
  /** Transactions that were committed behind it. */
  commitsBehind: number
}

/** Throws a `StoreError` if the log is damaged. Nobody may be writing it. */
export function checkLog(dataDir: string): void {
  const path = databasePath(dataDir)
  const damage = damageInLog(`${path}-wal`, logOrigin(path))
  if (damage === undefined) return
  throw new StoreError('corrupt', `${textOfDamage(`${path}-wal`, damage)} ${remedy(dataDir)}`)
}

/** The same where a gateway may be running: then it looked when it opened the log, and now it writes it. */
export function checkLogUnlessInUse(dataDir: string): void {
  let lock: StoreLock
  try {
    lock = lockDataDir(dataDir)
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'locked') return
    throw error
  }
  try {
    checkLog(dataDir)
  } finally {
    lock.release()
  }
}

export function textOfDamage(path: string, { frame, offset, commitsBehind }: LogDamage): string {
  const place = frame === 0 && offset === 0 ? 'its header' : `frame ${frame} at byte ${offset}`
  return (
    `The log ${path} is damaged in ${place}, and ${commitsBehind} transactions that were acknowledged lie behind it: ` +
    'opened as it is, the database would lose them.'
  )
}

/** Whether the log holds damage that no crash leaves; undefined if it does not, or there is no log. */
export function damageInLog(path: string, origin: LogOrigin): LogDamage | undefined {
  let first: LogFrame | undefined
  let commitsBehind = 0
  let ownCommit = 0
  let commits = 0
  const header = eachFrame(path, (frame) => {
    const isWhole = frame.current && frame.valid
    if (isWhole && frame.pagesAfterCommit > 0) commits++
    if (first === undefined) {
      if (isWhole) return
      first = { ...frame }
      // A commit of its own, as far as it can be read.
      if (frame.current && frame.pagesAfterCommit > 0) ownCommit = 1
    } else if (isWhole && frame.pagesAfterCommit > 0) commitsBehind++
  })
  if (header === undefined) return undefined
  if (!header.valid) return commits > 0 ? { frame: 0, offset: 0, commitsBehind: commits } : undefined
  if (first === undefined || commitsBehind === 0 || origin === 'unforced') return undefined
  if (origin === 'forced' && commitsBehind + ownCommit < 2) return undefined
  return { frame: first.index, offset: first.offset, commitsBehind }
}

interface LogHeader {
  pageBytes: number
  littleEndian: boolean
  salts: string
  checksum: readonly [number, number]
  valid: boolean
}

/**
 * Reads the log frame by frame. Of a header that is damaged itself, the page size and the salts are taken from what is there.
 * Returns undefined if there is no log or no whole frame in it.
 */
export function eachFrame(path: string, onFrame: (frame: LogFrame) => void): LogHeader | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    const { size } = fstatSync(descriptor)
    const header = readHeader(descriptor, size)
    if (header !== undefined) readFrames(descriptor, { header, size, onFrame })
    return header
  } finally {
    closeSync(descriptor)
  }
}

const pageBytesDefault = 8192

function readHeader(descriptor: number, size: number): LogHeader | undefined {
  const bytes = Buffer.alloc(walHeaderBytes + frameHeaderBytes)
  if (readSync(descriptor, bytes, 0, bytes.length, 0) < bytes.length) return undefined
  const magic = bytes.readUInt32BE(0)
  const littleEndian = magic !== magicBigEndian
  const checksum = checksumOf(bytes, 0, 24, littleEndian, [0, 0])
  const written: readonly [number, number] = [bytes.readUInt32BE(24), bytes.readUInt32BE(28)]
  const isKnown = magic === magicLittleEndian || magic === magicBigEndian
  const valid = isKnown && checksum[0] === written[0] && checksum[1] === written[1]
  const pageBytes = valid ? pageBytesOf(bytes.readUInt32BE(8)) : pageBytesDefault
  if (size < walHeaderBytes + frameHeaderBytes + pageBytes) return undefined
  // Where the header can't be believed, the first frame says which use of the file this is.
  const saltsAt = valid ? 16 : walHeaderBytes + 8
  return { pageBytes, littleEndian, salts: bytes.toString('hex', saltsAt, saltsAt + 8), checksum: written, valid }
}

function pageBytesOf(written: number): number {
  return written === 1 ? 65_536 : written
}

function readFrames(
  descriptor: number,
  { header, size, onFrame }: { header: LogHeader; size: number; onFrame: (frame: LogFrame) => void },
): void {
  const frameBytes = frameHeaderBytes + header.pageBytes
  const buffer = Buffer.alloc(frameBytes * framesPerRead)
  const frames = Math.floor((size - walHeaderBytes) / frameBytes)
  let before = header.checksum
  for (let index = 0; index < frames; ) {
    const wanted = Math.min(framesPerRead, frames - index) * frameBytes
    const offset = walHeaderBytes + index * frameBytes
    if (readSync(descriptor, buffer, 0, wanted, offset) < wanted) return
    for (let at = 0; at < wanted; at += frameBytes, index++) {
      const start = checksumOf(buffer, at, 8, header.littleEndian, before)
      const sum = checksumOf(buffer, at + frameHeaderBytes, header.pageBytes, header.littleEndian, start)
      const written: readonly [number, number] = [buffer.readUInt32BE(at + 16), buffer.readUInt32BE(at + 20)]
      onFrame({
        index,
        offset: offset + at,
        page: buffer.readUInt32BE(at),
        pagesAfterCommit: buffer.readUInt32BE(at + 4),
        current: buffer.toString('hex', at + 8, at + 16) === header.salts,
        valid: sum[0] === written[0] && sum[1] === written[1],
        content: buffer.subarray(at + frameHeaderBytes, at + frameBytes),
      })
      before = written
    }
  }
}

/** SQLite's own: two sums that mix, over 32-bit words. */
function checksumOf(
  bytes: Buffer,
  at: number,
  length: number,
  littleEndian: boolean,
  start: readonly [number, number],
): [number, number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, length)
  let [first, second] = start
  for (let i = 0; i < length; i += 8) {
    first = (first + view.getUint32(i, littleEndian) + second) >>> 0
    second = (second + view.getUint32(i + 4, littleEndian) + first) >>> 0
  }
  return [first, second]
}
