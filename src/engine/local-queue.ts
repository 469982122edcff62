/**
 * A queue as the program meets it that the gateway is part of: it puts jobs in, and works on them beside the consumers that come over MQTT.
 *
 * A job is leased for a time. It ends with a verdict; without one in time it has failed, and another consumer gets it. A consumer never has
 * more unsettled jobs than its concurrency, so that a program that forgets to settle stands still instead of taking all there is.
 */
import type { DeadLetterView, QueuedMessageView, QueueName, Queues, Settlement } from '../core/ports/queues.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import { PacketType, type Properties } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import type { Engine } from './engine.ts'

/** Thrown by whoever works on a job that must not be tried again: it becomes a dead letter. */
export class Reject extends Error {
  override name = 'Reject'
}

export interface NewJob {
  payload?: string | Uint8Array
  /** Absent: the queue's name. */
  topic?: string
  /** 0 to 9, 9 first; absent: 4. */
  priority?: number
  /** Where the queue looks for what came before: a job of this id is not put in again. */
  id?: string
  properties?: Properties
}

export interface ConsumeOptions {
  /** Unsettled jobs at a time; 1 if absent. */
  concurrency?: number
  /** How long a job may take; an hour if absent. */
  leaseMs?: number
}

export interface QueueWorker {
  /** Takes no more jobs. Resolves when those under way are settled. */
  stop(): Promise<void>
}

export interface QueueParts {
  queues: Queues
  engine: Engine
  /** Not the class: its types lead to the database driver's, which a program that uses this package does not have. */
  committer: { settled(): Promise<void> }
}

const leaseMsDefault = 3_600_000
const leaseMsMax = 86_400_000
const concurrencyMax = 10_000

/** Where a job is from, and who has it. */
interface JobLease {
  readonly queue: QueueName
  readonly delivery: string
  settle(settlement: Settlement): Promise<boolean>
  /** It was settled together with other things. */
  end(): void
}

export class Job {
  readonly topic: string
  readonly payload: Uint8Array
  readonly properties: Properties
  /** From 1. */
  readonly attempt: number
  readonly priority: number
  /** Of a dead letter: where it is from and why. */
  readonly deadLetter: DeadLetterView | null
  /** @internal */
  readonly lease: JobLease

  /** @internal */
  constructor(view: QueuedMessageView, lease: JobLease) {
    const { topic, payload, properties } = view.message
    this.topic = topic
    this.payload = payload
    this.properties = publishProperties(properties)
    this.attempt = view.attempt
    this.priority = view.priority
    this.deadLetter = view.deadLetter
    this.lease = lease
  }

  /** Done. Each of these resolves when that is stored; false: the job is not this consumer's any more. */
  ack(): Promise<boolean> {
    return this.#settle({ verdict: 'ack' })
  }

  /** Failed: again after the queue's back-off or `delayMs`, or a dead letter after its last attempt. */
  nack({ delayMs, reason }: { delayMs?: number; reason?: string } = {}): Promise<boolean> {
    return this.#settle({ verdict: 'nack', delayMs, reason })
  }

  /** A dead letter now. */
  reject(reason?: string): Promise<boolean> {
    return this.#settle({ verdict: 'reject', reason })
  }

  /** Given back, and no failure. */
  release(): Promise<boolean> {
    return this.#settle({ verdict: 'release' })
  }

  /** The lease lasts so long from now. */
  extend(leaseMs: number): Promise<boolean> {
    return this.#settle({ verdict: 'extend', delayMs: leaseMs })
  }

  #settle(settlement: Omit<Settlement, 'delivery'>): Promise<boolean> {
    return this.lease.settle({ delivery: this.lease.delivery, ...settlement })
  }
}

/** The verdict on a job. A job by itself is done. */
export interface JobVerdict {
  readonly job: Job
  readonly verdict: 'ack' | 'nack' | 'reject' | 'release'
  /** Of a `nack`: in place of the queue's back-off. */
  readonly delayMs?: number
  /** Kept with a dead letter. */
  readonly reason?: string
}

export class Queue {
  readonly name: string
  readonly #queue: QueueName
  readonly #parts: QueueParts
  readonly #consumers: Set<JobConsumer>

