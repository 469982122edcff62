/**
 * A publication's payloads: generators, encoding, size, and the room for the envelope.
 *
 * `body` bytes depend on seed, device and count alone. The envelope's bytes are the run's; they are written later, in
 * place, and are no part of the digest that proves the determinism.
 */
import { crc32 } from 'node:zlib'
import { Random } from '../random.ts'
import type { PayloadSpec, SizeDistribution } from '../scenario/generator-schema.ts'
import { encodeCbor } from './cbor.ts'
import { envelopeBytes, envelopeKey } from './envelope.ts'
import { createFields, createGenerator, type GeneratorContext } from './generators.ts'
import { encodeSparkplug, metricsOf } from './sparkplug.ts'
import type { Generate, Moment, Value } from './value.ts'

export interface Payload {
  bytes: Uint8Array
  /** Where the envelope goes, or -1 when the payload has no room for one. */
  envelopeAt: number
  /** CRC-32 of the bytes before the envelope. */
  bodyCheck: number
  /** A module may choose the topic. */
  topic?: string
}

export interface PayloadSource {
  /** Must be called once for every count, in order. */
  next(moment: Moment, sparkplugSequence?: number): Payload
  /** The latest values, for births: those of the next moment when there was none yet. */
  values(moment: Moment): { readonly [key: string]: Value }
}

/** A module of the user that makes whole messages: a topic is optional. */
export type MessageFunction = (random: Random, moment: Moment) => { topic?: string; message: Uint8Array }

const placeholder = '~'.padEnd(envelopeBytes, '-')
const jsonTail = `,"${envelopeKey}":"${placeholder}"}`

/** Whether messages of this encoding have a place for the envelope in the payload. */
export function canCarryEnvelope(spec: PayloadSpec): boolean {
  if (spec.encoding === 'json' || spec.encoding === 'cbor') return spec.value === undefined
  return spec.encoding === 'binary' || spec.encoding === 'sparkplug'
}

export function createPayloadSource(
  spec: PayloadSpec,
  context: GeneratorContext,
  withEnvelope: boolean,
  messageFunction?: MessageFunction,
): PayloadSource {
  const value = valueGenerator(spec, context)
  const sizeRandom = new Random(context.seed, [...context.path, 'size'])
  const fillRandom = new Random(context.seed, [...context.path, 'fill'])
  const drawSize = spec.size === undefined ? undefined : () => sizeOf(spec.size!, sizeRandom)
  let latest: Value | undefined
  return {
    next(moment, sparkplugSequence) {
      if (messageFunction !== undefined) {
        const { topic, message } = messageFunction(fillRandom, moment)
        const made = { bytes: message, envelopeAt: -1, bodyCheck: crc32(message) }
        return topic === undefined ? made : { ...made, topic }
      }
      latest = value(moment)
      const sizeBytes = drawSize?.() ?? 0
      switch (spec.encoding) {
        case 'json':
          return encodeJson(latest, sizeBytes, withEnvelope, fillRandom)
        case 'cbor':
          return encodeMap(latest, sizeBytes, withEnvelope, fillRandom)
        case 'sparkplug': {
          const uuid = withEnvelope ? placeholder : undefined
          const bytes = encodeSparkplug(
            metricsOf(latest as { [key: string]: Value }),
            moment.clockMs,
            sparkplugSequence,
            uuid,
          )
          return finish(bytes, withEnvelope ? bytes.length - envelopeBytes : -1)
        }
        case 'binary':
          return encodeBinary(sizeBytes, withEnvelope, fillRandom)
        default:
          return finish(Buffer.from(String(latest), 'utf8'), -1)
      }
    },
    values(moment) {
      latest ??= value(moment)
      return latest !== null && typeof latest === 'object' && !Array.isArray(latest)
        ? (latest as { [key: string]: Value })
        : {}
    },
  }
}

function valueGenerator(spec: PayloadSpec, context: GeneratorContext): Generate {
  if (spec.fields !== undefined) return createFields(spec.fields, context)
  if (spec.value !== undefined) return createGenerator(spec.value, { ...context, path: [...context.path, 'value'] })
  return () => ({})
}

function finish(bytes: Uint8Array, envelopeAt: number): Payload {
  const bodyCheck = crc32(envelopeAt < 0 ? bytes : bytes.subarray(0, envelopeAt))
  return { bytes, envelopeAt, bodyCheck }
}

function encodeJson(value: Value, sizeBytes: number, withEnvelope: boolean, random: Random): Payload {
  let text = JSON.stringify(value)
  const isObject = text.startsWith('{')
  if (isObject && sizeBytes > 0) {
    const now = Buffer.byteLength(text) + (withEnvelope ? jsonTail.length - 1 : 0) + ',"_fill":""'.length
    if (sizeBytes > now) text = insertMember(text, `"_fill":"${fillText(sizeBytes - now, random)}"`)
  }
  if (!withEnvelope || !isObject) return finish(Buffer.from(text, 'utf8'), -1)
  const bytes = Buffer.from(text === '{}' ? `{${jsonTail.slice(1)}` : text.slice(0, -1) + jsonTail, 'utf8')
  return finish(bytes, bytes.length - envelopeBytes - 2)
}

function insertMember(text: string, member: string): string {
  return text === '{}' ? `{${member}}` : `${text.slice(0, -1)},${member}}`
}

function encodeMap(value: Value, sizeBytes: number, withEnvelope: boolean, random: Random): Payload {
  const fields: { [key: string]: Value } =
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? { ...(value as { [key: string]: Value }) }
      : {}
  const plain = Object.keys(fields).length === 0 && value !== null && typeof value !== 'object' ? value : undefined
  if (plain !== undefined) return finish(encodeCbor(plain), -1)
  if (sizeBytes > 0) {
    const now = encodeCbor(fields).length + (withEnvelope ? envelopeBytes + 2 + envelopeKey.length + 1 : 0)
    if (sizeBytes > now + 9) fields['_fill'] = fillText(sizeBytes - now - 9, random)
  }
  if (withEnvelope) fields[envelopeKey] = placeholder
  const bytes = encodeCbor(fields)
  return finish(bytes, withEnvelope ? bytes.length - envelopeBytes : -1)
}

function encodeBinary(sizeBytes: number, withEnvelope: boolean, random: Random): Payload {
  const bytes = Buffer.allocUnsafe(Math.max(sizeBytes, withEnvelope ? envelopeBytes : 0))
  const envelopeAt = withEnvelope ? bytes.length - envelopeBytes : -1
  const body = withEnvelope ? envelopeAt : bytes.length
  let i = 0
  for (; i + 4 <= body; i += 4) bytes.writeUInt32LE(random.uint32(), i)
  for (; i < body; i++) bytes[i] = random.uint32() & 0xff
  return finish(bytes, envelopeAt)
}

/** Letters that do not compress to nothing, at a draw per four characters. */
function fillText(length: number, random: Random): string {
  let text = ''
  while (text.length < length) text += (random.uint32() | 0x80000000).toString(16).slice(-8)
  return text.slice(0, length)
}

function sizeOf(distribution: SizeDistribution, random: Random): number {
  if (typeof distribution === 'number') return distribution
  if ('choices' in distribution) {
    const { choices } = distribution
    return choices[random.weighted(choices.map(({ weight }) => weight))]!.size
  }
  if ('mean' in distribution) {
    const drawn = Math.round(distribution.mean + distribution.deviation * random.normal())
    return Math.min(distribution.max ?? Number.POSITIVE_INFINITY, Math.max(distribution.min ?? 0, drawn))
  }
  return random.integer(distribution.min, distribution.max)
}
