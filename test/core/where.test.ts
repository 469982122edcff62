/** Content filters: what they say, what is refused, and that they say what a plain reading of them says. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Content,
  comparisonsMax,
  type Expression,
  holds,
  type Literal,
  nestingMax,
  type Operator,
  parseWhere,
  whereCharactersMax,
} from '../../src/core/shaping/where.ts'

function content(payload: unknown, properties: Record<string, string> = {}): Content {
  return { payload, property: (name) => (Object.hasOwn(properties, name) ? properties[name] : undefined) }
}

const reading = content(
  {
    temperature: 26.5,
    unit: 'C',
    on: true,
    none: null,
    engine: { rpm: [900, 1200] },
    'odd name': { 'a.b': 1 },
    text: '26.5',
  },
  { site: 'north', level: '7', 'odd name': 'x' },
)

test('a user property is a number beside one up to 40 characters: a longer one costs each comparison its length', () => {
  const of = (n: string) => holds(parseWhere('@n > 5'), content(undefined, { n }))
  expect(of('9'.repeat(40))).toBe(true)
  expect(of('9'.repeat(41))).toBe(false)
})

test.each([
  ['temperature > 25', true],
  ['temperature > 26.5', false],
  ['temperature >= 26.5 and unit = "C"', true],
  ["temperature < 0 or unit != 'C'", false],
  ['not temperature < 0', true],
  ['not (on = true and temperature > 25)', false],
  ['engine.rpm[1] = 1200', true],
  ['engine.rpm[2] = 1200', false],
  ['engine.rpm', true],
  ['engine.torque', false],
  ['$.engine.rpm[0] = 9e2', true],
  ['"odd name"."a.b" = 1', true],
  ['none = null', true],
  ['on = true', true],
  ['on != false', true],
  ['@site = "north"', true],
  ['@level > 5', true],
  ['@level = "7"', true],
  ['@site > 5', false],
  ['@"odd name"', true],
  ['@missing', false],
  // Of another type: not equal, and neither more nor less.
  ['text > 25', false],
  ['text = 26.5', false],
  ['text != 26.5', true],
  ['unit > 25', false],
  // What is missing is nothing of all that.
  ['missing != 1', false],
  ['missing = null', false],
  ['constructor', false],
  ['engine.length', false],
  ['engine.rpm.length', false],
  // and binds before or.
  ['on = true or on = false and unit = "F"', true],
  ['(on = true or on = false) and unit = "F"', false],
])('%s is %s of the reading', (text, expected) => {
  expect(holds(parseWhere(text), reading)).toBe(expected)
})

test('a payload may be a number, a text, a list, or none at all', () => {
  expect(holds(parseWhere('$ > 20'), content(21))).toBe(true)
  expect(holds(parseWhere('$ = "on"'), content('on'))).toBe(true)
  expect(holds(parseWhere('$[0].a = 1'), content([{ a: 1 }]))).toBe(true)
  expect(holds(parseWhere('a'), content([{ a: 1 }]))).toBe(false)
  expect(holds(parseWhere('$'), content(undefined))).toBe(false)
})

describe('refused, in words that say where, is', () => {
  test.each([
    ['', 'expected the name of a field at character 1, not the end'],
    ['temperature >', 'expected a number, a text in quotes, true, false or null at character 14, not the end'],
    ['temperature > high', 'at character 15, not high'],
    ['25 < temperature', 'expected the name of a field at character 1, not 25'],
    ['a = 1 b = 2', 'expected and, or or the end at character 7, not b'],
    ['(a = 1', 'expected ) at character 7, not the end'],
    ['a[x]', 'expected the number of an item'],
    ['a[1', 'expected ]'],
    ['a[-1]', 'expected the number of an item'],
    ['a == 1', 'expected a number'],
    ['a ~ 1', 'not understood at character 3: ~ 1'],
    ['"a', 'not understood at character 1'],
    ['a; drop', 'not understood at character 2'],
    ['@', 'expected the name of a field'],
    ['and', 'expected the name of a field'],
    [`${'('.repeat(nestingMax + 1)}a${')'.repeat(nestingMax + 1)}`, 'nested deeper'],
    [`${'not '.repeat(nestingMax + 1)}a`, 'nested deeper'],
    [`a${'.a'.repeat(30)}`, 'more than 20 steps'],
    [
      Array(comparisonsMax + 1)
        .fill('a')
        .join(' or '),
      `more than ${comparisonsMax} comparisons`,
    ],
    ['a'.repeat(whereCharactersMax + 1), `at most ${whereCharactersMax} characters`],
  ])('%s', (text, why) => {
    expect(() => parseWhere(text)).toThrow(why)
  })
})

/** Another reading of the same: as text in JavaScript, with the rules for types beside it. */
function plainly(expression: Expression, payload: Record<string, unknown>): boolean {
  if ('parts' in expression) {
    const { length } = expression.parts.filter((part) => plainly(part, payload))
    return expression.kind === 'any' ? length > 0 : length === expression.parts.length
  }
  if (expression.kind === 'not') return plainly(expression.part, payload) === false
  const [name] = expression.place.steps
  const isThere = Object.keys(payload).includes(String(name))
  if (expression.kind === 'exists' || !isThere) return expression.kind === 'exists' && isThere
  const { operator, literal } = expression
  const value = payload[String(name)]
  const same = typeof value === typeof literal && value === literal
  if (operator === '=') return same
  if (operator === '!=') return !same
  if (typeof value !== typeof literal || !['number', 'string'].includes(typeof value)) return false
  const order = (value as number) < (literal as number) ? -1 : value === literal ? 0 : 1
  return { '<': order < 0, '<=': order <= 0, '>': order > 0, '>=': order >= 0 }[operator]
}

