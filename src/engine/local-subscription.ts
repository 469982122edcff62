/**
 * A subscriber inside this process: an async iterable of messages.
 *
 * It has a session like any other, in the subscription index, but no connection: the core hands it messages, which wait here
 * until the program takes them. What waits is bounded; beyond the limit the oldest is dropped and counted.
 */
import type { Broker } from '../core/broker.ts'
import { drop } from '../core/drop.ts'
import type { Message } from '../core/publish/message.ts'
import { Session } from '../core/session/session.ts'
import { endSession } from '../core/session/session-lifecycle.ts'
import { subscribe } from '../core/subscriptions/subscribe.ts'
import type { Properties, Qos } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { reasonName } from '../mqtt/reason-code.ts'

/** A message as programs see it. */
export interface ReceivedMessage {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  /** MQTT 5.0 properties that the publisher gave. */
  properties: Properties
}

export const localMessagesMax = 100_000

export class LocalSubscription implements AsyncIterableIterator<ReceivedMessage> {
  readonly #broker: Broker
  readonly #session: Session
  #waiting: ReceivedMessage[] = []
  #takers: ((result: IteratorResult<ReceivedMessage>) => void)[] = []
  #ended = false
  readonly #onEnd: (subscription: LocalSubscription) => void

  /** @throws Error for a filter that can't be subscribed to */
  constructor(broker: Broker, filters: readonly string[], onEnd: (subscription: LocalSubscription) => void) {
    this.#broker = broker
    this.#onEnd = onEnd
    this.#session = new Session(broker.nextSessionNumber++, '', 5)
    this.#session.local = (message, retain) => this.#take(message, retain)
    for (const topicFilter of filters) this.#subscribe(topicFilter)
  }

  #subscribe(topicFilter: string): void {
    const request = { topicFilter, qos: 2, noLocal: false, retainAsPublished: true, retainHandling: 0 } as const
    const pending: (() => void)[] = []
    const code = subscribe(this.#broker, this.#session, request, 0, pending)
    if (code >= 0x80) {
      this.#ended = true
      endSession(this.#broker, this.#session)
      throw new Error(`can't subscribe to ${JSON.stringify(topicFilter)}: ${reasonName(code)}`)
    }
    for (const begin of pending) begin()
    const { pendingRetained } = this.#session
    for (let pending = pendingRetained.first; pending !== undefined; pending = pendingRetained.first) {
      const { messages } = pending
      for (let next = messages.next(Infinity); next !== null; next = messages.next(Infinity)) this.#take(next, true)
      pendingRetained.shift()
    }
  }

  next(): Promise<IteratorResult<ReceivedMessage>> {
    const message = this.#waiting.shift()
    if (message !== undefined) return Promise.resolve({ done: false, value: message })
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve) => this.#takers.push(resolve))
  }

  /** Ends the subscription: `break` in a `for await` comes here. */
  return(): Promise<IteratorResult<ReceivedMessage>> {
    this.end()
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    endSession(this.#broker, this.#session)
    this.#onEnd(this)
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined })
  }

  #take(message: Message, retain: boolean): void {
    const { name: topic, payload, qos, forwardProperties } = message
    const received = { topic, payload, qos, retain, properties: publishProperties(forwardProperties) }
    const taker = this.#takers.shift()
    if (taker !== undefined) {
      taker({ done: false, value: received })
      return
    }
    this.#waiting.push(received)
    if (this.#waiting.length <= localMessagesMax) return
    this.#waiting.shift()
    drop(this.#broker, null, 'slow_consumer', this.#session)
  }
}
