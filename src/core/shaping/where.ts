/**
 * Content filters: which messages of a subscription are wanted, by what is in them. `temperature > 25 and @site = "north"`.
 *
 *     expression   conjunction ( or conjunction )*
 *     conjunction  term ( and term )*
 *     term         not term | ( expression ) | place [ operator literal ]
 *     place        the payload as JSON: $  name  name.name  name[0]  "any name"      a user property: @name  @"any name"
 *     operator     =  !=  <  <=  >  >=
 *     literal      a number, "a text" or 'a text', true, false, null
 *
 * A place alone asks whether there is something. What is compared has to be of the literal's type: numbers with numbers, texts with
 * texts; a user property of at most 40 characters that looks like a number is one beside a number. Where it is missing or of another type, a comparison is
 * false, but for `!=` of something that is there. So each expression is true or false of any message, and costs no more than it is long.
 */
export const whereCharactersMax = 1000
export const comparisonsMax = 50
export const nestingMax = 10
const stepsMax = 20

export type Literal = string | number | boolean | null
export type Operator = '=' | '!=' | '<' | '<=' | '>' | '>='

export interface Place {
  readonly of: 'payload' | 'property'
  /** Names of fields and numbers of items; of a user property its name alone. */
  readonly steps: readonly (string | number)[]
}

export type Expression =
  | { readonly kind: 'any' | 'all'; readonly parts: readonly Expression[] }
  | { readonly kind: 'not'; readonly part: Expression }
  | { readonly kind: 'exists'; readonly place: Place }
  | { readonly kind: 'compare'; readonly place: Place; readonly operator: Operator; readonly literal: Literal }

/** What is asked of a message. */
export interface Content {
  /** Undefined: it is no JSON. */
  readonly payload: unknown
  property(name: string): string | undefined
}

/** Something is wrong with an expression; the text is for whoever wrote it. */
export class WhereFault extends Error {
  override name = 'WhereFault'
}

const tokens =
  /\s*(?:(?<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?<word>[A-Za-z_][\w-]*)|(?<sign>!=|<=|>=|[=<>()@$.[\]]))/y

interface Token {
  kind: 'number' | 'text' | 'word' | 'sign' | 'end'
  text: string
  at: number
}

/** @throws WhereFault */
export function parseWhere(text: string): Expression {
  if (text.length > whereCharactersMax) throw new WhereFault(`at most ${whereCharactersMax} characters`)
  const parser = new Parser(tokensOf(text))
  const expression = parser.expression(0)
  parser.end()
  return expression
}

function tokensOf(text: string): Token[] {
  const found: Token[] = []
  const end = text.trimEnd().length
  for (let at = 0; at < end; ) {
    tokens.lastIndex = at
    const match = tokens.exec(text)
    if (match === null) throw notUnderstood(text, at)
    const [kind, own] = Object.entries(match.groups!).find(([, one]) => one !== undefined)!
    at = tokens.lastIndex
    found.push({ kind: kind as Token['kind'], text: own!, at: at - own!.length })
  }
  found.push({ kind: 'end', text: 'the end', at: end })
  return found
}

function notUnderstood(text: string, from: number): WhereFault {
  const at = from + /^\s*/.exec(text.slice(from))![0].length
  return new WhereFault(`not understood at character ${at + 1}: ${text.slice(at, at + 20)}`)
}

const operators: readonly string[] = ['=', '!=', '<', '<=', '>', '>=']
const literals: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null }
const reserved = ['and', 'or', 'not', 'true', 'false', 'null']

class Parser {
  readonly #tokens: readonly Token[]
  #next = 0
  #comparisons = 0

  constructor(found: readonly Token[]) {
    this.#tokens = found
  }

  expression(depth: number): Expression {
    if (depth > nestingMax) throw new WhereFault(`nested deeper than ${nestingMax} levels`)
    return this.#list('any', 'or', () => this.#list('all', 'and', () => this.#term(depth)))
  }

