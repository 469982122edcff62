/** Closed-loop throughput: warm up, measure, stop, and account for every message. */

import { residentBytes } from '../../proc.ts'
import { scrapeEventLoopDelay } from '../event-loop-delay.ts'
import type { Answer, Figures, Job } from '../job.ts'
import { Load, type Totals } from '../load.ts'
import { between, type Measured, read, settle, sleep } from '../measurement.ts'
import { openCrowd } from './crowd.ts'

export const stallMs = 5000

/** Faults that make a run's figures worthless. */
export function faultsOf(load: Load, totals: Totals): string[] {
  const faults: string[] = []
  if (load.failure !== undefined) faults.push(load.failure)
  if (totals.lost > 0) faults.push(`${totals.lost} of ${totals.expected} messages lost`)
  if (totals.duplicated > 0) faults.push(`${totals.duplicated} messages delivered twice`)
  if (totals.foreign > 0) faults.push(`${totals.foreign} messages with a damaged payload`)
  if (totals.refused > 0) faults.push(`${totals.refused} messages refused`)
  if (load.spec.publishQos > 0 && totals.acknowledged < totals.sent) {
    faults.push(`${totals.sent - totals.acknowledged} messages never acknowledged`)
  }
  return faults
}

export function figuresOf(measured: Measured, totals: Totals): Figures {
  const { sent, delivered, expected, lost, duplicated, reordered } = totals
  return { ...measured, sent, delivered, expected, lost, duplicated, reordered }
}

export async function runThroughput(job: Job & { kind: 'throughput' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs } = job
  const before = residentBytes(target.brokerPids)
  const crowd = await openCrowd(job.crowdSubscriptions, target.subscribers, connectTimeoutMs)
  const crowdBytes = residentBytes(target.brokerPids) - before
  const load = new Load(spec, 'bench')
  await load.openSubscribers(target.subscribers, connectTimeoutMs)
  await load.openPublishers(target.publishers, connectTimeoutMs)
  load.start()
  await sleep(job.warmupMs)
  await scrapeEventLoopDelay(target.metricsUrl)
  const from = read(load, target.brokerPids)
  await sleep(job.measureMs)
  const to = read(load, target.brokerPids)
  const eventLoopDelay = await scrapeEventLoopDelay(target.metricsUrl)
  load.publishing = false
  await settle(load, stallMs)
  const totals = load.totals()
  const figures = figuresOf(between(from, to, target.brokerPids), totals)
  if (eventLoopDelay !== undefined) figures['eventLoopDelayP99'] = eventLoopDelay
  if (job.crowdSubscriptions > 0) figures['bytesPerSubscription'] = crowdBytes / job.crowdSubscriptions
  const faults = faultsOf(load, totals)
  load.close()
  crowd?.close()
  return { figures, faults }
}
