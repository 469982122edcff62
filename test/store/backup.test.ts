/** Backup while it's in use, restore, check, repair and quarantine: as functions and as the user types them. */
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backupStore, restoreStore } from '../../src/store/backup.ts'
import { checkStore } from '../../src/store/check.ts'
import { quarantineStore } from '../../src/store/quarantine.ts'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import { batch, message, reference, session, subscription, will } from '../contract/example-records.ts'
import { open, type Survived } from '../contract/survived.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

let folder: string
let dataDir: string
let path: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-backup-'))
  dataDir = join(folder, 'data')
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

const clean = { orphanedMessages: 0, missingMessages: 0, wrongCounts: 0, rowsWithoutSession: 0 }

async function filled(messages = 400, sessions = 4): Promise<void> {
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  await store.commit(
    batch((records) => {
      for (let number = 1; number <= sessions; number++) {
        records.sessionPut(session(number))
        records.subscriptionPut(subscription(number, 'plant/#'))
        records.willPut(will(number))
        records.incomingPut(number, 9)
      }
      for (let id = 1; id <= messages; id++) {
        const retained = id % 10 === 0
        records.messagePut(message(id, { payload: new Uint8Array(300).fill(id) }), retained ? 2 : 1)
        records.enqueue(reference(1 + (id % sessions), id, id))
        if (retained) records.retainedPut(`t/${id}`, id, id)
      }
    }),
    'fsync',
  )
  await store.close()
}

async function survivedIn(directory = dataDir): Promise<Survived> {
  const store = new SqliteInlineStore({ dataDir: directory })
  const survived = await open(store)
  await store.close()
  return survived
}

describe('a backup', () => {
  it('taken while another process commits is one moment of it, and opens elsewhere', async () => {
    const child = spawnCommitter({ dataDir, durability: 'process', worker: true })
    const backups: { file: string; acknowledged: number }[] = []
    const { acknowledged, errors } = await acknowledgedBy(child, (line) => {
      const number = Number(line)
      if (![20, 200, 400].includes(number)) return
      const file = join(folder, `${number}.db`)
      backupStore(dataDir, file)
      backups.push({ file, acknowledged: number })
      if (number === 400) child.kill('SIGKILL')
    })
    expect([backups.length, errors]).toEqual([3, ''])
    for (const backup of backups) {
      const elsewhere = join(folder, `restored-${backup.acknowledged}`)
      restoreStore(backup.file, elsewhere)
      const { sessions, queues } = await survivedIn(elsewhere)
      expect(sessions.length).toBeGreaterThanOrEqual(backup.acknowledged)
      expect(sessions.length).toBeLessThanOrEqual(acknowledged.at(-1)! + 1)
      expect(queues).toHaveLength(sessions.length)
      expect(checkStore(elsewhere)).toMatchObject({ findings: [], disagreements: clean })
    }
  })

  it('never replaces a file unasked, and leaves nothing behind when it fails', async () => {
    await filled()
    const file = join(folder, 'b.db')
    writeFileSync(file, 'precious')
    expect(() => backupStore(dataDir, file)).toThrow('exists')
    expect(readFileSync(file, 'utf8')).toBe('precious')
    expect(() => backupStore(dataDir, join(folder, 'no', 'b.db'))).toThrow(join(folder, 'no', 'b.db'))
    expect(() => backupStore(join(folder, 'empty'), join(folder, 'c.db'))).toThrow('does not exist')
    expect(readdirSync(folder).sort()).toEqual(['b.db', 'data'])
    expect(backupStore(dataDir, file, { overwrite: true }).bytes).toBe(statSync(file).size)
    expect(readFileSync(file, 'latin1').startsWith('SQLite format 3')).toBe(true)
  })

  it('of a damaged database fails instead of being damaged too', async () => {
    await filled()
    damage('message')
    expect(() => backupStore(dataDir, join(folder, 'b.db'))).toThrow(/malformed|damaged/)
    expect(existsSync(join(folder, 'b.db'))).toBe(false)
  })
})

