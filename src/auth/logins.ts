/**
 * Logins: a browser that brought a token of the API once, and is known by a cookie from then on. The page never has the token, and what
 * runs in it by mistake can't take it along.
 *
 * A cookie says nothing of itself: it is looked up here by its hash, and the token behind it is looked at with every call, so that it
 * ends with the token. A login that nobody used for a while is over, and so are all of them when the gateway stops. Beyond their
 * number the one that was not used for longest gives way.
 *
 * A browser sends cookies whoever makes it ask. So what changes something also has to bring the login's CSRF token, which only a
 * page of the gateway itself can have read.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

export interface LoginLimits {
  loginsMax: number
  /** Without a call. */
  idleMsMax: number
}

export const defaultLoginLimits: LoginLimits = { loginsMax: 1000, idleMsMax: 12 * 60 * 60 * 1000 }

export interface Login {
  /** The API token that was brought. */
  readonly token: string
  readonly csrfToken: string
}

interface Kept extends Login {
  usedAt: number
}

export class Logins {
  readonly #limits: LoginLimits
  readonly #now: () => number
  /** By the cookie's hash, the one that was not used for longest first. */
  readonly #logins = new Map<string, Kept>()

  /** `now`: steady milliseconds. */
  constructor(now: () => number, limits: LoginLimits = defaultLoginLimits) {
    this.#now = now
    this.#limits = limits
  }

  get size(): number {
    return this.#logins.size
  }

  open(token: string): Login & { cookie: string } {
    const cookie = randomBytes(32).toString('base64url')
    const csrfToken = randomBytes(32).toString('base64url')
    const [oldest] = this.#logins.keys()
    if (this.#logins.size >= this.#limits.loginsMax) this.#logins.delete(oldest!)
    this.#logins.set(hashOf(cookie), { token, csrfToken, usedAt: this.#now() })
    return { token, csrfToken, cookie }
  }

  find(cookie: string): Login | undefined {
    const hash = hashOf(cookie)
    const login = this.#logins.get(hash)
    if (login === undefined) return undefined
    this.#logins.delete(hash)
    if (this.#now() - login.usedAt > this.#limits.idleMsMax) return undefined
    login.usedAt = this.#now()
    this.#logins.set(hash, login)
    return login
  }

  close(cookie: string): void {
    this.#logins.delete(hashOf(cookie))
  }

  /** Takes the same time whether or not. */
  isSame(given: string, expected: string): boolean {
    return timingSafeEqual(digestOf(given), digestOf(expected))
  }
}

function hashOf(text: string): string {
  return digestOf(text).toString('base64')
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