function written(expression: Expression): string {
  switch (expression.kind) {
    case 'any':
      return `(${expression.parts.map(written).join(' or ')})`
    case 'all':
      return `(${expression.parts.map(written).join(' and ')})`
    case 'not':
      return `not ${written(expression.part)}`
    case 'exists':
      return JSON.stringify(expression.place.steps[0])
    default:
      return `${JSON.stringify(expression.place.steps[0])} ${expression.operator} ${JSON.stringify(expression.literal)}`
  }
}

const names = ['a', 'b', 'and', 'odd name', '__proto__']
const place = fc.constantFrom(...names).map((name) => ({ of: 'payload' as const, steps: [name] }))
const literal: fc.Arbitrary<Literal> = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom('', 'x', 'y'),
  fc.boolean(),
  fc.constant(null),
)
const operator = fc.constantFrom<Operator>('=', '!=', '<', '<=', '>', '>=')
const { expression } = fc.letrec<{ expression: Expression }>((tie) => ({
  expression: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ kind: fc.constant('compare' as const), place, operator, literal }),
    fc.record({ kind: fc.constant('exists' as const), place }),
    fc.record({ kind: fc.constant('not' as const), part: tie('expression') }),
    fc.record({
      kind: fc.constantFrom('any' as const, 'all' as const),
      parts: fc.array(tie('expression'), { minLength: 2, maxLength: 3 }),
    }),
  ),
}))
const payload = fc.array(fc.tuple(fc.constantFrom(...names), literal)).map((fields) => {
  return JSON.parse(`{${fields.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join()}}`)
})

test('any expression says of any payload what a plain reading of it says', () => {
  fc.assert(
    fc.property(expression, payload, (one, fields: Record<string, unknown>) => {
      const text = written(one)
      fc.pre(text.length <= whereCharactersMax)
      let parsed: Expression
      try {
        parsed = parseWhere(text)
      } catch (error) {
        expect((error as Error).message).toMatch(/nested deeper|comparisons/)
        return
      }
      expect(holds(parsed, content(fields))).toBe(plainly(one, fields))
    }),
  )
})

test('any text is an expression or refused, and nothing else', () => {
  const piece = fc.constantFrom('a', '@a', '$', '.', '[', ']', '(', ')', '=', '<', '1', '"x"', 'and', 'not', ' ', '\\')
  const text = fc.oneof(
    fc.string(),
    fc.array(piece).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(text, fc.jsonValue(), (where, value) => {
      let parsed: Expression
      try {
        parsed = parseWhere(where)
      } catch (error) {
        expect(error).toMatchObject({ name: 'WhereFault' })
        return
      }
      expect(holds(parsed, content(value))).toBeTypeOf('boolean')
    }),
  )
})
