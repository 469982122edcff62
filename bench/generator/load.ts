/**
 * Publishers and subscribers driven in a closed loop.
 *
 * Theory of operation: sockets' events only parse and count; once per event-loop iteration a turn writes what every client has to
 * answer and then publishes as many messages as the window still allows. The window bounds what the broker owes (deliveries not
 * yet made, acknowledgements not yet sent), so a broker is driven at its own pace, nothing has to be dropped, and every message is
 * accounted for at the end.
 */
import type { Endpoint, Link } from './link.ts'
import type { ProtocolVersion, Qos } from './packets.ts'
import { Publisher, type PublisherOwner } from './publisher.ts'
import { SequenceCheck } from './sequence.ts'
import { Subscriber, type SubscriberOwner } from './subscriber.ts'
import { Tape } from './tape.ts'
import { filtersOf, publisherTopics, type Topology } from './topics.ts'

export interface LoadSpec {
  topology: Topology
  publishers: number
  subscribers: number
  publishQos: Qos
  subscribeQos: Qos
  payloadBytes: number
  /** Deliveries (and acknowledgements) that may be outstanding; at least one publish's worth is allowed. */
  windowMessages: number
  /** Messages a publisher puts into one write. */
  burstMessagesMax: number
  version: ProtocolVersion
  properties: boolean
  topicAliases: boolean
  retain: boolean
  /** Sessions of the subscribers outlive their connections. */
  durable: boolean
  topicsPerPublisher: number
  /** What a subscriber takes for a message before it acknowledges it; it works on all it has at the same time. */
  answerAfterMs?: number
  username?: string
  password?: string
}

export const defaultLoad: LoadSpec = {
  topology: 'pair',
  publishers: 10,
  subscribers: 10,
  publishQos: 0,
  subscribeQos: 0,
  payloadBytes: 64,
  windowMessages: 4000,
  burstMessagesMax: 1000,
  version: 4,
  properties: false,
  topicAliases: false,
  retain: false,
  durable: false,
  topicsPerPublisher: 1,
}

export interface Totals {
  sent: number
  delivered: number
  expected: number
  acknowledged: number
  lost: number
  duplicated: number
  reordered: number
  refused: number
  foreign: number
}

const connectsPending = 256

export class Load implements PublisherOwner, SubscriberOwner {
  readonly publishers: Publisher[] = []
  readonly subscribers: Subscriber[] = []
  sent = 0
  deliveredCount = 0
  acknowledgedCount = 0
  refusedCount = 0
  /** Deliveries each publish causes. */
  fanOut = 0
  publishing = false
  failure: string | undefined
  /** Called for each delivery, with the time it was due; open-loop measurements record a latency here. */
  onDelivery: ((dueMicroseconds: number) => void) | undefined
  /** Replaces the closed loop's publishing by another plan. */
  plan: (() => void) | undefined
  readonly spec: LoadSpec
  readonly #name: string
  readonly #checks: SequenceCheck[] = []
  readonly #dirty: Link[] = []
  #adopted: readonly number[] | undefined
  #scheduled = false
  #nextPublisher = 0
  #ready = 0
  #onReady: (() => void) | undefined
  readonly #turn = (): void => this.#runTurn()

  /** `name` begins every client id. */
  constructor(spec: LoadSpec, name: string) {
    this.spec = spec
    this.#name = name
  }

