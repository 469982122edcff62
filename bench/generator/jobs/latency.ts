/**
 * Latency at a given load, open loop.
 *
 * First the broker's capacity is measured in a closed loop, then messages are sent on a fixed schedule at a share of it. Each
 * message's latency counts from the time it was due, not from the time it was sent, so a broker that stalls pays for all the messages
 * that queue up meanwhile, also those the generator could not send (no coordinated omission). The generator spins: its own CPU is
 * at 100 % by design, and how late it was itself is reported as `generatorLateMicroseconds`.
 */
import { performance } from 'node:perf_hooks'
import { LatencyHistogram } from '../../statistics.ts'
import type { Answer, Figures, Job } from '../job.ts'
import { Load } from '../load.ts'
import { between, read, settle, sleep } from '../measurement.ts'
import { faultsOf, figuresOf, stallMs } from './throughput.ts'

const nowMicroseconds = (): number => performance.now() * 1000

/** Messages of the schedule that are given to one publisher together at most. */
const catchUpMessagesMax = 64

class Schedule {
  lateMicrosecondsMax = 0
  readonly #load: Load
  readonly #stepMicroseconds: number
  readonly #startMicroseconds: number
  #due: number

  constructor(load: Load, publishesPerSecond: number) {
    this.#load = load
    this.#stepMicroseconds = 1e6 / publishesPerSecond
    this.#startMicroseconds = nowMicroseconds()
    this.#due = this.#startMicroseconds
  }

  /** Sends what is due, then asks for another turn at once. */
  turn(): void {
    const now = nowMicroseconds()
    this.lateMicrosecondsMax = Math.max(this.lateMicrosecondsMax, now - this.#due)
    const publishers = this.#load.publishers.length
    for (let tries = 0; this.#due <= now && tries < publishers * 4; tries++) {
      const behind = Math.floor((now - this.#due) / this.#stepMicroseconds) + 1
      const wanted = Math.min(catchUpMessagesMax, Math.max(1, Math.ceil(behind / publishers)))
      const publisher = this.#load.publisherInTurn()
      const sent = publisher.publish(wanted, Math.round(this.#due) >>> 0, this.#stepMicroseconds)
      this.#load.sent += sent
      this.#due += sent * this.#stepMicroseconds
    }
    this.#load.wake()
  }
}

async function measureAt(load: Load, rate: number, job: Job & { kind: 'latency' }): Promise<Figures> {
  const histogram = new LatencyHistogram()
  load.onDelivery = (due) => histogram.record((Math.round(nowMicroseconds()) - due) >>> 0)
  const schedule = new Schedule(load, rate)
  load.plan = () => schedule.turn()
  load.start()
  // The broker is warm; only the queue of the first moments has to go.
  await sleep(job.warmupMs / 3)
  histogram.reset()
  schedule.lateMicrosecondsMax = 0
  const from = read(load, job.target.brokerPids)
  await sleep(job.measureMs)
  const measured = between(from, read(load, job.target.brokerPids), job.target.brokerPids)
  load.publishing = false
  await settle(load, stallMs)
  load.onDelivery = undefined
  return {
    rate,
    deliveredPerSecond: measured.deliveredPerSecond,
    p50: histogram.percentile(0.5),
    p99: histogram.percentile(0.99),
    p999: histogram.percentile(0.999),
    max: histogram.maxMicroseconds,
    generatorLateMicroseconds: schedule.lateMicrosecondsMax,
  }
}

export async function runLatency(job: Job & { kind: 'latency' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs } = job
  const load = new Load(spec, 'bench')
  await load.openSubscribers(target.subscribers, connectTimeoutMs)
  await load.openPublishers(target.publishers, connectTimeoutMs)
  load.start()
  await sleep(job.warmupMs)
  const from = read(load, target.brokerPids)
  await sleep(job.measureMs)
  const capacity = between(from, read(load, target.brokerPids), target.brokerPids)
  load.publishing = false
  await settle(load, stallMs)
  const figures: Figures = {}
  for (const share of job.shares) {
    const at = await measureAt(load, capacity.publishedPerSecond * share, job)
    for (const [name, value] of Object.entries(at)) figures[`at${Math.round(share * 100)}.${name}`] = value
  }
  const totals = load.totals()
  const faults = faultsOf(load, totals)
  load.close()
  return { figures: { ...figuresOf(capacity, totals), ...figures }, faults }
}
