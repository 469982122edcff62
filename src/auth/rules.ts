/**
 * Rules in their order: the first that fits decides, and where none does the answer is no.
 *
 * For a client the rules are compiled once: those whose conditions don't hold for it are left out, and placeholders are
 * replaced. Clients for which all conditions and placeholders come out the same share one compilation, with its answers.
 *
 * A rule with `subscribe` also judges what is received, so that `deny: subscribe, topic: secret/#` keeps the secret from a
 * subscriber of `#` as well: the subscription is granted as a whole, and what is denied is not delivered.
 * A subscription is judged by rules that cover all of it; one that covers only a part waits for the messages.
 */
import { type BlockList, isIPv6 } from 'node:net'
import type { Qos } from '../mqtt/packet.ts'
import {
  allQos,
  conditionMask,
  covers,
  type Decider,
  type Decision,
  isProduced,
  matches,
  noQos,
  overlap,
  type Question,
  qosBit,
} from './decider.ts'
import { type Action, actions as everyAction, isPlaceholder, networkList, type Rule } from './rule.ts'
import type { Subject } from './subject.ts'
import { fitsPattern } from './wildcard.ts'

interface CompiledRule {
  rule: Rule
  filters: readonly (readonly string[])[]
  /** A denying rule whose placeholder has no value that may stand in a topic: it denies everything. */
  everything: boolean
  /** QoS and RETAIN that it is about, as the bits of a mask. */
  mask: number
}

/** Which bits of a mask some rule decided, and which of those it allowed. */
export interface DecidedBits {
  allowed: number
  decided: number
}

export class RuleDecider implements Decider {
  readonly #rules: readonly CompiledRule[]

  constructor(rules: readonly Rule[], subject: Subject) {
    this.#rules = rules.filter((rule) => holdsFor(rule, subject)).map((rule) => compiled(rule, subject))
  }

  publishMask(topic: string): number {
    return this.publishBits(topic).allowed
  }

  receiveMask(topic: string): number {
    return this.receiveBits(topic).allowed
  }

  publishBits(topic: string): DecidedBits {
    return this.#bits(topic, isProduced(topic) ? 'produce' : 'publish', undefined)
  }

  receiveBits(topic: string): DecidedBits {
    return isProduced(topic) ? this.#bits(topic, 'consume', undefined) : this.#bits(topic, 'receive', 'subscribe')
  }

  maySubscribe(filter: string, qos: Qos): boolean {
    return this.#subscribeRule(filter, qos)?.rule.allow ?? false
  }

  mayConsume(address: string, filter: string | null): boolean {
    return this.#consumeRule(address, filter)?.rule.allow ?? false
  }

  explain(question: Question): Decision {
    const decides = this.#decidingRule(question)
    return decides === undefined
      ? { allowed: false, rule: undefined }
      : { allowed: decides.rule.allow, rule: describeRule(decides.rule) }
  }

  #decidingRule(question: Question): CompiledRule | undefined {
    switch (question.action) {
      case 'subscribe':
        return this.#subscribeRule(question.filter, question.qos)
      case 'consume':
        return this.#consumeRule(question.address, question.filter)
      default:
        return this.#topicRule(question.topic, question.action, qosBit(question.qos, question.retain))
    }
  }

  /** Each bit is decided by the first rule that is about it. */
  #bits(topic: string, action: Action, also: Action | undefined): DecidedBits {
    const levels = topic.split('/')
    let open = allQos
    let allowed = noQos
    for (const compiledRule of this.#rules) {
      if ((compiledRule.mask & open) === 0 || !isAbout(compiledRule, levels, action, also)) continue
      if (compiledRule.rule.allow) allowed |= compiledRule.mask & open
      open &= ~compiledRule.mask
      if (open === 0) break
    }
    return { allowed, decided: allQos & ~open }
  }

  #topicRule(topic: string, action: 'publish' | 'receive', bit: number): CompiledRule | undefined {
    const levels = topic.split('/')
    const produced = isProduced(topic)
    const asked: Action = action === 'publish' ? (produced ? 'produce' : 'publish') : produced ? 'consume' : 'receive'
    const also = asked === 'receive' ? 'subscribe' : undefined
    return this.#rules.find((rule) => (rule.mask & bit) !== 0 && isAbout(rule, levels, asked, also))
  }

  /**
   * A rule about the queue, or else one that lets the client subscribe to all that the queue takes in. A queue has no message less for one
   * of its consumers: where a rule before that denies a part of it, the queue is denied.
   */
  #consumeRule(address: string, filter: string | null): CompiledRule | undefined {
    const own = this.#subscribeRule(address, 1)
    if (own !== undefined || filter === null) return own
    const subscribes = this.#subscribeRule(filter, 1)
    if (subscribes === undefined || !subscribes.rule.allow) return subscribes
    const levels = filter.split('/')
    const before = this.#rules.slice(0, this.#rules.indexOf(subscribes))
    return before.find((one) => deniesPart(one, levels)) ?? subscribes
  }

  #subscribeRule(filter: string, qos: Qos): CompiledRule | undefined {
    const levels = filter.split('/')
    const action: Action = isProduced(filter) ? 'consume' : 'subscribe'
    return this.#rules.find(
      ({ rule, filters, everything }) =>
        rule.actions.has(action) &&
        (rule.qosMask & (1 << qos)) !== 0 &&
        (everything || filters.some((outer) => covers(outer, levels))),
    )
  }
}