  wake(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turn)
  }

  markDirty(link: Link): void {
    this.#dirty.push(link)
    this.wake()
  }

  failed(link: Link, reason: string): void {
    this.failure ??= `${link instanceof Publisher ? 'publisher' : 'subscriber'} ${link.index}: ${reason}`
    this.#onReady?.()
  }

  publisherReady(): void {
    this.#ready++
    this.#onReady?.()
  }

  subscriberReady(_subscriber: Subscriber): void {
    this.#ready++
    this.#onReady?.()
  }

  acknowledged(): void {
    this.acknowledgedCount++
  }

  refused(_reasonCode: number): void {
    this.refusedCount++
  }

  delivered(dueMicroseconds: number): void {
    this.deliveredCount++
    if (this.onDelivery !== undefined) this.onDelivery(dueMicroseconds)
  }

  #runTurn(): void {
    this.#scheduled = false
    if (this.publishing) {
      if (this.plan === undefined) this.#publishRoom()
      else this.plan()
    }
    for (const link of this.#dirty) link.flush()
    this.#dirty.length = 0
  }

  /** Publishes that fit into the window now. */
  #room(): number {
    const { windowMessages, publishQos } = this.spec
    let room = Number.POSITIVE_INFINITY
    if (this.fanOut > 0) {
      const outstanding = this.sent * this.fanOut - this.deliveredCount
      room = Math.floor((Math.max(windowMessages, this.fanOut) - outstanding) / this.fanOut)
    }
    if (publishQos > 0) room = Math.min(room, windowMessages - (this.sent - this.acknowledgedCount))
    return room
  }

  #publishRoom(): void {
    const room = this.#room()
    const count = this.publishers.length
    if (room <= 0 || count === 0) return
    const each = Math.min(this.spec.burstMessagesMax, Math.max(1, Math.floor(room / count)))
    for (let i = 0, left = room; i < count && left > 0; i++) {
      const written = this.publisherInTurn().publish(Math.min(each, left), 0)
      this.sent += written
      left -= written
    }
  }

  /** Publishers take turns, so that none is favoured. */
  publisherInTurn(): Publisher {
    const publisher = this.publishers[this.#nextPublisher]!
    this.#nextPublisher = this.#nextPublisher + 1 === this.publishers.length ? 0 : this.#nextPublisher + 1
    return publisher
  }

  /** Connects and subscribes all subscribers. Rejects when one is refused or not ready within `timeoutMs`. */
  async openSubscribers(endpoint: Endpoint, timeoutMs: number, resume = false): Promise<void> {
    const { topology, subscribers, publishers, subscribeQos, version, durable, answerAfterMs = 0 } = this.spec
    const shared = topology === 'shared' || topology === 'queue' ? new SequenceCheck(0, publishers) : undefined
    await this.#openAll(subscribers, timeoutMs, (index) => {
      const own = topology === 'pair' ? new SequenceCheck(index, 1) : new SequenceCheck(0, publishers)
      const check = (this.#checks[index] ??= shared ?? own)
      const filters = resume ? [] : filtersOf(topology, index, this.spec.topicsPerPublisher)
      const connect = { version, clientId: `${this.#name}-s${index}`, durable, ...this.#credentials() }
      const subscriber = new Subscriber(this, index, endpoint, {
        connect,
        filters,
        qos: subscribeQos,
        check,
        answerAfterMs,
      })
      this.subscribers.push(subscriber)
      return subscriber
    })
    const toAll = topology === 'fan-out' || topology === 'stream'
    this.fanOut = toAll ? subscribers : subscribers > 0 ? 1 : 0
  }

  async openPublishers(endpoint: Endpoint, timeoutMs: number): Promise<void> {
    const { publishers, publishQos: qos, version, payloadBytes, properties, topicAliases, retain } = this.spec
    await this.#openAll(publishers, timeoutMs, (index) => {
      const topics = publisherTopics(this.spec.topology, index, this.spec.topicsPerPublisher)
      const tape = new Tape({ version, qos, retain, properties, topics, payloadBytes, topicAliases, publisher: index })
      const connect = { version, clientId: `${this.#name}-p${index}`, durable: false, ...this.#credentials() }
      const publisher = new Publisher(this, index, endpoint, connect, qos, tape)
      this.publishers.push(publisher)
      return publisher
    })
  }

  #credentials(): { username?: string; password?: string } {
    const { username, password } = this.spec
    return { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) }
  }

  /** Opens `count` links, at most `connectsPending` at a time. */
  #openAll(count: number, timeoutMs: number, open: (index: number) => Link): Promise<void> {
    const target = this.#ready + count
    const before = this.#ready
    let opened = 0
    return new Promise<void>((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer)
        this.#onReady = undefined
        if (error === undefined) resolve()
        else reject(error)
      }
      const late = (): void => finish(new Error(`only ${this.#ready - before} of ${count} clients ready in time`))
      const timer = setTimeout(late, timeoutMs)
      this.#onReady = () => {
        if (this.failure !== undefined) {
          finish(new Error(this.failure))
          return
        }
        while (opened < count && opened < this.#ready - before + connectsPending) open(opened++)
        if (this.#ready === target) finish()
      }
      this.#onReady()
    })
  }

  /** Takes over what another process published, so that it can be received and accounted for here. */
  adoptSent(sentByPublisher: readonly number[]): void {
    this.#adopted = sentByPublisher
    this.sent = sentByPublisher.reduce((total, one) => total + one, 0)
    this.acknowledgedCount = this.sent
  }

  start(): void {
    this.publishing = true
    this.wake()
  }

  /** Deliveries and acknowledgements that must still come. */
  get outstanding(): number {
    const owed = this.sent * this.fanOut - this.deliveredCount
    return owed + (this.spec.publishQos > 0 ? this.sent - this.acknowledgedCount : 0)
  }

  totals(): Totals {
    const checks = new Set(this.#checks)
    const sentBy = this.#adopted ?? this.publishers.map((publisher) => publisher.sent)
    let lost = 0
    for (const [index, check] of [...checks].entries()) {
      for (const [publisher, sent] of sentBy.entries()) {
        if (this.spec.topology !== 'pair' || publisher === index) lost += check.lost(publisher, sent)
      }
    }
    const sum = (of: (check: SequenceCheck) => number): number => [...checks].reduce((total, one) => total + of(one), 0)
    return {
      sent: this.sent,
      delivered: this.deliveredCount,
      expected: this.sent * this.fanOut,
      acknowledged: this.acknowledgedCount,
      lost,
      duplicated: sum((check) => check.duplicated),
      reordered: sum((check) => check.reordered),
      refused: this.refusedCount,
      foreign: this.subscribers.reduce((total, subscriber) => total + subscriber.foreign, 0),
    }
  }

  close(): void {
    this.publishing = false
    for (const link of [...this.publishers, ...this.subscribers]) link.close()
  }
}
