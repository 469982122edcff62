/**
 * What clients may do: the rules in force, and each client's grant under them.
 *
 * A grant asks the rules that are in force when it is asked: after `replace` every grant, also that of a client connected
 * long ago, compiles itself anew at its next question. So changed rules hold at once, for live connections, for their
 * subscriptions and for what waits in their queues, since the core asks again for each message it sends.
 *
 * The hot path: a message to many clients asks each grant about the same topic. A grant remembers its last topic (one
 * comparison), and its compilation remembers the topics before (one look-up).
 */
import type { Qos } from '../mqtt/packet.ts'
import { type Acl, AclDecider } from './acl-file.ts'
import type { Grant } from './authenticator.ts'
import type { Identity } from './credential.ts'
import { allQos, type Decider, type Decision, type Question, qosBit } from './decider.ts'
import { RememberedTopics, type RemembersTopics } from './remembered-topics.ts'
import type { Rule } from './rule.ts'
import { fitsClientId, RuleDecider, subjectKey } from './rules.ts'
import type { Subject } from './subject.ts'

/** Compilations that clients share. */
const compilationsMax = 16_384

export type RuleSet = { kind: 'everything' } | { kind: 'rules'; rules: readonly Rule[] } | { kind: 'acl'; acl: Acl }

export interface AuthorizationSource {
  ruleSet: RuleSet
  /** Patterns that a client id has to fit one of, such as `%u-*`; empty: any. */
  clientIds: readonly string[]
  /** Groups by user name. */
  groups: ReadonlyMap<string, readonly string[]>
}

export const everythingAllowed: AuthorizationSource = {
  ruleSet: { kind: 'everything' },
  clientIds: [],
  groups: new Map(),
}

export class Authorization {
  #source: AuthorizationSource
  #keyOf: (subject: Subject) => string
  /** Changes with each set of rules. */
  version = 0
  readonly #compilations = new Map<string, Compilation>()
  readonly #remembered = new RememberedTopics()

  constructor(source: AuthorizationSource = everythingAllowed) {
    this.#source = source
    this.#keyOf = keyFunction(source.ruleSet)
  }

  replace(source: AuthorizationSource): void {
    this.#source = source
    this.#keyOf = keyFunction(source.ruleSet)
    this.#compilations.clear()
    this.#remembered.forget()
    this.version++
  }

  /** Characters of the topics whose answers are remembered, with what is around them. */
  get charactersRemembered(): number {
    return this.#remembered.characters
  }

  groupsOf = (user: string): readonly string[] => this.#source.groups.get(user) ?? []

  mayUseClientId({ user, clientId }: Pick<Subject, 'user' | 'clientId'>): boolean {
    const { clientIds } = this.#source
    if (clientIds.length === 0) return true
    const values = user === undefined ? {} : { u: user }
    return clientIds.some((pattern) => fitsClientId(pattern, clientId, values))
  }

  /** null: everything is allowed and stays so, as the core has it. */
  grantFor(subject: Subject, identity: Identity | undefined): Grant {
    return new RuleGrant(this, subject, identity)
  }

  explain(subject: Subject, question: Question): Decision {
    return this.#deciderFor(subject, undefined).explain(question)
  }

