/**
 * Patterns of topics with named levels, by which rules say what becomes of which: `{site}` is one level, `{rest#}` at the end one or more.
 *
 *     plant/{site}/temp/{rest#}     of plant/7/temp/in/1: site is 7, rest is in/1
 */

export type PatternLevel =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'one' | 'rest'; readonly name: string }

export type Pattern = readonly PatternLevel[]

const named = /^\{([0-9A-Za-z_-]+)(#?)\}$/

/** A text: why it is none. */
export function parsePattern(text: string): Pattern | string {
  if (text === '') return 'a pattern has at least one level'
  const levels = text.split('/')
  const names = new Set<string>()
  const pattern: PatternLevel[] = []
  for (const [index, level] of levels.entries()) {
    const [, name, hash] = named.exec(level) ?? []
    if (name === undefined) {
      if (/[{}+#\0]/.test(level)) return `${level} is neither a level nor {name}, or {name#} at the end`
      pattern.push({ kind: 'text', text: level })
      continue
    }
    if (names.has(name)) return `{${name}} stands there twice`
    if (hash === '#' && index < levels.length - 1) return `{${name}#} may only stand at the end`
    names.add(name)
    pattern.push({ kind: hash === '#' ? 'rest' : 'one', name })
  }
  return pattern
}

/**
 * What its names stand for in a topic, or in a filter that is about no more than the pattern; undefined: it does not fit. A wildcard of a filter fits a
 * named level only, and `#` only the rest.
 */
export function bind(pattern: Pattern, levels: readonly string[]): Readonly<Record<string, string>> | undefined {
  const last = pattern.at(-1)!
  if (last.kind === 'rest' ? levels.length < pattern.length : levels.length !== pattern.length) return undefined
  // Without a prototype: a level may be called like something of it.
  const bound: Record<string, string> = Object.create(null)
  for (const [index, level] of pattern.entries()) {
    const given = levels[index]!
    if (level.kind === 'rest') bound[level.name] = levels.slice(index).join('/')
    else if (level.kind === 'text' ? level.text !== given : given === '#') return undefined
    else if (level.kind === 'one') bound[level.name] = given
  }
  return bound
}

/** The topic or filter that comes of it. */
export function fill(pattern: Pattern, bound: Readonly<Record<string, string>>): string {
  return pattern.map((level) => (level.kind === 'text' ? level.text : bound[level.name]!)).join('/')
}

/** Whether each topic that fits the one fits the other. */
export function isWithin(inner: Pattern, outer: Pattern): boolean {
  const last = outer.at(-1)!
  if (last.kind === 'rest') {
    if (inner.length < outer.length) return false
  } else if (inner.length !== outer.length || inner.at(-1)!.kind === 'rest') return false
  return outer.every((level, index) => {
    const other = inner[index]!
    if (level.kind === 'text') return other.kind === 'text' && other.text === level.text
    return level.kind === 'rest' || other.kind !== 'rest'
  })
}
