/** The part of the composition root that publishes `$SYS/broker/…` in each namespace, from what it counts. */
import type { Broker } from './core/broker.ts'
import type { Namespace } from './core/namespace.ts'
import type { Queues } from './core/ports/queues.ts'
import type { Streams } from './core/ports/streams.ts'
import { countLevels } from './core/topic-trie.ts'
import type { Engine } from './engine/engine.ts'
import { newMessage } from './engine/own-message.ts'
import { encodeUtf8 } from './mqtt/utf8.ts'
import { present } from './observe/named-metrics.ts'
import { queueReadings } from './observe/queue-metrics.ts'
import { startSysTopics } from './observe/sys-timer.ts'
import { type SysMessage, type SysReading, sysNamedMax } from './observe/sys-topics.ts'
import { version } from './observe/version.ts'

interface Parts {
  engine: Engine
  queues: Queues
  streams: Streams
  clock: { now(): number }
}

export class SysTopics {
  readonly #parts: Parts
  readonly #startedMs: number
  /** What ends the figures of each namespace. */
  readonly #stops = new Map<Namespace, () => void>()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#startedMs = parts.clock.now()
  }

  get #broker(): Broker {
    return this.#parts.engine.broker
  }

  /** In namespaces that are open and have none yet. */
  start(): void {
    for (const namespace of this.#broker.namespaces.values()) {
      if (!namespace.open || this.#stops.has(namespace)) continue
      const reading = (): SysReading => this.#read(namespace)
      const publish = (messages: readonly SysMessage[]): void => this.#publish(messages, namespace)
      this.#stops.set(namespace, startSysTopics({ reading, publish }))
    }
  }

  stop(): void {
    for (const stop of this.#stops.values()) stop()
  }

  #read(namespace: Namespace): SysReading {
    return {
      counters: namespace.traffic,
      gauges: namespace.gauges(),
      queues: firstOf(queueReadings(this.#parts.queues, this.#broker.now), namespace),
      streams: firstOf(present(this.#parts.streams.list()), namespace),
      nowMs: this.#parts.clock.now(),
      startedMs: this.#startedMs,
      heapBytes: namespace === this.#broker.defaultNamespace ? process.memoryUsage().heapUsed : undefined,
      version,
    }
  }

  #publish(messages: readonly SysMessage[], namespace: Namespace): void {
    const { engine } = this.#parts
    engine.run(() => {
      const broker = this.#broker
      for (const { topic, payload } of messages) {
        // The limit is for all: `$SYS/broker/load/messages/sent/1min` has six levels.
        if (countLevels(topic) > broker.options.topicLevelsMax) continue
        const own = { name: topic, payload: encodeUtf8(payload), forwardProperties: new Uint8Array(0), qos: 2 } as const
        broker.publish(newMessage({ ...own, expiresAt: Infinity, publishedAt: broker.now }), true, namespace)
      }
    })
  }
}

/** Of a namespace, as many as have topics. */
function firstOf<One extends { namespace: string }>(things: Iterable<One>, { name }: Namespace): One[] {
  const found: One[] = []
  for (const one of things) {
    if (one.namespace === name) found.push(one)
    if (found.length === sysNamedMax) break
  }
  return found
}
