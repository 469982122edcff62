/**
 * A subscriber inside this process, as the program meets it: an async iterable of messages. Where they wait, and how many may,
 * is `InProcessSubscriber`.
 */

import type { Namespace } from '../core/namespace.ts'
import { InProcessSubscriber, type Taken } from '../core/subscriptions/in-process.ts'
import type { Properties, Qos } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import { type Engine, RefusedError } from './engine.ts'

/** A message as programs see it. */
export interface ReceivedMessage {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  /** MQTT 5.0 properties that the publisher gave. */
  properties: Properties
}

/** What it needs of the engine. */
type Calls = Pick<Engine, 'broker' | 'run'>

export class LocalSubscription implements AsyncIterableIterator<ReceivedMessage> {
  readonly #engine: Calls
  readonly #subscriber: InProcessSubscriber
  readonly #takers: ((result: IteratorResult<ReceivedMessage>) => void)[] = []
  #ended = false
  readonly #onEnd: (subscription: LocalSubscription) => void
  #taken: Taken | null = null
  readonly #takeOne = (): void => {
    this.#taken = this.#subscriber.take()
  }

  /** To be called within a turn. @throws RefusedError for a filter that can't be subscribed to */
  constructor(
    engine: Calls,
    filters: readonly string[],
    onEnd: (subscription: LocalSubscription) => void,
    namespace: Namespace = engine.broker.defaultNamespace,
  ) {
    this.#engine = engine
    this.#onEnd = onEnd
    this.#subscriber = new InProcessSubscriber(engine.broker, () => this.#onMessage(), namespace)
    for (const topicFilter of filters) {
      const code = this.#subscriber.subscribe(topicFilter)
      if (code === 0) continue
      this.#ended = true
      this.#subscriber.end()
      throw new RefusedError(`can't subscribe to ${JSON.stringify(topicFilter)}: ${reasonName(code)}`)
    }
  }

  next(): Promise<IteratorResult<ReceivedMessage>> {
    // What is left of one that has ended is its own: the core has no part in it, and the engine may have stopped.
    if (this.#ended) this.#takeOne()
    else this.#engine.run(this.#takeOne)
    const taken = this.#taken
    this.#taken = null
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
    // Others of its share groups get what it did not take, in a turn that is flushed.
    this.#engine.run(() => this.#subscriber.end())
    this.#onEnd(this)
    for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined })
  }

  #onMessage(): void {
    while (this.#takers.length > 0) {
      const taken = this.#subscriber.take()
      if (taken === null) return
      this.#takers.shift()!({ done: false, value: receivedMessage(taken) })
    }
  }
}

function receivedMessage({ message, retain }: Taken): ReceivedMessage {
  const { name: topic, payload, qos, forwardProperties } = message
  return { topic, payload, qos, retain, properties: publishProperties(forwardProperties) }
}
