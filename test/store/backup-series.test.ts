/** Backups on a schedule, and what an upgrade would change: as functions and as the user types them. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import Database from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { backupIntoSeries } from '../../src/store/backup-series.ts'
import { rehearseUpgrade } from '../../src/store/rehearsal.ts'
import { migrations } from '../../src/store/sqlite-schema.ts'
import { SqliteInlineStore } from '../../src/store/sqlite-store.ts'
import { runCommand } from '../e2e/program.ts'
import { nothing } from './process.ts'

let folder: string
let dataDir: string
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mqtide-series-'))
  dataDir = join(folder, 'data')
})
afterEach(() => rmSync(folder, { recursive: true }))

async function makeStore(): Promise<void> {
  const store = new SqliteInlineStore({ dataDir })
  await store.open(nothing)
  await store.close()
}

/** A store as an older version left it. */
function makeOldStore(): void {
  mkdirSync(dataDir, { mode: 0o700 })
  writeFileSync(join(dataDir, 'mqtide.db'), gunzipSync(readFileSync(new URL('files/version-2.db.gz', import.meta.url))))
}

describe('a series of backups', () => {
  it('keeps the newest so many, and leaves other files alone', async () => {
    await makeStore()
    const series = join(folder, 'backups')
    const at = (day: number) => new Date(Date.UTC(2026, 0, day))
    for (let day = 1; day <= 3; day++) expect(backupIntoSeries(dataDir, series, 3, at(day)).removed).toEqual([])
    writeFileSync(join(series, 'mqtide-by-hand.db'), '')
    expect(backupIntoSeries(dataDir, series, 2, at(4)).removed).toEqual([
      'mqtide-2026-01-01T00-00-00.000Z.db',
      'mqtide-2026-01-02T00-00-00.000Z.db',
    ])
    expect(readdirSync(series).sort()).toEqual([
      'mqtide-2026-01-03T00-00-00.000Z.db',
      'mqtide-2026-01-04T00-00-00.000Z.db',
      'mqtide-by-hand.db',
    ])
    expect(statSync(join(series, 'mqtide-2026-01-04T00-00-00.000Z.db')).mode & 0o777).toBe(0o600)
  })

  it('removes none where the new one can not be made', () => {
    const series = join(folder, 'backups')
    mkdirSync(series)
    const old = join(series, 'mqtide-2026-01-01T00-00-00.000Z.db')
    writeFileSync(old, '')
    expect(() => backupIntoSeries(dataDir, series, 1)).toThrow('does not exist')
    expect(existsSync(old)).toBe(true)
  })

  it('is made by mqtide backup --folder', async () => {
    await makeStore()
    const series = join(folder, 'backups')
    const backup = (...words: string[]) => runCommand(['backup', '--data-dir', dataDir, ...words])
    const first = await backup('--folder', series, '--keep', '1')
    expect(first).toMatchObject({ exitCode: 0, stderr: '' })
    expect(first.stdout.toString()).toMatch(/^\S+mqtide-\S+Z\.db: \d+ bytes, checked\n$/)
    const second = await backup('--folder', series, '--keep', '1')
    expect(second.stdout.toString()).toMatch(/\nremoved mqtide-\S+Z\.db\n$/)
    expect(readdirSync(series)).toHaveLength(1)
    for (const words of [
      [],
      ['x.db', '--folder', series],
      ['x.db', '--keep', '2'],
      ['--folder', series, '--keep', '0'],
    ])
      expect((await backup(...words)).exitCode, words.join(' ')).toBe(2)
  })
})

describe('an upgrade that is tried', () => {
  it('says which tables would change, checks the copy, and changes nothing', async () => {
    makeOldStore()
    const before = readFileSync(join(dataDir, 'mqtide.db'))
    const report = rehearseUpgrade(dataDir, folder)
    expect(report).toMatchObject({ schemaVersion: 2, wantedVersion: migrations.length, checked: { findings: [] } })
    expect(report.changes).toContain('new table clock')
    expect(readFileSync(join(dataDir, 'mqtide.db')).equals(before)).toBe(true)
    expect(readdirSync(folder)).toEqual(['data'])
    const { exitCode, stdout } = await runCommand(['upgrade-check', '--data-dir', dataDir])
    expect(exitCode).toBe(0)
    expect(stdout.toString()).toContain('\n  new table clock\n')
    expect(stdout.toString()).toMatch(/tried on a copy: \d+ ms, no faults\n.*make a backup before/)
  })

  it('says of a store of this version that nothing would change', async () => {
    await makeStore()
    const { stdout } = await runCommand(['upgrade-check', '--data-dir', dataDir])
    expect(stdout.toString()).toMatch(/\n {2}nothing would change\n$/)
  })

  it('refuses a store of a newer version, and a scratch folder that is not there', async () => {
    await makeStore()
    const missing = await runCommand(['upgrade-check', '--data-dir', dataDir, '--scratch', join(folder, 'no')])
    expect(missing).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('ENOENT') })
    const database = new Database(join(dataDir, 'mqtide.db'))
    database.pragma('user_version = 99')
    database.close()
    const newer = await runCommand(['upgrade-check', '--data-dir', dataDir])
    expect(newer).toMatchObject({ exitCode: 1, stderr: expect.stringContaining('newer mqtide') })
    expect(newer.stderr).not.toContain('    at ')
  })
})
