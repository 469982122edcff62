/** Access rules are not our code: one that throws, or says anything but yes or no, has said no. */
import { type Grant, type GrantQuestion, mayConsume } from '../core/ports/authority.ts'
import type { Qos } from '../mqtt/packet.ts'

/** @throws TypeError for something that can't be asked */
export function guardedGrant(grant: unknown, onError: (error: unknown) => void): Grant {
  const asked = grant as Grant
  for (const name of ['mayPublish', 'maySubscribe', 'mayReceive'] as const) {
    if (typeof asked[name] !== 'function') throw new TypeError(`the grant has no method ${name}`)
  }
  return new GuardedGrant(asked, onError)
}

class GuardedGrant implements Grant {
  readonly #grant: Grant
  readonly #onError: (error: unknown) => void
  /** A rule that fails does so for each message: it is told of once. */
  #told = false

  constructor(grant: Grant, onError: (error: unknown) => void) {
    this.#grant = grant
    this.#onError = onError
  }

  mayPublish(topic: string, qos: Qos, retain: boolean): boolean {
    try {
      return this.#checked(this.#grant.mayPublish(topic, qos, retain))
    } catch (error) {
      return this.#failed(error)
    }
  }

  maySubscribe(topicFilter: string, qos: Qos, group: string | null): boolean {
    try {
      return this.#checked(this.#grant.maySubscribe(topicFilter, qos, group))
    } catch (error) {
      return this.#failed(error)
    }
  }

  mayReceive(topic: string, qos: Qos, retain: boolean, group: string | null): boolean {
    try {
      return this.#checked(this.#grant.mayReceive(topic, qos, retain, group))
    } catch (error) {
      return this.#failed(error)
    }
  }

  mayConsume(address: string, filter: string | null, group: string | null): boolean {
    try {
      return this.#checked(mayConsume(this.#grant, address, filter, group))
    } catch (error) {
      return this.#failed(error)
    }
  }

  because(question: GrantQuestion): string | undefined {
    try {
      const because: unknown = this.#grant.because?.(question)
      return typeof because === 'string' ? because : undefined
    } catch (error) {
      this.#failed(error)
      return undefined
    }
  }

  /** A promise, for instance, would pass for a yes. */
  #checked(answer: unknown): boolean {
    if (typeof answer === 'boolean') return answer
    throw new TypeError(`an access rule has to answer true or false at once, not ${typeof answer}`)
  }

  #failed(error: unknown): false {
    if (!this.#told) this.#onError(error)
    this.#told = true
    return false
  }
}
