/** Data directories in the states that tests of faults start from. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { SqliteInlineStore, type SqliteStoreOptions } from '../../src/store/sqlite-store.ts'
import { StoreError } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'
import { nothing } from './process.ts'

/** Opens the store, which must fail, and gives the error. */
export async function refused(options: SqliteStoreOptions): Promise<StoreError> {
  const store = new SqliteInlineStore(options)
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
export async function filled(dataDir: string, messages = 2000): Promise<void> {
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

/** Mounting takes root and a kernel that lets it. */
export function canMount(): boolean {
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
