/** What the dashboard shows of what others wrote. */
import { describe, expect, test } from 'vitest'
import {
  fullTextOf,
  hexOf,
  kindOf,
  numbersIn,
  previewOf,
  shortName,
  textOf,
  visible,
} from '../../src/dashboard/shown.ts'

const payload = (text: string | number[], size?: number) => {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : Uint8Array.from(text)
  return { bytes, size: size ?? bytes.length }
}

describe('names', () => {
  test('what cannot be seen, or turns the direction of writing, is written out', () => {
    expect(visible('a\u0000b\u001b[31m')).toBe('a\\u0000b\\u001b[31m')
    expect(visible('user\u202egnp.exe')).toBe('user\\u202egnp.exe')
    expect(visible('zero\u200bwidth\ufeff')).toBe('zero\\u200bwidth\\ufeff')
    expect(visible('half \ud800 pair')).toBe('half \\ud800 pair')
    expect(visible('Grüße 温度 🌡')).toBe('Grüße 温度 🌡')
  })

  test('long ones are cut, and each is one line', () => {
    expect(shortName('x'.repeat(300))).toBe(`${'x'.repeat(200)}…`)
    expect(shortName('a\nb\tc')).toBe('a\\nb\\tc')
  })
})

describe('payloads', () => {
  test.each([
    ['', 'empty'],
    ['21.5', 'number'],
    [' -3e2 ', 'number'],
    ['{"t":1}', 'json'],
    ['[1,2]', 'json'],
    ['{no json', 'text'],
    ['on', 'text'],
  ])('%j is %s', (text, kind) => {
    expect(kindOf(payload(text))).toBe(kind)
  })

  test('what is no UTF-8, or has controls in it, is binary and shown in hexadecimal', () => {
    expect(kindOf(payload([0xff, 0xfe]))).toBe('binary')
    expect(kindOf(payload([0, 1, 2]))).toBe('binary')
    expect(previewOf(payload([0, 255, 16]))).toBe('00 ff 10')
    expect(hexOf(new Uint8Array(1000), 2)).toBe('00 00')
  })

  test('a character cut at the end of the kept part does not make it binary', () => {
    const bytes = new TextEncoder().encode('grüße').subarray(0, 3)
    expect(textOf({ bytes, size: 100 })).toBe('gr')
    expect(kindOf({ bytes, size: 100 })).toBe('text')
    expect(textOf({ bytes, size: 3 })).toBeUndefined()
  })

  test('the preview is one line, the full text of JSON has a line for each member', () => {
    expect(previewOf(payload('a\n\n  b'))).toBe('a b')
    expect(fullTextOf(payload('{"a":[1]}'))).toBe('{\n  "a": [\n    1\n  ]\n}')
  })

  test('numbers are found by the path to them, and no more than so many', () => {
    const found = numbersIn(payload('{"t":21.5,"on":true,"in":{"rh":40},"text":"7","list":[1,2]}'))
    expect([...found]).toEqual([
      ['t', 21.5],
      ['on', 1],
      ['in.rh', 40],
      ['list.0', 1],
      ['list.1', 2],
    ])
    expect([...numbersIn(payload('7'))]).toEqual([['', 7]])
    expect(numbersIn(payload(JSON.stringify(Array.from({ length: 1000 }, () => 1)))).size).toBe(40)
    expect(numbersIn(payload('7', 100)).size).toBe(0)
    expect(numbersIn(payload(`${'['.repeat(50)}${']'.repeat(50)}`)).size).toBe(0)
  })
})
