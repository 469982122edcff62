/**
 * A durable subscriber that comes and goes: it subscribes once and relies on its session from then on. It acknowledges in
 * small groups, so that a kill finds deliveries in every state, and remembers the packet identifiers of QoS 2 deliveries
 * that were not released yet [MQTT-4.3.3-2].
 */
import type { Packet } from 'mqtt-packet'
import { isSuccess, Link } from './link.ts'
import type { Random } from './random.ts'

const reconnectMs = 20

export interface SubscriberOptions {
  clientId: string
  version: 4 | 5
  port: number
  topicFilter: string
  /** 1 for a broker that refuses 2. */
  qos: 1 | 2
  random: Random
  /** `connection` counts this subscriber's connections. */
  onMessage(payload: string, connection: number): void
}

export class DurableSubscriber {
  sessionsLost = 0
  /** Resolves at the first SUBACK, rejects if that does not grant the QoS. */
  readonly subscribed: Promise<void>
  readonly #options: SubscriberOptions
  readonly #onSubscribed: () => void
  readonly #onRefused: (error: Error) => void
  readonly #unreleased = new Set<number>()
  #acknowledgements: Packet[] = []
  #flush: NodeJS.Timeout | undefined
  #roam: NodeJS.Timeout | undefined
  #link: Link | undefined
  #connection = 0
  #hadSession = false
  #stopped = false
  #roaming = true

  constructor(options: SubscriberOptions) {
    this.#options = options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.subscribed = promise
    this.#onSubscribed = resolve
    this.#onRefused = reject
    this.#connect()
  }

  /** From now on it stays connected. */
  settle(): void {
    this.#roaming = false
    clearTimeout(this.#roam)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#roam)
    clearTimeout(this.#flush)
    this.#link?.end()
  }

  #connect(): void {
    if (this.#stopped) return
    this.#connection++
    // Acknowledgements belong to their connection.
    this.#acknowledgements = []
    this.#link = new Link(
      this.#options.port,
      { clientId: this.#options.clientId, protocolVersion: this.#options.version },
      {
        onPacket: (packet) => this.#onPacket(packet),
        onClose: () => {
          // Whoever is not connected can't leave: a second connection beside the coming one would fight with it for ever.
          clearTimeout(this.#roam)
          setTimeout(() => this.#connect(), reconnectMs)
        },
      },
    )
  }

  #onPacket(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        if (isSuccess(packet)) this.#onConnack(packet.sessionPresent)
        break
      case 'suback':
        if (packet.granted[0] !== this.#options.qos) this.#onRefused(new Error(`SUBACK ${String(packet.granted[0])}`))
        this.#hadSession = true
        this.#onSubscribed()
        break
      case 'publish':
        if (packet.qos === 2 && this.#unreleased.has(packet.messageId!)) {
          this.#acknowledge({ cmd: 'pubrec', messageId: packet.messageId! })
          break
        }
        this.#options.onMessage(String(packet.payload), this.#connection)
        if (packet.qos === 2) this.#unreleased.add(packet.messageId!)
        if (packet.qos > 0)
          this.#acknowledge({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId: packet.messageId! })
        break
      case 'pubrel':
        this.#unreleased.delete(packet.messageId!)
        this.#acknowledge({ cmd: 'pubcomp', messageId: packet.messageId! })
        break
    }
  }

  #onConnack(sessionPresent: boolean): void {
    if (!sessionPresent) {
      if (this.#hadSession) this.sessionsLost++
      this.#unreleased.clear()
      const subscriptions = [{ topic: this.#options.topicFilter, qos: this.#options.qos }]
      this.#link!.send({ cmd: 'subscribe', messageId: 1, subscriptions })
    }
    clearTimeout(this.#roam)
    if (this.#roaming) this.#roam = setTimeout(() => this.#leave(), this.#options.random.between(150, 900))
  }

  #acknowledge(packet: Packet): void {
    this.#acknowledgements.push(packet)
    if (this.#flush !== undefined) return
    this.#flush = setTimeout(
      () => {
        this.#flush = undefined
        for (const waiting of this.#acknowledgements) this.#link?.send(waiting)
        this.#acknowledgements = []
      },
      this.#options.random.between(0, 10),
    )
  }

  /** Cut off, gone in order, or connected a second time while the broker still holds the first. */
  #leave(): void {
    clearTimeout(this.#roam)
    const { random } = this.#options
    const link = this.#link
    if (random.chance(0.4)) link?.destroy()
    else if (random.chance(0.5)) link?.end()
    else {
      link?.abandon()
      this.#connect()
    }
  }
}
