/** Damage in the write-ahead log: told from what a crash leaves, refused, and salvaged. */
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backupStore } from '../../src/store/backup.ts'
import { checkStore } from '../../src/store/check.ts'
import { quarantineStore } from '../../src/store/quarantine.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { Durability } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { describePeer } from '../peers.ts'
import { refused } from './directory.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

const frameBytes = 24 + 8192
const commits = 60

let folder: string
let dataDir: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-log-'))
  dataDir = join(folder, 'data')
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** The files of a store that was killed with this many commits in its log. */
async function killed(durability: Durability = 'fsync'): Promise<void> {
  const child = spawnCommitter({ dataDir, durability, worker: false, commitsMax: commits })
  expect((await acknowledgedBy(child)).acknowledged).toHaveLength(commits)
}

const wal = () => `${path}-wal`
const frames = () => Math.floor((statSync(wal()).size - 32) / frameBytes)

function flip(offset: number, bit = 1): void {
  const log = readFileSync(wal())
  log[offset] = log[offset]! ^ bit
  writeFileSync(wal(), log)
}

/** As if the system had been started again since. */
function rebooted(): void {
  const origin = readFileSync(`${path}-boot`, 'utf8')
  writeFileSync(`${path}-boot`, `another${origin.slice(origin.indexOf('\n'))}`)
}

async function sessionsLeft(): Promise<number> {
  const store = new SqliteInlineStore({ dataDir })
  const { sessions } = await open(store)
  await store.close()
  return sessions.length
}

describe('a flipped bit in the log', () => {
  const places: [string, () => number][] = [
    ['in the page of a frame in the middle', () => 32 + Math.floor(frames() / 2) * frameBytes + 4000],
    ['in the first frame', () => 32 + 24 + 100],
    ['in the salt of a frame', () => 32 + 10 * frameBytes + 9],
    ['in the checksum of a frame', () => 32 + 10 * frameBytes + 18],
    ["in the log's header", () => 13],
    ["in the log's magic number", () => 1],
  ]

  it.each(places)('%s is refused with file, place and remedy, and nothing is touched', async (_, place) => {
    await killed()
    const offset = place()
    flip(offset)
    const before = readFileSync(wal())
    for (const wholeCheckBytesMax of [0, 1e9]) {
      const error = await refused({ dataDir, wholeCheckBytesMax })
      expect(error.kind).toBe('corrupt')
      for (const text of [wal(), 'mqtide restore', '--quarantine-store']) expect(error.message).toContain(text)
      if (offset > 32) expect(error.message).toMatch(/frame \d+ at byte \d+/)
    }
    expect(() => checkStore(dataDir)).toThrow('is damaged')
    expect(() => checkStore(dataDir, { repair: true })).toThrow('is damaged')
    expect(() => backupStore(dataDir, join(folder, 'b.db'))).toThrow('is damaged')
    expect(readFileSync(wal()).equals(before)).toBe(true)
  })

  it.each(places.slice(0, 4))(
    '%s costs a quarantine a page at most, not what was committed behind it',
    async (_, place) => {
      await killed()
      flip(place())
      const report = quarantineStore(dataDir)
      expect(report.lost.join()).toMatch(/The log .*mqtide\.db-wal is damaged/)
      expect(report.kept.sessions).toBeGreaterThanOrEqual(commits - 2)
      expect(report.kept.queued).toBeGreaterThanOrEqual(commits - 25)
      expect(await sessionsLeft()).toBe(report.kept.sessions)
      expect(checkStore(dataDir)).toMatchObject({ findings: [], disagreements: { missingMessages: 0 } })
    },
  )

  it('is found after the system was started again, if all was forced', async () => {
    await killed()
    flip(32 + 20 * frameBytes + 5000)
    rebooted()
    expect(await refused({ dataDir })).toMatchObject({ kind: 'corrupt' })
  })
})

