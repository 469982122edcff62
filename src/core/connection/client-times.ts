/**
 * How long a client may take: until its CONNECT is accepted, until the authority has answered, between packets (Keep Alive), and
 * until what the authority said of it is over. Of the first three one runs at a time, so that they are one deadline.
 */
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import { Deadline } from '../deadlines.ts'
import type { Client } from './client.ts'

export class ClientTimes {
  readonly #broker: Broker
  readonly #client: Client
  /** CONNECT, an answer of the authority, or Keep Alive. */
  readonly #timeout: Deadline
  /** Until when CONNECT has to be accepted; our own waiting does not count. */
  #connectBy: number
  /** Answers for an authority that is asked and takes too long. */
  #giveUp: (() => void) | null = null
  /** When what the authority said ends. */
  #expiry: Deadline | null = null

  constructor(broker: Broker, client: Client) {
    this.#broker = broker
    this.#client = client
    this.#timeout = new Deadline((now) => this.#onTimeout(now))
    this.#connectBy = broker.now + broker.options.connectTimeoutMs
    broker.deadlines.set(this.#timeout, this.#connectBy)
  }

  /** Nothing is read from it before then; its time for CONNECT begins there. */
  startAt(time: number): void {
    this.#connectBy += time - this.#broker.now
    this.#rearm()
  }

  startKeepAlive(): void {
    const { deadlines, now } = this.#broker
    const { keepAlive } = this.#client
    deadlines.set(this.#timeout, keepAlive === 0 ? Infinity : now + keepAlive * 1500)
  }

  /** The connection ends then, unless the authority extends it; Infinity: it does not. */
  setExpiry(at: number): void {
    if (at === Infinity && this.#expiry === null) return
    this.#expiry ??= new Deadline(() => this.#onExpiry())
    this.#broker.deadlines.set(this.#expiry, at)
  }

  /**
   * Asks a port that may answer later. Until then no packet is decoded; after `authenticationTimeoutMs` the answer is `late`, and
   * whatever comes is ignored.
   */
  askAuthority<T>(
    ask: (done: (answer: T) => void) => void,
    then: (broker: Broker, client: Client, answer: T) => void,
    late: T,
  ): void {
    const broker = this.#broker
    const client = this.#client
    const askedAt = broker.now
    let answered = false
    let paused = false
    const done = (answer: T): void => {
      if (answered) return
      answered = true
      this.#giveUp = null
      this.#connectBy += broker.now - askedAt
      if (client.ended) return
      if (paused) this.#rearm()
      client.withDurability(() => then(broker, client, answer))
      if (paused && !client.ended) client.link.resumeReading()
    }
    ask(done)
    if (answered) return
    paused = true
    this.#giveUp = () => done(late)
    broker.deadlines.set(this.#timeout, broker.now + broker.options.authenticationTimeoutMs)
    client.link.pauseReading()
  }

  /** The connection is over. */
  end(): void {
    const { deadlines } = this.#broker
    deadlines.clear(this.#timeout)
    if (this.#expiry !== null) deadlines.clear(this.#expiry)
  }

  #rearm(): void {
    if (this.#client.connected) this.startKeepAlive()
    else this.#broker.deadlines.set(this.#timeout, this.#connectBy)
  }

  /** [MQTT-4.13.1-1] has no closer word than Maximum connect time: what was authorized is over. */
  #onExpiry(): void {
    const client = this.#client
    client.withDurability(() => client.disconnect(ReasonCode.maximumConnectTime))
  }

  #onTimeout(now: number): void {
    const { deadlines, counters, log } = this.#broker
    const client = this.#client
    if (this.#giveUp !== null) {
      counters.authorityTimeouts++
      log.error({ clientId: client.clientId }, 'the authenticator did not answer in time: that is a no')
      this.#giveUp()
      return
    }
    if (!client.connected) {
      client.end('connect_timeout')
      return
    }
    // A client whose bytes we leave in the socket is not silent.
    const due = client.lastReceivedAt + client.keepAlive * 1500
    if (client.link.readingPaused || due > now) {
      deadlines.set(this.#timeout, Math.max(due, now + 1000))
      return
    }
    client.withDurability(() => client.disconnect(ReasonCode.keepAliveTimeout))
  }
}
