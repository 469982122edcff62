/** Many connections: how fast they are accepted, and what an idle one costs. */

import { performance } from 'node:perf_hooks'
import { TLSSocket } from 'node:tls'
import { cpuSeconds, machineBusySeconds, residentBytes } from '../../proc.ts'
import type { Answer, Figures, Job, Target } from '../job.ts'
import type { Endpoint, Link } from '../link.ts'
import { ownCpuSeconds, sleep } from '../measurement.ts'
import { Subscriber, type SubscriberOwner } from '../subscriber.ts'
import { Tape } from '../tape.ts'

/** Below the 28,232 ephemeral ports Linux has by default for each source address. */
const connectionsPerAddress = 25_000

function sourceOf(endpoint: Endpoint, index: number): Endpoint {
  const address = Math.floor(index / connectionsPerAddress)
  // Binding to an address first costs half a millisecond, so only those do it who have to.
  return address === 0 ? endpoint : { ...endpoint, localAddress: `127.0.0.${1 + address}` }
}

class Connections implements SubscriberOwner {
  readonly links: Subscriber[] = []
  ready = 0
  received = 0
  failure: string | undefined
  onChange: (() => void) | undefined
  readonly #target: Target
  readonly #dirty: Link[] = []
  #scheduled = false

  constructor(target: Target) {
    this.#target = target
  }

  wake(): void {}

  markDirty(link: Link): void {
    this.#dirty.push(link)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      for (const dirty of this.#dirty.splice(0)) dirty.flush()
    })
  }

  failed(link: Link, reason: string): void {
    this.failure ??= `connection ${link.index}: ${reason}`
    this.onChange?.()
  }

  subscriberReady(): void {
    this.ready++
    this.onChange?.()
  }

  delivered(): void {
    this.received++
    this.onChange?.()
  }

  /** Opens connections until there are `count`, `pendingMax` at a time; each subscribes to a topic of its own if `subscribed`. */
  async openUpTo(count: number, pendingMax: number, subscribed: boolean, timeoutMs: number): Promise<void> {
    await this.until(timeoutMs, `${count} connections`, () => {
      while (this.links.length < count && this.links.length < this.ready + pendingMax) {
        const index = this.links.length
        const connect = { version: 4, clientId: `idle-${index}`, durable: false } as const
        const filters = subscribed ? [topicOf(index)] : []
        const fields = { connect, filters, qos: 0, check: undefined } as const
        this.links.push(new Subscriber(this, index, sourceOf(this.#target.subscribers, index), fields))
      }
      return this.ready >= count
    })
  }

  /** Resolves when `done`, which is asked after every change, says so; rejects on a failed connection or after `timeoutMs`. */
  until(timeoutMs: number, what: string, done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer)
        this.onChange = undefined
        if (error === undefined) resolve()
        else reject(error)
      }
      const timer = setTimeout(() => finish(new Error(`${what}: not in time (${this.ready} ready)`)), timeoutMs)
      this.onChange = () => {
        if (this.failure !== undefined) finish(new Error(this.failure))
        else if (done()) finish()
      }
      this.onChange()
    })
  }

  close(): void {
    for (const link of this.links) link.close()
  }
}

const topicOf = (index: number): string => `bench/idle/${index}`

export async function runStorm(job: Job & { kind: 'storm' }): Promise<Answer> {
  const { target, connections, pendingMax, connectTimeoutMs } = job
  const { resumed = false } = job
  const storm = new Connections({ ...target, subscribers: { ...target.subscribers, resumes: resumed } })
  if (resumed) await storm.openUpTo(1, 1, false, connectTimeoutMs)
  const start = performance.now()
  const generatorBefore = ownCpuSeconds()
  const brokerBefore = cpuSeconds(target.brokerPids)
  const machineBefore = machineBusySeconds()
  await storm.openUpTo(connections, pendingMax, false, connectTimeoutMs)
  const seconds = (performance.now() - start) / 1000
  const generatorBusy = (ownCpuSeconds() - generatorBefore) / seconds
  const brokerSeconds = cpuSeconds(target.brokerPids) - brokerBefore
  const brokerBusy = brokerSeconds / seconds
  const brokerMicrosecondsPerConnect = (brokerSeconds * 1_000_000) / connections
  const othersBusy = Math.max(0, (machineBusySeconds() - machineBefore) / seconds - generatorBusy - brokerBusy)
  const busy = { generatorBusy, brokerBusy, othersBusy }
  const figures: Figures = { seconds, connectsPerSecond: connections / seconds, brokerMicrosecondsPerConnect, ...busy }
  const isReused = ({ socket }: Link): boolean => socket instanceof TLSSocket && socket.isSessionReused()
  const reused = storm.links.filter(isReused).length
  storm.close()
  const expected = resumed ? connections - 1 : 0
  return { figures, faults: reused < expected ? [`only ${reused} of ${expected} sessions were resumed`] : [] }
}

/** Sends one message of `bytes` to every connection and has every connection send one of its own. */
async function carryBothWays(idle: Connections, bytes: number, timeoutMs: number): Promise<void> {
  const at = idle.links.length
  for (let index = 0; index < at; index += 100) {
    const group = idle.links.slice(index, index + 100)
    const wanted = idle.received + group.length
    for (const link of group) {
      const fields = { version: 4, qos: 0, retain: false, properties: false, topicAliases: false } as const
      const tape = new Tape({ ...fields, topics: [topicOf(link.index)], payloadBytes: bytes, publisher: link.index })
      tape.stamp(0, 0, 0)
      link.write(tape.bytes.subarray(0, tape.starts[1]))
    }
    await idle.until(timeoutMs, `${bytes} bytes both ways`, () => idle.received >= wanted)
  }
}

/** Resident bytes after the broker had the time to give memory back: the gateway looks at it every five seconds. */
async function restingBytes(pids: readonly number[]): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < 24; i++) {
    await sleep(500)
    least = Math.min(least, residentBytes(pids))
  }
  return least
}

export async function runIdle(job: Job & { kind: 'idle' }): Promise<Answer> {
  const { target, connectTimeoutMs } = job
  const idle = new Connections(target)
  const before = await restingBytes(target.brokerPids)
  const figures: Figures = { bytesWithout: before }
  let last = 0
  for (const count of job.connections) {
    await idle.openUpTo(count, 200, true, connectTimeoutMs)
    figures[`bytesEach.${count}`] = ((await restingBytes(target.brokerPids)) - before) / count
    last = count
  }
  if (job.carryBytes > 0) {
    await carryBothWays(idle, job.carryBytes, connectTimeoutMs)
    figures[`bytesEachAfterTraffic.${last}`] = ((await restingBytes(target.brokerPids)) - before) / last
  }
  const stillOpen = idle.links.filter((link) => !link.closing).length
  idle.close()
  return { figures, faults: stillOpen < last ? [`only ${stillOpen} of ${last} connections stayed open`] : [] }
}
