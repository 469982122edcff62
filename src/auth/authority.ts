/**
 * The way of authenticators, methods and access rules into the core.
 *
 * An authenticator or a method may answer at once or with a promise; until it has answered, nothing of that connection is
 * decoded. With any of them configured nobody connects without a yes: one that throws, rejects or answers something else refuses
 * the client (0x88) and is logged; it never ends the process. So does an access rule that throws, whose answer is then no.
 */
import { inspect } from 'node:util'
import {
  type Admission,
  type Authority,
  type ClientLimits,
  type Exchange,
  type ExchangeStep,
  programPrincipal,
  type Verdict,
} from '../core/ports/authority.ts'
import type { Peer } from '../core/ports/peer.ts'
import type { ConnectPacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type {
  AuthenticationExchange,
  AuthenticationMethod,
  AuthenticationRequest,
  Authenticator,
} from './authenticator.ts'
import { guardedGrant } from './guarded-grant.ts'

type ExchangeRequest = Parameters<AuthenticationMethod['begin']>[0]

export interface AuthorityOptions {
  authenticator?: Authenticator | undefined
  methods?: Readonly<Record<string, AuthenticationMethod>>
  /** Begins an exchange by a method that is none of those; null: there is none of that name. */
  beginExchange?(method: string, request: ExchangeRequest): AuthenticationExchange | null
  /** A CONNECT that brings no credentials at all needs nobody's yes. */
  allowAnonymous?: boolean
}

export interface AuthorityContext {
  /** Runs an answer that came late within a turn of its own. */
  inTurn(answer: () => void): void
  onError(error: unknown): void
  /** The core's time for one in milliseconds since the epoch. */
  steadyTime(wallTime: number): number
  /** Where a user belongs, if that is configured. */
  namespaceOf?(principal: string): string | undefined
}

const refused: Verdict = { reasonCode: ReasonCode.notAuthorized }
const wrongCredentials: Verdict = { reasonCode: ReasonCode.badUserNameOrPassword }
const failedVerdict: Verdict = { reasonCode: ReasonCode.serverUnavailable }
const failedStep: ExchangeStep = { type: 'failure', reasonCode: ReasonCode.serverUnavailable }

export function createAuthority(options: AuthorityOptions, context: AuthorityContext): Authority {
  const { authenticator, methods = {}, allowAnonymous = false } = options
  const begin = (method: string, request: ExchangeRequest): AuthenticationExchange | null =>
    Object.hasOwn(methods, method)
      ? methods[method]!.begin(request)
      : (options.beginExchange?.(method, request) ?? null)
  const asksNobody = authenticator === undefined && Object.keys(methods).length === 0
  return {
    authenticate(packet, peer, done) {
      const anonymous = packet.username === undefined && packet.password === undefined && peer.certificate === null
      if (asksNobody || (anonymous && allowAnonymous)) {
        done({ reasonCode: ReasonCode.success })
      } else if (authenticator === undefined) {
        done(anonymous ? refused : wrongCredentials)
      } else {
        const request = requestOf(packet, peer)
        const read = (value: unknown): Verdict => readVerdict(value, packet.username, context)
        answer(() => authenticator.authenticate(request), read, failedVerdict, context, done)
      }
    },
    beginExchange(method, { clientId, username, peer, renews }) {
      try {
        const request = { clientId, ...fieldsOfPeer(peer), ...(renews && { renews }) }
        const exchange = begin(method, username === undefined ? request : { ...request, username })
        return exchange === null ? null : exchangeOf(exchange, context)
      } catch (error) {
        context.onError(error)
        return null
      }
    },
  }
}

function requestOf(packet: ConnectPacket, peer: Peer): AuthenticationRequest {
  const { clientId, username, password, version } = packet
  return { clientId, username, password, version, ...fieldsOfPeer(peer) }
}

function fieldsOfPeer({ address, listener, certificate, bearer }: Peer) {
  return {
    remoteAddress: address,
    listener,
    ...(certificate !== null && { certificate }),
    ...(bearer !== undefined && { bearer }),
  }
}

function exchangeOf(exchange: AuthenticationExchange, context: AuthorityContext): Exchange {
  const read = (value: unknown): ExchangeStep => readStep(value, context)
  return {
    next: (data, done) => answer(() => exchange.next(data), read, failedStep, context, done),
  }
}

/** @throws TypeError for what is no clear word */
function readVerdict(value: unknown, username: string | undefined, context: AuthorityContext): Verdict {
  const { reasonCode, reasonString, serverReference } = fieldsOf(value)
  if (typeof reasonCode !== 'number' || !Number.isInteger(reasonCode)) throw notAnAnswer(value)
  if (reasonCode !== 0) return { reasonCode, reasonString: text(reasonString), serverReference: text(serverReference) }
  const admission = readAdmission(value, context)
  const { principal = username } = admission
  if (principal === programPrincipal) return refused
  return { reasonCode, ...admission, principal, namespace: admission.namespace ?? namespaceOf(principal, context) }
}

/** @throws TypeError for what is no step */
function readStep(value: unknown, context: AuthorityContext): ExchangeStep {
  const { type, data, reasonCode, reasonString } = fieldsOf(value)
  if (data !== undefined && !(data instanceof Uint8Array)) throw notAnAnswer(value)
  if (type === 'continue') return { type, data }
  if (type === 'success') {
    const admission = readAdmission(value, context)
    const { principal, namespace = namespaceOf(principal, context) } = admission
    if (principal === programPrincipal) return { type: 'failure', reasonCode: ReasonCode.notAuthorized }
    return { type, data, ...admission, namespace }
  }
  if (type !== 'failure' || typeof reasonCode !== 'number' || !Number.isInteger(reasonCode)) throw notAnAnswer(value)
  return { type, reasonCode, reasonString: text(reasonString) }
}

function namespaceOf(principal: string | undefined, context: AuthorityContext): string | undefined {
  return principal === undefined || principal === '' ? undefined : context.namespaceOf?.(principal)
}

function readAdmission(value: unknown, context: AuthorityContext): Admission {
  const { grant, principal, expiresAt, limits, namespace } = fieldsOf(value)
  const admission: Admission = {}
  if (grant !== undefined) admission.grant = grant === null ? null : guardedGrant(grant, context.onError)
  if (principal !== undefined) {
    if (typeof principal !== 'string') throw notAnAnswer(value)
    admission.principal = principal
  }
  if (namespace !== undefined) {
    if (typeof namespace !== 'string') throw notAnAnswer(value)
    admission.namespace = namespace
  }
  if (expiresAt !== undefined) {
    if (typeof expiresAt !== 'number' || Number.isNaN(expiresAt)) throw notAnAnswer(value)
    admission.expiresAt = context.steadyTime(expiresAt)
  }
  if (limits !== undefined) admission.limits = { ...(limits as ClientLimits) }
  return admission
}

function fieldsOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw notAnAnswer(value)
  return value as Record<string, unknown>
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

function notAnAnswer(value: unknown): TypeError {
  return new TypeError(`not an answer to a client that connects: ${inspect(value)}`)
}

function isThenable(asked: unknown): asked is PromiseLike<unknown> {
  return typeof (asked as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function'
}

/** Asks code that is not ours: whatever it does, `done` is called once with an answer, and throws into nobody's turn but its own. */
function answer<T>(
  ask: () => unknown,
  read: (value: unknown) => T,
  failed: T,
  context: AuthorityContext,
  done: (answer: T) => void,
): void {
  const readOr = (value: unknown): T => {
    try {
      return read(value)
    } catch (error) {
      context.onError(error)
      return failed
    }
  }
  let asked: unknown
  let late: Promise<unknown> | null = null
  try {
    asked = ask()
    if (isThenable(asked)) late = Promise.resolve(asked)
  } catch (error) {
    context.onError(error)
    done(failed)
    return
  }
  if (late === null) {
    done(readOr(asked))
    return
  }
  late.then(
    (value) => context.inTurn(() => done(readOr(value))),
    (error: unknown) => {
      context.onError(error)
      context.inTurn(() => done(failed))
    },
  )
}
