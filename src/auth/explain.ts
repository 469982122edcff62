/**
 * Which rule decides about one client and one question: for people who wonder why something is refused. Asks the same
 * rules as grants do, without a gateway.
 */
import type { LoadedAccess } from './access-files.ts'
import { Authorization } from './authorization.ts'
import type { Decision, Question } from './decider.ts'
import { subjectOf } from './subject.ts'

export interface Asked {
  user: string | undefined
  clientId: string
  groups: readonly string[]
  /** Without port. */
  address: string
  listener: string
  certificate: Readonly<Record<string, string>>
}

export interface Explanation extends Decision {
  /** The rule, or what holds where none decides. */
  because: string
}

/** What it takes to answer: of access in force, or of files that nobody uses yet. */
export interface Explainable {
  authorization: Authorization
  /** Patterns of client ids; empty: all fit. */
  clientIds: readonly string[]
  /** Nobody is asked for a password, so that a user name says nothing. */
  asksNobody: boolean
}

export function explainable({ authorization, steps }: LoadedAccess): Explainable {
  const { clientIds } = authorization
  return { authorization: new Authorization(authorization), clientIds, asksNobody: steps.length === 0 }
}

export function explain(
  { authorization, clientIds, asksNobody }: Explainable,
  asked: Asked,
  question: Question,
): Explanation {
  const { user, clientId, address, listener, certificate, groups } = asked
  const identity = user === undefined || asksNobody ? undefined : { name: user, groups }
  const credential = { clientId, remoteAddress: `${address}:0`, listener, certificate }
  const subject = subjectOf(credential, identity, authorization.groupsOf)
  if (!authorization.mayUseClientId(subject)) {
    const because = `authorization.clientId: this client id does not fit ${clientIds.join(', ')}`
    return { allowed: false, rule: because, because }
  }
  const decision = authorization.explain(subject, question)
  return { ...decision, because: decision.rule ?? 'no rule is about it, and what no rule allows is denied' }
}
