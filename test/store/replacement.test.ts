/** Quarantine and restore, killed at any point: the next start has the old database or the new one, and loses neither. */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { backupStore } from '../../src/store/backup.ts'
import { quarantineStore } from '../../src/store/quarantine.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { batch, session } from '../contract/example-records.ts'
import { open } from '../contract/survived.ts'
import { describePeer } from '../peers.ts'
import { acknowledgedBy, nothing, spawnCommitter } from './process.ts'

let folder: string
let dataDir: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-replacement-'))
  dataDir = join(folder, 'data')
})

afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function sessions(directory: string): Promise<number> {
  const store = new SqliteInlineStore({ dataDir: directory })
  const survived = await open(store)
  await store.close()
  return survived.sessions.length
}

describePeer('strace', ['strace'], ({ strace }) => {
  const bin = fileURLToPath(new URL('../../bin/mqtide.js', import.meta.url))
  const quarantine = `import { quarantineStore } from ${JSON.stringify(
    fileURLToPath(new URL('../../src/store/quarantine.ts', import.meta.url)),
  )}; quarantineStore(process.argv[1])`
  const moves = 'rename,renameat2,mkdir,mkdirat'

  /** Runs the program and kills it at its n-th step; false if it ended before. */
  function killedAt(step: number, steps: string, words: readonly string[]): Promise<boolean> {
    const inject = `inject=${steps}:signal=SIGKILL:when=${step}`
    const wrapped = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${steps}`, '-e', inject, process.execPath, ...words]
    return new Promise((resolve) => {
      execFile(strace, wrapped, (error) => resolve(error !== null))
    })
  }

  async function atEveryStep(
    steps: string,
    words: (directory: string) => string[],
    expected: readonly number[],
  ): Promise<void> {
    const found = new Set<number>()
    for (let step = 1, killed = true; killed; step++) {
      const directory = join(folder, `step-${step}`)
      cpSync(dataDir, directory, { recursive: true })
      killed = await killedAt(step, steps, words(directory))
      const left = await sessions(directory)
      expect(expected, `killed at step ${step}`).toContain(left)
      found.add(left)
      expect(await sessions(directory)).toBe(left)
      expect(readdirSync(directory).filter((name) => name.includes('pending'))).toEqual([])
      expect(step).toBeLessThan(60)
    }
    expect([...found].sort()).toEqual([...expected].sort())
  }

  it('a restore that is killed leaves what was there, or what was restored', async () => {
    const store = new SqliteInlineStore({ dataDir })
    await store.open(nothing)
    await store.commit(
      batch((records) => records.sessionPut(session(1))),
      'fsync',
    )
    const file = join(folder, 'b.db')
    backupStore(dataDir, file)
    await store.close()
    await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 5 }))
    await atEveryStep(
      `${moves},fsync,fdatasync`,
      (directory) => [bin, 'restore', file, '--data-dir', directory],
      [6, 1],
    )
  })

  it('a quarantine that is killed loses nothing that it could read', async () => {
    await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 5 }))
    await atEveryStep(moves, (directory) => ['--input-type=module', '-e', quarantine, directory], [5])
  })
})

it('a new database that an interruption left half written is not taken, and is written anew', async () => {
  await acknowledgedBy(spawnCommitter({ dataDir, durability: 'fsync', worker: false, commitsMax: 5 }))
  writeFileSync(join(dataDir, 'mqtide.db.restoring'), 'half')
  expect(await sessions(dataDir)).toBe(5)
  expect(quarantineStore(dataDir).kept.sessions).toBe(5)
})
