/** A thread that makes one backup and ends: copying a database takes seconds, which the gateway's own thread does not have. */
import { parentPort, workerData } from 'node:worker_threads'
import { backupStore } from './backup.ts'
import type { BackupAnswer, BackupOrder } from './backup-aside.ts'

const { dataDir, file } = workerData as BackupOrder
let answer: BackupAnswer
try {
  answer = { bytes: backupStore(dataDir, file).bytes }
} catch (error) {
  answer = { refused: (error as Error).message, isOurs: (error as Error).name === 'StoreError' }
}
parentPort!.postMessage(answer)
