/**
 * Rules that come with a credential, in a token's claim or a hook's answer: in our own form, and in both of EMQX's.
 *
 *     rules: [{ allow: publish, topic: 'plant/%u/#' }]
 *     acl: [{ permission: allow, action: publish, topic: 'plant/${username}/#', qos: [1], retain: false }]
 *     acl: { pub: ['a/#'], sub: ['b/#'], all: ['c/#'] }
 */
import { type Rule, type RuleInput, ruleOf } from './rule.ts'

const emqxUser = `$${'{username}'}`
const emqxClient = `$${'{clientid}'}`

/** Rules that one credential may bring. */
const rulesMax = 1000

/** Undefined: it brings none. @throws Error for what is no list of rules */
export function rulesOf(claims: Readonly<Record<string, unknown>>): readonly Rule[] | undefined {
  const { rules, acl } = claims
  if (rules !== undefined)
    return listOf(rules, 'rules').map((rule, index) => ruleOf(rule as unknown as RuleInput, `rules[${index}]`))
  if (acl === undefined) return undefined
  if (Array.isArray(acl)) return listOf(acl, 'acl').map((rule, index) => emqxRule(rule, `acl[${index}]`))
  return emqxLists(acl)
}

function listOf(value: unknown, what: string): Record<string, unknown>[] {
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null)
  if (!isList) throw new Error(`expected a list of rules as ${what}`)
  if (value.length > rulesMax) throw new Error(`more than ${rulesMax} rules`)
  return value as Record<string, unknown>[]
}

function emqxRule(rule: Record<string, unknown>, place: string): Rule {
  const { permission, action, topic, topics, qos, retain, ...rest } = rule
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw new Error(`unknown part of a rule: ${unknown}`)
  if (permission !== 'allow' && permission !== 'deny') throw new Error('expected allow or deny as permission')
  const input: RuleInput = { topic: emqxTopics(topics ?? topic), [permission]: action ?? 'all' } as RuleInput
  if (qos !== undefined) input.qos = qos as number
  const flag = emqxRetain(retain)
  if (flag !== undefined && action !== 'subscribe') input.retain = flag
  return ruleOf(input, place)
}

function emqxLists(acl: unknown): Rule[] {
  if (typeof acl !== 'object' || acl === null) throw new Error('expected acl as a list, or as pub, sub and all')
  const { pub, sub, all, ...rest } = acl as Record<string, unknown>
  const unknown = Object.keys(rest)[0]
  if (unknown !== undefined) throw new Error(`unknown part of acl: ${unknown}`)
  const actions = [
    ['pub', pub, 'publish'],
    ['sub', sub, 'subscribe'],
    ['all', all, 'all'],
  ] as const
  return actions.flatMap(([name, topics, allow]) => {
    if (topics === undefined || (Array.isArray(topics) && topics.length === 0)) return []
    return [ruleOf({ allow, topic: emqxTopics(topics) }, `acl.${name}`)]
  })
}

function emqxTopics(topics: unknown): string[] {
  const list: unknown[] = Array.isArray(topics) ? topics : [topics]
  if (list.length > rulesMax) throw new Error(`more than ${rulesMax} topics`)
  return list.map((topic) => {
    if (typeof topic !== 'string') throw new Error('expected topics as texts')
    // Their "eq" grants the filter itself and not what it matches, which no rule here can say.
    if (topic.startsWith('eq ')) throw new Error('topics with eq are not known')
    return topic.replaceAll(emqxUser, '%u').replaceAll(emqxClient, '%c')
  })
}

function emqxRetain(retain: unknown): boolean | undefined {
  if (retain === undefined || retain === 'all') return undefined
  if (retain === true || retain === 1 || retain === '1' || retain === 'true') return true
  if (retain === false || retain === 0 || retain === '0' || retain === 'false') return false
  throw new Error('expected true, false or all as retain')
}
