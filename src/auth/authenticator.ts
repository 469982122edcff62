/**
 * Who may connect: the port for whoever checks credentials, and its way into the core.
 *
 * An authenticator or a method may answer at once or with a promise; until it has answered, nothing of that connection is
 * decoded. One that throws, rejects or answers something else refuses the client (0x88) and is logged: it never ends the
 * process.
 */
import { inspect } from 'node:util'
import type { Authority, Exchange, ExchangeStep, Grant, Verdict } from '../core/ports/authority.ts'
import type { ProtocolVersion } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'

export type { Grant } from '../core/ports/authority.ts'

export interface AuthenticationRequest {
  clientId: string
  username: string | undefined
  password: Uint8Array | undefined
  version: ProtocolVersion
  /** The peer's address, "address:port". */
  remoteAddress: string
}

export interface AuthenticationResult {
  /** 0: accepted. Otherwise a CONNACK reason code of MQTT 5.0; 3.x clients get the return code that comes nearest. */
  reasonCode: number
  reasonString?: string
  /** Where to go instead, with 0x9C and 0x9D. */
  serverReference?: string
  /** What the client may do; absent: everything. */
  grant?: Grant | null
}

export interface Authenticator {
  authenticate(request: AuthenticationRequest): AuthenticationResult | Promise<AuthenticationResult>
}

/** One step of enhanced authentication, MQTT 5.0 section 4.12. */
export type AuthenticationStep =
  | { type: 'continue'; data?: Uint8Array }
  | { type: 'success'; data?: Uint8Array; grant?: Grant | null }
  | { type: 'failure'; reasonCode: number; reasonString?: string }

export interface AuthenticationExchange {
  /** Takes the client's Authentication Data and says what follows. */
  next(data: Uint8Array | undefined): AuthenticationStep | Promise<AuthenticationStep>
}

export interface AuthenticationMethod {
  /** Called for each CONNECT, and for each re-authentication, that names the method. */
  begin(request: { clientId: string; username?: string }): AuthenticationExchange
}

export interface AuthorityContext {
  /** Runs an answer that came late within a turn of its own. */
  inTurn(answer: () => void): void
  onError(error: unknown): void
}

export function createAuthority(
  authenticator: Authenticator | undefined,
  methods: Readonly<Record<string, AuthenticationMethod>>,
  context: AuthorityContext,
): Authority {
  const failed = { reasonCode: ReasonCode.serverUnavailable }
  return {
    authenticate({ clientId, username, password, version }, remoteAddress, done) {
      if (authenticator === undefined) {
        done({ reasonCode: ReasonCode.success })
        return
      }
      const request = { clientId, username, password, version, remoteAddress }
      answer<Verdict>(() => authenticator.authenticate(request), isVerdict, failed, context, done)
    },
    beginExchange(method, clientId, username) {
      const found = Object.hasOwn(methods, method) ? methods[method] : undefined
      if (found === undefined) return null
      try {
        return exchangeOf(found.begin(username === undefined ? { clientId } : { clientId, username }), context)
      } catch (error) {
        context.onError(error)
        return null
      }
    },
  }
}

function exchangeOf(exchange: AuthenticationExchange, context: AuthorityContext): Exchange {
  const failed: ExchangeStep = { type: 'failure', reasonCode: ReasonCode.serverUnavailable }
  return {
    next: (data, done) => answer<ExchangeStep>(() => exchange.next(data), isStep, failed, context, done),
  }
}

const isVerdict = (answer: Verdict): boolean => Number.isInteger(answer.reasonCode)
const isStep = (answer: ExchangeStep): boolean =>
  answer.type === 'continue' ||
  answer.type === 'success' ||
  (answer.type === 'failure' && Number.isInteger(answer.reasonCode))

function isThenable<T>(asked: T | PromiseLike<T>): asked is PromiseLike<T> {
  return typeof (asked as Partial<PromiseLike<T>> | undefined)?.then === 'function'
}

function answer<T extends object>(
  ask: () => T | PromiseLike<T>,
  isAnswer: (answer: T) => boolean,
  failed: T,
  context: AuthorityContext,
  done: (answer: T) => void,
): void {
  const refuse = (error: unknown): void => {
    context.onError(error)
    done(failed)
  }
  const check = (value: T): void => {
    if (typeof value === 'object' && value !== null && isAnswer(value)) done(value)
    else refuse(new TypeError(`not an answer to a client that connects: ${inspect(value)}`))
  }
  let asked: T | PromiseLike<T>
  try {
    asked = ask()
  } catch (error) {
    refuse(error)
    return
  }
  if (!isThenable(asked)) {
    check(asked)
    return
  }
  asked.then(
    (value) => context.inTurn(() => check(value)),
    (error: unknown) => context.inTurn(() => refuse(error)),
  )
}
