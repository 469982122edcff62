/**
 * What becomes of topics and filters before anything else is asked of them, by the rules of a namespace.
 *
 * The first rule that fits is applied, then the first that fits what came of it, each one once at most. A topic is looked at when it gets its
 * entry in the route cache, so that a message pays nothing where nothing is rewritten; rules are found by the topic's first level.
 */
import { delayedPrefix } from '../logs/address.ts'
import type { TopicEntry } from '../publish/route-cache.ts'
import { bind, fill, type Pattern, parsePattern } from './pattern.ts'
import type { RewriteChoice, RewriteRule } from './rules.ts'

interface Compiled {
  readonly rule: RewriteRule
  readonly from: Pattern
  readonly to: readonly { readonly pattern: Pattern; readonly weight: number }[]
}

/** What a rule made, and of what: for whoever wants to know how it came to that. */
export interface RewriteStep {
  readonly rule: RewriteRule
  readonly results: readonly string[]
}

export interface RewrittenTopic {
  readonly topic: string
  /** As it was looked up last. */
  entry: TopicEntry | null
  /** Of 1, with those before it: the choice falls on the first that is above a number from 0 to 1. */
  readonly upTo: number
}

/** Where messages of a topic go instead. */
export interface Rewrite {
  readonly targets: readonly RewrittenTopic[]
  readonly chooseBy: RewriteChoice
}

const later = new RegExp(`^${delayedPrefix.replace('$', '\\$')}[0-9]+/`)
const group = /^\$share\/[^/]+\//

export class Rewrites {
  readonly #publish: RuleIndex
  readonly #subscribe: RuleIndex

  readonly rules: readonly RewriteRule[]
  readonly isEmpty: boolean

  /** @param rules without faults */
  constructor(rules: readonly RewriteRule[]) {
    this.rules = rules
    this.isEmpty = rules.length === 0
    const compiled = rules.map(compile)
    this.#publish = new RuleIndex(compiled.filter(({ rule }) => rule.on !== 'subscribe'))
    this.#subscribe = new RuleIndex(compiled.filter(({ rule }) => rule.on !== 'publish'))
  }

  /** Null: it stays as it is. */
  topic(name: string): Rewrite | null {
    if (this.#publish.isEmpty) return null
    // What is to be published later is so under the topic that it will have.
    const [when = ''] = later.exec(name) ?? []
    const last = this.stepsOfTopic(name.slice(when.length)).at(-1)
    if (last === undefined) return null
    const { to, chooseBy } = last.rule
    const total = to.reduce((sum, { weight }) => sum + weight, 0)
    let weights = 0
    const targets = last.results.map((result, index): RewrittenTopic => {
      weights += to[index]!.weight
      return { topic: when + result, upTo: weights / total, entry: null }
    })
    return { targets, chooseBy }
  }

  /** As it is, if no rule fits. */
  filter(filter: string): string {
    if (this.#subscribe.isEmpty) return filter
    const [share = ''] = group.exec(filter) ?? []
    const last = this.stepsOfFilter(filter.slice(share.length)).at(-1)
    return last === undefined ? filter : share + last.results[0]!
  }

  stepsOfTopic(name: string): RewriteStep[] {
    return this.#publish.steps(name)
  }

  stepsOfFilter(filter: string): RewriteStep[] {
    return this.#subscribe.steps(filter)
  }
}

function compile(rule: RewriteRule): Compiled {
  const to = rule.to.map(({ topic, weight }) => ({ pattern: parsePattern(topic) as Pattern, weight }))
  return { rule, from: parsePattern(rule.from) as Pattern, to }
}

/** Rules by the first level of what they may fit, in their order. */
class RuleIndex {
  readonly isEmpty: boolean
  readonly #byFirst = new Map<string, Compiled[]>()
  /** That fit whatever the first level is. */
  readonly #open: Compiled[] = []

  constructor(rules: readonly Compiled[]) {
    this.isEmpty = rules.length === 0
    for (const one of rules) {
      const first = one.from[0]!
      if (first.kind === 'text') {
        const others = this.#byFirst.get(first.text)
        if (others === undefined) this.#byFirst.set(first.text, [...this.#open, one])
        else others.push(one)
        continue
      }
      this.#open.push(one)
      for (const others of this.#byFirst.values()) others.push(one)
    }
  }

  steps(text: string): RewriteStep[] {
    const steps: RewriteStep[] = []
    const applied = new Set<Compiled>()
    for (let levels = text.split('/'); !levels[0]!.startsWith('$'); ) {
      const results = this.#apply(levels, applied, steps)
      // Several are the end.
      if (results?.length !== 1) break
      levels = results[0]!.split('/')
    }
    return steps
  }

  #apply(levels: readonly string[], applied: Set<Compiled>, steps: RewriteStep[]): readonly string[] | undefined {
    for (const one of this.#byFirst.get(levels[0]!) ?? this.#open) {
      const bound = applied.has(one) ? undefined : bind(one.from, levels)
      if (bound === undefined) continue
      applied.add(one)
      const results = one.to.map(({ pattern }) => fill(pattern, bound))
      steps.push({ rule: one.rule, results })
      return results
    }
    return undefined
  }
}

export const noRewrites = new Rewrites([])
