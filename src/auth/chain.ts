/**
 * The steps that a listener's clients pass, one after the other, until one says yes or no.
 *
 * A step that doesn't know this kind of credential passes it on; at the end of the chain the answer is no. A step that
 * fails or takes too long says no as well (0x88): a fault must not open a door that a working step would keep shut. Only
 * a client that brings nothing at all (no user name, password, certificate) may be anonymous, and only where that is
 * allowed: wrong credentials never make a client anonymous.
 */
import { ReasonCode } from '../mqtt/reason-code.ts'
import {
  type ChainStep,
  type Credential,
  type Identity,
  type RefusalReason,
  type StepAnswer,
  userNameCharactersMax,
} from './credential.ts'

export interface ChainOptions {
  allowAnonymous: boolean
  /** How long one step may take. */
  stepTimeoutMs: number
  /** Told of a step that failed; `step` is its name. */
  onError(step: string, error: unknown): void
  /** Told of each step's answer: yes, not-mine, error, or why not. */
  onAnswer?(step: string, answer: string): void
}

export type ChainAnswer =
  | { type: 'yes'; identity: Identity; step: string }
  | { type: 'anonymous' }
  | { type: 'no'; reasonCode: number; reason: RefusalReason; step: string }

export class AuthenticationChain {
  readonly steps: readonly ChainStep[]
  readonly #options: ChainOptions

  constructor(steps: readonly ChainStep[], options: ChainOptions) {
    this.steps = steps
    this.#options = options
  }

  /** At once where the step that decides can answer at once. */
  check(credential: Credential): ChainAnswer | Promise<ChainAnswer> {
    if ((credential.username?.length ?? 0) > userNameCharactersMax) {
      return no(ReasonCode.badUserNameOrPassword, 'credential_too_long', '')
    }
    return this.#from(0, credential)
  }

  #from(first: number, credential: Credential): ChainAnswer | Promise<ChainAnswer> {
    for (let index = first; index < this.steps.length; index++) {
      const step = this.steps[index]!
      let answer: StepAnswer | Promise<StepAnswer>
      try {
        answer = step.check(credential)
      } catch (error) {
        return this.#failed(step, error)
      }
      if (answer instanceof Promise) return this.#later(answer, index, credential)
      this.#count(step, answer)
      if (answer.type !== 'not-mine') return named(answer, step)
    }
    return this.#end(credential)
  }

  async #later(pending: Promise<StepAnswer>, index: number, credential: Credential): Promise<ChainAnswer> {
    const step = this.steps[index]!
    let answer: StepAnswer
    try {
      answer = await this.#inTime(pending)
    } catch (error) {
      return this.#failed(step, error)
    }
    this.#count(step, answer)
    return answer.type === 'not-mine' ? this.#from(index + 1, credential) : named(answer, step)
  }

  #inTime(pending: Promise<StepAnswer>): Promise<StepAnswer> {
    const { stepTimeoutMs } = this.#options
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer within ${stepTimeoutMs} ms`)), stepTimeoutMs)
      pending.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  #count({ name }: ChainStep, answer: StepAnswer): void {
    this.#options.onAnswer?.(name, answer.type === 'no' ? answer.reason : answer.type)
  }

  #failed(step: ChainStep, error: unknown): ChainAnswer {
    this.#options.onAnswer?.(step.name, 'error')
    this.#options.onError(step.name, error)
    return no(ReasonCode.serverUnavailable, 'error', step.name)
  }

  #end({ username, password, certificate }: Credential): ChainAnswer {
    const bringsNothing = username === undefined && password === undefined && certificate === undefined
    if (!bringsNothing) return no(ReasonCode.badUserNameOrPassword, 'not_accepted', '')
    if (this.#options.allowAnonymous) return { type: 'anonymous' }
    return no(ReasonCode.notAuthorized, 'no_credential', '')
  }
}

function named(answer: Exclude<StepAnswer, { type: 'not-mine' }>, { name }: ChainStep): ChainAnswer {
  return { ...answer, step: name }
}

function no(reasonCode: number, reason: RefusalReason, step: string): ChainAnswer {
  return { type: 'no', reasonCode, reason, step }
}
