/**
 * How much room is left, and what is done when there is none.
 *
 * Room is what the disk has free and what the database file can use of itself, less what that file has yet to grow by for what is in
 * the log: otherwise the log could take the room that is needed to fold it in, and removals would wait for it for ever. It is looked at after some hundred commits at most,
 * more often under load; below `freeBytesMin`, or once a write met a full disk, the store is full: a state, in which whoever feeds it
 * takes in nothing new, and which ends by itself. Removals go on, and they need room too: for them there is ballast, a file that
 * is deleted when a write meets a full disk, and made again, a piece at a time, when there is room for it.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileBytes } from './sqlite-files.ts'
import { StoreError } from './store.ts'

/** How long a commit that met a full disk waits before it is tried again. */
export const retryMs = 250

export interface DiskRoomOptions {
  dataDir: string
  freeBytesMin: number
  /** 0: none. */
  ballastBytes: number
}

/** The disk is looked at when this much was written since, earlier where little is left, or this long ago. */
const bytesPerLookMax = 4 * 1024 * 1024
const msPerLook = 100
/** What is written takes room in the log and in the database, in whole pages. */
const roomPerByte = 4
const ballastPieceBytes = 1024 * 1024
/** More than the least, for the state to end and the ballast to be made: it does not come and go with every commit. */
const marginBytes = 4 * 1024 * 1024

export class DiskRoom {
  full = false
  /** How often a write met a full disk. */
  met = 0
  readonly #options: DiskRoomOptions
  readonly #ballastPath: string
  #bytesSinceLook = 0
  #bytesPerLook = 0
  #lookedAt = 0
  /** A commit met a full disk, and none has succeeded since. */
  #refused = false
  /** The same of upkeep. */
  upkeepRefused = false

  constructor(options: DiskRoomOptions) {
    this.#options = options
    this.#ballastPath = join(options.dataDir, 'ballast')
  }

  /** A commit of so many bytes succeeded. Returns whether it is time to look. */
  wrote(bytes: number, now: number): boolean {
    this.#refused = false
    this.#bytesSinceLook += bytes
    return this.#bytesSinceLook >= this.#bytesPerLook || now - this.#lookedAt >= msPerLook || now < this.#lookedAt
  }

  /** Returns whether `full` changed. `spareBytes`: what the database file has free within itself, less what it has yet to grow by. */
  look(spareBytes: number, now: number): boolean {
    this.#bytesSinceLook = 0
    this.#lookedAt = now
    const { freeBytesMin } = this.#options
    const room = diskFreeBytes(this.#options.dataDir) + spareBytes
    this.#bytesPerLook = Math.min(bytesPerLookMax, (room - freeBytesMin) / roomPerByte)
    const before = this.full
    const refused = this.#refused || this.upkeepRefused
    this.full = refused || room < (before ? freeBytesMin + marginBytes : freeBytesMin)
    return this.full !== before
  }

  /** Returns whether there was ballast to let go. */
  meetFull(inUpkeep = false): boolean {
    this.met++
    if (inUpkeep) this.upkeepRefused = true
    else this.#refused = true
    this.full = true
    if (fileBytes(this.#ballastPath) === 0) return false
    rmSync(this.#ballastPath, { force: true })
    return true
  }

  /** Makes a piece of ballast if there is room beside what the database has yet to grow by; returns whether more is to be made. */
  addBallast(growthBytes: number): boolean {
    const { ballastBytes, freeBytesMin, dataDir } = this.#options
    const present = fileBytes(this.#ballastPath)
    if (this.full || present >= ballastBytes) return false
    if (diskFreeBytes(dataDir) - growthBytes < freeBytesMin + 2 * (ballastBytes - present) + marginBytes) return false
    const descriptor = openSync(this.#ballastPath, 'a', 0o600)
    try {
      // A file system that compresses would keep zeros for nothing.
      const piece = crypto.getRandomValues(new Uint8Array(65_536))
      const end = Math.min(present + ballastPieceBytes, ballastBytes)
      for (let at = present; at < end; at += piece.length)
        writeSync(descriptor, piece, 0, Math.min(piece.length, end - at))
      fdatasyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    return present + ballastPieceBytes < ballastBytes
  }
}

export function diskFreeBytes(directory: string): number {
  const disk = statfsSync(directory)
  return disk.bavail * disk.bsize
}

/** What SQLite or Node throws where the disk has no room. */
export function isFull(error: unknown): boolean {
  if (error instanceof StoreError) return error.kind === 'full'
  const { code } = error as { code?: unknown }
  return code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'SQLITE_IOERR_SHMSIZE'
}
