/** What happens when the disk, the files or another process are not as they should be. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { migrate, migrations } from '../../src/store/sqlite-schema.ts'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import { StoreError } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

let dataDir: string
let path: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-faults-'))
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

async function refused(options: Partial<ConstructorParameters<typeof SqliteInlineStore>[0]> = {}): Promise<StoreError> {
  const store = new SqliteInlineStore({ dataDir, ...options })
  try {
    await store.open(nothing)
  } catch (error) {
    expect(error).toBeInstanceOf(StoreError)
    return error as StoreError
  }
  await store.close()
  throw new Error('the store opened')
}

/** A database with so many messages of 300 bytes, closed. */
async function filled(messages = 2000): Promise<void> {
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  await store.commit(
    batch((records) => {
      records.sessionPut(session(1))
      for (let id = 1; id <= messages; id++) {
        records.messagePut(message(id, { payload: new Uint8Array(300).fill(id) }), 1)
        records.enqueue(reference(1, id, id))
      }
    }),
    'fsync',
  )
  await store.close()
}

describe('a full disk', () => {
  it('fails the commit and every later one, acknowledges nothing, and loses nothing of before', async () => {
    const store = new SqliteWorkerStore({ dataDir, databasePagesMax: 60 })
    await store.open(nothing)
    let acknowledged = 0
    let failure: unknown
    for (let n = 1; failure === undefined && n < 1000; n++) {
      const packed = batch((records) => {
        records.sessionPut(session(n))
        records.messagePut(message(n, { payload: new Uint8Array(4000) }), 1)
        records.enqueue(reference(n, 1, n))
      })
      await store.commit(packed, 'fsync').then(
        () => acknowledged++,
        (error: unknown) => {
          failure = error
        },
      )
    }
    expect(failure).toMatchObject({ name: 'StoreError', kind: 'full' })
    expect((failure as Error).message).toContain(path)
    await expect(store.commit(new ArrayBuffer(0), 'fsync')).rejects.toMatchObject({ kind: 'full' })
    await store.close()
    const again = new SqliteInlineStore({ dataDir })
    const survived = await open(again)
    await again.close()
    expect(acknowledged).toBeGreaterThan(10)
    expect(survived.sessions).toHaveLength(acknowledged)
    expect(survived.queues).toHaveLength(acknowledged)
  })

  it('fails a batch at durability none that was acknowledged before its commit, and says so without a call', async () => {
    const failures: Error[] = []
    const failed = Promise.withResolvers<void>()
    const store = new SqliteWorkerStore({
      dataDir,
      databasePagesMax: 40,
      onFailure: (error) => {
        failures.push(error)
        failed.resolve()
      },
    })
    await store.open(nothing)
    const big = batch((records) => {
      records.messagePut(message(1, { payload: new Uint8Array(8192 * 60) }), 1)
      records.enqueue(reference(1, 1, 1))
    })
    const outcome = await store.commit(big, 'none').catch((error: Error) => error)
    if (outcome === undefined) await failed.promise
    else failures.push(outcome)
    expect(failures[0]).toMatchObject({ kind: 'full' })
    await store.close().catch(() => {})
  })

  it.skipIf(!canMount())(
    'of a small tmpfs ends the process with code 1, and after a clean-up all is there (needs root and mount)',
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dataDir])
      try {
        const child = spawnCommitter({ dataDir, durability: 'fsync', worker: true })
        const { exitCode, errors, acknowledged } = await acknowledgedBy(child)
        expect(exitCode).toBe(1)
        expect(errors).toMatch(/StoreError: .*mqtide\.db.*full/s)
        expect(acknowledged.length).toBeGreaterThan(0)
        execFileSync('mount', ['-o', 'remount,size=20m', dataDir])
        const again = new SqliteInlineStore({ dataDir })
        const { sessions } = await open(again)
        await again.close()
        expect(sessions.map((one) => one.number)).toEqual(expect.arrayContaining(acknowledged))
      } finally {
        execFileSync('umount', [dataDir])
      }
    },
  )
})

/** Mounting takes root and a kernel that lets it. */
function canMount(): boolean {
  if (process.getuid?.() !== 0) return false
  const probe = mkdtempSync(join(tmpdir(), 'mqtide-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', probe], { stdio: 'ignore' })
    execFileSync('umount', [probe], { stdio: 'ignore' })
    return true
  } catch {
    return false
  } finally {
    rmSync(probe, { recursive: true, force: true })
  }
}