describe('a restore', () => {
  it('brings back the state of the backup and keeps what was there', async () => {
    await filled()
    const before = await survivedIn()
    backupStore(dataDir, join(folder, 'b.db'))
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionDelete(1)),
      'fsync',
    )
    expect(() => restoreStore(join(folder, 'b.db'), dataDir)).toThrow('belongs to a running mqtide')
    await store.close()
    const { replaced } = restoreStore(join(folder, 'b.db'), dataDir)
    expect(await survivedIn()).toEqual(before)
    const kept = new Database(join(replaced!, 'mqtide.db'), { readonly: true })
    expect(kept.prepare('SELECT count(*) FROM session').pluck().get()).toBe(3)
    kept.close()
  })

  it('does not mix the log of what was there into the backup', async () => {
    await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 10 }))
    const before = await survivedIn()
    backupStore(dataDir, join(folder, 'b.db'))
    await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 30 }))
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0)
    restoreStore(join(folder, 'b.db'), dataDir)
    expect(await survivedIn()).toEqual(before)
  })

  it('refuses what is no whole backup of ours, and touches nothing', async () => {
    await filled()
    const before = readFileSync(path)
    const file = join(folder, 'b.db')
    const refuse = (text: string) => expect(() => restoreStore(file, dataDir)).toThrow(text)
    refuse('does not exist')
    writeFileSync(file, 'text')
    refuse('not a SQLite database')
    backupStore(dataDir, file, { overwrite: true })
    truncateSync(file, statSync(file).size - 8192)
    refuse('truncated')
    rmSync(file)
    new Database(file).exec('CREATE TABLE other (a)').close()
    refuse('no backup made by mqtide')
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  it('that was interrupted is noticed at the next start', async () => {
    await filled()
    backupStore(dataDir, `${path}.restoring`)
    rmSync(path)
    await expect(survivedIn()).rejects.toMatchObject({ kind: 'corrupt' })
    await expect(survivedIn()).rejects.toThrow('mqtide restore')
  })
})

describe('a check', () => {
  it('finds and repairs what disagrees, and deletes nothing that can be delivered', async () => {
    await filled()
    const database = new Database(path)
    database.exec(`
      DELETE FROM message WHERE id IN (1, 2, 10);
      INSERT INTO message VALUES (9001, 1, 't', 1, 0, NULL, '', NULL, x'00'), (9002, 1, 't', 1, 0, NULL, '', NULL, x'00');
      UPDATE message SET reference_count = 7 WHERE id = 20;
      INSERT INTO subscription VALUES (77, 'a', 1, 0, 0, 0, 0);
      INSERT INTO will VALUES (78, 't', x'00', NULL, 0, 0, 0, 0, NULL)`)
    database.close()
    const found = { orphanedMessages: 2, missingMessages: 3, wrongCounts: 1, rowsWithoutSession: 2 }
    expect(checkStore(dataDir)).toMatchObject({ findings: [], disagreements: found, repaired: false })
    expect(checkStore(dataDir, { repair: true })).toMatchObject({ disagreements: found, repaired: true })
    const after = checkStore(dataDir)
    expect(after).toMatchObject({ findings: [], disagreements: clean })
    expect(after.counts).toEqual({
      sessions: 4,
      subscriptions: 4,
      retained: 39,
      queued: 397,
      streamed: 0,
      messages: 397,
      wills: 4,
    })
  })

  it('works beside a running store, but does not repair it', async () => {
    const store = new SqliteWorkerStore({ dataDir })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    expect(checkStore(dataDir).counts.sessions).toBe(1)
    expect(() => checkStore(dataDir, { repair: true })).toThrow('running mqtide')
    await store.close()
  })

  it('says what is damaged', async () => {
    await filled()
    damage('message')
    expect(checkStore(dataDir).findings.join()).toMatch(/page|Tree|malformed/)
  })
})

