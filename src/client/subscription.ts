/**
 * One subscription of this program: messages go to its callback, or wait for whoever iterates over it.
 *
 * A message at QoS 1 is acknowledged when it was handled: when the callback has returned (or its promise is settled), or when the
 * loop asks for the next one. So the gateway sends no faster than the program works, and what was not handled comes again.
 */
import { MqtideError } from './errors.ts'
import type { Message } from './message.ts'
import type { Qos } from './wire.ts'

export type MessageCallback = (message: Message) => unknown

export interface SubscribeOptions {
  /** 0: what is missed while offline is gone, the gateway sends retained messages anew. 1: it comes later. 0 */
  qos?: Qos
  /** Messages at QoS 0 that wait for a loop over the subscription; beyond it the oldest go, see `dropped`. 1,000 */
  waitingMax?: number
  /** @internal Of a stream: where to begin, asked each time that the gateway is told of it. */
  from?: () => string | undefined
  /** @internal Of a stream: false for what was shown before. */
  isNew?: (message: Message) => boolean
}

interface Waiting {
  message: Message
  handled: () => void
}

const done = { done: true, value: undefined } as const

export class Subscription implements AsyncIterable<Message> {
  readonly filter: string
  readonly qos: Qos
  /**
   * Resolves with the QoS that the gateway granted, when it did so first; rejects when it refuses. Nobody has to look: a
   * refusal is an `error` event too, and ends a loop with it.
   */
  readonly ready: Promise<Qos>
  /** @internal */
  readonly from: (() => string | undefined) | undefined
  readonly #isNew: ((message: Message) => boolean) | undefined
  readonly #callback: MessageCallback | undefined
  readonly #onClose: (subscription: Subscription) => void
  readonly #waitingMax: number
  #waiting: Waiting[] = []
  /** The message that the loop is at. */
  #current: Waiting | undefined
  #next: ((result: IteratorResult<Message, undefined>) => void) | undefined
  #fail: ((error: Error) => void) | undefined
  #error: Error | undefined
  #isClosed = false
  #dropped = 0
  #granted: (qos: Qos) => void = () => {}
  #refused: (error: Error) => void = () => {}

  /** @internal */
  constructor(
    filter: string,
    { qos = 0, waitingMax = 1000, from, isNew }: SubscribeOptions,
    callback: MessageCallback | undefined,
    onClose: (subscription: Subscription) => void,
  ) {
    this.filter = filter
    this.qos = qos
    this.from = from
    this.#isNew = isNew
    this.#waitingMax = waitingMax
    this.#callback = callback
    this.#onClose = onClose
    this.ready = new Promise((resolve, reject) => {
      this.#granted = resolve
      this.#refused = reject
    })
    this.ready.catch(() => {})
  }

  /** Messages at QoS 0 that were discarded because the loop was too slow for them. */
  get dropped(): number {
    return this.#dropped
  }

  /** Ends it; a loop over it ends too. */
  close(): void {
    this.end(new MqtideError('closed', 'the subscription was closed'))
  }

  /** @internal Takes a message; what it returns settles when it is handled. */
  take(message: Message): unknown {
    if (this.#isClosed || this.#isNew?.(message) === false) return undefined
    if (this.#callback) return this.#callback(message)
    if (message.qos > 0) return new Promise<void>((handled) => this.#queue({ message, handled }))
    this.#queue({ message, handled: () => {} })
    return undefined
  }

  /** @internal */
  grant(qos: Qos): void {
    this.#granted(qos)
  }

  /** @internal Ends it with an error, which a loop throws unless it was closed by the program. */
  end(error: MqtideError): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#refused(error)
    if (error.code !== 'closed') this.#error = error
    // Nobody will handle them any more; without an acknowledgement they would keep others from being sent.
    for (const { handled } of [...(this.#current ? [this.#current] : []), ...this.#waiting]) handled()
    this.#waiting = []
    if (this.#error) this.#fail?.(this.#error)
    else this.#next?.(done)
    this.#onClose(this)
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    if (this.#callback) throw new TypeError('a subscription with a callback has nothing to iterate over')
    return {
      next: () => this.#take(),
      return: async () => {
        this.close()
        return done
      },
    }
  }

  #take(): Promise<IteratorResult<Message, undefined>> {
    this.#current?.handled()
    this.#current = this.#waiting.shift()
    if (this.#current) return Promise.resolve({ done: false, value: this.#current.message })
    if (this.#error) return Promise.reject(this.#error)
    if (this.#isClosed) return Promise.resolve(done)
    return new Promise((resolve, reject) => {
      this.#next = resolve
      this.#fail = reject
    })
  }

  #queue(waiting: Waiting): void {
    if (this.#next) {
      const next = this.#next
      this.#next = undefined
      this.#fail = undefined
      this.#current = waiting
      next({ done: false, value: waiting.message })
      return
    }
    this.#waiting.push(waiting)
    if (waiting.message.qos > 0 || this.#waiting.length <= this.#waitingMax) return
    const oldest = this.#waiting.findIndex(({ message }) => message.qos === 0)
    this.#waiting.splice(oldest, 1)
    this.#dropped++
  }
}
