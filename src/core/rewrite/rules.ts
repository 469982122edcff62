/**
 * Rules of rewriting, and what is wrong with them: each one is sound by itself, and no two lead in a circle.
 *
 * A rule is applied to a topic once at most, so that every topic comes to an end. Refused is what would come back for every topic: that is no
 * rule but a mistake.
 */
import { addressOf } from '../logs/address.ts'
import { isWithin, type Pattern, parsePattern } from './pattern.ts'

export interface RewriteTarget {
  /** A pattern, of names that `from` has. */
  readonly topic: string
  /** Its part of the messages, against the weights of the others. */
  readonly weight: number
}

export const rewriteOccasions = ['publish', 'subscribe', 'both'] as const
export type RewriteOccasion = (typeof rewriteOccasions)[number]

/** What a message's target is chosen by, where there are several. */
export const rewriteChoices = ['message', 'publisher'] as const
export type RewriteChoice = (typeof rewriteChoices)[number]

export interface RewriteRule {
  /** A pattern. */
  readonly from: string
  readonly to: readonly RewriteTarget[]
  readonly on: RewriteOccasion
  readonly chooseBy: RewriteChoice
}

/** Rules of one namespace. */
export const rewriteRulesMax = 1000
export const rewriteTargetsMax = 16

export interface RuleFault {
  /** Which rule. */
  readonly index: number
  readonly of: 'from' | 'to' | 'on'
  readonly finding: string
}

export function ruleFaults(rules: readonly RewriteRule[]): RuleFault[] {
  const faults = rules.flatMap((rule, index) => faultsOf(rule).map((fault) => ({ index, ...fault })))
  return faults.length > 0 ? faults : circles(rules)
}

type Fault = Omit<RuleFault, 'index'>

function faultsOf({ from, to, on }: RewriteRule): Fault[] {
  const pattern = parsePattern(from)
  if (typeof pattern === 'string') return [{ of: 'from', finding: pattern }]
  const faults: Fault[] = []
  if (from.startsWith('$'))
    faults.push({ of: 'from', finding: 'what begins with $ is the gateway’s own, and is not rewritten' })
  for (const { topic } of to) {
    const finding = targetFault(topic, pattern, on)
    if (finding !== undefined) faults.push({ of: 'to', finding })
  }
  if (to.length > 1 && on !== 'publish') {
    faults.push({ of: 'on', finding: 'several targets are for publish alone: a subscription has one filter' })
  }
  return faults
}

function targetFault(text: string, from: Pattern, on: RewriteOccasion): string | undefined {
  const pattern = parsePattern(text)
  if (typeof pattern === 'string') return pattern
  for (const level of pattern) {
    if (level.kind === 'text') continue
    const given = from.find((one) => one.kind !== 'text' && one.name === level.name)
    if (given === undefined) return `{${level.name}} is not in from`
    if (given.kind !== level.kind) return `{${level.name}} has to be written as in from`
  }
  if (!text.startsWith('$')) return undefined
  const address = addressOf(text.replaceAll(/[{}#]/g, ''))
  if (address?.kind !== 'queue') return 'of what begins with $ only $queue/NAME can be a target'
  return on === 'publish' ? undefined : 'a queue is a target of publish alone'
}

/** Rules that a topic would go round for ever, whatever its levels are. */
function circles(rules: readonly RewriteRule[]): RuleFault[] {
  const faults = (['publish', 'subscribe'] as const).flatMap((occasion) => {
    const steps = rules.map(({ from, to, on }, index) => ({
      index,
      from: parsePattern(from) as Pattern,
      // Of several it is the end.
      to: to.length === 1 && (on === 'both' || on === occasion) ? (parsePattern(to[0]!.topic) as Pattern) : null,
      takesPart: on === 'both' || on === occasion,
    }))
    const next = steps.map(({ to }) =>
      to === null ? [] : steps.filter((other) => other.takesPart && isWithin(to, other.from)).map(({ index }) => index),
    )
    return rules.flatMap((rule, index): RuleFault[] => {
      if (!leadsTo(next, index, index)) return []
      return [{ index, of: 'to', finding: `makes a loop: what comes of ${rule.from} would come back to it` }]
    })
  })
  const seen = new Set<number>()
  return faults.filter(({ index }) => !seen.has(index) && seen.add(index))
}

function leadsTo(next: readonly (readonly number[])[], from: number, target: number): boolean {
  const reached = new Set(next[from])
  for (const index of reached) for (const other of next[index]!) reached.add(other)
  return reached.has(target)
}
