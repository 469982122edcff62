/** Durable sessions that nobody is connected to: made one after another before a restart, and looked for after it. */
import { performance } from 'node:perf_hooks'
import { cpuSeconds, machineBusySeconds } from '../../proc.ts'
import type { Answer, Figures, Job } from '../job.ts'
import type { Endpoint, Link } from '../link.ts'
import { ownCpuSeconds } from '../measurement.ts'
import { disconnectPacket } from '../packets.ts'
import { Subscriber, type SubscriberOwner } from '../subscriber.ts'

/** Clients that are connected at the same time. */
const pendingMax = 200

/** What a device subscribes to: its own commands, its own settings, and what is said to its whole site. */
function filtersOfDevice(device: number, filters: number): string[] {
  const site = `bench/site${device % 100}`
  const own = Array.from({ length: filters }, (_, n) => `${site}/dev${device}/command${n}`)
  return [...own, `${site}/dev${device}/settings/+`, `${site}/notice`].slice(-filters)
}

/** Visits a broker as one durable client after another: connect, subscribe, disconnect. */
class Visits implements SubscriberOwner {
  done = 0
  sessionsPresent = 0
  readonly #endpoint: Endpoint
  readonly #clients: Iterator<{ number: number; filters: readonly string[] }>
  #open = 0
  #finish: ((error?: Error) => void) | undefined

  constructor(endpoint: Endpoint, clients: Iterator<{ number: number; filters: readonly string[] }>) {
    this.#endpoint = endpoint
    this.#clients = clients
  }

  wake(): void {}

  markDirty(link: Link): void {
    setImmediate(() => link.flush())
  }

  delivered(): void {}

  failed(link: Link, reason: string): void {
    this.#finish?.(new Error(`session ${link.index}: ${reason}`))
  }

  subscriberReady(subscriber: Subscriber): void {
    if (subscriber.sessionPresent) this.sessionsPresent++
    subscriber.closing = true
    // Leaving the close to the broker keeps the port out of TIME_WAIT here: there are fewer ports than sessions.
    subscriber.socket.once('close', () => this.#left())
    subscriber.write(disconnectPacket)
  }

  #left(): void {
    this.#open--
    this.done++
    this.#next()
    if (this.#open === 0) this.#finish?.()
  }

  #next(): void {
    const { value, done } = this.#clients.next()
    if (done === true) return
    this.#open++
    const connect = { version: 4, clientId: `session-${value.number}`, durable: true } as const
    const fields = { connect, filters: value.filters, qos: 1, check: undefined } as const
    new Subscriber(this, value.number, this.#endpoint, fields)
  }

  /** Rejects when a client is refused or nothing ends within `timeoutMs`. */
  run(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error(`${this.#open} of ${this.done + this.#open} clients not done in time`))
      const timer = setTimeout(late, timeoutMs)
      this.#finish = (error) => {
        clearTimeout(timer)
        this.#finish = undefined
        if (error === undefined) resolve()
        else reject(error)
      }
      for (let i = 0; i < pendingMax; i++) this.#next()
      if (this.#open === 0) this.#finish?.()
    })
  }
}

export async function runMakeSessions(job: Job & { kind: 'make-sessions' }): Promise<Answer> {
  const { target, sessions, filtersEach, msMax, connectTimeoutMs } = job
  const started = performance.now()
  const brokerBefore = cpuSeconds(target.brokerPids)
  const generatorBefore = ownCpuSeconds()
  const machineBefore = machineBusySeconds()
  function* devices(): Generator<{ number: number; filters: readonly string[] }> {
    for (let number = 0; number < sessions && performance.now() - started < msMax; number++) {
      yield { number, filters: filtersOfDevice(number, filtersEach) }
    }
  }
  const visits = new Visits(target.subscribers, devices())
  await visits.run(msMax + connectTimeoutMs)
  const seconds = (performance.now() - started) / 1000
  const brokerBusy = (cpuSeconds(target.brokerPids) - brokerBefore) / seconds
  const generatorBusy = (ownCpuSeconds() - generatorBefore) / seconds
  const othersBusy = Math.max(0, (machineBusySeconds() - machineBefore) / seconds - brokerBusy - generatorBusy)
  const figures = { sessions: visits.done, sessionsPerSecond: visits.done / seconds }
  return { figures: { ...figures, brokerBusy, generatorBusy, othersBusy }, faults: [] }
}

export async function runFindSessions(job: Job & { kind: 'find-sessions' }): Promise<Answer> {
  const { target, sessions, step, connectTimeoutMs } = job
  function* devices(): Generator<{ number: number; filters: readonly string[] }> {
    for (let number = 0; number < sessions; number += step) yield { number, filters: [] }
  }
  const visits = new Visits(target.subscribers, devices())
  await visits.run(connectTimeoutMs)
  const figures: Figures = { sessionsLookedFor: visits.done, sessionsPresent: visits.sessionsPresent }
  const lost = visits.done - visits.sessionsPresent
  return { figures, faults: lost > 0 ? [`${lost} of ${visits.done} sessions forgotten`] : [] }
}