  /** @internal `consumers`: all of the gateway's, which end with it. */
  constructor(queue: QueueName, parts: QueueParts, consumers: Set<JobConsumer>) {
    this.name = queue.name
    this.#queue = queue
    this.#parts = parts
    this.#consumers = consumers
  }

  /** Resolves, with whether it was there already, when the job is as safe as a client's would be at its acknowledgement. Rejects where the queue or the store has no room. */
  async add({ payload = '', topic = '', priority, id, properties = {} }: NewJob): Promise<'added' | 'duplicate'> {
    if (topic !== '' && !isValidTopicName(topic)) throw new RangeError(`not a topic name: ${JSON.stringify(topic)}`)
    if (priority !== undefined && !(Number.isInteger(priority) && priority >= 0 && priority <= 9)) {
      throw new RangeError(`expected a priority from 0 to 9, got ${priority}`)
    }
    const { messageExpiryInterval, topicAlias: _alias, subscriptionIdentifiers: _ids, ...forwarded } = properties
    if (priority !== undefined) setProperty(forwarded, 'priority', String(priority))
    if (id !== undefined) setProperty(forwarded, 'message-id', id)
    const { queues, engine, committer } = this.#parts
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload.slice()
    const encoded = encodeProperties(PacketType.publish, forwarded)
    const outcome = engine.call(() => {
      const { now } = engine.broker
      const expiresAt = messageExpiryInterval === undefined ? Infinity : now + messageExpiryInterval * 1000
      return queues.add(this.#queue, { topic, payload: bytes, properties: encoded, expiresAt, publisher: '' })
    })
    if (outcome === 'full') throw new Error(`${this.name}: refused, the queue or the store has no room (0x97)`)
    if (outcome === 'unknown-queue') throw new RangeError(`no queue is called ${this.name}`)
    if (outcome === 'malformed-id') throw new RangeError('a message-id has 1 to 256 characters')
    await committer.settled()
    return outcome
  }

  /**
   * Jobs, one after the other, until the loop is left or the gateway closes; each has to be settled by one of its methods. The next one comes
   * when fewer than `concurrency` are unsettled. Whoever leaves the loop gives back what is.
   */
  consume(options: ConsumeOptions = {}): AsyncIterableIterator<Job> {
    return this.#consumer(options)
  }

  /**
   * Has a function do the jobs: done when it resolves, failed when it throws, a dead letter when it throws a `Reject`. Returns what stops
   * it, which resolves when the jobs under way are settled.
   */
  work(handler: (job: Job) => unknown, options: ConsumeOptions = {}): QueueWorker {
    const consumer = this.#consumer(options)
    const underWay = new Set<Promise<unknown>>()
    const worked = (async () => {
      for (;;) {
        const { done, value: job } = await consumer.next()
        if (done === true) return
        const doing: Promise<unknown> = doJob(job, handler).finally(() => underWay.delete(doing))
        underWay.add(doing)
      }
    })()
    return {
      async stop() {
        consumer.takeNoMore()
        await worked
        await Promise.all(underWay)
        await consumer.return()
      },
    }
  }

  #consumer({ concurrency = 1, leaseMs = leaseMsDefault }: ConsumeOptions): JobConsumer {
    requireWhole('concurrency', concurrency, concurrencyMax)
    requireWhole('leaseMs', leaseMs, leaseMsMax)
    const onEnd = (one: JobConsumer) => this.#consumers.delete(one)
    const consumer = new JobConsumer(this.#queue, this.#parts, { concurrency, leaseMs, onEnd })
    this.#consumers.add(consumer)
    return consumer
  }
}

function setProperty(properties: Properties, name: string, value: string): void {
  const others = (properties.userProperties ?? []).filter(([key]) => key !== name)
  properties.userProperties = [...others, [name, value]]
}

function requireWhole(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return
  throw new RangeError(`expected ${name} from 1 to ${max}, got ${value}`)
}

async function doJob(job: Job, handler: (job: Job) => unknown): Promise<void> {
  try {
    await handler(job)
    await job.ack()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    await (error instanceof Reject ? job.reject(reason) : job.nack({ reason }))
  }
}

interface ConsumerOptions extends Required<ConsumeOptions> {
  onEnd(consumer: JobConsumer): void
}

type Taker = (result: IteratorResult<Job, undefined>) => void

export class JobConsumer implements AsyncIterableIterator<Job, undefined> {
  readonly #queue: QueueName
  readonly #parts: QueueParts
  readonly #options: ConsumerOptions
  readonly #takers: Taker[] = []
  /** By delivery, with when the lease ends on the clock of `performance.now`. */
  readonly #unsettled = new Map<string, number>()
  #ended = false
  #cancelWait: (() => void) | null = null
  #leaseTimer: NodeJS.Timeout | undefined

