/**
 * Access as it is configured: who gets in (a chain of steps; SCRAM and tokens by AUTH) and what each may do (rules). The gateway asks it as it
 * would ask any authenticator.
 *
 * What files hold is read and checked as a whole (`loadAccess`) before any of it is used, at the start and at a reload: a
 * fault changes nothing. Steps whose settings and files are the same stay, with what they remember.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { LoadedAccess } from './access-files.ts'
import { AddressThrottle, defaultAddressThrottle } from './address-throttle.ts'
import type {
  AuthenticationExchange,
  AuthenticationGrant,
  AuthenticationMethod,
  AuthenticationRequest,
  AuthenticationResult,
  AuthenticationStep,
  Authenticator,
} from './authenticator.ts'
import { Authorization } from './authorization.ts'
import { CertificateStep } from './certificate-step.ts'
import { AuthenticationChain, type ChainAnswer, type ChainOptions } from './chain.ts'
import type { ChainStep, Credential, Identity, RefusalReason } from './credential.ts'
import type { Question } from './decider.ts'
import { type Asked, type Explanation, explain } from './explain.ts'
import { HttpHook } from './http-hook.ts'
import { JwtStep } from './jwt.ts'
import { PasswordFile } from './password-file.ts'
import { ScramExchange, scramMethod } from './scram.ts'
import { subjectOf } from './subject.ts'

/** Threads of libuv's pool, which hashing may fill. */
const poolThreads = 4
/** HTTP answers and verified passwords that are remembered. */
const rememberedMax = 65_536

export interface AccessWorld {
  now(): number
  sleep(ms: number): Promise<void>
  onError(error: unknown): void
  /** Told of each step's answer, of those as well that leave it to the next step. */
  onStep?(step: string, answer: string): void
  /** Of all listeners; absent: one of its own. */
  throttle?: AddressThrottle
  /** Each login, and each re-authentication that was refused here, by what became of it: `yes`, `anonymous`, or why not. */
  onLogin(result: 'yes' | 'anonymous' | RefusalReason, credential: Credential, step: string): void
}

type ExchangeRequest = Parameters<AuthenticationMethod['begin']>[0]

/** Of an exchange that a reload came into: its client is to begin anew. */
const reloadedMeanwhile: AuthenticationStep = { type: 'failure', reasonCode: ReasonCode.serverUnavailable }

/** An exchange that goes on for as long as what it was begun with is in force. */
export function whileInForce(exchange: AuthenticationExchange, isInForce: () => boolean): AuthenticationExchange {
  const next = async (data: Uint8Array | undefined): Promise<AuthenticationStep> => {
    const step = await exchange.next(data)
    return isInForce() ? step : reloadedMeanwhile
  }
  return { next }
}

function credentialOf({ renews: _, ...request }: ExchangeRequest, password: Uint8Array | undefined): Credential {
  return { ...request, username: request.username, password, version: 5 }
}

interface Running {
  /** What it was made of. */
  key: string
  step: ChainStep
}

export class Access implements Authenticator {
  readonly authorization: Authorization
  readonly #world: AccessWorld
  readonly #throttle: AddressThrottle
  readonly #scramSecret = randomBytes(32)
  #loaded: LoadedAccess
  #running: readonly Running[] = []
  #chain: AuthenticationChain
  /** The steps that take tokens, by their authentication method. */
  #tokenChains: ReadonlyMap<string, AuthenticationChain> = new Map()

  constructor(loaded: LoadedAccess, world: AccessWorld) {
    this.#world = world
    this.#loaded = loaded
    this.#throttle = world.throttle ?? new AddressThrottle(defaultAddressThrottle, () => world.now())
    this.authorization = new Authorization(loaded.authorization)
    this.#chain = this.#chainOf(loaded)
  }

