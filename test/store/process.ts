/**
 * A store in a process of its own, to be killed, starved or watched.
 *
 * Run as a program (`node process.ts DATADIR OPTIONS`) it opens the store, says so, and commits without end: batch n puts
 * session n, a message of 300 bytes in its queue and a retained message. After each commit it writes the line `n` with
 * one write(2), so that whoever reads a number knows that it was acknowledged.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { SqliteInlineStore, SqliteWorkerStore } from '../../src/store/sqlite-store.ts'
import type { Durability, Recovery, Store } from '../../src/store/store.ts'
import { batch, message, reference, session } from '../contract/example-records.ts'

export interface CommitterOptions {
  dataDir: string
  durability: Durability
  /** In a worker, as the gateway runs it. */
  worker: boolean
  /** Ends by itself after so many commits, without closing the store. */
  commitsMax?: number
  databasePagesMax?: number
  walCheckpointBytes?: number
}

const path = fileURLToPath(import.meta.url)

/** `wrapper` runs the program, for example strace or setpriv with their arguments. */
export function spawnCommitter(options: CommitterOptions, wrapper: readonly string[] = []): ChildProcess {
  const words = [...wrapper, process.execPath, path, JSON.stringify(options)]
  return spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
}

/** The numbers acknowledged until the process ended, `onLine` being called for each as it arrives; and its last words. */
export async function acknowledgedBy(child: ChildProcess, onLine: (line: string) => void = () => {}) {
  const lines: string[] = []
  let errors = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)))
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line)
    onLine(line)
  }
  const exitCode = await ended
  return { exitCode, errors, acknowledged: lines.filter((line) => /^\d+$/.test(line)).map(Number) }
}

export const nothing: Recovery = {
  onSession() {},
  onSubscription() {},
  onRetained() {},
  onWill() {},
  onIncomingPacketId() {},
  onReleased() {},
  onLog() {},
  onAttempt() {},
  onStream() {},
  onSegment() {},
  onCursor() {},
  onSeen() {},
  onCounted() {},
  onSent() {},
  onQueue() {},
  onDelayed() {},
  onDelayedName() {},
}

export const body = new Uint8Array(300).fill(0x61)

/** One write(2); a reader that is busy for a while is waited for. */
function say(text: string): void {
  for (;;) {
    try {
      writeSync(1, text)
      return
    } catch (error) {
      if ((error as { code?: string }).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

async function commitForEver(store: Store, options: CommitterOptions): Promise<void> {
  const { nextSessionNumber } = await store.open(nothing)
  say('open\n')
  const last = nextSessionNumber + (options.commitsMax ?? Number.POSITIVE_INFINITY)
  for (let n = nextSessionNumber; n < last; n++) {
    const packed = batch((records) => {
      records.sessionPut(session(n))
      records.messagePut(message(n, { payload: body }), 2)
      records.enqueue(reference(n, 1, n))
      records.retainedPut(`t/${n % 50}`, n, n)
    })
    await store.commit(packed, options.durability)
    say(`${n}\n`)
  }
  process.kill(process.pid, 'SIGKILL')
}

if (process.argv[1] === path) {
  const options = JSON.parse(process.argv[2]!) as CommitterOptions
  const store: Store = options.worker ? new SqliteWorkerStore(options) : new SqliteInlineStore(options)
  try {
    await commitForEver(store, options)
  } catch (error) {
    writeSync(2, `${(error as Error).name}: ${(error as Error).message}\n`)
    process.exitCode = 1
    await store.close()
  }
}
