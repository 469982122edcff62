/**
 * A worker of one of the gateway's queues: each message it gets is a job, with nobody else until it is done, failed or rejected.
 *
 * It has a connection of its own, because what a queue gives comes under the topics that it was published to: on a connection
 * with other subscriptions nobody could tell which is which. That connection's window is how many jobs it takes at a time.
 */
import type { Connection } from './connection.ts'
import type { Message } from './message.ts'
import type { Subscription } from './subscription.ts'

export interface Job {
  message: Message
  /** From 1. */
  attempt: number
  /** Begins the time anew that the queue allows for a job. */
  extend(): Promise<void>
}

/** Thrown by a handler that wants to say more than that the job failed. */
export class JobError extends Error {
  /** When to try again, in place of the queue's back-off. */
  readonly delayMs: number | undefined
  /** It would never succeed: a dead letter at once. */
  readonly final: boolean

  constructor(message: string, { delayMs, final = false }: { delayMs?: number; final?: boolean } = {}) {
    super(message)
    this.name = 'JobError'
    this.delayMs = delayMs
    this.final = final
  }
}

export interface ConsumeOptions {
  /** Jobs at a time. 1 */
  prefetch?: number
}

/** More than any connection has under way. */
const doneMax = 1000

export type JobHandler = (job: Job) => unknown

export class Consumer {
  readonly queue: string
  /** Resolves when it may take jobs; rejects where the gateway refuses. */
  readonly ready: Promise<unknown>
  readonly #connection: Connection
  readonly #handler: JobHandler
  readonly #subscription: Subscription
  /** By delivery. */
  readonly #running = new Map<string, Promise<void>>()
  /** The last that were done: their acknowledgement may have been lost with a connection. */
  readonly #done = new Set<string>()
  #isClosing = false

  /** @internal */
  constructor(connection: Connection, queue: string, handler: JobHandler) {
    this.queue = queue
    this.#connection = connection
    this.#handler = handler
    this.#subscription = connection.subscribe(`$queue/${queue}`, (message) => this.#take(message), { qos: 1 })
    this.ready = this.#subscription.ready
    this.ready.catch(() => this.close())
  }

  /** Takes no more jobs and lets those that run come to their end; what it has not begun goes back to the queue. */
  async close(): Promise<void> {
    this.#isClosing = true
    await Promise.allSettled(this.#running.values())
    // The acknowledgements of what has just ended.
    await new Promise((resolve) => setTimeout(resolve))
    await this.#connection.close()
  }

  /** After a lost connection what was under way comes again: it is not begun a second time, and what is done is only acknowledged. */
  #take(message: Message): Promise<void> | undefined {
    const delivery = propertyOf(message, 'queue-delivery') ?? ''
    const running = this.#running.get(delivery)
    if (running) return running
    if (message.duplicate && this.#done.has(delivery)) return undefined
    // Never handled, never acknowledged: it goes back.
    if (this.#isClosing) return new Promise(() => {})
    const begun = this.#run(message, delivery).finally(() => this.#running.delete(delivery))
    this.#running.set(delivery, begun)
    return begun
  }

  /** Its end is the acknowledgement, which after another verdict only makes room for the next job. */
  async #run(message: Message, delivery: string): Promise<void> {
    const extend = () => this.#say('$extend', { delivery })
    try {
      await this.#handler({ message, attempt: Number(propertyOf(message, 'queue-attempt') ?? 1), extend })
      this.#remember(delivery)
    } catch (cause) {
      const { delayMs, final } = cause instanceof JobError ? cause : { delayMs: undefined, final: false }
      const reason = (cause instanceof Error ? cause.message : String(cause)).slice(0, 1000)
      // Refused where the queue has given the job to somebody else meanwhile: then it is that one's.
      await this.#say(final ? '$reject' : '$nack', { delivery, reason, delayMs }).catch(() => {})
    }
  }

  #remember(delivery: string): void {
    this.#done.add(delivery)
    if (this.#done.size > doneMax) this.#done.delete(this.#done.keys().next().value!)
  }

  #say(verdict: string, details: object): Promise<void> {
    return this.#connection.publish(`$queue/${this.queue}/${verdict}`, details)
  }
}

/** The gateway's stand behind the publisher's. */
function propertyOf({ properties }: Message, name: string): string | undefined {
  return properties.userProperties?.findLast(([key]) => key === name)?.[1]
}
