/** Subscriptions that no measured message matches: sessions of 10,000 filters each, opened one after another. */
import type { Endpoint } from '../link.ts'
import { Subscriber, type SubscriberOwner } from '../subscriber.ts'
import { crowdFilter } from '../topics.ts'

const filtersPerSession = 10_000

class Crowd implements SubscriberOwner {
  readonly #sessions: Subscriber[] = []
  #onReady: (() => void) | undefined
  #onFailed: ((reason: string) => void) | undefined

  wake(): void {}

  markDirty(link: Subscriber): void {
    setImmediate(() => link.flush())
  }

  failed(_link: unknown, reason: string): void {
    this.#onFailed?.(reason)
  }

  subscriberReady(): void {
    this.#onReady?.()
  }

  delivered(): void {}

  open(endpoint: Endpoint, filters: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onReady = resolve
      this.#onFailed = (reason) => reject(new Error(`crowd of subscriptions: ${reason}`))
      const clientId = `crowd-${this.#sessions.length}`
      const connect = { version: 4, clientId, durable: false } as const
      const fields = { connect, filters, qos: 0, check: undefined } as const
      this.#sessions.push(new Subscriber(this, this.#sessions.length, endpoint, fields))
    })
  }

  close(): void {
    for (const session of this.#sessions) session.close()
  }
}

/** Opens `subscriptions` subscriptions; rejects when that takes longer than `timeoutMs`. */
export async function openCrowd(
  subscriptions: number,
  endpoint: Endpoint,
  timeoutMs: number,
): Promise<{ close(): void } | undefined> {
  if (subscriptions === 0) return undefined
  const crowd = new Crowd()
  let made = 0
  const late = new Promise<never>((_, reject) => {
    const tooLate = (): void => reject(new Error(`only ${made} of ${subscriptions} subscriptions made in time`))
    setTimeout(tooLate, timeoutMs).unref()
  })
  late.catch(() => undefined)
  for (let first = 0; first < subscriptions; first += filtersPerSession) {
    const count = Math.min(filtersPerSession, subscriptions - first)
    const filters = Array.from({ length: count }, (_, n) => crowdFilter(first + n))
    await Promise.race([crowd.open(endpoint, filters), late])
    made += count
  }
  return crowd
}
