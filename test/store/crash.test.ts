/**
 * Nothing that was acknowledged is lost: by kill -9 between, within and after commits, and by a power cut.
 *
 * The power cut is played back: strace lists what the store wrote and what it forced to the disk, and the files are cut to
 * what was forced when a number was acknowledged. Whatever the disk kept beyond that is luck.
 */
import { closeSync, cpSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkStore } from '../../src/store/check.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import type { Durability } from '../../src/store/store.ts'
import { open, type Survived } from '../contract/survived.ts'
import { describePeer } from '../peers.ts'
import { acknowledgedBy, body, spawnCommitter } from './process.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-crash-'))
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Opens what is left and finds every acknowledged batch whole, and not more than one that was not acknowledged. */
async function expectAll(dataDir: string, acknowledgedNumber: number, unacknowledgedMax = 1): Promise<Survived> {
  const store = new SqliteInlineStore({ dataDir })
  const survived = await open(store)
  try {
    const last = survived.sessions.length
    expect(last).toBeGreaterThanOrEqual(acknowledgedNumber)
    expect(last).toBeLessThanOrEqual(acknowledgedNumber + unacknowledgedMax)
    expect(survived.sessions.map((one) => one.number)).toEqual(Array.from({ length: last }, (_, index) => index + 1))
    expect(survived.queues).toEqual(
      Array.from({ length: last }, (_, index) => {
        return { session: index + 1, messages: 1, bytes: body.length, firstPosition: 1, lastPosition: 1 }
      }),
    )
    for (const { topic, message } of survived.retained) {
      const newest = last - ((last - Number(topic.slice(2))) % 50)
      expect([topic, message.id, message.payload.length]).toEqual([topic, newest, body.length])
    }
    expect(survived.retained).toHaveLength(Math.min(last, 50))
  } finally {
    await store.close()
  }
  expect(checkStore(dataDir)).toMatchObject({
    findings: [],
    disagreements: { orphanedMessages: 0, missingMessages: 0, wrongCounts: 0, rowsWithoutSession: 0 },
  })
  return survived
}

describe('kill -9', () => {
  it.each([
    ['fsync', true],
    ['process', true],
    ['process', false],
  ] as const)(
    'at durability %s (worker: %s) loses nothing acknowledged, again and again',
    async (durability, worker) => {
      let known = 0
      for (const afterCommits of [1, 7, 150, 3]) {
        // A small log, so that kills meet checkpoints too.
        const child = spawnCommitter({ dataDir: folder, durability, worker, walCheckpointBytes: 200_000 })
        const { acknowledged } = await acknowledgedBy(child, (line) => {
          if (line === String(known + afterCommits)) child.kill('SIGKILL')
        })
        const last = acknowledged.at(-1)!
        expect(last).toBeGreaterThanOrEqual(known + afterCommits)
        known = (await expectAll(folder, last)).sessions.length
      }
    },
  )

  it('at durability none loses at most the newest, in order', async () => {
    const child = spawnCommitter({ dataDir: folder, durability: 'none', worker: true, commitsMax: 500 })
    const { acknowledged } = await acknowledgedBy(child)
    expect(acknowledged).toHaveLength(500)
    const store = new SqliteInlineStore({ dataDir: folder })
    const { sessions } = await open(store)
    await store.close()
    expect(sessions.map((one) => one.number)).toEqual(acknowledged.slice(0, sessions.length))
  })
})

describe('a checkpoint', () => {
  it('that was interrupted after the first page leaves a file that looks truncated, and opens whole', async () => {
    const options = { dataDir: folder, durability: 'fsync', worker: false, commitsMax: 100 } as const
    const { acknowledged } = await acknowledgedBy(spawnCommitter(options))
    const path = join(folder, 'mqtide.db')
    const file = readFileSync(path)
    const log = readFileSync(`${path}-wal`)
    const frames = Array.from({ length: Math.floor((log.length - 32) / (24 + 8192)) }, (_, index) =>
      log.subarray(32 + index * (24 + 8192), 32 + (index + 1) * (24 + 8192)),
    )
    const firstPage = frames.filter((frame) => frame.readUInt32BE(0) === 1).at(-1)!
    file.set(firstPage.subarray(24), 0)
    expect(file.readUInt32BE(28) * 8192).toBeGreaterThan(file.length)
    writeFileSync(path, file)
    await expectAll(folder, acknowledged.at(-1)!, 0)
  })
})

