/** Strict UTF-8 against the platform's own validation, which differs only in taking U+0000. */
import { isUtf8 } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { decodeUtf8, encodeUtf8, isEncodable, isValidUtf8, latin1 } from '../../src/mqtt/utf8.ts'

function oracle(bytes: Uint8Array): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

/** The first sequence of bytes on which we and the oracle disagree. */
function firstDifference(sequences: Iterable<Uint8Array>): string | undefined {
  for (const bytes of sequences) {
    if (isValidUtf8(bytes, 0, bytes.length) !== oracle(bytes)) return Buffer.from(bytes).toString('hex')
  }
  return undefined
}

/** Bytes at which the rules change, one on either side each. */
const edges = [
  0, 1, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff,
]

describe('UTF-8', () => {
  it('is judged as the platform does for every sequence of one and two bytes [MQTT-1.5.4-1]', () => {
    function* sequences() {
      for (let first = 0; first < 256; first++) {
        yield Uint8Array.of(first)
        for (let second = 0; second < 256; second++) yield Uint8Array.of(first, second)
      }
    }
    expect(firstDifference(sequences())).toBeUndefined()
  })

  it('is judged as the platform does for three bytes, all lead and second bytes, and four [MQTT-1.5.4-1]', () => {
    function* sequences() {
      for (let first = 0xc0; first < 256; first++) {
        for (let second = 0; second < 256; second++) {
          for (const third of edges) yield Uint8Array.of(first, second, third)
        }
        for (const second of edges) {
          for (const third of edges) for (const fourth of edges) yield Uint8Array.of(first, second, third, fourth)
        }
      }
    }
    expect(firstDifference(sequences())).toBeUndefined()
  })

  it('carries every code point but U+0000 and surrogates, there and back [MQTT-1.5.4-1, MQTT-1.5.4-2]', () => {
    for (let point = 1; point <= 0x10ffff; point++) {
      if (point === 0xd800) point = 0xe000
      const text = String.fromCodePoint(point)
      const bytes = Buffer.from(text, 'utf8')
      if (decodeUtf8(bytes, 0, bytes.length) !== text) expect.fail(`U+${point.toString(16)}`)
    }
  })

  it.each([
    ['U+0000', '00'],
    ['U+0000 behind other characters', '616200'],
    ['an overlong U+0000', 'c080'],
    ['an overlong slash', 'c0af'],
    ['an overlong slash of three bytes', 'e080af'],
    ['an overlong slash of four bytes', 'f08080af'],
    ['the first surrogate', 'eda080'],
    ['the last surrogate', 'edbfbf'],
    ['a pair of surrogates', 'eda081edb080'],
    ['U+110000', 'f4908080'],
    ['a lead byte of five', 'f888808080'],
    ['a stray continuation', '6180'],
    ['a truncated sequence', '61e282'],
  ])('refuses %s', (_, text) => {
    const bytes = Buffer.from(text, 'hex')
    expect(isValidUtf8(bytes, 0, bytes.length)).toBe(false)
    expect(decodeUtf8(bytes, 0, bytes.length)).toBeUndefined()
  })

  it('keeps a byte order mark, also at the beginning [MQTT-1.5.4-3]', () => {
    const bytes = Buffer.from('efbbbf61', 'hex')
    expect(decodeUtf8(bytes, 0, 4)).toBe('\ufeffa')
    expect(decodeUtf8(new Uint8Array(bytes), 0, 4)).toBe('\ufeffa')
  })

  it('judges only the bytes between the offsets', () => {
    const bytes = Buffer.from('ff61c3a9ff', 'hex')
    expect(isValidUtf8(bytes, 1, 4)).toBe(true)
    expect(isValidUtf8(bytes, 1, 3)).toBe(false)
    expect(decodeUtf8(bytes, 1, 4)).toBe('aé')
    expect(decodeUtf8(bytes, 1, 2)).toBe('a')
    expect(decodeUtf8(bytes, 2, 2)).toBe('')
  })

  it('reads from plain arrays and views into larger buffers', () => {
    const view = new Uint8Array(Uint8Array.of(0x7a, 0x61, 0xc3, 0xa9, 0x7a).buffer, 1, 3)
    expect(decodeUtf8(view, 0, 3)).toBe('aé')
    expect(latin1(view, 0, 3)).toBe('a\u00c3\u00a9')
  })

  it('carries strings of 65,535 bytes and not of more', () => {
    expect(encodeUtf8('x'.repeat(65_535))).toHaveLength(65_535)
    expect(encodeUtf8('€'.repeat(21_845))).toHaveLength(65_535)
    expect(() => encodeUtf8('x'.repeat(65_536))).toThrow(RangeError)
    expect(() => encodeUtf8(`${'€'.repeat(21_845)}x`)).toThrow(RangeError)
  })

  it('refuses to encode what no peer would take', () => {
    for (const text of ['\0', 'a\0b', '\ud800', 'a\udfff', '\udc00\ud800']) {
      expect(() => encodeUtf8(text)).toThrow(RangeError)
      expect(isEncodable(text)).toBe(false)
    }
    for (const text of ['', 'a', 'é', '\ud83d\ude00', '€'.repeat(21_845)]) expect(isEncodable(text)).toBe(true)
    expect(isEncodable('x'.repeat(65_536))).toBe(false)
    expect(isEncodable(`${'€'.repeat(21_845)}x`)).toBe(false)
  })
})
