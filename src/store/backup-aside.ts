/** A backup made beside the work of a gateway that runs, into the folder `backups` of its data folder. */
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { StoreError } from './store.ts'

export interface BackupOrder {
  dataDir: string
  file: string
}

export type BackupAnswer = { bytes: number } | { refused: string; isOurs: boolean }

/** Rejects with a StoreError where it can't be made; a file of that name stays as it is. */
export async function backupAside(dataDir: string, name: string): Promise<{ file: string; bytes: number }> {
  const folder = join(dataDir, 'backups')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, name)
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const workerData: BackupOrder = { dataDir, file }
  const worker = new Worker(new URL(`./backup-worker.${extension}`, import.meta.url), {
    name: 'mqtide-backup',
    workerData,
  })
  const [answer] = (await once(worker, 'message')) as [BackupAnswer]
  if ('bytes' in answer) return { file, bytes: answer.bytes }
  throw answer.isOurs ? new StoreError('io', answer.refused) : new Error(answer.refused)
}