describePeer('strace', ['strace'], ({ strace }) => {
  interface SystemCall {
    name: string
    path: string
    /** For writes. */
    offset: number
    bytes: number
    /** For writes to standard output: the number acknowledged. */
    acknowledged: number | undefined
  }

  async function traced(
    commitsMax: number,
    walCheckpointBytes: number,
    durability: Durability = 'fsync',
  ): Promise<SystemCall[]> {
    const log = join(folder, 'strace.log')
    const dataDir = join(folder, 'data')
    const calls = 'trace=write,pwrite64,fsync,fdatasync,ftruncate'
    const wrapper = [strace, '-f', '-y', '-s', '32', '-e', calls, '-o', log]
    const options = { dataDir, durability, worker: true, commitsMax, walCheckpointBytes }
    const { acknowledged } = await acknowledgedBy(spawnCommitter(options, wrapper))
    expect(acknowledged).toHaveLength(commitsMax)
    return systemCalls(readFileSync(log, 'latin1'))
  }

  /** The acknowledgements that left while a file held what was not forced to the disk. */
  function acknowledgedTooEarly(calls: SystemCall[]): number[] {
    const dirty = new Set<string>()
    return calls.flatMap(({ name, path, acknowledged }) => {
      if (acknowledged !== undefined) return dirty.size > 0 ? [acknowledged] : []
      // SQLite's index of the log is rebuilt after a crash, so nobody forces it.
      if (!path.startsWith(join(folder, 'data')) || path.endsWith('-shm')) return []
      if (name === 'pwrite64') dirty.add(path)
      else if (/^f(data)?sync$/.test(name)) dirty.delete(path)
      return []
    })
  }

  it('sees no acknowledgement between a write to the log and the sync that covers it', async () => {
    const calls = await traced(60, 1e9)
    expect(acknowledgedTooEarly(calls)).toEqual([])
    expect(calls.filter(({ acknowledged }) => acknowledged !== undefined)).toHaveLength(60)
    expect(calls.filter(({ name, path }) => name === 'pwrite64' && path.endsWith('-wal')).length).toBeGreaterThan(60)
  })

  it('sees the entries of new files and directories forced to the disk before the first acknowledgement', async () => {
    const calls = await traced(1, 1e9)
    const until = calls.findIndex(({ acknowledged }) => acknowledged !== undefined)
    const forced = calls.slice(0, until).flatMap(({ name, path }) => (name === 'fsync' ? [path] : []))
    const log = join(folder, 'data', 'mqtide.db-wal')
    expect(forced).toEqual(expect.arrayContaining([folder, join(folder, 'data'), log]))
  })

  it('sees at durability process that every acknowledgement leaves before a sync', async () => {
    expect(acknowledgedTooEarly(await traced(20, 1e9, 'process'))).toHaveLength(20)
  })

  it('leaves, of a power cut at any acknowledgement, files that hold everything acknowledged', async () => {
    const calls = await traced(40, 1e9)
    const wal = join(folder, 'data', 'mqtide.db-wal')
    let written = 0
    let forced = 0
    let cuts = 0
    for (const { name, path, offset, bytes, acknowledged } of calls) {
      if (path === wal && name === 'pwrite64') written = Math.max(written, offset + bytes)
      else if (path === wal && /^f(data)?sync$/.test(name)) forced = written
      else if (acknowledged !== undefined && acknowledged % 8 === 0) {
        cuts++
        const dataDir = join(folder, `cut-${acknowledged}`)
        cpSync(join(folder, 'data'), dataDir, { recursive: true })
        // The index is no file that anybody forces: it does not survive at all.
        rmSync(join(dataDir, 'mqtide.db-shm'), { force: true })
        cut(join(dataDir, 'mqtide.db-wal'), forced)
        await expectAll(dataDir, acknowledged, 0)
      }
    }
    expect(cuts).toBe(5)
  })

  it('leaves files that hold everything when the cut comes after checkpoints', async () => {
    const calls = await traced(120, 100_000)
    const checkpoints = calls.filter(({ name, path }) => name === 'pwrite64' && path.endsWith('mqtide.db')).length
    expect(checkpoints).toBeGreaterThan(10)
    const unforced = new Map<string, number>()
    for (const { name, path, acknowledged } of calls) {
      if (name === 'pwrite64') unforced.set(path, (unforced.get(path) ?? 0) + 1)
      else if (/^f(data)?sync$/.test(name)) unforced.delete(path)
      // A log that starts again must find its older content forced into the database.
      if (name === 'pwrite64' && path.endsWith('-wal')) {
        expect(unforced.get(path.slice(0, -'-wal'.length)) ?? 0, 'database pages not forced').toBe(0)
      }
      if (acknowledged !== undefined) expect(unforced.get(join(folder, 'data', 'mqtide.db-wal')) ?? 0).toBe(0)
    }
    await expectAll(join(folder, 'data'), 120, 0)
  })

  it.each([
    ['fsync', 'EIO'],
    ['fdatasync,fsync', 'ENOSPC'],
    ['pwrite64', 'EIO'],
  ])('makes %s fail with %s: nothing more is acknowledged, and what was is there', async (name, error) => {
    const dataDir = join(folder, 'data')
    // Enough calls to open the store, and some commits.
    const fault = `inject=${name}:error=${error}:when=${name === 'pwrite64' ? 300 : 30}+`
    const wrapper = [strace, '-f', '-qq', '-e', `trace=${name}`, '-e', fault, '-o', '/dev/null']
    const child = spawnCommitter({ dataDir, durability: 'fsync', worker: true, commitsMax: 500 }, wrapper)
    const { exitCode, errors, acknowledged } = await acknowledgedBy(child)
    expect(acknowledged.length).toBeGreaterThan(5)
    expect(acknowledged.length).toBeLessThan(500)
    expect([exitCode, errors]).toEqual([1, expect.stringContaining(join(dataDir, 'mqtide.db'))])
    expect(errors).toContain('Look at the disk')
    await expectAll(dataDir, acknowledged.at(-1)!)
  })

  it('makes pwrite64 fail with ENOSPC for a while: what waits is committed when there is room again', async () => {
    const dataDir = join(folder, 'data')
    const fault = 'inject=pwrite64:error=ENOSPC:when=300..306'
    const wrapper = [strace, '-f', '-qq', '-e', 'trace=pwrite64', '-e', fault, '-o', '/dev/null']
    const child = spawnCommitter({ dataDir, durability: 'fsync', worker: true, commitsMax: 200 }, wrapper)
    expect((await acknowledgedBy(child)).acknowledged).toHaveLength(200)
    await expectAll(dataDir, 200, 0)
  })

  function cut(path: string, bytes: number): void {
    const descriptor = openSync(path, 'r+')
    ftruncateSync(descriptor, bytes)
    closeSync(descriptor)
  }

  /** Calls in the order of their completion. With -y a descriptor is followed by its path in angle brackets. */
  function systemCalls(log: string): SystemCall[] {
    const unfinished = new Map<string, string>()
    return log.split('\n').flatMap((line) => {
      const thread = line.split(' ', 1)[0]!
      let text = line.slice(thread.length).trimStart()
      if (text.endsWith('<unfinished ...>')) {
        unfinished.set(thread, text.slice(0, -'<unfinished ...>'.length).trimEnd())
        return []
      }
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)
      if (resumed) text = `${unfinished.get(thread) ?? ''}${resumed[1]}`
      const call = /^(\w+)\((\d+)<([^>]*)>(.*)\)\s+= (-?\d+)/.exec(text)
      if (!call) return []
      const [, name, descriptor, path, rest, result] = call as unknown as string[]
      const offset = name === 'pwrite64' ? Number(rest!.slice(rest!.lastIndexOf(',') + 1)) : 0
      const line1 = descriptor === '1' ? /^, "(\d+)\\n"/.exec(rest!) : null
      const acknowledged = name === 'write' && line1 ? Number(line1[1]) : undefined
      return [{ name: name!, path: path!, offset, bytes: Number(result), acknowledged }]
    })
  }
})
