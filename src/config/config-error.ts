/**
 * What is wrong with a configuration, in words: each fault with its path, what was expected and what was there. A fault read
 * from a file also gets its place in the file.
 */
import type { z } from 'zod'
import { isSecret } from './secrets.ts'

export interface ConfigIssue {
  path: readonly PropertyKey[]
  message: string
  /** Where the value comes from, for example `gateway.yaml:3:5` or `MQTIDE_MQTT_PORT`. */
  source?: string
}

export class ConfigError extends Error {
  readonly issues: readonly ConfigIssue[]

  constructor(issues: readonly ConfigIssue[]) {
    super(issues.map(lineOf).join('\n'))
    this.name = 'ConfigError'
    this.issues = issues
  }
}

export function lineOf(issue: ConfigIssue): string {
  const place = issue.source ? `${issue.source}: ` : ''
  const path = dotted(issue.path)
  return `${place}${path ? `${path}: ` : ''}${issue.message}`
}

export function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.')
}

/** Zod's issues as ours, one per path: a number that is neither whole nor in bounds is one fault. */
export function describeIssues(
  error: z.ZodError,
  input: unknown,
  knownNames: ReadonlyMap<string, readonly string[]>,
): ConfigIssue[] {
  const issues = new Map<string, ConfigIssue>()
  for (const issue of error.issues.flatMap((one) => ofTheOneMeant(one))) {
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const path = [...issue.path, key]
        const nearest = nearestName(key, knownNames.get(dotted(issue.path.map(anyItem))) ?? [])
        const advice = nearest ? `; did you mean ${nearest}?` : ''
        issues.set(dotted(path), { path, message: `unknown option${advice}` })
      }
      continue
    }
    const key = dotted(issue.path)
    if (!issues.has(key)) {
      const message = isSecret(issue.path)
        ? `${issue.message}, got something else`
        : `${issue.message}, got ${shown(valueAt(input, issue.path))}`
      issues.set(key, { path: issue.path, message })
    }
  }
  return [...issues.values()]
}

/** Of an option that takes several kinds of values, what is wrong with the kind that was written, where only one can be meant. */
function ofTheOneMeant(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const meant = issue.errors.filter((found) =>
    found.every(({ code, path }) => path.length > 0 || code === 'unrecognized_keys'),
  )
  if (meant.length !== 1) return [issue]
  return meant[0]!.map((one) => ({ ...one, path: [...issue.path, ...one.path] }))
}

/** An item of a list, and what has a name of the user's own. */
/** What holds things by names that are the user's. */
const sectionsByName: ReadonlySet<PropertyKey | undefined> = new Set(['namespaces', 'queues', 'streams', 'bridges'])

function anyItem(key: PropertyKey, index: number, path: readonly PropertyKey[]): PropertyKey {
  if (typeof key === 'number') return '*'
  const before = path[index - 1]
  const isOfNamespace = index === 3 && path[0] === 'namespaces'
  return (index === 1 || isOfNamespace) && sectionsByName.has(before) ? '*' : key
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

/** Of an address with a password in it, that is left out. */
function shownText(value: string): string {
  const text = value.replace(/^.*@/s, '***@')
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(shownText(value))
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object' && value !== null) return 'names and values'
  if (value === undefined) return 'nothing'
  return typeof value === 'function' ? 'a function' : String(value)
}

/** The known name within three edits of a misspelt one; letters' case and separators don't count. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined
  let least = 4
  for (const candidate of known) {
    const edits = editDistance(folded(name), folded(candidate))
    if (edits < least && edits < folded(candidate).length / 2) {
      least = edits
      nearest = candidate
    }
  }
  return nearest
}

function folded(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** Levenshtein distance; names beyond 64 characters are cut, since no option is that long. */
function editDistance(from: string, to: string): number {
  const source = from.slice(0, 64)
  const target = to.slice(0, 64)
  let above = Array.from({ length: target.length + 1 }, (_, index) => index)
  for (let row = 1; row <= source.length; row++) {
    const current = [row]
    for (let column = 1; column <= target.length; column++) {
      const replaced = above[column - 1]! + (source[row - 1] === target[column - 1] ? 0 : 1)
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1))
    }
    above = current
  }
  return above[target.length]!
}
