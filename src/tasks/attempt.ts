/**
 * One attempt at a job: its handler, with the signal that tells it that nobody waits any more.
 *
 * That is so when it takes longer than it may, when the gateway has given the job to somebody else, or when the program stops and will not
 * wait. A handler that does not listen is left alone after `graceMs`: its end is not known then, and its place is another job's.
 */
import type { Delivery } from './broker.ts'
import { AbandonedError } from './errors.ts'

export interface AttemptLimits {
  /** How long the handler may take; undefined: as long as it likes. */
  timeoutMs: number | undefined
  /** How often the lease is extended. */
  extendEveryMs: number
  /** For a handler whose signal was aborted to come to its end. */
  graceMs: number
}

export type Outcome =
  | { kind: 'done'; result: unknown }
  | { kind: 'failed'; error: unknown }
  /** The handler's end is not known. */
  | { kind: 'left'; error: AbandonedError }

export class Attempt {
  readonly #limits: AttemptLimits
  readonly #controller = new AbortController()
  readonly #left = Promise.withResolvers<Outcome>()
  #delivery: Delivery
  #extending = false
  #hasEnded = false
  #grace: NodeJS.Timeout | undefined

  constructor(delivery: Delivery, limits: AttemptLimits) {
    this.#delivery = delivery
    this.#limits = limits
  }

  /** As which the gateway knows it last. */
  get delivery(): Delivery {
    return this.#delivery
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Why nobody waits for it any more. */
  get abandoned(): AbandonedError | undefined {
    const { aborted, reason } = this.signal
    return aborted ? (reason as AbandonedError) : undefined
  }

  /**
   * The gateway hands the job out again, to the one who is at it: after it was restarted, or when the connection was lost for long.
   * False: nobody is at it any more.
   */
  adopt(delivery: Delivery): boolean {
    if (this.#hasEnded || this.signal.aborted) return false
    this.#delivery = delivery
    return true
  }

  abandon(cause: AbandonedError['cause'], message: string): void {
    if (this.signal.aborted) return
    const error = new AbandonedError(message, cause)
    this.#controller.abort(error)
    this.#grace = setTimeout(() => this.#left.resolve({ kind: 'left', error }), this.#limits.graceMs)
  }

  async run(handler: (signal: AbortSignal) => unknown): Promise<Outcome> {
    const { timeoutMs, extendEveryMs } = this.#limits
    const late = () => this.abandon('timeout', `took longer than ${timeoutMs} ms`)
    const timeout = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs)
    const extending = setInterval(() => void this.extend(), extendEveryMs)
    try {
      return await Promise.race([outcomeOf(handler, this.signal), this.#left.promise])
    } finally {
      this.#hasEnded = true
      clearTimeout(timeout)
      clearTimeout(this.#grace)
      clearInterval(extending)
    }
  }

  /** One at a time: without a connection it waits for the next one. */
  async extend(): Promise<void> {
    if (this.#extending) return
    this.#extending = true
    const asked = this.#delivery
    try {
      const isOurs = await asked.extend()
      if (!isOurs && asked === this.#delivery) this.abandon('lease-lost', 'the job was given to somebody else')
    } catch {
      // Nobody could be asked: the verdict will tell.
    } finally {
      this.#extending = false
    }
  }
}

async function outcomeOf(handler: (signal: AbortSignal) => unknown, signal: AbortSignal): Promise<Outcome> {
  try {
    return { kind: 'done', result: await handler(signal) }
  } catch (error) {
    return { kind: 'failed', error }
  }
}
