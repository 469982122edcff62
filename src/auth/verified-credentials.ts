/**
 * Credentials that were found right a short while ago, so that ten thousand clients that come back at once do not cost ten
 * thousand hashes or requests.
 *
 * Neither password nor hash is kept: an entry's key is an HMAC under a random key of this process, over all that the answer
 * depended on. Right answers only; a wrong one is never remembered, as that would let anybody fill the memory.
 */
import { createHmac, randomBytes } from 'node:crypto'

export interface VerifiedOptions {
  entriesMax: number
  /** 0: nothing is remembered. */
  forMs: number
}

interface Entry<T> {
  value: T
  until: number
}

export class VerifiedCredentials<T> {
  readonly #options: VerifiedOptions
  readonly #now: () => number
  readonly #secret = randomBytes(32)
  /** The oldest first. */
  readonly #entries = new Map<string, Entry<T>>()

  constructor(options: VerifiedOptions, now: () => number) {
    this.#options = options
    this.#now = now
  }

  /** Each part with its length, so that no two lists of parts look the same. */
  keyOf(...parts: readonly (string | Uint8Array)[]): string {
    const hmac = createHmac('sha256', this.#secret)
    for (const part of parts) {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part
      const length = Buffer.alloc(4)
      length.writeUInt32BE(bytes.length)
      hmac.update(length).update(bytes)
    }
    return hmac.digest('base64')
  }

  get(key: string): T | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (entry.until > this.#now()) return entry.value
    this.#entries.delete(key)
    return undefined
  }

  /** @param until when the credential ends by itself */
  add(key: string, value: T, until = Infinity): void {
    const { forMs, entriesMax } = this.#options
    if (forMs === 0) return
    this.#entries.delete(key)
    this.#entries.set(key, { value, until: Math.min(until, this.#now() + forMs) })
    if (this.#entries.size <= entriesMax) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      break
    }
  }

  clear(): void {
    this.#entries.clear()
  }

  get size(): number {
    return this.#entries.size
  }
}
