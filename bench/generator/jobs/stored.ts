/** Messages that wait in the broker: retained ones, and queues of offline sessions. */
import { performance } from 'node:perf_hooks'
import { residentBytes } from '../../proc.ts'
import type { Answer, Figures, Job } from '../job.ts'
import { Load } from '../load.ts'
import { between, read, settle, sleep } from '../measurement.ts'
import { faultsOf, figuresOf, stallMs } from './throughput.ts'

/** Publishes `messages`, or what the broker accepts in `publishMsMax`, and waits for the acknowledgements; returns the span's figures. */
async function publishExactly(
  load: Load,
  messages: number,
  publishMsMax: number,
  brokerPids: readonly number[],
): Promise<Figures> {
  const from = read(load, brokerPids)
  const until = performance.now() + publishMsMax
  // Even shares: a publisher that went round its topics twice would overwrite retained messages.
  const share = Math.ceil(messages / load.publishers.length)
  load.plan = () => {
    if (performance.now() > until) return
    let room = Math.min(messages - load.sent, load.spec.windowMessages - (load.sent - load.acknowledgedCount))
    const each = Math.max(1, Math.floor(room / load.publishers.length))
    for (let i = 0; i < load.publishers.length && room > 0; i++) {
      const publisher = load.publisherInTurn()
      const written = publisher.publish(Math.min(each, room, share - publisher.sent), 0)
      load.sent += written
      room -= written
    }
  }
  load.start()
  let movedAt = performance.now()
  let before = -1
  const goal = (): number => (performance.now() > until ? load.sent : messages)
  while (load.acknowledgedCount < goal() && load.failure === undefined) {
    await sleep(2)
    if (load.acknowledgedCount !== before) movedAt = performance.now()
    else if (performance.now() - movedAt > stallMs) break
    before = load.acknowledgedCount
  }
  load.publishing = false
  return { ...between(from, read(load, brokerPids), brokerPids) }
}

/** Stores `messages` retained messages on as many topics, then subscribes to all of them. */
export async function runRetained(job: Job & { kind: 'retained' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, messages, collectors } = job
  const topicsPerPublisher = Math.ceil(messages / spec.publishers)
  const residentBefore = residentBytes(target.brokerPids)
  const store = new Load({ ...spec, subscribers: 0, retain: true, topicsPerPublisher }, 'bench')
  await store.openPublishers(target.publishers, connectTimeoutMs)
  const stored = await publishExactly(store, messages, Number.POSITIVE_INFINITY, target.brokerPids)
  const residentAfter = residentBytes(target.brokerPids)
  const collect = new Load({ ...spec, topology: 'fan-in', subscribers: collectors, topicsPerPublisher }, 'collect')
  const from = read(collect, target.brokerPids)
  await collect.openSubscribers(target.subscribers, connectTimeoutMs)
  collect.fanOut = collectors
  collect.publishers.push(...store.publishers)
  collect.sent = messages
  collect.acknowledgedCount = messages
  await settle(collect, stallMs)
  const collected = between(from, read(collect, target.brokerPids), target.brokerPids)
  const totals = collect.totals()
  const faults = [...faultsOf(store, { ...store.totals(), lost: 0 }), ...faultsOf(collect, totals)]
  store.close()
  collect.close()
  const figures = {
    ...figuresOf(collected, totals),
    storedPerSecond: stored['acknowledgedPerSecond']!,
    bytesPerRetained: (residentAfter - residentBefore) / messages,
  }
  return { figures, faults }
}

/** Makes the durable sessions, disconnects them, and publishes `messages` for them. */
export async function runFill(job: Job & { kind: 'fill' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, messages } = job
  const load = new Load({ ...spec, durable: true }, 'bench')
  await load.openSubscribers(target.subscribers, connectTimeoutMs)
  for (const subscriber of load.subscribers) subscriber.leave()
  await sleep(300)
  load.fanOut = 0
  await load.openPublishers(target.publishers, connectTimeoutMs)
  const figures = await publishExactly(load, messages, job.fillMsMax, target.brokerPids)
  for (const publisher of load.publishers) figures[`sent.${publisher.index}`] = publisher.sent
  figures['acknowledged'] = load.acknowledgedCount
  const faults = faultsOf(load, { ...load.totals(), lost: 0 })
  load.close()
  return { figures, faults }
}

/** Resumes the durable sessions and receives everything that waits for them. */
export async function runDrain(job: Job & { kind: 'drain' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, sentByPublisher } = job
  const load = new Load({ ...spec, durable: true }, 'bench')
  load.adoptSent(sentByPublisher)
  const from = read(load, target.brokerPids)
  await load.openSubscribers(target.subscribers, connectTimeoutMs, true)
  const sessionsPresent = load.subscribers.filter((subscriber) => subscriber.sessionPresent).length
  await settle(load, stallMs)
  const drained = between(from, read(load, target.brokerPids), target.brokerPids)
  const totals = load.totals()
  const faults = faultsOf(load, totals)
  if (sessionsPresent < spec.subscribers) faults.push(`${spec.subscribers - sessionsPresent} sessions forgotten`)
  load.close()
  return { figures: { ...figuresOf(drained, totals), sessionsPresent }, faults }
}
