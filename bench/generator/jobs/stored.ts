/** Messages that wait in the broker: retained ones, and queues of offline sessions. */
import { performance } from 'node:perf_hooks'
import { residentBytes } from '../../proc.ts'
import { scrapeEventLoopDelay } from '../event-loop-delay.ts'
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

function sentBy(load: Load): Figures {
  return Object.fromEntries(load.publishers.map((publisher) => [`sent.${publisher.index}`, publisher.sent]))
}

/** Stores `messages` retained messages on as many topics, or what the broker accepts in the time given. */
export async function runRetain(job: Job & { kind: 'retain' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, messages, fillMsMax } = job
  const topicsPerPublisher = Math.ceil(messages / spec.publishers)
  const residentBefore = residentBytes(target.brokerPids)
  const load = new Load({ ...spec, subscribers: 0, retain: true, topicsPerPublisher }, 'bench')
  await load.openPublishers(target.publishers, connectTimeoutMs)
  const stored = await publishExactly(load, messages, fillMsMax, target.brokerPids)
  const grown = residentBytes(target.brokerPids) - residentBefore
  const figures = { ...sentBy(load), retained: load.acknowledgedCount, bytesPerRetained: grown / load.sent }
  const faults = faultsOf(load, { ...load.totals(), lost: 0 })
  load.close()
  return { figures: { ...figures, storedPerSecond: stored['acknowledgedPerSecond']! }, faults }
}

/** Subscribes to all retained messages, as many times as there are subscribers in the load. */
export async function runCollect(job: Job & { kind: 'collect' }): Promise<Answer> {
  const { target, spec, connectTimeoutMs, sentByPublisher, topicsPerPublisher } = job
  const load = new Load({ ...spec, topology: 'fan-in', topicsPerPublisher }, 'collect')
  load.adoptSent(sentByPublisher)
  const from = read(load, target.brokerPids)
  await load.openSubscribers(target.subscribers, connectTimeoutMs)
  load.fanOut = spec.subscribers
  await settle(load, stallMs)
  const collected = between(from, read(load, target.brokerPids), target.brokerPids)
  const totals = load.totals()
  const faults = faultsOf(load, totals)
  load.close()
  return { figures: figuresOf(collected, totals), faults }
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
  await scrapeEventLoopDelay(target.metricsUrl)
  const filled = await publishExactly(load, messages, job.fillMsMax, target.brokerPids)
  const figures: Figures = { ...filled, ...sentBy(load), acknowledged: load.acknowledgedCount }
  const eventLoopDelay = await scrapeEventLoopDelay(target.metricsUrl)
  if (eventLoopDelay !== undefined) figures['eventLoopDelayP99'] = eventLoopDelay
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
