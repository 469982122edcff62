/**
 * What others wrote, as text that can be shown: topics, client ids, payloads. Preact escapes markup; here whatever a reader
 * cannot see or would see elsewhere is written out: control characters, marks that turn the direction of writing, half
 * surrogates. Long texts are shortened, so that a payload of a megabyte costs no more than its beginning.
 */

/** Controls but tab and line feed, marks of direction and of width nothing, half surrogates, and what is not a character. */
const unseen =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]|\p{Surrogate}/gu

const nameCharactersMax = 200

function writtenOut(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

export function visible(text: string): string {
  return text.replace(unseen, writtenOut)
}

/** A topic or a name in one line. */
export function shortName(text: string, charactersMax = nameCharactersMax): string {
  const cut = text.length > charactersMax ? `${text.slice(0, charactersMax)}…` : text
  return visible(cut).replaceAll('\n', '\\n').replaceAll('\t', '\\t')
}

export type PayloadKind = 'empty' | 'number' | 'json' | 'text' | 'binary'

/** A payload's beginning, as it came. */
export interface Payload {
  bytes: Uint8Array
  /** Of the whole. */
  size: number
}

/** The kept part as text; undefined: it is none, since it is not UTF-8 or has controls in it. */
export function textOf({ bytes, size }: Payload): string | undefined {
  let text: string
  try {
    // As of a stream, so that a character cut at the end is left out and not taken for a fault.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: size > bytes.length })
  } catch {
    return undefined
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what makes it binary
  return /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/.test(text) ? undefined : text
}

/** As the API writes payloads. */
export function bytesOf(payload: string, encoding: 'utf8' | 'base64'): Uint8Array {
  if (encoding === 'utf8') return new TextEncoder().encode(payload)
  return Uint8Array.from(atob(payload), (character) => character.charCodeAt(0))
}

export function hexOf(bytes: Uint8Array, bytesMax = 256): string {
  return Array.from(bytes.subarray(0, bytesMax), (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

const numberText = /^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/

export function kindOf(payload: Payload): PayloadKind {
  if (payload.size === 0) return 'empty'
  const text = textOf(payload)
  if (text === undefined) return 'binary'
  if (payload.size === payload.bytes.length) {
    if (numberText.test(text)) return 'number'
    if (/^\s*[{[]/.test(text) && jsonOf(text) !== undefined) return 'json'
  }
  return 'text'
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** In one line, as the tree and the tables show it. */
export function previewOf(payload: Payload, charactersMax = 120): string {
  const text = textOf(payload)
  if (text === undefined) return hexOf(payload.bytes, 32)
  const line = text.slice(0, charactersMax * 2).replace(/\s+/g, ' ')
  return shortName(line, charactersMax)
}

/** As read at leisure: JSON in lines, bytes in hexadecimal. */
export function fullTextOf(payload: Payload): string {
  const text = textOf(payload)
  if (text === undefined) return hexOf(payload.bytes, payload.bytes.length)
  const value = kindOf(payload) === 'json' ? jsonOf(text) : undefined
  return visible(value === undefined ? text : JSON.stringify(value, null, 2))
}

/** Numbers by the path to them: a payload that is one has the path ''. At most so many. */
export function numbersIn(payload: Payload, numbersMax = 40): Map<string, number> {
  const found = new Map<string, number>()
  const text = textOf(payload)
  if (text === undefined || payload.size > payload.bytes.length) return found
  if (numberText.test(text)) return found.set('', Number(text))
  const walk = (value: unknown, path: string, depth: number): void => {
    if (found.size >= numbersMax || depth > 6) return
    if (typeof value === 'number' && Number.isFinite(value)) found.set(path, value)
    else if (typeof value === 'boolean') found.set(path, Number(value))
    else if (typeof value === 'object' && value !== null) {
      for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`, depth + 1)
    }
  }
  walk(/^\s*[{[]/.test(text) ? jsonOf(text) : undefined, '', 0)
  return found
}
