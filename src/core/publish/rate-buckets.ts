/**
 * The buckets of publishers: those of one connection, and those that all connections of a user share.
 *
 * A user's outlive its connections until they are full again, since whoever reconnects would get a new burst each time otherwise.
 */
import type { ClientLimits } from '../ports/authority.ts'
import { type Rate, TokenBucket } from '../token-bucket.ts'

/** What a limit is called in the metrics. */
export type RateLimit =
  | 'client_publishes'
  | 'client_bytes'
  | 'user_publishes'
  | 'user_bytes'
  | 'namespace_publishes'
  | 'namespace_bytes'

/** A bucket, and what is taken from it. */
export interface PublishBucket {
  readonly limit: RateLimit
  readonly countsBytes: boolean
  readonly bucket: TokenBucket
}

export interface UserBuckets {
  buckets: readonly PublishBucket[]
  connections: number
}

/** Users without a connection whose buckets are kept. */
const awayUsersMax = 65_536

export class UserRates {
  readonly #users = new Map<string, UserBuckets>()
  /** Who has no connection, and a bucket that was not full when the last one ended; the longest first. */
  readonly #away = new Set<string>()

  get size(): number {
    return this.#users.size
  }

  /** One more connection of a user; null: it has no such limits. */
  enter(user: string, limits: ClientLimits, now: number): UserBuckets | null {
    const known = this.#users.get(user)
    const before = known?.buckets ?? []
    const buckets = [
      ...bucketOf('user_publishes', before, rate(limits.userPublishesPerSecondMax, limits.userPublishesBurstMax), now),
      ...bucketOf(
        'user_bytes',
        before,
        rate(limits.userPublishBytesPerSecondMax, limits.userPublishBytesBurstMax),
        now,
      ),
    ]
    if (buckets.length === 0) return null
    const entry = known ?? { buckets, connections: 0 }
    entry.buckets = buckets
    entry.connections++
    this.#users.set(user, entry)
    this.#away.delete(user)
    return entry
  }

  leave(user: string, now: number): void {
    const entry = this.#users.get(user)
    if (entry === undefined || --entry.connections > 0) return
    this.#away.add(user)
    // Two for each that comes, so that those that have filled up meanwhile are found.
    let looked = 0
    for (const away of this.#away) {
      const isSpent = this.#users.get(away)!.buckets.some(({ bucket }) => !bucket.isFull(now))
      if (!isSpent || this.#away.size > awayUsersMax) {
        this.#away.delete(away)
        this.#users.delete(away)
      }
      if (++looked === 2) return
    }
  }
}

/** Of one connection; `before`: what it had until now. */
export function clientBuckets(before: readonly PublishBucket[], limits: ClientLimits, now: number): PublishBucket[] {
  return [
    ...bucketOf('client_publishes', before, rate(limits.publishesPerSecondMax, limits.publishesBurstMax), now),
    ...bucketOf('client_bytes', before, rate(limits.publishBytesPerSecondMax, limits.publishBytesBurstMax), now),
  ]
}

/** For `Namespace.publishBuckets`; `before`: what that holds. */
export function namespaceBuckets(before: readonly PublishBucket[], limits: ClientLimits, now: number): PublishBucket[] {
  return [
    ...bucketOf('namespace_publishes', before, rate(limits.publishesPerSecondMax, limits.publishesBurstMax), now),
    ...bucketOf('namespace_bytes', before, rate(limits.publishBytesPerSecondMax, limits.publishBytesBurstMax), now),
  ]
}

/** Without a burst of its own it is what a second brings. */
function rate(perSecond: number | undefined, burst: number | undefined): Rate | undefined {
  return perSecond === undefined ? undefined : { perSecond, burst: burst ?? perSecond }
}

function bucketOf(
  limit: RateLimit,
  before: readonly PublishBucket[],
  rate: Rate | undefined,
  now: number,
): PublishBucket[] {
  if (rate === undefined) return []
  const known = before.find((one) => one.limit === limit)
  if (known === undefined) return [{ limit, countsBytes: limit.endsWith('bytes'), bucket: new TokenBucket(rate, now) }]
  known.bucket.change(rate, now)
  return [known]
}
