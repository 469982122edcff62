/**
 * UTF-8 Encoded Strings, section 1.5.4.
 *
 * Strict where the platform's decoders are lenient: they replace what is malformed and let U+0000 through, both of which
 * make a packet malformed [MQTT-1.5.4-1, MQTT-1.5.4-2]. One pass validates and tells whether all is ASCII, which most
 * strings are and which decodes fastest. A byte order mark is a character like any other [MQTT-1.5.4-3].
 */

export const stringBytesMax = 0xffff

/** Only what the platform's buffers add to `Uint8Array` and what we use of it: a string without an encoding's lookup. */
interface SliceableBytes extends Uint8Array {
  latin1Slice(start: number, end: number): string
  utf8Slice(start: number, end: number): string
}

function sliceable(bytes: Uint8Array): SliceableBytes {
  return ('latin1Slice' in bytes
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)) as unknown as SliceableBytes
}

/** The bytes as a string of as many characters, each 0 to 255: a unique key of a topic, cheaper than decoding it. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return sliceable(bytes).latin1Slice(start, end)
}

/** Offset of the first byte from `start` on that is U+0000 or not ASCII; `end` if there is none. */
function asciiEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start
  while (at < end) {
    const byte = bytes[at]!
    if (byte === 0 || byte >= 0x80) return at
    at++
  }
  return end
}

/** Whether the bytes are well-formed UTF-8 without U+0000 and surrogates [MQTT-1.5.4-1, MQTT-1.5.4-2]. */
export function isValidUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start
  while ((at = asciiEnd(bytes, at, end)) < end) {
    const length = sequenceLength(bytes, at, end)
    if (length === 0) return false
    at += length
  }
  return true
}

/** Length of the multi-byte sequence at `at`, by table 3-7 of the Unicode Standard; 0 if there is no well-formed one. */
function sequenceLength(bytes: Uint8Array, at: number, end: number): 0 | 2 | 3 | 4 {
  const first = bytes[at]!
  // Below 0xC2: U+0000, a stray continuation byte or an overlong form of ASCII.
  if (first < 0xc2 || first > 0xf4) return 0
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
  if (at + length > end) return 0
  const second = bytes[at + 1]!
  // E0 and F0 begin overlong forms, ED surrogates, F4 what lies beyond U+10FFFF, unless the second byte is narrower.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return 0
  if (length > 2 && (bytes[at + 2]! & 0xc0) !== 0x80) return 0
  if (length > 3 && (bytes[at + 3]! & 0xc0) !== 0x80) return 0
  return length
}

/** The string, or undefined where the bytes aren't a UTF-8 Encoded String's. */
export function decodeUtf8(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (start === end) return ''
  const ascii = asciiEnd(bytes, start, end)
  if (ascii === end) return sliceable(bytes).latin1Slice(start, end)
  return isValidUtf8(bytes, ascii, end) ? sliceable(bytes).utf8Slice(start, end) : undefined
}

/**
 * The bytes of a string without their length.
 *
 * @throws RangeError where MQTT can't carry it: a lone surrogate, U+0000, or more than 65,535 bytes
 */
export function encodeUtf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new RangeError('a string with a lone surrogate has no UTF-8 form [MQTT-1.5.4-1]')
  if (text.includes('\0')) throw new RangeError('an MQTT string must not contain U+0000 [MQTT-1.5.4-2]')
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length > stringBytesMax)
    throw new RangeError(`a string of ${bytes.length} bytes: MQTT carries ${stringBytesMax} at most`)
  return bytes
}

/** Whether `encodeUtf8` would take it. */
/** What the server says of what a peer said, cut to so many characters, as MQTT can carry it. */
export function sayable(text: string, charactersMax = 1000): string {
  return text.slice(0, charactersMax).toWellFormed().replaceAll('\0', '\ufffd')
}

export function isEncodable(text: string): boolean {
  return (
    text.isWellFormed() &&
    !text.includes('\0') &&
    (text.length <= stringBytesMax / 3 || Buffer.byteLength(text, 'utf8') <= stringBytesMax)
  )
}
