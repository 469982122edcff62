/** Databases that this program must not or cannot use as they are: other versions, damage, a log alone. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { migrate, migrations } from '../../src/store/sqlite-schema.ts'
import { SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { DamageReport } from '../../src/store/store.ts'
import { filled, refused } from './directory.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

let dataDir: string
let path: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-damage-'))
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

describe('versions', () => {
  it('newer than this program are refused and not touched', async () => {
    await filled(dataDir, 1)
    const database = new Database(path)
    database.pragma(`user_version = ${migrations.length + 1}`)
    database.close()
    const before = readFileSync(path)
    const error = await refused({ dataDir })
    expect(error.kind).toBe('version')
    expect(error.message).toContain(path)
    expect(error.message).toContain(`schema version ${migrations.length + 1}`)
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  it("of another program's database are refused", async () => {
    const database = new Database(path)
    database.exec('CREATE TABLE accounts (name TEXT)')
    database.close()
    expect(await refused({ dataDir })).toMatchObject({ kind: 'version' })
  })

  it('are reached step by step, each step once', () => {
    const database = new Database(':memory:')
    const steps = [
      ...migrations,
      'CREATE TABLE added (step INTEGER); INSERT INTO added VALUES (1)',
      'UPDATE added SET step = 2',
    ]
    migrate(database, 'memory', steps.slice(0, migrations.length + 1))
    expect(database.prepare('SELECT step FROM added').pluck().get()).toBe(1)
    migrate(database, 'memory', steps)
    expect(database.prepare('SELECT step FROM added').pluck().get()).toBe(2)
    expect(database.pragma('user_version', { simple: true })).toBe(steps.length)
    const failing = [...steps, 'CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)']
    expect(() => migrate(database, 'memory', failing)).toThrow('nowhere')
    expect(database.pragma('user_version', { simple: true })).toBe(steps.length)
    expect(database.prepare(`SELECT count(*) FROM sqlite_schema WHERE name = 'half'`).pluck().get()).toBe(0)
    database.close()
  })
})

describe('a damaged database', () => {
  const remedies = ['mqtide restore', '--quarantine-store']

  it.each([0.5, 0.9, 0.999])('cut to %f of its size is refused with path, finding and remedy', async (part) => {
    await filled(dataDir)
    truncateSync(path, Math.floor(statSync(path).size * part))
    const error = await refused({ dataDir, wholeCheckBytesMax: 0 })
    expect(error.kind).toBe('corrupt')
    for (const text of [path, 'truncated', ...remedies]) expect(error.message).toContain(text)
  })

  it('cut to nothing beside a log is refused, and the log is left alone', async () => {
    await filledAndKilled()
    rmSync(path)
    const walBytes = statSync(`${path}-wal`).size
    for (const make of [() => {}, () => writeFileSync(path, '')]) {
      make()
      const error = await refused({ dataDir })
      expect(error.kind).toBe('corrupt')
      for (const text of [`${path}-wal`, ...remedies]) expect(error.message).toContain(text)
      expect(statSync(`${path}-wal`).size).toBe(walBytes)
    }
  })

  it('with a damaged first page is refused', async () => {
    await filled(dataDir)
    overwrite(0, Buffer.from('not a database at all'))
    expect(await refused({ dataDir })).toMatchObject({ kind: 'corrupt' })
  })

  it('with flipped bits in any page is refused while it is small enough to be checked whole, but for pages of queues', async () => {
    await filled(dataDir)
    const pages = statSync(path).size / 8192
    const queues = pagesOf('queue_run')
    for (let page = 1; page < pages; page += 7) {
      if (queues.includes(page)) continue
      const original = readFileSync(path)
      // A b-tree page starts with its type and its cell pointers.
      overwrite((page - 1) * 8192, Buffer.from([0x77, 0xff, 0xff, 0xff, 0xff, 0xff]))
      const error = await refused({ dataDir })
      expect(error.kind, `page ${page}`).toBe('corrupt')
      for (const text of [path, ...remedies]) expect(error.message).toContain(text)
      writeFileSync(path, original)
    }
  })

  it('that is too large to be checked whole is found out when the page is read: its messages are passed over, and said', async () => {
    await filled(dataDir)
    const damages: DamageReport[] = []
    overwrite((pagesOf('message').at(-1)! - 1) * 8192, Buffer.from([0x77, 0xff, 0xff, 0xff, 0xff, 0xff]))
    const onDamage = (report: DamageReport) => damages.push(report)
    const store = new SqliteWorkerStore({ dataDir, wholeCheckBytesMax: 0, onDamage })
    await store.open(nothing)
    let read = 0
    for (let from = 0, more = true; more; ) {
      const queue = await store.readQueue(1, from, 100, 1e9)
      read += queue.entries.length
      from = queue.entries.at(-1)!.reference.position + 1
      more = queue.more
    }
    expect(read).toBeGreaterThan(1900)
    expect(damages.length).toBeGreaterThanOrEqual(2000 - read)
    expect(damages[0]).toMatchObject({ session: 1, messages: 1, finding: expect.stringContaining('malformed') })
    await store.close()
  })

  function pagesOf(table: string): number[] {
    const database = new Database(path, { readonly: true })
    const pages = database.prepare('SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno').pluck().all(table)
    database.close()
    return pages as number[]
  }

  function overwrite(position: number, bytes: Uint8Array): void {
    const file = readFileSync(path)
    file.set(bytes, position)
    writeFileSync(path, file)
  }
})

async function filledAndKilled(): Promise<void> {
  await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 20 }))
  expect(existsSync(`${path}-wal`)).toBe(true)
}