/** Whether it keeps something that a filter matches from a subscriber. */
function deniesPart({ rule, filters, everything }: CompiledRule, levels: readonly string[]): boolean {
  if (rule.allow || !(rule.actions.has('subscribe') || rule.actions.has('receive'))) return false
  return everything || filters.some((filter) => overlap(filter, levels))
}

function isAbout(
  { rule, filters, everything }: CompiledRule,
  levels: readonly string[],
  action: Action,
  also: Action | undefined,
): boolean {
  if (!rule.actions.has(action) && (also === undefined || !rule.actions.has(also))) return false
  return everything || filters.some((filter) => matches(filter, levels))
}

export function describeRule({ allow, actions, topics, place }: Rule): string {
  const named = actions.size === everyAction.length ? 'all' : [...actions].join(', ')
  return `${place}: ${allow ? 'allow' : 'deny'} ${named} on ${topics.join(', ')}`
}

function holdsFor(rule: Rule, { user, clientId, groups, address, listener, certificate }: Subject): boolean {
  const values = user === undefined ? { c: clientId } : { u: user, c: clientId }
  if (rule.users && !(user !== undefined && rule.users.some((pattern) => fitsPattern(pattern, user)))) return false
  if (rule.groups && !rule.groups.some((pattern) => groups.some((group) => fitsPattern(pattern, group)))) return false
  if (rule.clientIds && !rule.clientIds.some((pattern) => fitsClientId(pattern, clientId, values))) return false
  if (rule.listeners && !rule.listeners.includes(listener)) return false
  if (rule.addresses && !isWithin(rule.addresses, address)) return false
  return Object.entries(rule.certificate ?? {}).every(([field, pattern]) => {
    const value = Object.hasOwn(certificate, field) ? certificate[field] : undefined
    return value !== undefined && fitsPattern(pattern, value)
  })
}

/** Whether a client id fits a pattern such as `%u-*`; where there is no user name, `%u` fits nothing. */
export function fitsClientId(pattern: string, clientId: string, values: { u?: string; c?: string }): boolean {
  if (values.u === undefined && pattern.includes('%u')) return false
  return fitsPattern(pattern, clientId, values.u === undefined ? {} : { u: values.u })
}

const networks = new WeakMap<readonly string[], BlockList>()

function isWithin(addresses: readonly string[], address: string): boolean {
  let list = networks.get(addresses)
  if (list === undefined) {
    list = networkList(addresses)
    networks.set(addresses, list)
  }
  try {
    return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  } catch {
    return false
  }
}

function compiled(rule: Rule, subject: Subject): CompiledRule {
  const filters: string[][] = []
  let hasUnsafe = false
  for (const topic of rule.topics) {
    for (const levels of substituted(topic.split('/'), subject)) {
      if (levels === undefined) hasUnsafe = true
      else filters.push(levels)
    }
  }
  const mask = conditionMask(rule.qosMask, rule.retain)
  return { rule, filters, everything: hasUnsafe && !rule.allow, mask }
}

/** The levels with their placeholders' values, once for each group; undefined where a value may not stand in a topic. */
function substituted(levels: readonly string[], subject: Subject): (string[] | undefined)[] {
  const groups = levels.includes('%g') ? subject.groups : ['']
  return groups.map((group) => {
    const values = levels.map((level, index) => {
      if (!isPlaceholder(level)) return level
      const value = placeholderValue(level, subject, group)
      return value !== undefined && isSafeLevel(value, index === 0) ? value : undefined
    })
    return values.every((value) => value !== undefined) ? (values as string[]) : undefined
  })
}

function placeholderValue(level: string, { user, clientId, certificate }: Subject, group: string): string | undefined {
  if (level === '%u') return user
  if (level === '%c') return clientId
  if (level === '%g') return group
  const field = level.slice('%cert.'.length)
  return Object.hasOwn(certificate, field) ? certificate[field] : undefined
}

/** Whether a client's word may stand as a level: it must not reach into other levels, nor into `$SYS` and its like. */
export function isSafeLevel(value: string, isFirst: boolean): boolean {
  return value !== '' && !/[/+#]/.test(value) && !(isFirst && value.startsWith('$'))
}

/**
 * What a compilation depends on, as a key: clients with the same key share it. Only what some rule asks for is in it.
 */
export function subjectKey(rules: readonly Rule[]): (subject: Subject) => string {
  const topics = rules.flatMap((rule) => rule.topics)
  const uses = (name: string) => topics.some((topic) => topic.split('/').includes(name))
  const clientIds = rules.some((rule) => rule.clientIds) || uses('%c')
  const users = rules.some((rule) => rule.users || rule.clientIds?.some((one) => one.includes('%u'))) || uses('%u')
  const groups = rules.some((rule) => rule.groups) || uses('%g')
  const addresses = rules.some((rule) => rule.addresses)
  const listeners = rules.some((rule) => rule.listeners)
  const certificates = rules.some((rule) => rule.certificate) || topics.some((topic) => topic.includes('%cert.'))
  return (subject) =>
    JSON.stringify([
      // Whether there is a user at all decides about %u too.
      users ? [subject.user] : [],
      clientIds ? subject.clientId : '',
      groups ? subject.groups : [],
      addresses ? subject.address : '',
      listeners ? subject.listener : '',
      certificates ? subject.certificate : {},
    ])
}
