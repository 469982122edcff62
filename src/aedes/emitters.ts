/** Functions of the program that get messages: each is a subscriber inside the process, with so many deliveries under way. */

import { InProcessSubscriber } from '../core/subscriptions/in-process.ts'
import type { Engine } from '../engine/engine.ts'
import { RefusedError } from '../engine/engine.ts'
import { reasonName } from '../mqtt/reason-code.ts'
import type { Aedes } from './broker.ts'
import { type AedesPublishPacket, packetOfMessage } from './packets.ts'

export type Deliver = (packet: AedesPublishPacket, callback: () => void) => void

class Emitter {
  readonly deliver: Deliver
  readonly #aedes: Aedes
  readonly #engine: Engine
  readonly #subscriber: InProcessSubscriber
  #underWay = 0
  #isScheduled = false

  constructor(aedes: Aedes, engine: Engine, topic: string, deliver: Deliver) {
    this.deliver = deliver
    this.#aedes = aedes
    this.#engine = engine
    this.#subscriber = new InProcessSubscriber(engine.broker, () => this.#schedule())
    // In aedes a wildcard stands for topics of the broker's own too.
    for (const filter of [topic, ...ofTheBroker(topic)]) {
      const code = this.#subscriber.subscribe(filter, false)
      if (code !== 0) throw new RefusedError(`can't subscribe to ${JSON.stringify(topic)}: ${reasonName(code)}`)
    }
  }

  end(): void {
    this.#subscriber.end()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#take()
    })
  }

  #take(): void {
    while (this.#underWay < this.#aedes.limits.concurrency) {
      const taken = this.#engine.call(() => this.#subscriber.take())
      if (taken === null) return
      this.#underWay++
      let isDone = false
      const { message, retain } = taken
      this.deliver(packetOfMessage(message, { qos: message.qos, retain }, this.#aedes.origin), () => {
        if (isDone) return
        isDone = true
        this.#underWay--
        this.#schedule()
      })
    }
  }
}

function ofTheBroker(topic: string): string[] {
  if (topic === '#') return ['$SYS/#']
  return topic.startsWith('+') ? [`$SYS${topic.slice(1)}`] : []
}

export class Emitters {
  readonly #aedes: Aedes
  readonly #byTopic = new Map<string, Emitter[]>()

  constructor(aedes: Aedes) {
    this.#aedes = aedes
  }

  /** @throws RefusedError */
  add(engine: Engine, topic: string, deliver: Deliver): void {
    const emitter = engine.call(() => new Emitter(this.#aedes, engine, topic, deliver))
    this.#byTopic.set(topic, [...(this.#byTopic.get(topic) ?? []), emitter])
  }

  remove(engine: Engine, topic: string, deliver: Deliver): void {
    const emitters = this.#byTopic.get(topic) ?? []
    const emitter = emitters.find((one) => one.deliver === deliver)
    if (emitter === undefined) return
    engine.run(() => emitter.end())
    this.#byTopic.set(
      topic,
      emitters.filter((one) => one !== emitter),
    )
  }

  end(engine: Engine): void {
    for (const emitters of this.#byTopic.values()) for (const emitter of emitters) engine.run(() => emitter.end())
    this.#byTopic.clear()
  }
}
