/** A full disk is a state: what waits is committed once there is room, removals go on, and a start is possible. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DiskRoom } from '../../src/store/disk-room.ts'
import { SqliteDatabase } from '../../src/store/sqlite-database.ts'
import { SqliteInlineStore, type SqliteStoreOptions, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { Store } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { canMount } from './directory.ts'
import { nothing } from './process.ts'

const MiB = 1024 * 1024

let dataDir: string

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'mqtide-room-'))
})

afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

const queued = (position: number, bytes: number) =>
  batch((records) => records.enqueueMessage(reference(1, position, 0), message(0, { payload: new Uint8Array(bytes) })))

describe.each([
  ['in the caller’s thread', (options: SqliteStoreOptions): Store => new SqliteInlineStore(options)],
  ['in the worker', (options: SqliteStoreOptions): Store => new SqliteWorkerStore(options)],
])('a small tmpfs %s', (_, create) => {
  const states: boolean[] = []
  let store: Store

  beforeEach(() => states.splice(0))

  it.skipIf(!canMount())(
    'full while messages come: nothing fails, reads wait their turn, and all is there once there is room (needs root and mount)',
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dataDir])
      try {
        const full = Promise.withResolvers<void>()
        const onFull = (isFull: boolean) => {
          states.push(isFull)
          if (isFull) full.resolve()
        }
        store = create({ dataDir, onFull })
        await store.open(nothing)
        let committed = 0
        const commits = Array.from({ length: 60 }, (_, index) =>
          store.commit(queued(index + 1, 50_000), 'fsync').then(() => committed++),
        )
        const read = store.readQueue(1, 55, 100, 1e9)
        await full.promise
        expect(committed).toBeLessThan(60)
        expect(await store.statistics()).toMatchObject({ full: true })
        execFileSync('mount', ['-o', 'remount,size=40m', dataDir])
        await Promise.all(commits)
        expect((await read).entries.map((entry) => entry.reference.position)).toEqual([55, 56, 57, 58, 59, 60])
        expect(await store.statistics()).toMatchObject({ full: false })
        expect(states).toEqual([true, false])
        await store.close()
        const again = new SqliteInlineStore({ dataDir })
        expect((await open(again)).queues).toMatchObject([{ messages: 60 }])
        await again.close()
      } finally {
        execFileSync('umount', [dataDir])
      }
    },
  )

  it.skipIf(!canMount())(
    'full by another program: a start and removals use the ballast, and space comes back (needs root and mount)',
    async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100m', 'tmpfs', dataDir])
      try {
        const first = new SqliteDatabase({ dataDir, ballastBytes: 2 * MiB })
        for (let position = 1; position <= 600; position++) first.commit(queued(position, 50_000), 'process')
        first.close()
        const room = new DiskRoom({ dataDir, freeBytesMin: 0, ballastBytes: 2 * MiB })
        while (room.addBallast(0));
        expect(statSync(join(dataDir, 'ballast')).size).toBe(2 * MiB)
        fill(join(dataDir, 'other'))
        store = create({ dataDir, ballastBytes: 2 * MiB, onFull: (isFull) => states.push(isFull) })
        expect((await open(store)).queues).toMatchObject([{ messages: 600 }])
        for (let position = 1; position <= 600; position++) {
          await store.commit(
            batch((records) => records.dequeue(1, position)),
            'fsync',
          )
        }
        await store.commit(queued(601, 50_000), 'fsync')
        const { unusedBytes, full } = await store.statistics()
        expect(unusedBytes).toBeGreaterThan(10 * MiB)
        expect(full).toBe(false)
        await store.close()
      } finally {
        execFileSync('umount', [dataDir])
      }
    },
  )

  it('whose database may grow no further waits, keeps what was committed at none, and ends by closing', async () => {
    const full = Promise.withResolvers<void>()
    store = create({ dataDir, databasePagesMax: 60, onFull: () => full.resolve() })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionPut(session(1))),
      'none',
    )
    const stuck = store.commit(queued(1, 60 * 8192), 'none').catch((error: unknown) => error)
    await full.promise
    await store.close().catch(() => {})
    await stuck
    const again = new SqliteInlineStore({ dataDir })
    expect((await open(again)).sessions).toHaveLength(1)
    await again.close()
  })
})

it.skipIf(!canMount())(
  'counts what is still to be folded into the database, so that it is full while that still fits, and drains (needs root and mount)',
  () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', dataDir])
    let store: SqliteDatabase | undefined
    try {
      const ballastBytes = 2 * MiB
      const room = new DiskRoom({ dataDir, freeBytesMin: 0, ballastBytes })
      while (room.addBallast(0));
      const options = { dataDir, ballastBytes, diskFreeBytesMin: MiB }
      const states: boolean[] = []
      const database = new SqliteDatabase(options, { onFull: (full) => states.push(full) })
      store = database
      const commit = (records: ArrayBuffer) => {
        database.commit(records, 'fsync')
        while (database.upkeep());
      }
      let queuedLast = 0
      while (states.length === 0) commit(queued(++queuedLast, 50_000))
      for (let position = 1; position <= queuedLast; position++)
        commit(batch((records) => records.dequeue(1, position)))
      expect(database.statistics()).toMatchObject({ full: false })
      expect(states).toEqual([true, false])
      // The ballast was not even needed.
      expect(statSync(join(dataDir, 'ballast')).size).toBe(ballastBytes)
    } finally {
      store?.close()
      execFileSync('umount', [dataDir])
    }
  },
)

it.skipIf(!canMount())(
  'is full no longer once there is room, though only the log could not be folded in and nothing is committed since (needs root and mount)',
  () => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', dataDir])
    const store = new SqliteDatabase({ dataDir, walCheckpointBytes: MiB })
    try {
      for (let position = 1; position <= 40; position++) store.commit(queued(position, 50_000), 'fsync')
      fill(join(dataDir, 'other'))
      expect([store.upkeep(), store.statistics().full]).toEqual([false, true])
      rmSync(join(dataDir, 'other'))
      expect(store.statistics()).toMatchObject({ full: false })
    } finally {
      store.close()
      execFileSync('umount', [dataDir])
    }
  },
)

it('a store is full below the room it must leave, without a write that fails, and not while its own file has room', () => {
  const free = statfsSync(dataDir).bavail * statfsSync(dataDir).bsize
  const states: boolean[] = []
  const store = new SqliteDatabase({ dataDir, diskFreeBytesMin: free * 2 }, { onFull: (full) => states.push(full) })
  expect(states).toEqual([true])
  store.close()
  const room = new DiskRoom({ dataDir, freeBytesMin: free * 2, ballastBytes: 0 })
  expect([room.look(0, 0), room.full]).toEqual([true, true])
  expect([room.look(free * 2, 0), room.full]).toEqual([true, false])
})

it('space that drained queues leave is given back to the disk', () => {
  const store = new SqliteDatabase({ dataDir, walCheckpointBytes: MiB })
  for (let position = 1; position <= 600; position++) store.commit(queued(position, 60_000), 'process')
  while (store.upkeep());
  const before = store.statistics().databaseBytes
  expect(before).toBeGreaterThan(30 * MiB)
  store.commit(
    batch((records) => {
      for (let position = 1; position <= 600; position++) records.dequeue(1, position)
    }),
    'process',
  )
  while (store.upkeep());
  store.close()
  expect(statSync(join(dataDir, 'mqtide.db')).size).toBeLessThan(before - 10 * MiB)
})

/** Takes all the room there is. */
function fill(path: string): void {
  const descriptor = openSync(path, 'w')
  try {
    for (const bytes of [MiB, 4096, 1]) {
      const piece = new Uint8Array(bytes)
      try {
        for (;;) writeSync(descriptor, piece)
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' })
      }
    }
  } finally {
    closeSync(descriptor)
  }
}
