/** SUBSCRIBE and UNSUBSCRIBE of one client, and what the program subscribes for it: put to `authorizeSubscribe`, and told as events. */
import type { Client } from '../core/connection/client.ts'
import type { Session } from '../core/session/session.ts'
import { unsubscribe } from '../core/subscriptions/subscribe.ts'
import type { SubscribePacket, UnsubscribePacket } from '../mqtt/packet.ts'
import type { Aedes } from './broker.ts'
import type { AedesClient } from './client.ts'
import { subscribeFor } from './for-client.ts'
import { defaultHandlers } from './handlers.ts'
import type { Subscription } from './packets.ts'

/** Puts a question to the program, and goes on when it has answered. It may fail, too: then the client ends with that. */
export type Ask = <T>(
  question: (answer: (answer: T) => void, fail: (error: Error) => void) => void,
  then: (answer: T) => void,
) => void

interface Parts {
  aedes: Aedes
  client: AedesClient
  core: Client
  ask: Ask
  inTurn(action: () => void): void
}

export class ClientSubscriptions {
  readonly #parts: Parts
  /** Filters of the SUBSCRIBE under way that the program refuses. */
  readonly #denied = new Set<string>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** As a grant asks. */
  maySubscribe(filter: string, group: string | null): boolean {
    return !this.#denied.has(`${group ?? ''}\n${filter}`)
  }

  subscribe(given: Subscription[], done: (error?: Error) => void): void {
    // Of the same filter, the last.
    const subscriptions = [...new Map(given.map((one) => [one.topic, one])).values()]
    this.#authorizeAll(subscriptions, (granted, error) => {
      if (error !== null) done(error)
      else {
        const { session } = this.#parts.core
        if (session !== null)
          this.#parts.inTurn(() => subscribeFor(this.#parts.core.broker, session, granted.filter(isThere)))
        this.#noteSubscribed(subscriptions, granted)
        done()
      }
    })
  }

  unsubscribe(filters: string[]): void {
    const { session } = this.#parts.core
    if (session === null) return
    this.#parts.inTurn(() => {
      for (const filter of filters) unsubscribe(this.#parts.core.broker, session, filter)
    })
    this.#noteUnsubscribed(filters)
  }

  /** Of subscriptions that were there before, each is asked about again. */
  reconsider(session: Session): void {
    const subscriptions = [...session.subscriptions.values()].map(({ filter, qos }) => ({ topic: filter, qos }))
    for (const { topic, qos } of subscriptions) this.#parts.client.subscriptions[topic] = { qos }
    if (this.#parts.aedes.authorizeSubscribe === defaultHandlers.authorizeSubscribe) return
    for (const subscription of subscriptions) {
      this.#authorizeAll([subscription], ([granted], error) => {
        if (error === null && granted === null)
          this.#parts.inTurn(() => unsubscribe(this.#parts.core.broker, session, subscription.topic))
      })
    }
  }

  onSubscribe(packet: SubscribePacket): void {
    const core = this.#parts.core
    if (!core.connected) {
      core.onSubscribe(packet)
      return
    }
    const asked = packet.subscriptions.map((one): Subscription => {
      const { topicFilter: topic, qos, retainHandling: rh, retainAsPublished: rap, noLocal: nl } = one
      return core.version === 5 ? { topic, qos, rh, rap, nl } : { topic, qos }
    })
    this.#authorizeAll(asked, (granted, error) => {
      if (error !== null) {
        this.#parts.client.fail(error)
        return
      }
      const subscriptions = packet.subscriptions.map((one, index) => {
        const given = granted[index]
        if (given == null) {
          const [, group = '', filter = one.topicFilter] = /^\$share\/([^/]*)\/(.*)$/s.exec(one.topicFilter) ?? []
          this.#denied.add(`${group}\n${filter}`)
          return one
        }
        return { ...one, topicFilter: given.topic, qos: qosOf(given.qos) }
      })
      try {
        core.onSubscribe({ ...packet, subscriptions })
      } finally {
        this.#denied.clear()
      }
      this.#noteSubscribed(asked, granted)
    })
  }

  onUnsubscribe(packet: UnsubscribePacket): void {
    this.#parts.core.onUnsubscribe(packet)
    this.#noteUnsubscribed([...packet.topicFilters])
  }

  #noteSubscribed(asked: Subscription[], granted: (Subscription | null)[]): void {
    const { subscriptions } = this.#parts.client
    const session = this.#parts.core.session
    asked.forEach((one, index) => {
      const given = granted[index]
      const made = given == null ? undefined : session?.subscriptions.get(given.topic)
      one.qos = made?.qos ?? 128
      if (made !== undefined) subscriptions[given!.topic] = { qos: made.qos }
    })
    this.#parts.aedes.tell('subscribe', asked, this.#parts.client)
    this.#parts.aedes.announce('new/subscribes', JSON.stringify({ clientId: this.#parts.client.id, subs: asked }))
  }

  #noteUnsubscribed(filters: string[]): void {
    for (const filter of filters) delete this.#parts.client.subscriptions[filter]
    this.#parts.aedes.tell('unsubscribe', filters, this.#parts.client)
    this.#parts.aedes.announce('new/unsubscribes', JSON.stringify({ clientId: this.#parts.client.id, subs: filters }))
  }

  /** All are asked at once; null: refused. */
  #authorizeAll(asked: Subscription[], then: (granted: (Subscription | null)[], error: Error | null) => void): void {
    const granted: (Subscription | null)[] = asked.map(() => null)
    let left = asked.length
    this.#parts.ask<Error | null>(
      (answer) => {
        for (const [index, subscription] of asked.entries()) {
          this.#parts.aedes.authorizeSubscribe(this.#parts.client, { ...subscription }, (error, given) => {
            if (error) answer(error)
            else granted[index] = typeof given === 'object' ? given : null
            if (--left === 0) answer(null)
          })
        }
      },
      (error) => then(granted, error),
    )
  }
}

const isThere = (one: Subscription | null): one is Subscription => one !== null

function qosOf(qos: number): 0 | 1 | 2 {
  return qos === 1 || qos === 2 ? qos : 0
}