  /** Enhanced authentication of MQTT 5.0. null: not by that method. */
  beginExchange(method: string, request: ExchangeRequest): AuthenticationExchange | null {
    const exchange = this.#exchange(method, request)
    const inForce = this.#chain
    return exchange && whileInForce(exchange, () => this.#chain === inForce)
  }

  #exchange(method: string, request: ExchangeRequest): AuthenticationExchange | null {
    if (method === scramMethod) return this.#loaded.scram ? this.#beginScram(request) : null
    const chain = this.#tokenChains.get(method)
    return chain === undefined ? null : { next: (data) => this.#tokenStep(chain, request, data) }
  }

  /** The first data that the client sends is the token, and decides. */
  async #tokenStep(
    chain: AuthenticationChain,
    request: ExchangeRequest,
    data: Uint8Array | undefined,
  ): Promise<AuthenticationStep> {
    const credential = credentialOf(request, data)
    const { reasonCode, ...granted } = this.#result(await chain.check(credential), credential, request.renews)
    return reasonCode === 0 ? { type: 'success', ...granted } : { type: 'failure', reasonCode }
  }

  /** Puts other users and rules in force. Returns who may no longer be connected. */
  replace(loaded: LoadedAccess): { users: ReadonlySet<string>; anonymous: boolean } {
    const users = new Set<string>()
    for (const { step } of this.#running) {
      if (!(step instanceof PasswordFile)) continue
      const next = loaded.steps.find((one) => one.kind === 'passwordFile')
      for (const name of step.users.keys()) {
        if (next?.kind !== 'passwordFile' || next.users.get(name)?.text !== step.users.get(name)!.text) users.add(name)
      }
    }
    this.#chain = this.#chainOf(loaded)
    this.#loaded = loaded
    this.authorization.replace(loaded.authorization)
    return { users, anonymous: !loaded.allowAnonymous && !this.#asksNobody }
  }

  authenticate(request: AuthenticationRequest): AuthenticationResult | Promise<AuthenticationResult> {
    const credential: Credential = request
    const chain = this.#chain
    const answer = this.#asksNobody ? ({ type: 'anonymous' } as const) : chain.check(credential)
    if (!(answer instanceof Promise)) return this.#result(answer, credential)
    // A yes of users or keys that a reload has taken away is none.
    return answer.then((one) => (chain === this.#chain ? this.#result(one, credential) : this.authenticate(request)))
  }

  /** Which rule in force decides. */
  explain(asked: Asked, question: Question): Explanation {
    const { clientIds } = this.#loaded.authorization
    return explain({ authorization: this.authorization, clientIds, asksNobody: this.#asksNobody }, asked, question)
  }

  /** Rules without any authentication: user names are nobody's, since nobody looks at passwords. */
  get #asksNobody(): boolean {
    return this.#loaded.steps.length === 0
  }

  #result(answer: ChainAnswer, credential: Credential, renews = false): AuthenticationResult {
    const { onLogin } = this.#world
    if (answer.type === 'no') {
      onLogin(answer.reason, credential, answer.step)
      return { reasonCode: answer.reasonCode }
    }
    const identity = answer.type === 'yes' ? answer.identity : undefined
    const step = answer.type === 'yes' ? answer.step : ''
    const granted = this.#grant(credential, identity)
    if (granted === undefined) {
      onLogin('client_id_not_allowed', credential, step)
      return { reasonCode: ReasonCode.clientIdentifierNotValid }
    }
    // Whether a re-authentication is of the same principal is for the core to say, which counts it.
    if (!renews) onLogin(answer.type, credential, step)
    return { reasonCode: ReasonCode.success, ...granted }
  }

  /** undefined: not with this client id. */
  #grant(
    credential: Pick<Credential, 'clientId' | 'remoteAddress' | 'listener' | 'certificate'>,
    identity: Identity | undefined,
  ): AuthenticationGrant | undefined {
    const { authorization } = this
    const subject = subjectOf(credential, identity, authorization.groupsOf)
    if (!authorization.mayUseClientId(subject)) return undefined
    const granted: AuthenticationGrant = {
      grant: authorization.grantFor(subject, identity),
      principal: identity?.name ?? '',
    }
    if (identity?.expiresAt !== undefined) granted.expiresAt = identity.expiresAt
    if (identity?.namespace !== undefined) granted.namespace = identity.namespace
    return granted
  }

  #beginScram(request: ExchangeRequest): AuthenticationExchange {
    const { remoteAddress } = request
    const credential = credentialOf(request, undefined)
    const exchange = new ScramExchange({
      secret: this.#scramSecret,
      verifierOf: (user) => {
        const hash = this.#passwordFile?.users.get(user)?.hash
        return hash?.kind === 'scram-sha-256' ? hash : undefined
      },
    })
    const next = async (data: Uint8Array | undefined): Promise<AuthenticationStep> => {
      const step = exchange.next(data)
      if (step.type === 'continue') return (await this.#unthrottled(remoteAddress)) ? step : throttled(this, credential)
      if (step.type === 'success') return this.#scramSuccess(step, credential, request.renews)
      this.#throttle.mistake(remoteAddress)
      this.#onScram('wrong_password', credential)
      return { type: 'failure', reasonCode: step.reasonCode }
    }
    const throttled = (access: Access, refused: Credential): AuthenticationStep => {
      access.#onScram('throttled', refused)
      return { type: 'failure', reasonCode: ReasonCode.serverBusy }
    }
    return { next }
  }

  async #unthrottled(remoteAddress: string): Promise<boolean> {
    const waitMs = this.#throttle.reserve(remoteAddress)
    if (waitMs === undefined) return false
    if (waitMs > 0) await this.#world.sleep(waitMs)
    return true
  }

  #scramSuccess(
    { user, data }: { user: string; data: Uint8Array },
    credential: Credential,
    renews = false,
  ): AuthenticationStep {
    const granted = this.#grant(credential, { name: user })
    if (granted === undefined) {
      this.#onScram('client_id_not_allowed', credential)
      return { type: 'failure', reasonCode: ReasonCode.clientIdentifierNotValid }
    }
    this.#world.onStep?.('scram', 'yes')
    if (!renews) this.#world.onLogin('yes', credential, 'scram')
    return { type: 'success', data, ...granted }
  }

