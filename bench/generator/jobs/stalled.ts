/** One subscriber stops reading: what do the others still get? Both spans run on the same broker, one after the other. */
import type { Answer, Job } from '../job.ts'
import { Load } from '../load.ts'
import { between, read, settle, sleep } from '../measurement.ts'
import { faultsOf, figuresOf, stallMs } from './throughput.ts'

export async function runStalled(job: Job & { kind: 'stalled' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, warmupMs, measureMs } = job
  const load = new Load({ ...spec, subscribers: spec.subscribers - 1 }, 'bench')
  const extra = new Load({ ...spec, subscribers: 1, publishers: 0 }, 'stalled')
  await load.openSubscribers(target.subscribers, connectTimeoutMs)
  await extra.openSubscribers(target.subscribers, connectTimeoutMs)
  await load.openPublishers(target.publishers, connectTimeoutMs)
  load.start()
  await sleep(warmupMs)
  const healthyFrom = read(load, target.brokerPids)
  await sleep(measureMs)
  const healthy = between(healthyFrom, read(load, target.brokerPids), target.brokerPids)
  for (const subscriber of extra.subscribers) subscriber.socket.pause()
  // The stalled client's socket buffers and the broker's own limit have to fill before the broker must decide what to do.
  await sleep(Math.max(warmupMs, measureMs))
  const stalledFrom = read(load, target.brokerPids)
  await sleep(measureMs)
  const stalled = between(stalledFrom, read(load, target.brokerPids), target.brokerPids)
  load.publishing = false
  await settle(load, stallMs)
  const totals = load.totals()
  const figures = {
    ...figuresOf(stalled, totals),
    healthyPerSecond: healthy.deliveredPerSecond,
    stalledPerSecond: stalled.deliveredPerSecond,
    keptShare: stalled.deliveredPerSecond / healthy.deliveredPerSecond,
    stalledStillConnected: extra.failure === undefined ? 1 : 0,
  }
  const faults = faultsOf(load, totals)
  load.close()
  extra.close()
  return { figures, faults }
}
