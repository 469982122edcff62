/**
 * Another server decides: it is asked over HTTP with what the client brought.
 *
 * Two forms of questions are known, so that servers written for other brokers can stay:
 *
 * | preset | question | yes | no | not mine |
 * |---|---|---|---|---|
 * | `emqx` | POST, JSON `{username, password, clientid, peerhost}` | 200 `{"result": "allow"}`, 204 | `"deny"`, 4xx | `"ignore"` |
 * | `mosquitto-go-auth` | POST, JSON or form `{username, password, clientid}` | 200, as `responseMode` says | 4xx, `Ok: false` | - |
 *
 * EMQX's answer may bring `is_superuser`, `expire_at` (seconds since the epoch) and `acl`. Mosquitto-go-auth's superuser
 * address, where there is one, is asked right after; its address for single topics is not: nothing on a message's way waits
 * for another server, rules are the configuration's.
 *
 * Whatever is not a clear answer (timeout, 5xx, a body that isn't understood) is a failure, and a failure is a no with
 * 0x88. Only so many requests run and wait at a time; after failures in a row nobody is asked for a while; a yes is
 * remembered for a short time.
 */

import { addressOf } from '../core/address.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { AddressThrottle } from './address-throttle.ts'
import { boundedText } from './bounded-text.ts'
import { BoundedWork } from './bounded-work.ts'
import { CircuitBreaker } from './circuit-breaker.ts'
import type { ChainStep, Credential, Identity, RefusalReason, StepAnswer } from './credential.ts'
import type { HookPreset, ResponseMode } from './hook-forms.ts'
import { rulesOf } from './token-rules.ts'
import { VerifiedCredentials } from './verified-credentials.ts'

export interface HttpHookOptions {
  preset: HookPreset
  url: string
  /** Mosquitto-go-auth: asked whether a user may do everything. */
  superuserUrl?: string
  /** Mosquitto-go-auth: how the question is written and where the answer stands. */
  body: 'json' | 'form'
  responseMode: ResponseMode
  headers: Readonly<Record<string, string>>
  timeoutMs: number
  concurrencyMax: number
  queueMax: number
  rememberMs: number
  rememberedMax: number
  /** Failures in a row after which nobody is asked for `openMs`. */
  failuresMax: number
  openMs: number
  throttle: AddressThrottle
  now(): number
  sleep(ms: number): Promise<void>
  fetch?: typeof fetch
}

const answerBytesMax = 64 * 1024
/** Longest password that is handed on. */
const passwordBytesMax = 16 * 1024

const refused = (reasonCode: number, reason: RefusalReason): StepAnswer => ({ type: 'no', reasonCode, reason })
const hookRefused = refused(ReasonCode.badUserNameOrPassword, 'hook_refused')

export class HttpHook implements ChainStep {
  readonly name = 'http'
  readonly #options: HttpHookOptions
  readonly #requests: BoundedWork
  readonly #circuit: CircuitBreaker
  readonly #verified: VerifiedCredentials<Identity>
  /** One request for all that ask the same at the same time. */
  readonly #underWay = new Map<string, Promise<StepAnswer>>()

