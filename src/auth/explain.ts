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

export function explain({ authorization: source, steps }: LoadedAccess, asked: Asked, question: Question): Explanation {
  const authorization = new Authorization(source)
  const { user, clientId, address, listener, certificate, groups } = asked
  // Where nobody is asked for a password, a user name says nothing.
  const identity = user === undefined || steps.length === 0 ? undefined : { name: user, groups }
  const credential = { clientId, remoteAddress: `${address}:0`, listener, certificate }
  const subject = subjectOf(credential, identity, authorization.groupsOf)
  if (!authorization.mayUseClientId(subject)) {
    const because = `authorization.clientId: this client id does not fit ${source.clientIds.join(', ')}`
    return { allowed: false, rule: because, because }
  }
  const decision = authorization.explain(subject, question)
  return { ...decision, because: decision.rule ?? 'no rule is about it, and what no rule allows is denied' }
}
