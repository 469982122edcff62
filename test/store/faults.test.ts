/** What happens when the disk, the files or another process are not as they should be. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { StoreError } from '../../src/store/store.ts'
import { batch, session } from '../contract/example-records.ts'
import { filled, refused } from './directory.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

let dataDir: string
let path: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-faults-'))
  path = join(dataDir, 'mqtide.db')
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

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
      await filled(dataDir, 1)
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
      refused({ dataDir }).then((error) => {
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
    expect(await refused({ dataDir })).toMatchObject({ kind: 'locked' })
    const second = new SqliteWorkerStore({ dataDir })
    await expect(second.open(nothing)).rejects.toMatchObject({ kind: 'locked' })
    await second.close()
    expect(await refused({ dataDir })).toMatchObject({ kind: 'locked' })
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
