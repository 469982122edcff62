/*
 * Builders of MQTT packets as bytes, for the conformance tests alone.
 *
 * They are written a second time on purpose: a test that used the gateway's own encoder would agree with its mistakes.
 * They build whatever they are told to build, valid or not, so every field that a test may want to falsify is an
 * option, and nothing is checked here. A `properties` option, even an empty one, selects the 5.0 form of the packet.
 */

/** What a test may hand to `send`: bytes, or hexadecimal digits with any white space between them. */
export type Bytes = Uint8Array | string

export interface WillFields {
  topic: string | Uint8Array
  payload?: string | Uint8Array
  qos?: number
  retain?: boolean
  /** Encoded will properties without their length (5.0). */
  properties?: Uint8Array
}

export interface ConnectFields {
  /** Protocol name; the default belongs to the level: MQIsdp for 3, MQTT otherwise. */
  name?: string
  /** 3 for MQTT 3.1, 4 for 3.1.1 (default), 5 for 5.0. */
  level?: number
  clientId?: string | Uint8Array
  /** Clean Session or Clean Start; default true. */
  clean?: boolean
  /** Seconds; default 0, which is no keep alive. */
  keepAlive?: number
  will?: WillFields
  username?: string | Uint8Array
  password?: string | Uint8Array
  /** Encoded properties without their length; at level 5 the default is none. */
  properties?: Uint8Array
  /** Replaces the Connect Flags byte computed from the other fields. */
  flags?: number
}

export interface PublishFields {
  topic: string | Uint8Array
  payload?: string | Uint8Array
  qos?: number
  retain?: boolean
  dup?: boolean
  /** Packet Identifier; left out of the packet when undefined. */
  id?: number
  /** Encoded properties without their length; given, even empty, the packet has the 5.0 form. */
  properties?: Uint8Array
}

const encoder = new TextEncoder()

/** No properties: as a `properties` option it encodes to the single length byte 0. */
export const noProperties: Uint8Array = new Uint8Array(0)

/** Bytes of hexadecimal digits; white space is ignored. Throws on anything else. */
export function hex(digits: string): Uint8Array {
  const compact = digits.replaceAll(/\s+/g, '')
  if (compact.length % 2 !== 0 || /[^0-9a-f]/i.test(compact)) throw new Error(`not hexadecimal: ${digits}`)
  return Uint8Array.from({ length: compact.length / 2 }, (_, i) => Number.parseInt(compact.slice(2 * i, 2 * i + 2), 16))
}

