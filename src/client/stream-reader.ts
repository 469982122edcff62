/**
 * Reads one of the gateway's streams: what it holds from a place on, and then what comes, each message once and in order.
 *
 * It has a connection of its own, because what a stream gives comes under the topics that it was published to. The gateway keeps
 * the reader's place for as long as it keeps the session; where it has forgotten that, the reader begins behind the last message that it
 * got here. What the gateway sends a second time after a lost connection is acknowledged and not shown again.
 */
import type { Connection } from './connection.ts'
import type { Message } from './message.ts'
import type { Subscription } from './subscription.ts'

export interface StreamOptions {
  /** Where to begin: `earliest`, `latest`, `offset:123`, a time such as `2026-11-22T08:00:00Z`, or `-1h`. Unset, what the stream says. */
  from?: string
  /** Only messages of topics that this filter matches; the gateway leaves out the others. */
  filter?: string
}

export type StreamCallback = (message: Message) => unknown

export class StreamReader implements AsyncIterable<Message> {
  readonly stream: string
  /** Resolves when the gateway has let it read; rejects where it refuses. */
  readonly ready: Promise<unknown>
  readonly #connection: Connection
  readonly #subscription: Subscription
  /** Behind the last message that it was given. */
  #next: number | undefined

  /** @internal */
  constructor(connection: Connection, stream: string, { from, filter }: StreamOptions, callback?: StreamCallback) {
    this.stream = stream
    this.#connection = connection
    const address = `$stream/${stream}${filter === undefined ? '' : `/${filter}`}`
    const options = {
      qos: 1,
      from: () => (this.#next === undefined ? from : `offset:${this.#next}`),
      isNew: (message: Message) => this.#isNew(message),
    } as const
    this.#subscription =
      callback === undefined ? connection.subscribe(address, options) : connection.subscribe(address, callback, options)
    this.ready = this.#subscription.ready
    this.ready.catch(() => this.close())
  }

  /** The offset that comes next, or later; undefined before the first message. */
  get nextOffset(): number | undefined {
    return this.#next
  }

  /** Ends it; a loop over it ends too. */
  close(): Promise<void> {
    return this.#connection.close()
  }

  [Symbol.asyncIterator](): AsyncIterator<Message, undefined> {
    const messages = this.#subscription[Symbol.asyncIterator]() as AsyncIterator<Message, undefined>
    return {
      next: () => messages.next(),
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      },
    }
  }

  #isNew({ offset }: Message): boolean {
    if (offset === undefined) return true
    if (this.#next !== undefined && offset < this.#next) return false
    this.#next = offset + 1
    return true
  }
}
