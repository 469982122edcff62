/**
 * A subscriber inside this process, as the program meets it: an async iterable of messages. Where they wait, and how many may,
 * is `InProcessSubscriber`.
 */

import type { Broker } from '../core/broker.ts'
import { InProcessSubscriber, type Taken } from '../core/subscriptions/in-process.ts'
import type { Properties, Qos } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import { RefusedError } from './engine.ts'

/** A message as programs see it. */
export interface ReceivedMessage {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  /** MQTT 5.0 properties that the publisher gave. */
  properties: Properties
}

export class LocalSubscription implements AsyncIterableIterator<ReceivedMessage> {
  readonly #subscriber: InProcessSubscriber
  readonly #takers: ((result: IteratorResult<ReceivedMessage>) => void)[] = []
  #ended = false
  readonly #onEnd: (subscription: LocalSubscription) => void

  /** @throws RefusedError for a filter that can't be subscribed to */
  constructor(broker: Broker, filters: readonly string[], onEnd: (subscription: LocalSubscription) => void) {
    this.#onEnd = onEnd
    this.#subscriber = new InProcessSubscriber(broker, () => this.#onMessage())
    for (const topicFilter of filters) {
      const code = this.#subscriber.subscribe(topicFilter)
      if (code === 0) continue
      this.#ended = true
      this.#subscriber.end()
      throw new RefusedError(`can't subscribe to ${JSON.stringify(topicFilter)}: ${reasonName(code)}`)
    }
  }

  next(): Promise<IteratorResult<ReceivedMessage>> {
    const taken = this.#subscriber.take()
    if (taken !== null) return Promise.resolve({ done: false, value: receivedMessage(taken) })
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
    this.#subscriber.end()
    this.#onEnd(this)
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined })
  }

  #onMessage(): void {
    if (this.#takers.length === 0) return
    const taken = this.#subscriber.take()
    if (taken !== null) this.#takers.shift()!({ done: false, value: receivedMessage(taken) })
  }
}

function receivedMessage({ message, retain }: Taken): ReceivedMessage {
  const { name: topic, payload, qos, forwardProperties } = message
  return { topic, payload, qos, retain, properties: publishProperties(forwardProperties) }
}