describe('a quarantine', () => {
  it('keeps all that can be read around a damaged page, and says what is lost', async () => {
    await filled(2000)
    damage('message')
    await expect(survivedIn()).rejects.toMatchObject({ kind: 'corrupt' })
    const report = quarantineStore(dataDir)
    expect(report.lost.length).toBeGreaterThan(0)
    expect(report.lost.join()).toMatch(/part of message: .*; ?|\d+ messages that were queued or retained/)
    // One page holds about 24 of these messages.
    expect(report.kept.queued).toBeGreaterThan(1940)
    expect(report.kept.queued).toBeLessThan(2000)
    expect(report.kept).toMatchObject({ sessions: 4, subscriptions: 4, wills: 4 })
    expect(readdirSync(report.movedTo!)).toContain('mqtide.db')
    expect(checkStore(dataDir)).toMatchObject({ findings: [], disagreements: clean })
    const { numbers, queues } = await survivedIn()
    expect(numbers).toMatchObject({ nextSessionNumber: 5, nextMessageId: 2001 })
    expect(queues.reduce((sum, queue) => sum + queue.messages, 0)).toBe(report.kept.queued)
  })

  it.each(['session', 'subscription', 'queue_run', 'queue_run_position', 'retained', 'counter'])(
    'survives damage in %s',
    async (table) => {
      await filled(2000)
      damage(table)
      const report = quarantineStore(dataDir)
      expect(report.kept.messages).toBeGreaterThan(0)
      expect(checkStore(dataDir)).toMatchObject({ findings: [], disagreements: clean })
      const store = new SqliteInlineStore({ dataDir })
      await store.open(nothing)
      await store.close()
    },
  )

  it('includes what only the log holds', async () => {
    const child = spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 40 })
    const { acknowledged } = await acknowledgedBy(child)
    const report = quarantineStore(dataDir)
    expect(report.lost).toEqual([])
    expect(report.kept.sessions).toBe(acknowledged.length)
    expect((await survivedIn()).queues).toHaveLength(acknowledged.length)
  })

  it('starts empty where nothing can be read, and keeps the files', async () => {
    await filled()
    writeFileSync(path, Buffer.alloc(50_000, 0x5a))
    const report = quarantineStore(dataDir)
    expect(report.lost.join()).toContain('everything')
    expect(statSync(join(report.movedTo!, 'mqtide.db')).size).toBe(50_000)
    expect((await survivedIn()).sessions).toEqual([])
  })

  it('refuses a directory in use and a database of a newer version', async () => {
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    expect(() => quarantineStore(dataDir)).toThrow('running mqtide')
    await store.close()
    const database = new Database(path)
    database.pragma('user_version = 99')
    database.close()
    expect(() => quarantineStore(dataDir)).toThrow('schema version 99')
    expect(existsSync(path)).toBe(true)
  })
})

/** Breaks a page in the middle of a table: its type and cell pointers become nonsense. */
function damage(table: string): void {
  const database = new Database(path, { readonly: true })
  const pages = database
    .prepare(`SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno`)
    .pluck()
    .all(table) as number[]
  database.close()
  const file = readFileSync(path)
  file.set([0x77, 0xff, 0xff, 0xff, 0xff, 0xff], (pages[Math.floor(pages.length / 2)]! - 1) * 8192)
  writeFileSync(path, file)
}

describe('the command line', () => {
  const bin = fileURLToPath(new URL('../../bin/mqtide.js', import.meta.url))
  const mqtide = (...words: string[]) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
      execFile(process.execPath, [bin, ...words, '--data-dir', dataDir], (error, stdout, stderr) => {
        resolve({ code: Number(error?.code ?? 0), stdout, stderr })
      })
    })

  it('backs up, checks and restores', async () => {
    await filled()
    const file = join(folder, 'b.db')
    expect(await mqtide('backup', file)).toMatchObject({ code: 0, stderr: '' })
    const check = await mqtide('check-store')
    expect(check).toMatchObject({ code: 0, stderr: '' })
    expect(check.stdout).toMatch(/sessions +4\n.*no faults/s)
    const restored = await mqtide('restore', file)
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(restored.stdout).toContain('What was there is kept in')
    expect((await survivedIn()).sessions).toHaveLength(4)
  })

  it('says in one line what is wrong, with exit code 1', async () => {
    await filled()
    damage('message')
    const check = await mqtide('check-store')
    expect(check.code).toBe(1)
    expect(check.stderr).toMatch(/^mqtide: the database is damaged.*mqtide restore.*--quarantine-store.*\n$/)
    const backup = await mqtide('backup', join(folder, 'b.db'))
    expect(backup.code).toBe(1)
    expect(backup.stderr.trim().split('\n')).toHaveLength(1)
    expect(await mqtide('restore', join(folder, 'nothing.db'))).toMatchObject({ code: 1 })
  })
})
