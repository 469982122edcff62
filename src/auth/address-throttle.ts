/**
 * Wrong answers slow the address that gave them down.
 *
 * An address may be wrong a few times for free, as a person is who types. After that its attempts are taken one after the
 * other with a pause before each that doubles with every further mistake; whoever would have to wait too long is refused at
 * once. A minute without a mistake forgives everything. An IPv6 network of 64 bits counts as one address, since that is what
 * one customer has.
 *
 * Pauses cost a timer and no processor time, and they come before the password is hashed: guessing from one address costs
 * the gateway one hash per pause. Clients that are known from before (`VerifiedCredentials`) never come here.
 */
import { networkOf } from '../core/address.ts'

export interface AddressThrottleOptions {
  mistakesFree: number
  firstPauseMs: number
  pauseMaxMs: number
  /** Longest time that an attempt may have to wait for those before it. */
  waitMaxMs: number
  forgivenAfterMs: number
  addressesMax: number
}

export const defaultAddressThrottle: AddressThrottleOptions = {
  mistakesFree: 5,
  firstPauseMs: 250,
  pauseMaxMs: 2_000,
  waitMaxMs: 4_000,
  forgivenAfterMs: 60_000,
  addressesMax: 10_000,
}

interface Mistakes {
  count: number
  lastAt: number
  /** When the next attempt may be looked at. */
  nextAt: number
}

export class AddressThrottle {
  readonly #options: AddressThrottleOptions
  readonly #now: () => number
  /** Those longest without a mistake first. */
  readonly #addresses = new Map<string, Mistakes>()

  constructor(options: AddressThrottleOptions, now: () => number) {
    this.#options = options
    this.#now = now
  }

  /** Milliseconds that an attempt has to wait before it is looked at; undefined: it would be too long, refuse it. */
  reserve(remoteAddress: string): number | undefined {
    const mistakes = this.#addresses.get(networkOf(remoteAddress))
    if (mistakes === undefined) return 0
    const now = this.#now()
    const { mistakesFree, firstPauseMs, pauseMaxMs, waitMaxMs, forgivenAfterMs } = this.#options
    if (now - mistakes.lastAt > forgivenAfterMs) {
      this.#addresses.delete(networkOf(remoteAddress))
      return 0
    }
    if (mistakes.count < mistakesFree) return 0
    const pause = Math.min(firstPauseMs * 2 ** Math.min(mistakes.count - mistakesFree, 16), pauseMaxMs)
    const at = Math.max(now, mistakes.nextAt) + pause
    if (at - now > waitMaxMs) return undefined
    mistakes.nextAt = at
    return at - now
  }

  /** Whether an attempt from there has to pause now. */
  slowsDown(remoteAddress: string): boolean {
    const { mistakesFree, forgivenAfterMs } = this.#options
    const mistakes = this.#addresses.get(networkOf(remoteAddress))
    return mistakes !== undefined && mistakes.count >= mistakesFree && this.#now() - mistakes.lastAt <= forgivenAfterMs
  }

  mistake(remoteAddress: string): void {
    const network = networkOf(remoteAddress)
    const now = this.#now()
    const mistakes = this.#addresses.get(network) ?? { count: 0, lastAt: now, nextAt: now }
    if (now - mistakes.lastAt > this.#options.forgivenAfterMs) mistakes.count = 0
    mistakes.count++
    mistakes.lastAt = now
    this.#addresses.delete(network)
    this.#addresses.set(network, mistakes)
    if (this.#addresses.size <= this.#options.addressesMax) return
    for (const oldest of this.#addresses.keys()) {
      this.#addresses.delete(oldest)
      break
    }
  }
}
