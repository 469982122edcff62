/**
 * Which access decides about the clients of each listener: one in common, and one for each listener that says something of its
 * own. Those have their own chain of steps and their own rules; wrong answers count for an address at all listeners together.
 *
 * Where nothing is configured for a listener, whoever comes is let in and belongs to nobody.
 */
import { ReasonCode } from '../mqtt/reason-code.ts'
import { Access, type AccessWorld, whileInForce } from './access.ts'
import type { LoadedAccess, LoadedListenerAccess } from './access-files.ts'
import { AddressThrottle, defaultAddressThrottle } from './address-throttle.ts'
import type {
  AuthenticationExchange,
  AuthenticationRequest,
  AuthenticationResult,
  Authenticator,
} from './authenticator.ts'

/** Whom a reload may have to disconnect. */
export interface Connected {
  listener: string
  /** Empty: anonymous. */
  principal: string
}

const letIn: AuthenticationResult = { reasonCode: ReasonCode.success, principal: '' }

export class ListenerAccess implements Authenticator {
  readonly #world: AccessWorld
  #common: Access | undefined
  #own = new Map<string, Access | undefined>()

  constructor({ common, own }: LoadedListenerAccess, world: AccessWorld) {
    this.#world = { throttle: new AddressThrottle(defaultAddressThrottle, () => world.now()), ...world }
    this.#common = this.#made(common)
    for (const [listener, loaded] of own) this.#own.set(listener, this.#made(loaded))
  }

  /** Enhanced authentication of MQTT 5.0. null: not by that method at that listener. */
  beginExchange(method: string, request: Parameters<Access['beginExchange']>[1]): AuthenticationExchange | null {
    const access = this.of(request.listener)
    const exchange = access?.beginExchange(method, request) ?? null
    return exchange && whileInForce(exchange, () => this.of(request.listener) === access)
  }

  /** Undefined: its clients are let in and may do everything. */
  of(listener: string): Access | undefined {
    return this.#own.has(listener) ? this.#own.get(listener) : this.#common
  }

  authenticate(request: AuthenticationRequest): AuthenticationResult | Promise<AuthenticationResult> {
    const access = this.of(request.listener)
    if (access === undefined) return letIn
    const answer = access.authenticate(request)
    if (!(answer instanceof Promise)) return answer
    return answer.then((one) => (this.of(request.listener) === access ? one : this.authenticate(request)))
  }

  /**
   * Puts other users and rules in force. The answer says of a client whether it may no longer be connected: one whose user is gone, and
   * one of a listener that another access decides about from here on, whose client has to say anew who it is.
   */
  replace({ common, own }: LoadedListenerAccess): (client: Connected) => boolean {
    const before = { common: this.#common, own: this.#own }
    const gone = new Map<Access, ReturnType<Access['replace']>>()
    const next = (access: Access | undefined, loaded: LoadedAccess | undefined): Access | undefined => {
      if (access === undefined || loaded === undefined) return this.#made(loaded)
      gone.set(access, access.replace(loaded))
      return access
    }
    this.#common = next(before.common, common)
    this.#own = new Map([...own].map(([listener, loaded]) => [listener, next(before.own.get(listener), loaded)]))
    return ({ listener, principal }) => {
      const access = this.of(listener)
      if (access !== (before.own.has(listener) ? before.own.get(listener) : before.common)) return true
      const changed = access && gone.get(access)
      return changed !== undefined && (principal === '' ? changed.anonymous : changed.users.has(principal))
    }
  }

  #made(loaded: LoadedAccess | undefined): Access | undefined {
    return loaded && new Access(loaded, this.#world)
  }
}