/** A user id that owns nothing here; root itself is never refused. */
const stranger = 65_534
const asStranger = ['setpriv', `--reuid=${stranger}`, `--regid=${stranger}`, '--clear-groups']

/** The other user must be able to read Node and these sources at all. */
function canBecomeStranger(): boolean {
  if (process.getuid?.() !== 0) return false
  try {
    execFileSync(asStranger[0]!, [...asStranger.slice(1), process.execPath, '-e', 'require("better-sqlite3")'], {
      stdio: 'ignore',
      cwd: process.cwd(),
    })
    return true
  } catch {
    return false
  }
}

describe('a directory that may not be written', () => {
  it.skipIf(!canBecomeStranger())(
    'is refused with its path and the user (needs root, to become another user)',
    async () => {
      await filled(1)
      chmodSync(dataDir, 0o755)
      const child = spawnCommitter({ dataDir, durability: 'fsync', worker: false }, asStranger)
      const { exitCode, errors } = await acknowledgedBy(child)
      expect(exitCode).toBe(1)
      expect(errors).toContain(dataDir)
      expect(errors).toContain(`user id ${stranger}`)
    },
  )

  it.skipIf(!canBecomeStranger())(
    'is refused where it would have to be made (needs root, to become another user)',
    async () => {
      chmodSync(dataDir, 0o755)
      const child = spawnCommitter({ dataDir: join(dataDir, 'new'), durability: 'fsync', worker: true }, asStranger)
      const { exitCode, errors } = await acknowledgedBy(child)
      expect(exitCode).toBe(1)
      expect(errors).toContain(join(dataDir, 'new'))
    },
  )

  it('is a plain error if it is a file', async () => {
    writeFileSync(join(dataDir, 'file'), '')
    const error = await refused({ dataDir: join(dataDir, 'file') })
    expect(error.message).toContain(join(dataDir, 'file'))
  })
})

describe('another owner', () => {
  it('in another process is refused, and the directory is free as soon as it was killed', async () => {
    const child = spawnCommitter({ dataDir, durability: 'fsync', worker: true })
    let found: StoreError | undefined
    const ended = acknowledgedBy(child, (line) => {
      if (line !== 'open') return
      refused().then((error) => {
        found = error
        child.kill('SIGKILL')
      })
    })
    await ended
    expect(found).toMatchObject({ kind: 'locked' })
    expect(found!.message).toContain(dataDir)
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    await store.close()
  })

  it('in this process is refused too, and leaves the first one unharmed', async () => {
    const first = new SqliteWorkerStore({ dataDir })
    await first.open(nothing)
    expect(await refused()).toMatchObject({ kind: 'locked' })
    const second = new SqliteWorkerStore({ dataDir })
    await expect(second.open(nothing)).rejects.toMatchObject({ kind: 'locked' })
    await second.close()
    expect(await refused()).toMatchObject({ kind: 'locked' })
    await first.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    await first.close()
  })

  it('does not keep a reader out', async () => {
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    const reader = new Database(path, { readonly: true })
    expect(reader.prepare('SELECT client_id FROM v_sessions').pluck().all()).toEqual(['client-1'])
    reader.close()
    await store.close()
  })

  it('of a write transaction fails the commit after the busy timeout, in words', async () => {
    const store = new SqliteInlineStore({ dataDir, busyTimeoutMs: 50 })
    await store.open(nothing)
    const writer = new Database(path)
    writer.exec('BEGIN IMMEDIATE')
    const committed = store.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    await expect(committed).rejects.toMatchObject({ kind: 'locked' })
    writer.close()
    await store.close()
  })
})