  #onScram(result: RefusalReason, credential: Credential): void {
    this.#world.onStep?.('scram', result)
    this.#world.onLogin(result, credential, 'scram')
  }

  get #passwordFile(): PasswordFile | undefined {
    return this.#running.map(({ step }) => step).find((step) => step instanceof PasswordFile)
  }

  #chainOf(loaded: LoadedAccess): AuthenticationChain {
    const before = this.#running
    this.#running = loaded.steps.map((step) => {
      const same = before.find(({ key }) => key === step.key)
      const made = same ?? { key: step.key, step: this.#stepOf(step, loaded) }
      if (step.kind === 'passwordFile') (made.step as PasswordFile).replace(step.users)
      return made
    })
    const { allowAnonymous, stepTimeoutMs } = loaded
    const onAnswer = (step: string, answer: string): void => this.#world.onStep?.(step, answer)
    const onError = (step: string, error: unknown): void => {
      this.#world.onError(new Error(`authentication step ${step}: ${(error as Error).message}`))
    }
    const options = { allowAnonymous, stepTimeoutMs, onError, onAnswer }
    const steps = this.#running.map(({ step }) => step)
    this.#tokenChains = tokenChainsOf(steps, options)
    return new AuthenticationChain(steps, options)
  }

  #stepOf(step: LoadedAccess['steps'][number], { rememberMs, hashQueueMax, stepTimeoutMs }: LoadedAccess): ChainStep {
    const { now, sleep } = this.#world
    const shared = { rememberMs, rememberedMax, throttle: this.#throttle, now, sleep }
    switch (step.kind) {
      case 'passwordFile': {
        const hashingMax = Math.min(poolThreads, availableParallelism())
        const { passOnUnknownUsers } = step
        const hashing = { hashingMax, hashQueueMax, hashWaitMsMax: stepTimeoutMs }
        return new PasswordFile(step.users, { ...shared, ...hashing, passOnUnknownUsers })
      }
      case 'certificate':
        return new CertificateStep(step.options)
      case 'jwt':
        return new JwtStep({ ...step.options, now })
      case 'http':
        return new HttpHook({ ...step.options, ...shared })
    }
  }
}

/** Each method asks its steps in their order, as the others are asked. */
function tokenChainsOf(steps: readonly ChainStep[], options: ChainOptions): ReadonlyMap<string, AuthenticationChain> {
  const byMethod = new Map<string, ChainStep[]>()
  for (const step of steps) {
    if (!(step instanceof JwtStep) || step.method === undefined) continue
    byMethod.set(step.method, [...(byMethod.get(step.method) ?? []), step.ofMethod])
  }
  return new Map([...byMethod].map(([method, ofMethod]) => [method, new AuthenticationChain(ofMethod, options)]))
}