  end(): void {
    if (this.#here.kind !== 'end') throw this.#fault('and, or or the end')
  }

  #list(kind: 'any' | 'all', word: string, one: () => Expression): Expression {
    const parts = [one()]
    while (this.#takes('word', word)) parts.push(one())
    return parts.length === 1 ? parts[0]! : { kind, parts }
  }

  #term(depth: number): Expression {
    if (depth > nestingMax) throw new WhereFault(`nested deeper than ${nestingMax} levels`)
    if (this.#takes('word', 'not')) return { kind: 'not', part: this.#term(depth + 1) }
    if (this.#takes('sign', '(')) {
      const inner = this.expression(depth + 1)
      if (!this.#takes('sign', ')')) throw this.#fault(')')
      return inner
    }
    if (++this.#comparisons > comparisonsMax) throw new WhereFault(`more than ${comparisonsMax} comparisons`)
    const place = this.#place()
    const { kind, text } = this.#here
    if (kind !== 'sign' || !operators.includes(text)) return { kind: 'exists', place }
    this.#next++
    return { kind: 'compare', place, operator: text as Operator, literal: this.#literal() }
  }

  #place(): Place {
    if (this.#takes('sign', '@')) return { of: 'property', steps: [this.#name()] }
    const steps: (string | number)[] = this.#takes('sign', '$') ? [] : [this.#name()]
    for (;;) {
      if (this.#takes('sign', '.')) steps.push(this.#name())
      else if (this.#takes('sign', '[')) steps.push(this.#index())
      else return { of: 'payload', steps }
      if (steps.length > stepsMax) throw new WhereFault(`more than ${stepsMax} steps to a field`)
    }
  }

  #index(): number {
    const { kind, text } = this.#here
    if (kind !== 'number' || !/^\d{1,9}$/.test(text)) throw this.#fault('the number of an item')
    this.#next++
    if (!this.#takes('sign', ']')) throw this.#fault(']')
    return Number(text)
  }

  #name(): string {
    const { kind, text } = this.#here
    const isName = kind === 'text' || (kind === 'word' && !reserved.includes(text))
    if (!isName) throw this.#fault('the name of a field')
    this.#next++
    return kind === 'text' ? unquoted(text) : text
  }

  #literal(): Literal {
    const { kind, text } = this.#here
    const isLiteral = kind === 'number' || kind === 'text' || (kind === 'word' && Object.hasOwn(literals, text))
    if (!isLiteral) throw this.#fault('a number, a text in quotes, true, false or null')
    this.#next++
    if (kind === 'number') return Number(text)
    return kind === 'text' ? unquoted(text) : literals[text]!
  }

  get #here(): Token {
    return this.#tokens[this.#next]!
  }

  #takes(kind: Token['kind'], text: string): boolean {
    const { kind: own, text: ownText } = this.#here
    if (own !== kind || ownText !== text) return false
    this.#next++
    return true
  }

  #fault(expected: string): WhereFault {
    const { text, at } = this.#here
    return new WhereFault(`expected ${expected} at character ${at + 1}, not ${text.slice(0, 40)}`)
  }
}

/** A backslash stands for what follows it. */
function unquoted(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/gs, '$1')
}

export function holds(expression: Expression, content: Content): boolean {
  switch (expression.kind) {
    case 'any':
      return expression.parts.some((part) => holds(part, content))
    case 'all':
      return expression.parts.every((part) => holds(part, content))
    case 'not':
      return !holds(expression.part, content)
    case 'exists':
      return valueAt(expression.place, content) !== undefined
    default:
      return compare(valueAt(expression.place, content), expression.operator, expression.literal, expression.place.of)
  }
}

function valueAt({ of, steps }: Place, content: Content): unknown {
  if (of === 'property') return content.property(String(steps[0]))
  let value = content.payload
  for (const step of steps) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    if (Array.isArray(value) !== (typeof step === 'number')) return undefined
    value = (value as Record<string | number, unknown>)[step]
  }
  return value
}

function compare(found: unknown, operator: Operator, literal: Literal, of: Place['of']): boolean {
  if (found === undefined) return false
  const value = of === 'property' && typeof literal === 'number' ? numberIn(String(found)) : found
  if (operator === '=') return value === literal
  if (operator === '!=') return value !== literal
  if (typeof value === 'number' && typeof literal === 'number') return isOrdered(value, operator, literal)
  return typeof value === 'string' && typeof literal === 'string' && isOrdered(value, operator, literal)
}

/** The digits of a longer one would be read anew for each comparison. */
const numberCharactersMax = 40

function numberIn(text: string): string | number {
  if (text.length > numberCharactersMax) return text
  return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text
}

function isOrdered<Value extends string | number>(value: Value, operator: Operator, literal: Value): boolean {
  if (operator === '<') return value < literal
  if (operator === '<=') return value <= literal
  return operator === '>' ? value > literal : value >= literal
}