/** Hexadecimal digits with a space between bytes; beyond 200 bytes the middle is replaced by its length and sum. */
export function toHex(bytes: Uint8Array): string {
  if (bytes.length > 200) {
    const sum = bytes.reduce((total, byte) => (Math.imul(total, 31) + byte) >>> 0, 7)
    return `${toHex(bytes.subarray(0, 40))} ..${bytes.length} bytes, sum ${sum}.. ${toHex(bytes.subarray(-40))}`
  }
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

export function bytesOf(part: Bytes): Uint8Array {
  return typeof part === 'string' ? hex(part) : part
}

export function concat(...parts: Bytes[]): Uint8Array {
  const arrays = parts.map(bytesOf)
  const whole = new Uint8Array(arrays.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of arrays) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** UTF-8 bytes of a string, without a length prefix. */
export function text(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? encoder.encode(value) : value
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of((value >> 8) & 0xff, value & 0xff)
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}

/** Variable byte integer in its minimal form. */
export function varint(value: number): Uint8Array {
  const digits: number[] = []
  let rest = value
  do {
    const digit = rest % 128
    rest = Math.floor(rest / 128)
    digits.push(rest > 0 ? digit | 0x80 : digit)
  } while (rest > 0)
  return Uint8Array.from(digits)
}

/** A string or binary field: two bytes of length, then the bytes. */
export function field(value: string | Uint8Array): Uint8Array {
  const bytes = text(value)
  return concat(u16(bytes.length), bytes)
}

/** A whole packet: the first byte, the remaining length counted from the parts, the parts. */
export function packet(firstByte: number, ...parts: Bytes[]): Uint8Array {
  const body = concat(...parts)
  return concat(Uint8Array.of(firstByte), varint(body.length), body)
}

function propertyBlock(properties: Uint8Array | undefined): Uint8Array {
  return properties === undefined ? noProperties : concat(varint(properties.length), properties)
}

function connectFlags(fields: ConnectFields): number {
  let flags = fields.clean === false ? 0 : 0x02
  if (fields.will !== undefined) flags |= 0x04 | ((fields.will.qos ?? 0) << 3) | (fields.will.retain ? 0x20 : 0)
  if (fields.password !== undefined) flags |= 0x40
  if (fields.username !== undefined) flags |= 0x80
  return flags
}

export function connect(fields: ConnectFields = {}): Uint8Array {
  const level = fields.level ?? 4
  const properties = fields.properties ?? (level === 5 ? noProperties : undefined)
  const { will } = fields
  const willProperties = will?.properties ?? (level === 5 ? noProperties : undefined)
  return packet(
    0x10,
    field(fields.name ?? (level === 3 ? 'MQIsdp' : 'MQTT')),
    Uint8Array.of(level, fields.flags ?? connectFlags(fields)),
    u16(fields.keepAlive ?? 0),
    propertyBlock(properties),
    field(fields.clientId ?? ''),
    ...(will === undefined ? [] : [propertyBlock(willProperties), field(will.topic), field(will.payload ?? '')]),
    ...(fields.username === undefined ? [] : [field(fields.username)]),
    ...(fields.password === undefined ? [] : [field(fields.password)]),
  )
}

export function publish(fields: PublishFields): Uint8Array {
  const flags = (fields.dup ? 0x08 : 0) | ((fields.qos ?? 0) << 1) | (fields.retain ? 0x01 : 0)
  return packet(
    0x30 | flags,
    field(fields.topic),
    ...(fields.id === undefined ? [] : [u16(fields.id)]),
    propertyBlock(fields.properties),
    text(fields.payload ?? ''),
  )
}

/** Filters are pairs of Topic Filter and the byte after it: the requested QoS, in 5.0 the Subscription Options. */
export function subscribe(
  id: number,
  filters: [filter: string | Uint8Array, options: number][],
  properties?: Uint8Array,
): Uint8Array {
  const entries = filters.map(([filter, options]) => concat(field(filter), Uint8Array.of(options)))
  return packet(0x82, u16(id), propertyBlock(properties), ...entries)
}

export function unsubscribe(id: number, filters: (string | Uint8Array)[], properties?: Uint8Array): Uint8Array {
  return packet(0xa2, u16(id), propertyBlock(properties), ...filters.map(field))
}

export function suback(id: number, ...codes: number[]): Uint8Array {
  return packet(0x90, u16(id), Uint8Array.from(codes))
}

export function unsuback(id: number): Uint8Array {
  return packet(0xb0, u16(id))
}

export function puback(id: number): Uint8Array {
  return packet(0x40, u16(id))
}

export function pubrec(id: number): Uint8Array {
  return packet(0x50, u16(id))
}

export function pubrel(id: number): Uint8Array {
  return packet(0x62, u16(id))
}

export function pubcomp(id: number): Uint8Array {
  return packet(0x70, u16(id))
}

/** CONNACK of 3.x; the default accepts without a session. */
export function connack(returnCode = 0, sessionPresent = false): Uint8Array {
  return Uint8Array.of(0x20, 2, sessionPresent ? 1 : 0, returnCode)
}

export const pingreq: Uint8Array = hex('c0 00')
export const pingresp: Uint8Array = hex('d0 00')
export const disconnect: Uint8Array = hex('e0 00')
