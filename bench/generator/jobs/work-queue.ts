/** Closed-loop throughput of a queue in its broker's own protocol: the same windows, workers and accounts as over MQTT (`load.ts`). */
import { performance } from 'node:perf_hooks'
import type { Answer, Job } from '../job.ts'
import { between, read, sleep } from '../measurement.ts'
import { SequenceCheck } from '../sequence.ts'
import { openWorkQueue, type QueuePublisher } from '../work-queues.ts'
import { stallMs } from './throughput.ts'

export interface WorkQueueSpec {
  publishers: number
  workers: number
  prefetch: number
  windowMessages: number
  payloadBytes: number
  /** Between a job and its acknowledgement. */
  answerAfterMs: number
}

/** Publisher and sequence number, 32 bits each, begin the payload. */
class Accounts {
  sent = 0
  deliveredCount = 0
  acknowledgedCount = 0
  refused = 0
  publishing = true
  closed = false
  readonly sentBy: number[]
  readonly check: SequenceCheck
  readonly #spec: WorkQueueSpec
  #scheduled = false

  constructor(spec: WorkQueueSpec) {
    this.#spec = spec
    this.sentBy = new Array<number>(spec.publishers).fill(0)
    this.check = new SequenceCheck(0, spec.publishers)
  }

  get outstanding(): number {
    return this.sent - Math.min(this.deliveredCount, this.acknowledgedCount)
  }

  /** Publishes what the window has room for, once in each iteration of the event loop. */
  wake(publishers: readonly QueuePublisher[]): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      while (this.publishing && this.outstanding < this.#spec.windowMessages) {
        this.#publish(publishers, this.sent % publishers.length)
      }
    })
  }

  #publish(publishers: readonly QueuePublisher[], index: number): void {
    const payload = Buffer.alloc(this.#spec.payloadBytes)
    payload.writeUInt32BE(index, 0)
    payload.writeUInt32BE(this.sentBy[index]!++, 4)
    this.sent++
    publishers[index]!.publish(payload, (taken) => {
      if (taken) this.acknowledgedCount++
      else this.refused++
      this.wake(publishers)
    })
  }

  received(payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    if (this.check.receive(view.getUint32(0), view.getUint32(4)) !== false) this.deliveredCount++
  }

  faults(): string[] {
    const lost = this.sentBy.reduce((sum, sent, publisher) => sum + this.check.lost(publisher, sent), 0)
    const faults: string[] = []
    if (lost > 0) faults.push(`${lost} of ${this.sent} messages lost`)
    if (this.check.duplicated > 0) faults.push(`${this.check.duplicated} messages delivered twice`)
    if (this.refused > 0) faults.push(`${this.refused} messages refused`)
    return faults
  }
}

export async function runWorkQueue(job: Job & { kind: 'work-queue' }): Promise<Answer> {
  const { spec, endpoint, target } = job
  const queue = await openWorkQueue(endpoint)
  const accounts = new Accounts(spec)
  const publishers: QueuePublisher[] = []
  for (let i = 0; i < spec.publishers; i++) publishers.push(await queue.publisher())
  for (let i = 0; i < spec.workers; i++) {
    await queue.worker(spec.prefetch, (payload, settle) => {
      accounts.received(payload)
      accounts.wake(publishers)
      if (spec.answerAfterMs === 0) settle()
      else setTimeout(() => accounts.closed || settle(), spec.answerAfterMs)
    })
  }
  accounts.wake(publishers)
  await sleep(job.warmupMs)
  const from = read(accounts, target.brokerPids)
  await sleep(job.measureMs)
  const figures = { ...between(from, read(accounts, target.brokerPids), target.brokerPids) }
  accounts.publishing = false
  await settled(accounts)
  const faults = accounts.faults()
  accounts.closed = true
  await queue.close()
  return { figures, faults }
}

async function settled(accounts: Accounts): Promise<void> {
  let movedAt = performance.now()
  for (let before = -1; accounts.outstanding > 0 && performance.now() - movedAt < stallMs; ) {
    if (accounts.outstanding !== before) movedAt = performance.now()
    before = accounts.outstanding
    await sleep(5)
  }
}
