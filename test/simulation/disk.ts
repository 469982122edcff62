/**
 * What outlives a process: a store's memory, or the files of SQLite in a folder. A process that dies leaves its files as they
 * are at that moment, so the next one gets a copy of them; whatever the dead one's handles would still write goes elsewhere.
 */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { MemoryStore } from '../../src/store/memory.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { Store } from '../../src/store/store.ts'
import type { Random } from './random.ts'

export interface Disk {
  /** The store of one process; not opened yet. */
  store(): Store
  /** What is there after the process's death, which may come while `commit` runs: then that is whole, torn or not there. */
  afterCrash(commit: (() => Promise<void>) | undefined, random: Random): Promise<Disk>
  /** Flips a bit of what a commit before the last one wrote; false where there is none that could be told from a torn commit. */
  flipBit(random: Random): boolean
  /** The folder of files that a store refuses, for a salvage. */
  readonly folder: string | undefined
  dispose(): Promise<void>
}

export class MemoryDisk implements Disk {
  readonly #store = new MemoryStore({ durable: true })

  store(): Store {
    return this.#store
  }

  async afterCrash(commit: (() => Promise<void>) | undefined, random: Random): Promise<Disk> {
    if (commit !== undefined && random.chance(0.5)) await commit()
    return this
  }

  readonly folder = undefined

  flipBit(): boolean {
    return false
  }

  async dispose(): Promise<void> {}
}

/** Forced to a disk for nothing would only cost time: tmpfs where there is one. */
const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const sectorBytes = 512
const notCopied = ['mqtide.db-shm', 'lock']

export class FileDisk implements Disk {
  readonly folder: string
  readonly #wholeLogBytes: number
  #store: Store | undefined

  /** `wholeLogBytes`: up to there its log was written before the power failed. */
  constructor(folder = mkdtempSync(join(root, 'mqtide-torture-')), wholeLogBytes = Number.POSITIVE_INFINITY) {
    this.folder = folder
    this.#wholeLogBytes = wholeLogBytes
  }

  store(): Store {
    const fail = (error: Error) => {
      throw error
    }
    this.#store = new SqliteInlineStore({ dataDir: this.folder, walCheckpointBytes: 128 * 1024, onFailure: fail })
    return this.#store
  }

  get #logPath(): string {
    return join(this.folder, 'mqtide.db-wal')
  }

  async afterCrash(commit: (() => Promise<void>) | undefined, random: Random): Promise<Disk> {
    const before = existsSync(this.#logPath) ? readFileSync(this.#logPath) : Buffer.alloc(0)
    await commit?.()
    const folder = mkdtempSync(join(root, 'mqtide-torture-'))
    cpSync(this.folder, folder, { recursive: true, filter: (path) => !notCopied.includes(basename(path)) })
    let wholeLogBytes: number | undefined
    if (commit !== undefined && random.chance(0.7)) {
      const { torn, end } = tear(before, readFileSync(this.#logPath), random)
      writeFileSync(join(folder, 'mqtide.db-wal'), torn)
      wholeLogBytes = end
    }
    await this.dispose()
    return new FileDisk(folder, wholeLogBytes)
  }

  flipBit(random: Random): boolean {
    if (!existsSync(this.#logPath)) return false
    const log = readFileSync(this.#logPath)
    const end = secondLastCommitEnd(log.subarray(0, Math.min(log.length, this.#wholeLogBytes)))
    if (end === 0) return false
    const at = random.below(end)
    log[at] = log[at]! ^ (1 << random.below(8))
    writeFileSync(this.#logPath, log)
    return true
  }

  async dispose(): Promise<void> {
    await this.#store?.close().catch(() => {})
    this.#store = undefined
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The power failed before the log's last bytes were forced to the disk: it may have been written up to any sector. */
function tear(before: Buffer, after: Buffer, random: Random): { torn: Buffer; end: number } {
  const sectors = Math.ceil(after.length / sectorBytes)
  const changed: number[] = []
  for (let sector = 0; sector < sectors; sector++) {
    const from = sector * sectorBytes
    if (!before.subarray(from, from + sectorBytes).equals(after.subarray(from, from + sectorBytes)))
      changed.push(sector)
  }
  const end = (changed[random.below(changed.length + 1)] ?? sectors) * sectorBytes
  return { torn: Buffer.concat([after.subarray(0, end), before.subarray(end)]), end }
}

const logHeaderBytes = 32
const frameHeaderBytes = 24

/** Where the last but one transaction of a write-ahead log ends; 0: there are not two. */
function secondLastCommitEnd(log: Buffer): number {
  if (log.length < logHeaderBytes) return 0
  const frameBytes = frameHeaderBytes + log.readUInt32BE(8)
  const salt = log.subarray(16, 24)
  const commits: number[] = []
  for (let at = logHeaderBytes; at + frameBytes <= log.length; at += frameBytes) {
    // What is left of an older log, written over from its start, has other salt.
    if (!log.subarray(at + 8, at + 16).equals(salt)) break
    if (log.readUInt32BE(at + 4) !== 0) commits.push(at + frameBytes)
  }
  return commits.at(-2) ?? 0
}