describe('what a crash leaves', () => {
  it('at the end of the log, cut at any byte, is opened', async () => {
    await killed()
    for (const bytes of [1, 24, 5000, frameBytes, 3 * frameBytes + 7]) {
      const copy = join(folder, `cut-${bytes}`)
      cpSync(dataDir, copy, { recursive: true })
      truncateSync(join(copy, 'mqtide.db-wal'), statSync(wal()).size - bytes)
      const store = new SqliteInlineStore({ dataDir: copy })
      expect((await open(store)).sessions.length).toBeGreaterThanOrEqual(commits - 2)
      await store.close()
    }
  })

  it('of a power cut, the last transaction with a hole, is opened', async () => {
    await killed()
    // The first frame of the last transaction never reached the disk, its last one did.
    const log = readFileSync(wal())
    const commitFrames = Array.from({ length: frames() }, (_, index) => index).filter(
      (index) => log.readUInt32BE(32 + index * frameBytes + 4) > 0,
    )
    const hole = commitFrames.at(-2)! + 1
    expect(hole).toBeLessThan(commitFrames.at(-1)!)
    log.fill(0, 32 + hole * frameBytes, 32 + (hole + 1) * frameBytes)
    writeFileSync(wal(), log)
    rebooted()
    expect(await sessionsLeft()).toBe(commits - 1)
  })

  it('of a power cut where commits were not forced, holes anywhere, is opened', async () => {
    await killed('process')
    const log = readFileSync(wal())
    // The first ones are the tables.
    const hole = Math.floor((0.8 * (log.length - 32)) / frameBytes)
    log.fill(0, 32 + hole * frameBytes, 32 + (hole + 1) * frameBytes)
    writeFileSync(wal(), log)
    rebooted()
    const left = await sessionsLeft()
    expect(left).toBeGreaterThan(0)
    expect(left).toBeLessThan(commits)
  })

  it('of a log that began anew, older frames behind its end, is opened', async () => {
    const store = new SqliteInlineStore({ dataDir, walCheckpointBytes: 100_000 })
    await store.open(nothing)
    for (let n = 1; n <= commits; n++) {
      await store.commit(
        batch((records) => {
          records.sessionPut(session(n))
          records.enqueueMessage(reference(n, 1, 0), message(0))
        }),
        'fsync',
      )
      await new Promise((resolve) => setImmediate(resolve))
    }
    const copy = join(folder, 'copy')
    cpSync(dataDir, copy, { recursive: true })
    await store.close()
    const log = readFileSync(join(copy, 'mqtide.db-wal'))
    const salts = (index: number) => log.toString('hex', 32 + index * frameBytes + 8, 32 + index * frameBytes + 16)
    expect(salts(0)).not.toBe(salts(Math.floor((log.length - 32) / frameBytes) - 1))
    const again = new SqliteInlineStore({ dataDir: copy })
    expect((await open(again)).sessions).toHaveLength(commits)
    await again.close()
  })
})

it('a log that a reader still needs at the start is opened all the same', async () => {
  await killed()
  const reader = new Database(path)
  reader.exec('BEGIN; SELECT * FROM session')
  expect(reader.prepare('SELECT count(*) FROM session').pluck().get()).toBe(commits)
  const store = new SqliteInlineStore({ dataDir })
  expect((await open(store)).sessions).toHaveLength(commits)
  reader.close()
  await store.close()
})

it('database, log, lock and backup are for their owner alone, and so is a directory that is made', async () => {
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  await store.commit(
    batch((records) => records.sessionPut(session(1))),
    'process',
  )
  backupStore(dataDir, join(folder, 'b.db'))
  const mode = (name: string) => (statSync(name).mode & 0o777).toString(8)
  expect(mode(dataDir)).toBe('700')
  for (const name of [path, wal(), `${path}-shm`, `${path}-boot`, join(dataDir, 'lock'), join(folder, 'b.db')]) {
    expect([name, mode(name)]).toEqual([name, '600'])
  }
  await store.close()
  quarantineStore(dataDir)
  expect(mode(path)).toBe('600')
})

describePeer('strace', ['strace'], ({ strace }) => {
  it('what an earlier process left in the log is in the database and forced to the disk before anything is acknowledged', async () => {
    await killed()
    const log = join(folder, 'strace.log')
    const wrapper = [strace, '-f', '-y', '-e', 'trace=pwrite64,fsync,fdatasync,ftruncate,write', '-o', log]
    await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 1 }, wrapper))
    const lines = readFileSync(log, 'latin1').split('\n')
    const acknowledged = lines.findIndex((line) => line.includes(`"${commits + 1}\\n"`))
    const written = lines.findIndex((line) => line.includes(`pwrite64(`) && line.includes(`<${path}>`))
    const forced = lines.findIndex(
      (line, index) => index > written && /f(data)?sync/.test(line) && line.includes(`<${path}>`),
    )
    const anew = lines.findIndex((line) => line.includes('ftruncate(') && line.includes(`<${wal()}>, 0)`))
    expect(written).toBeGreaterThan(-1)
    expect(forced).toBeGreaterThan(written)
    expect(anew).toBeGreaterThan(forced)
    expect(acknowledged).toBeGreaterThan(anew)
  })
})