  compile(subject: Subject, identity: Identity | undefined): Compilation {
    if (identity?.superuser) return everything
    // Rules that came with a token are its own.
    if (identity?.rules !== undefined)
      return new Compilation(this.#deciderFor(subject, identity.rules), this.#remembered)
    const key = this.#keyOf(subject)
    const known = this.#compilations.get(key)
    if (known !== undefined) return known
    const made = new Compilation(this.#deciderFor(subject, undefined), this.#remembered)
    this.#compilations.set(key, made)
    if (this.#compilations.size > compilationsMax) this.#forgetOldest()
    return made
  }

  #forgetOldest(): void {
    for (const oldest of this.#compilations.keys()) {
      this.#compilations.delete(oldest)
      return
    }
  }

  #deciderFor(subject: Subject, rules: readonly Rule[] | undefined): Decider {
    const { ruleSet } = this.#source
    switch (ruleSet.kind) {
      case 'rules':
        return new RuleDecider([...(rules ?? []), ...ruleSet.rules], subject)
      case 'everything':
        return rules === undefined ? allowEverything : new RuleDecider(rules, subject)
      case 'acl': {
        const decider = new AclDecider(ruleSet.acl, subject)
        return rules === undefined ? decider : new FirstOf(new RuleDecider(rules, subject), decider)
      }
    }
  }
}

function keyFunction(ruleSet: RuleSet): (subject: Subject) => string {
  if (ruleSet.kind === 'everything') return () => ''
  if (ruleSet.kind === 'rules') return subjectKey(ruleSet.rules)
  // A pattern looks at every client id, if only for wildcards in it.
  const { patterns } = ruleSet.acl
  const usesClientId = patterns.some(({ topic }) => topic.includes('%c'))
  return ({ user, clientId }) => {
    const wild = patterns.length > 0 && /[+#]/.test(clientId)
    return JSON.stringify([[user], usesClientId || wild ? clientId : ''])
  }
}

const allowEverything: Decider = {
  publishMask: () => allQos,
  receiveMask: () => allQos,
  maySubscribe: () => true,
  mayConsume: () => true,
  explain: () => ({ allowed: true, rule: 'no authorization is configured' }),
}

/** A token's rules before an ACL file: what they say nothing about is the file's. */
class FirstOf implements Decider {
  readonly #first: RuleDecider
  readonly #second: Decider

  constructor(first: RuleDecider, second: Decider) {
    this.#first = first
    this.#second = second
  }

  publishMask(topic: string): number {
    const { allowed, decided } = this.#first.publishBits(topic)
    return allowed | (this.#second.publishMask(topic) & ~decided)
  }

  receiveMask(topic: string): number {
    const { allowed, decided } = this.#first.receiveBits(topic)
    return allowed | (this.#second.receiveMask(topic) & ~decided)
  }

  maySubscribe(filter: string, qos: Qos): boolean {
    const decision = this.#first.explain({ action: 'subscribe', filter, qos })
    return decision.rule === undefined ? this.#second.maySubscribe(filter, qos) : decision.allowed
  }

  mayConsume(address: string, filter: string | null): boolean {
    return this.explain({ action: 'consume', address, filter }).allowed
  }

  explain(question: Question): Decision {
    const decision = this.#first.explain(question)
    return decision.rule === undefined ? this.#second.explain(question) : decision
  }
}

/** A decider with its answers. */
class Compilation implements RemembersTopics {
  readonly decider: Decider
  readonly #remembered: RememberedTopics
  readonly #publish = new Map<string, number>()
  readonly #receive = new Map<string, number>()

  constructor(decider: Decider, remembered: RememberedTopics) {
    this.decider = decider
    this.#remembered = remembered
  }

  publishMask(topic: string): number {
    return this.#publish.get(topic) ?? this.#remember(this.#publish, topic, this.decider.publishMask(topic))
  }

  receiveMask(topic: string): number {
    return this.#receive.get(topic) ?? this.#remember(this.#receive, topic, this.decider.receiveMask(topic))
  }

  forgetTopics(): void {
    this.#publish.clear()
    this.#receive.clear()
  }

  #remember(masks: Map<string, number>, topic: string, mask: number): number {
    this.#remembered.add(this, topic)
    masks.set(topic, mask)
    return mask
  }
}

const everything = new Compilation(allowEverything, new RememberedTopics())

class RuleGrant implements Grant {
  readonly #authorization: Authorization
  readonly #subject: Subject
  readonly #identity: Identity | undefined
  #version: number
  #compilation: Compilation
  #publishTopic = ''
  #publishMask = 0
  #receiveTopic = ''
  #receiveMask = 0

  constructor(authorization: Authorization, subject: Subject, identity: Identity | undefined) {
    this.#authorization = authorization
    this.#subject = subject
    this.#identity = identity
    this.#version = authorization.version
    this.#compilation = authorization.compile(subject, identity)
  }

  mayPublish(topic: string, qos: Qos, retain: boolean): boolean {
    if (this.#version !== this.#authorization.version) this.#renew()
    if (topic !== this.#publishTopic) {
      this.#publishMask = this.#compilation.publishMask(topic)
      this.#publishTopic = topic
    }
    return (this.#publishMask & qosBit(qos, retain)) !== 0
  }

  mayReceive(topic: string, qos: Qos, retain: boolean, _group: string | null): boolean {
    if (this.#version !== this.#authorization.version) this.#renew()
    if (topic !== this.#receiveTopic) {
      this.#receiveMask = this.#compilation.receiveMask(topic)
      this.#receiveTopic = topic
    }
    return (this.#receiveMask & qosBit(qos, retain)) !== 0
  }

  maySubscribe(topicFilter: string, qos: Qos, _group: string | null): boolean {
    if (this.#version !== this.#authorization.version) this.#renew()
    return this.#compilation.decider.maySubscribe(topicFilter, qos)
  }

  mayConsume(address: string, filter: string | null): boolean {
    if (this.#version !== this.#authorization.version) this.#renew()
    return this.#compilation.decider.mayConsume(address, filter)
  }

  because(question: Question): string {
    if (this.#version !== this.#authorization.version) this.#renew()
    const { allowed, rule } = this.#compilation.decider.explain(question)
    return rule ?? `no rule is about it, and what no rule ${allowed ? 'denies is allowed' : 'allows is denied'}`
  }

  #renew(): void {
    this.#version = this.#authorization.version
    const { user } = this.#subject
    const groups = user === undefined ? [] : [...this.#authorization.groupsOf(user), ...(this.#identity?.groups ?? [])]
    const subject = { ...this.#subject, groups: [...new Set(groups)] }
    this.#compilation = this.#authorization.compile(subject, this.#identity)
    this.#publishTopic = ''
    this.#receiveTopic = ''
  }
}
