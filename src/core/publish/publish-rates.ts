/**
 * How fast a client may publish: messages and bytes per second, of its own and of all connections of its user together.
 *
 * Within the rate nothing happens but two subtractions. Beyond it:
 * - A 5.0 client is told once, by a PUBLISH at QoS 1 or 2 that is refused (0x97). It is told anew when it has kept to its rate for
 *   a while.
 * - Anything else was read and is taken: a message at QoS 0 or of a 3.x client that is thrown away would be lost without a word. The
 *   client pays by waiting: nothing more is read from it until what it owes is there again. Its own socket holds it up then.
 * - Who would have to wait longer than `ratePauseMsMax` is disconnected (0x96), and the message is not taken: a client that is
 *   not read for so long takes the gateway for dead.
 *
 * A client without any such limit has no `PublishRates` at all.
 */
import type { PublishFrame } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { Deadline } from '../deadlines.ts'
import type { ClientLimits } from '../ports/authority.ts'
import { clientBuckets, type PublishBucket, type RateLimit, type UserBuckets } from './rate-buckets.ts'

/** Who kept to the rate for so long is told again before it is made to wait. */
const toldAgainAfterMs = 10_000

/** The rates of a client under the limits in force; what it owes from before stays owed. Null: it has none. */
export function publishRates(broker: Broker, client: Client): PublishRates | null {
  const limits = limitsOf(broker, client)
  const { now } = broker
  const { rates, principal, namespace } = client
  const own = clientBuckets(rates?.buckets ?? [], limits, now)
  const user = principal === '' ? null : namespace.userRates.enter(principal, limits, now)
  if (rates !== null) rates.end()
  if (own.length === 0 && user === null && namespace.publishBuckets.length === 0) return null
  const next = rates ?? new PublishRates(broker, client)
  next.begin(own, user)
  return next
}

/** What its listener and its user's name allow, and over that what the authority said of this client. */
export function limitsOf(broker: Broker, { peer, principal, limits }: Client): ClientLimits {
  const general = broker.limitsOf(peer.listener, principal)
  return limits === undefined ? general : { ...general, ...limits }
}

export class PublishRates {
  /** Of the connection, of its user, of its namespace. */
  buckets: readonly PublishBucket[] = []
  readonly #broker: Broker
  readonly #client: Client
  readonly #resume: Deadline
  #user: UserBuckets | null = null
  /** When it was last beyond its rate. */
  #beyondAt = -Infinity

  constructor(broker: Broker, client: Client) {
    this.#broker = broker
    this.#client = client
    this.#resume = new Deadline(() => this.#onPaid())
  }

  begin(own: readonly PublishBucket[], user: UserBuckets | null): void {
    this.#user = user
    this.buckets = [...own, ...(user?.buckets ?? []), ...this.#client.namespace.publishBuckets]
  }

  /** A PUBLISH came. True: it is to be refused with 0x97. */
  refuses(frame: PublishFrame): boolean {
    const { now } = this.#broker
    const bytes = frame.end - frame.start
    let longest = 0
    let limit: RateLimit = 'client_publishes'
    for (const one of this.buckets) {
      const waitMs = one.bucket.take(one.countsBytes ? bytes : 1, now)
      if (waitMs <= longest) continue
      longest = waitMs
      limit = one.limit
    }
    return longest > 0 && this.#onBeyond(frame, longest, limit)
  }

  #onBeyond({ qos, start, end }: PublishFrame, waitMs: number, limit: RateLimit): boolean {
    const { counters, now, options } = this.#broker
    counters.rateLimited.add(limit)
    const untold = now - this.#beyondAt > toldAgainAfterMs
    this.#beyondAt = now
    if (untold) this.#broker.audit.limited(limit, this.#client)
    if (untold && qos > 0 && this.#client.version === 5) {
      counters.rateAnswers.add('refused')
      this.#giveBack(end - start)
      return true
    }
    if (waitMs > options.ratePauseMsMax) {
      counters.rateAnswers.add('disconnected')
      this.#giveBack(end - start)
      throw new ProtocolError(ReasonCode.messageRateTooHigh, `publishes too fast (${limit})`)
    }
    counters.rateAnswers.add('paused')
    this.#client.link.pauseForRate()
    this.#broker.deadlines.set(this.#resume, now + Math.max(1, Math.ceil(waitMs)))
    return false
  }

  #giveBack(bytes: number): void {
    for (const { bucket, countsBytes } of this.buckets) bucket.giveBack(countsBytes ? bytes : 1)
  }

  #onPaid(): void {
    const { link } = this.#client
    // It was we who did not read: that was no silence.
    this.#client.lastReceivedAt = this.#broker.now
    link.resumeFromRate()
  }

  /** The connection is over, or has other limits from here on. */
  end(): void {
    const { deadlines, now } = this.#broker
    const { ended, principal, namespace } = this.#client
    if (ended) deadlines.clear(this.#resume)
    if (this.#user !== null) namespace.userRates.leave(principal, now)
    this.#user = null
  }
}