  constructor(options: HttpHookOptions) {
    this.#options = options
    this.#requests = new BoundedWork(options.concurrencyMax, options.queueMax)
    this.#circuit = new CircuitBreaker(options.failuresMax, options.openMs, options.now)
    this.#verified = new VerifiedCredentials(
      { entriesMax: options.rememberedMax, forMs: options.rememberMs },
      options.now,
    )
  }

  check(credential: Credential): StepAnswer | Promise<StepAnswer> {
    const { username, password, clientId, remoteAddress } = credential
    if (username === undefined) return { type: 'not-mine' }
    if ((password?.length ?? 0) > passwordBytesMax)
      return refused(ReasonCode.badUserNameOrPassword, 'credential_too_long')
    const key = this.#verified.keyOf(username, password ?? '', clientId, addressOf(remoteAddress))
    const known = this.#verified.get(key)
    if (known !== undefined) return { type: 'yes', identity: known }
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return underWay
    if (this.#circuit.isOpen) return refused(ReasonCode.serverUnavailable, 'hook_failed')
    const answer = this.#inTurn(credential, username, key).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, answer)
    return answer
  }

  async #inTurn(credential: Credential, username: string, key: string): Promise<StepAnswer> {
    const { throttle, sleep } = this.#options
    const waitMs = throttle.reserve(credential.remoteAddress)
    if (waitMs === undefined) return refused(ReasonCode.serverBusy, 'throttled')
    if (waitMs > 0) await sleep(waitMs)
    const answer = await this.#requests.run(() => this.#ask(credential, username, key))
    if (answer === undefined) return refused(ReasonCode.serverBusy, 'busy')
    if (answer === hookRefused) throttle.mistake(credential.remoteAddress)
    return answer
  }

  async #ask(credential: Credential, username: string, key: string): Promise<StepAnswer> {
    // What waited may find that the server has failed by now.
    if (!this.#circuit.mayAsk()) return refused(ReasonCode.serverUnavailable, 'hook_failed')
    let answer: StepAnswer
    try {
      answer = this.#options.preset === 'emqx' ? await this.#askEmqx(credential) : await this.#askGoAuth(credential)
    } catch (error) {
      this.#circuit.failed()
      throw withoutCredential(error)
    }
    this.#circuit.succeeded()
    if (answer.type !== 'yes') return answer
    const identity = { ...answer.identity, name: username }
    this.#verified.add(key, identity, identity.expiresAt)
    return { type: 'yes', identity }
  }

  async #askEmqx({ username, password, clientId, remoteAddress }: Credential): Promise<StepAnswer> {
    const peerhost = addressOf(remoteAddress)
    const response = await this.#post(this.#options.url, {
      username,
      password: textOf(password),
      clientid: clientId,
      peerhost,
    })
    const text = await answerText(response)
    if (response.status === 204) return { type: 'yes', identity: { name: '' } }
    if (response.status >= 400) return hookRefused
    const answer = objectOf(text)
    if (answer['result'] === 'ignore') return { type: 'not-mine' }
    if (answer['result'] === 'deny') return hookRefused
    if (answer['result'] !== 'allow') throw new Error('the hook answered neither allow, deny nor ignore')
    const identity: Identity = { name: '' }
    if (answer['is_superuser'] === true) identity.superuser = true
    const { expire_at: expireAt } = answer
    if (expireAt !== undefined && typeof expireAt !== 'number')
      throw new Error('the hook answered an expire_at that is no number')
    if (expireAt !== undefined) identity.expiresAt = expireAt * 1000
    const rules = rulesOf(answer)
    if (rules !== undefined) identity.rules = rules
    return { type: 'yes', identity }
  }

  async #askGoAuth({ username, password, clientId }: Credential): Promise<StepAnswer> {
    const { url, superuserUrl } = this.#options
    const question = { username, password: textOf(password), clientid: clientId }
    if (!(await this.#goAuthSays(url, question))) return hookRefused
    const identity: Identity = { name: '' }
    if (superuserUrl !== undefined && (await this.#goAuthSays(superuserUrl, { username }))) identity.superuser = true
    return { type: 'yes', identity }
  }

  async #goAuthSays(url: string, question: Question): Promise<boolean> {
    const response = await this.#post(url, question)
    const text = await answerText(response)
    if (response.status >= 400) return false
    switch (this.#options.responseMode) {
      case 'status':
        return true
      case 'text':
        return text.trim() === 'ok'
      case 'json': {
        const { Ok: ok, ok: lower } = objectOf(text)
        return ok === true || lower === true
      }
    }
  }

  async #post(url: string, question: Question): Promise<Response> {
    const { body, preset, headers, timeoutMs, fetch = globalThis.fetch } = this.#options
    const isForm = preset === 'mosquitto-go-auth' && body === 'form'
    const given = Object.entries(question).filter((pair): pair is [string, string] => pair[1] !== undefined)
    const response = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      headers: { ...headers, 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json' },
      body: isForm ? new URLSearchParams(given).toString() : JSON.stringify(Object.fromEntries(given)),
      signal: AbortSignal.timeout(timeoutMs),
    })
    return response
  }
}

type Question = Readonly<Record<string, string | undefined>>

/** Read in every case, so that the connection can be used again. @throws Error for a server's own fault */
async function answerText(response: Response): Promise<string> {
  const text = await boundedText(response, answerBytesMax)
  if (response.status >= 500 || response.status === 429) throw new Error(`the hook answered ${response.status}`)
  if (response.status >= 300 && response.status < 400) throw new Error(`the hook answered ${response.status}`)
  return text
}

function objectOf(text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('the hook answered something that is no JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the hook answered no JSON object')
  return value as Record<string, unknown>
}

function textOf(password: Uint8Array | undefined): string | undefined {
  return password === undefined ? undefined : Buffer.from(password).toString('utf8')
}

/** An error for the log: its words only, without the request it came from. */
function withoutCredential(error: unknown): Error {
  const { name, message, cause } = error as Error & { cause?: { code?: string } }
  if (name === 'TimeoutError') return new Error('the hook did not answer in time')
  return new Error(cause?.code === undefined ? message : `${message} (${cause.code})`)
}