  constructor(queue: QueueName, parts: QueueParts, options: ConsumerOptions) {
    this.#queue = queue
    this.#parts = parts
    this.#options = options
  }

  next(): Promise<IteratorResult<Job, undefined>> {
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => {
      this.#takers.push(resolve)
      this.#take()
    })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Who waits for a job gets none. */
  takeNoMore(): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelWait?.()
    this.#cancelWait = null
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined })
  }

  /** Ends, and gives back what is unsettled: `break` in a `for await` comes here. */
  async return(): Promise<IteratorResult<Job, undefined>> {
    this.takeNoMore()
    clearTimeout(this.#leaseTimer)
    const given = [...this.#unsettled.keys()]
    this.#unsettled.clear()
    if (given.length > 0) this.#settle(given.map((delivery) => ({ delivery, verdict: 'release' as const })))
    this.#options.onEnd(this)
    return { done: true, value: undefined }
  }

  #take(): void {
    const { concurrency, leaseMs } = this.#options
    const { queues, engine } = this.#parts
    this.#forgetTimedOut()
    while (!this.#ended && this.#takers.length > 0 && this.#unsettled.size < concurrency) {
      const found = engine.call(() => queues.receive(this.#queue, 1, leaseMs))
      if (found === null) {
        this.takeNoMore()
        return
      }
      const view = found[0]
      if (view === undefined) {
        this.#wait()
        return
      }
      this.#unsettled.set(view.delivery, performance.now() + leaseMs)
      this.#takers.shift()!({ done: false, value: new Job(view, this.#leaseOf(view)) })
    }
    if (!this.#ended && this.#takers.length > 0) this.#awaitLease()
  }

  #leaseOf({ delivery }: QueuedMessageView): JobLease {
    return {
      queue: this.#queue,
      delivery,
      settle: (settlement) => this.#judge(settlement),
      end: () => {
        this.#unsettled.delete(delivery)
        this.#take()
      },
    }
  }

  #wait(): void {
    if (this.#cancelWait !== null) return
    const { queues, engine } = this.#parts
    let told = false
    const notify = () => {
      told = true
      this.#cancelWait = null
      // Not within the turn that tells of it.
      queueMicrotask(() => this.#take())
    }
    const cancel = engine.call(() => queues.whenReady(this.#queue, notify))
    // It may be told before it could be cancelled.
    if (!told) this.#cancelWait = cancel
  }

  /** Everything is taken: the next job comes when one is settled, or is not this consumer's any more. */
  #awaitLease(): void {
    clearTimeout(this.#leaseTimer)
    const soonest = Math.min(...this.#unsettled.values())
    this.#leaseTimer = setTimeout(() => this.#take(), Math.max(1, soonest - performance.now()))
    this.#leaseTimer.unref()
  }

  #forgetTimedOut(): void {
    const now = performance.now()
    for (const [delivery, endsAt] of this.#unsettled) if (endsAt <= now) this.#unsettled.delete(delivery)
  }

  async #judge(settlement: Settlement): Promise<boolean> {
    const { delivery, verdict, delayMs = 0 } = settlement
    const [outcome] = this.#settle([settlement])
    if (verdict === 'extend' && outcome === 'done') this.#unsettled.set(delivery, performance.now() + delayMs)
    else this.#unsettled.delete(delivery)
    this.#take()
    await this.#parts.committer.settled()
    return outcome === 'done'
  }

  #settle(settlements: readonly Settlement[]) {
    const { queues, engine } = this.#parts
    return engine.call(() => queues.settle(this.#queue, settlements))
  }
}