describe('versions', () => {
  it('newer than this program are refused and not touched', async () => {
    await filled(1)
    const database = new Database(path)
    database.pragma(`user_version = ${migrations.length + 1}`)
    database.close()
    const before = readFileSync(path)
    const error = await refused()
    expect(error.kind).toBe('version')
    expect(error.message).toContain(path)
    expect(error.message).toContain(`schema version ${migrations.length + 1}`)
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  it("of another program's database are refused", async () => {
    const database = new Database(path)
    database.exec('CREATE TABLE accounts (name TEXT)')
    database.close()
    expect(await refused()).toMatchObject({ kind: 'version' })
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
    await filled()
    truncateSync(path, Math.floor(statSync(path).size * part))
    const error = await refused({ wholeCheckBytesMax: 0 })
    expect(error.kind).toBe('corrupt')
    for (const text of [path, 'truncated', ...remedies]) expect(error.message).toContain(text)
  })

  it('cut to nothing beside a log is refused, and the log is left alone', async () => {
    await filledAndKilled()
    rmSync(path)
    const walBytes = statSync(`${path}-wal`).size
    for (const make of [() => {}, () => writeFileSync(path, '')]) {
      make()
      const error = await refused()
      expect(error.kind).toBe('corrupt')
      for (const text of [`${path}-wal`, ...remedies]) expect(error.message).toContain(text)
      expect(statSync(`${path}-wal`).size).toBe(walBytes)
    }
  })

  it('with a damaged first page is refused', async () => {
    await filled()
    overwrite(0, Buffer.from('not a database at all'))
    expect(await refused()).toMatchObject({ kind: 'corrupt' })
  })

  it('with flipped bits in any page is refused while it is small enough to be checked whole', async () => {
    await filled()
    const pages = statSync(path).size / 8192
    for (let page = 1; page < pages; page += 7) {
      const original = readFileSync(path)
      // A b-tree page starts with its type and its cell pointers.
      overwrite(page * 8192, Buffer.from([0x77, 0xff, 0xff, 0xff, 0xff, 0xff]))
      const error = await refused()
      expect(error.kind, `page ${page}`).toBe('corrupt')
      for (const text of [path, ...remedies]) expect(error.message).toContain(text)
      writeFileSync(path, original)
    }
  })

  it('that is too large to be checked whole is found out when the page is read', async () => {
    await filled()
    // The last page holds message bodies: the queue is written after them but is far smaller.
    const database = new Database(path, { readonly: true })
    const page = database.prepare(`SELECT max(pageno) FROM dbstat WHERE name = 'message'`).pluck().get() as number
    database.close()
    overwrite((page - 1) * 8192, Buffer.from([0x77, 0xff, 0xff, 0xff, 0xff, 0xff]))
    const store = new SqliteWorkerStore({ dataDir, wholeCheckBytesMax: 0 })
    await store.open(nothing)
    const read = async () => {
      for (let from = 0, more = true; more; ) {
        const queue = await store.readQueue(1, from, 100, 1e9)
        from = queue.entries.at(-1)!.reference.position + 1
        more = queue.more
      }
    }
    await expect(read()).rejects.toMatchObject({ kind: 'corrupt' })
    await store.close()
  })

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

describe('the worker', () => {
  it.each([
    ['ends', (worker: Worker) => void worker.terminate()],
    ['throws', (worker: Worker) => worker.postMessage(null)],
  ])('that %s by itself rejects everything pending and every later call', async (_, crash) => {
    const failures: Error[] = []
    const started = once(process, 'worker') as Promise<[Worker]>
    const store = new SqliteWorkerStore({ dataDir, onFailure: (error) => failures.push(error) })
    const [worker] = await started
    await store.open(nothing)
    crash(worker)
    const pending = [store.commit(new ArrayBuffer(0), 'fsync'), store.readQueue(1, 0, 10, 10), store.statistics()]
    const outcomes = await Promise.allSettled(pending)
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { name: 'StoreError', kind: 'io' } })
    await expect(store.commit(new ArrayBuffer(0), 'fsync')).rejects.toMatchObject({ kind: 'io' })
    expect(failures).toEqual([])
    await store.close()
    const again = new SqliteInlineStore({ dataDir })
    await again.open(nothing)
    await again.close()
  })

  it('that ends while nothing waits is reported', async () => {
    const failed = Promise.withResolvers<Error>()
    const started = once(process, 'worker') as Promise<[Worker]>
    const store = new SqliteWorkerStore({ dataDir, onFailure: failed.resolve })
    const [worker] = await started
    await store.open(nothing)
    void worker.terminate()
    expect(await failed.promise).toMatchObject({ kind: 'io' })
    await store.close()
  })
})

it('makes the directory, with parents', async () => {
  const nested = join(dataDir, 'a', 'b')
  const store = new SqliteInlineStore({ dataDir: nested })
  await store.open(nothing)
  await store.close()
  expect(existsSync(join(nested, 'mqtide.db'))).toBe(true)
})
