/**
 * Rules of rewriting (`docs/rewriting.md`): what becomes of topics and filters before anything else is asked of them. `rewrite` is for the default
 * namespace, `namespaces.NAME.rewrite` for another.
 */
import { z } from 'zod'
import {
  type RewriteRule,
  rewriteChoices,
  rewriteOccasions,
  rewriteRulesMax,
  rewriteTargetsMax,
  ruleFaults,
} from '../core/rewrite/rules.ts'
import type { ConfigIssue } from './config-error.ts'
import { oneOf, text, wholeNumber } from './fields.ts'

const targetSchema = z.strictObject(
  {
    topic: text(65_535).describe('Pattern of the topic that the message gets.'),
    weight: wholeNumber(1, 1_000_000)
      .default(1)
      .describe('Its part of the messages, against the weights of the others.'),
  },
  'expected topic and weight',
)

export const rewriteSchema = z.strictObject(
  {
    from: text(65_535).describe('Which topics, by a pattern: {name} is one level, {name#} at the end one or more.'),
    to: z
      .union(
        [text(65_535), z.array(targetSchema).min(1).max(rewriteTargetsMax)],
        `expected a pattern, or a list of 1 to ${rewriteTargetsMax} with topic and weight`,
      )
      .describe('What they become, with the names of from; a list: each message becomes one of them, by weight.'),
    on: oneOf(...rewriteOccasions)
      .optional()
      .describe(
        'For messages, for filters of subscriptions, or for both. Unset, both; publish where to is a list or a queue.',
      ),
    chooseBy: oneOf(...rewriteChoices)
      .default('message')
      .describe('Of several targets each message gets one, or each publisher has one.'),
  },
  'expected from and to',
)

export function rewriteOption(whose: string) {
  return z
    .array(rewriteSchema, 'expected a list of rules with from and to')
    .max(rewriteRulesMax)
    .default([])
    .describe(`${whose}, in the order in which they are tried; see rewriting.md.`)
}

type RewriteOptions = readonly z.output<typeof rewriteSchema>[]

interface OptionsWithRewrites {
  rewrite: RewriteOptions
  namespaces: Readonly<Record<string, { rewrite: RewriteOptions }>>
}

function ruleOf({ from, to, on, chooseBy }: RewriteOptions[number]): RewriteRule {
  const targets = typeof to === 'string' ? [{ topic: to, weight: 1 }] : to
  const publishOnly = targets.length > 1 || targets[0]!.topic.startsWith('$')
  return { from, to: targets, on: on ?? (publishOnly ? 'publish' : 'both'), chooseBy }
}

/** Rules by namespace. */
export function rewritesOf({ rewrite, namespaces }: OptionsWithRewrites): Record<string, RewriteRule[]> {
  const others = Object.entries(namespaces).map(([name, one]) => [name, one.rewrite.map(ruleOf)] as const)
  return { ...Object.fromEntries(others), default: [...rewrite, ...(namespaces['default']?.rewrite ?? [])].map(ruleOf) }
}

/** Patterns that are none, names that nobody gives, rules that lead in a circle. */
export function rewriteIssues({ rewrite, namespaces }: OptionsWithRewrites): ConfigIssue[] {
  const places = [
    [['rewrite'], rewrite] as const,
    ...Object.entries(namespaces).map(([name, one]) => [['namespaces', name, 'rewrite'], one.rewrite] as const),
  ]
  return places.flatMap(([path, rules]) => {
    // Those of the default namespace stand in two places.
    const before = path[1] === 'default' ? rewrite : []
    const faults = ruleFaults([...before, ...rules].map(ruleOf))
    return faults
      .filter(({ index }) => index >= before.length)
      .map(({ index, of, finding }) => ({ path: [...path, index - before.length, of], message: finding }))
  })
}
