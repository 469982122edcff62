/**
 * The envelope: 32 ASCII characters that every tracked message carries, so that the receiver knows which message it is,
 * when it was due, when it left, and whether its bytes are whole.
 *
 * ```
 * ~ RRRR DDDD SS QQQQQ TTTTTTT LLLL CCCCC      (without the spaces; base64url digits, most significant first)
 *   run device stream sequence intended lag check
 * ```
 *
 * run 24 bits; device 24; stream 12 (publication x 3 + QoS: order is promised per topic and QoS, so each QoS counts for
 * itself); sequence 30; intended time 42, microseconds since the run's start; lag 24, microseconds from the intended
 * time to the actual send, 16.7 s meaning "or more"; check 30, the low bits of the CRC-32 of everything before it.
 *
 * It stands at the end of the payload (binary, CBOR, Sparkplug), before the closing `"}` of a JSON object, or in the
 * user property `mqtide` of MQTT 5.0 when the payload is not ours to extend.
 */
import { crc32 } from 'node:zlib'

export const envelopeBytes = 32
export const lagUsMax = 0xffffff
export const devicesMax = 0x1000000
export const streamsPerDeviceMax = 0x1000
export const sequencesMax = 0x40000000
export const envelopeProperty = 'mqtide'
export const envelopeKey = '_mqtide'

const checkOffset = 27
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const digits = Uint8Array.from(alphabet, (character) => character.charCodeAt(0))
const tilde = 0x7e
const values = new Uint8Array(256).fill(255)
for (let i = 0; i < 64; i++) values[digits[i]!] = i

export interface Envelope {
  run: number
  device: number
  stream: number
  sequence: number
  /** Microseconds since the run's start. */
  intendedUs: number
  lagUs: number
  /** Whether the check matches the bytes. */
  whole: boolean
}

function put(bytes: Uint8Array, offset: number, length: number, value: number): void {
  let rest = value
  for (let i = offset + length - 1; i >= offset; i--) {
    const high = Math.floor(rest / 64)
    bytes[i] = digits[rest - high * 64]!
    rest = high
  }
}

function take(bytes: Uint8Array, offset: number, length: number): number {
  let value = 0
  for (let i = offset; i < offset + length; i++) {
    const digit = values[bytes[i]!]!
    if (digit === 255) return -1
    value = value * 64 + digit
  }
  return value
}

/** Writes all but the times and the check at `offset`: what a message keeps however long it waits in an outbox. */
export function writeIdentity(
  bytes: Uint8Array,
  offset: number,
  { run, device, stream, sequence, intendedUs }: Omit<Envelope, 'lagUs' | 'whole'>,
): void {
  bytes[offset] = tilde
  put(bytes, offset + 1, 4, run)
  put(bytes, offset + 5, 4, device)
  put(bytes, offset + 9, 2, stream)
  put(bytes, offset + 11, 5, sequence)
  put(bytes, offset + 16, 7, Math.max(0, Math.round(intendedUs)))
}

/** Completes the envelope at `offset` with the lag and the check; `bodyCheck` is the CRC-32 of the bytes before it. */
export function sealEnvelope(bytes: Uint8Array, offset: number, bodyCheck: number, lagUs: number): void {
  put(bytes, offset + 23, 4, Math.min(lagUsMax, Math.max(0, Math.round(lagUs))))
  const check = crc32(bytes.subarray(offset, offset + checkOffset), bodyCheck)
  put(bytes, offset + checkOffset, 5, check & 0x3fffffff)
}

/** Where the envelope starts in a payload, or -1. */
export function findEnvelope(payload: Uint8Array): number {
  const end = payload.length
  if (end < envelopeBytes) return -1
  if (payload[end - 1] === 0x7d && payload[end - 2] === 0x22 && payload[end - envelopeBytes - 2] === tilde) {
    return end - envelopeBytes - 2
  }
  return payload[end - envelopeBytes] === tilde ? end - envelopeBytes : -1
}

/**
 * Reads the envelope at `offset` of `bytes` into `into`; `body` is what the check covers before the envelope (the bytes
 * before it, or the whole payload when it came as a property). False when it is not an envelope.
 */
export function readEnvelope(bytes: Uint8Array, offset: number, body: Uint8Array, into: Envelope): boolean {
  if (bytes[offset] !== tilde) return false
  const run = take(bytes, offset + 1, 4)
  const device = take(bytes, offset + 5, 4)
  const stream = take(bytes, offset + 9, 2)
  const sequence = take(bytes, offset + 11, 5)
  const intendedUs = take(bytes, offset + 16, 7)
  const lagUs = take(bytes, offset + 23, 4)
  const check = take(bytes, offset + checkOffset, 5)
  if (run < 0 || device < 0 || stream < 0 || sequence < 0 || intendedUs < 0 || lagUs < 0 || check < 0) return false
  into.run = run
  into.device = device
  into.stream = stream
  into.sequence = sequence
  into.intendedUs = intendedUs
  into.lagUs = lagUs
  const computed = crc32(bytes.subarray(offset, offset + checkOffset), crc32(body))
  into.whole = (computed & 0x3fffffff) === check
  return true
}

export function emptyEnvelope(): Envelope {
  return { run: 0, device: 0, stream: 0, sequence: 0, intendedUs: 0, lagUs: 0, whole: false }
}
