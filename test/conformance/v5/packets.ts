/*
 * The 5.0 forms of the packets, and what a test needs to read an answer whose bytes the specification leaves open:
 * whether a reason of 0 is written out, whether a reason string comes along, in which order properties stand.
 *
 * `decode` is strict about everything else, so a wrong flag, a missing property length or a trailing byte from the
 * broker fails the test that reads the packet, whatever that test is about.
 */

import * as bytes from '../bytes.ts'
import { type Bytes, concat, field, noProperties, type PublishFields, packet, u16, u32, varint } from '../bytes.ts'

/** Property identifiers, section 2.2.2.2, with the shape of their values. */
const shapes: Record<number, 'byte' | 'u16' | 'u32' | 'varint' | 'string' | 'binary' | 'pair'> = {
  1: 'byte',
  2: 'u32',
  3: 'string',
  8: 'string',
  9: 'binary',
  11: 'varint',
  17: 'u32',
  18: 'string',
  19: 'u16',
  21: 'string',
  22: 'binary',
  23: 'byte',
  24: 'u32',
  25: 'byte',
  26: 'string',
  28: 'string',
  31: 'string',
  33: 'u16',
  34: 'u16',
  35: 'u16',
  36: 'byte',
  37: 'byte',
  38: 'pair',
  39: 'u32',
  40: 'byte',
  41: 'byte',
  42: 'byte',
}

/** Encoders of single properties; join them with `concat`. Values are not checked. */
export const property = {
  payloadFormatIndicator: (value: number) => Uint8Array.of(0x01, value),
  messageExpiryInterval: (seconds: number) => concat('02', u32(seconds)),
  contentType: (value: string | Uint8Array) => concat('03', field(value)),
  responseTopic: (value: string | Uint8Array) => concat('08', field(value)),
  correlationData: (value: string | Uint8Array) => concat('09', field(value)),
  subscriptionIdentifier: (value: number) => concat('0b', varint(value)),
  sessionExpiryInterval: (seconds: number) => concat('11', u32(seconds)),
  authenticationMethod: (value: string | Uint8Array) => concat('15', field(value)),
  authenticationData: (value: string | Uint8Array) => concat('16', field(value)),
  requestProblemInformation: (value: number) => Uint8Array.of(0x17, value),
  willDelayInterval: (seconds: number) => concat('18', u32(seconds)),
  requestResponseInformation: (value: number) => Uint8Array.of(0x19, value),
  reasonString: (value: string | Uint8Array) => concat('1f', field(value)),
  receiveMaximum: (value: number) => concat('21', u16(value)),
  topicAliasMaximum: (value: number) => concat('22', u16(value)),
  topicAlias: (value: number) => concat('23', u16(value)),
  userProperty: (name: string | Uint8Array, value: string | Uint8Array) => concat('26', field(name), field(value)),
  maximumPacketSize: (value: number) => concat('27', u32(value)),
}

export function connect(fields: bytes.ConnectFields = {}): Uint8Array {
  return bytes.connect({ level: 5, ...fields })
}

export function publish(fields: PublishFields): Uint8Array {
  return bytes.publish({ properties: noProperties, ...fields })
}

export function subscribe(
  id: number,
  filters: [filter: string | Uint8Array, options: number][],
  properties = noProperties,
): Uint8Array {
  return bytes.subscribe(id, filters, properties)
}

export function unsubscribe(id: number, filters: (string | Uint8Array)[], properties = noProperties): Uint8Array {
  return bytes.unsubscribe(id, filters, properties)
}

/** First bytes of the packets whose body is an identifier, a reason code and properties. */
const acknowledgementBytes = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const
export type Acknowledgement = keyof typeof acknowledgementBytes

/** PUBACK, PUBREC, PUBREL or PUBCOMP; without reason and properties in its two-byte form. */
export function acknowledge(type: Acknowledgement, id: number, reason?: number, properties?: Uint8Array): Uint8Array {
  return packet(
    acknowledgementBytes[type],
    u16(id),
    reason === undefined ? noProperties : Uint8Array.of(reason),
    properties === undefined ? noProperties : concat(varint(properties.length), properties),
  )
}

export function disconnect(reason: number, properties = noProperties): Uint8Array {
  return packet(0xe0, Uint8Array.of(reason), varint(properties.length), properties)
}

export function auth(reason: number, properties: Bytes): Uint8Array {
  const encoded = bytes.bytesOf(properties)
  return packet(0xf0, Uint8Array.of(reason), varint(encoded.length), encoded)
}

export type PropertyValue = number | string | Uint8Array | readonly [string, string]

export interface Decoded {
  /** The name of the packet type, in lower case. */
  type: string
  /** Low four bits of the first byte. */
  flags: number
  /** Whole packet, header included. */
  length: number
  packetId?: number
  sessionPresent?: boolean
  /** 0 where the packet leaves it out. */
  reasonCode?: number
  reasonCodes?: number[]
  topic?: string
  payload?: string
  /** Identifier and value, in the order of the wire. */
  properties: [identifier: number, value: PropertyValue][]
}

const typeNames = [
  ['reserved', 0],
  ['connect', 0],
  ['connack', 0],
  ['publish', -1],
  ['puback', 0],
  ['pubrec', 0],
  ['pubrel', 2],
  ['pubcomp', 0],
  ['subscribe', 2],
  ['suback', 0],
  ['unsubscribe', 2],
  ['unsuback', 0],
  ['pingreq', 0],
  ['pingresp', 0],
  ['disconnect', 0],
  ['auth', 0],
] as const

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Cursor {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(source: Uint8Array) {
    this.#bytes = source
  }

  get rest(): number {
    return this.#bytes.length - this.#at
  }

  take(length: number): Uint8Array {
    if (this.rest < length) throw new Error(`truncated packet: ${bytes.toHex(this.#bytes)}`)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  number(length: number): number {
    return this.take(length).reduce((value, byte) => value * 256 + byte, 0)
  }

  varint(): number {
    let value = 0
    for (let i = 0; i < 4; i++) {
      const byte = this.number(1)
      value += (byte & 0x7f) * 128 ** i
      if (byte === 0 && i > 0) throw new Error(`variable byte integer not minimal: ${bytes.toHex(this.#bytes)}`)
      if (byte < 0x80) return value
    }
    throw new Error(`variable byte integer too long: ${bytes.toHex(this.#bytes)}`)
  }

  string(): string {
    return utf8.decode(this.take(this.number(2)))
  }

  property(): [number, PropertyValue] {
    const identifier = this.number(1)
    switch (shapes[identifier]) {
      case 'byte':
        return [identifier, this.number(1)]
      case 'u16':
        return [identifier, this.number(2)]
      case 'u32':
        return [identifier, this.number(4)]
      case 'varint':
        return [identifier, this.varint()]
      case 'string':
        return [identifier, this.string()]
      case 'binary':
        return [identifier, this.take(this.number(2)).slice()]
      case 'pair':
        return [identifier, [this.string(), this.string()]]
      default:
        throw new Error(`unknown property ${identifier}: ${bytes.toHex(this.#bytes)}`)
    }
  }

  properties(): [number, PropertyValue][] {
    const block = new Cursor(this.take(this.varint()))
    const found: [number, PropertyValue][] = []
    while (block.rest > 0) found.push(block.property())
    return found
  }
}

/** Reads a packet that a 5.0 broker sends. Throws where it breaks the specification's form. */
export function decode(whole: Uint8Array): Decoded {
  const cursor = new Cursor(whole)
  const first = cursor.number(1)
  const [type, flagsWanted] = typeNames[first >> 4]!
  const flags = first & 0x0f
  if (flagsWanted !== -1 && flags !== flagsWanted) throw new Error(`flags of ${type}: ${bytes.toHex(whole)}`)
  if (cursor.varint() !== cursor.rest) throw new Error(`remaining length of ${type}: ${bytes.toHex(whole)}`)
  const decoded: Decoded = { type, flags, length: whole.length, properties: [] }
  readBody(decoded, cursor)
  if (cursor.rest > 0) throw new Error(`${cursor.rest} bytes too many in ${type}: ${bytes.toHex(whole)}`)
  return decoded
}

function readBody(decoded: Decoded, cursor: Cursor): void {
  switch (decoded.type) {
    case 'connack': {
      const acknowledgeFlags = cursor.number(1)
      if (acknowledgeFlags > 1) throw new Error(`connect acknowledge flags ${acknowledgeFlags}`)
      decoded.sessionPresent = acknowledgeFlags === 1
      decoded.reasonCode = cursor.number(1)
      decoded.properties = cursor.properties()
      return
    }
    case 'publish':
      decoded.topic = cursor.string()
      if ((decoded.flags & 0x06) !== 0) decoded.packetId = cursor.number(2)
      decoded.properties = cursor.properties()
      decoded.payload = Buffer.from(cursor.take(cursor.rest)).toString('latin1')
      return
    case 'suback':
    case 'unsuback':
      decoded.packetId = cursor.number(2)
      decoded.properties = cursor.properties()
      decoded.reasonCodes = [...cursor.take(cursor.rest)]
      return
    case 'pingresp':
      return
    case 'disconnect':
    case 'auth':
      readReason(decoded, cursor)
      return
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      decoded.packetId = cursor.number(2)
      readReason(decoded, cursor)
      return
    default:
      throw new Error(`a broker sends no ${decoded.type}`)
  }
}

function readReason(decoded: Decoded, cursor: Cursor): void {
  decoded.reasonCode = cursor.rest > 0 ? cursor.number(1) : 0
  if (cursor.rest > 0) decoded.properties = cursor.properties()
}

/** All values of one property, in the order of the wire. */
export function valuesOf(decoded: Decoded, identifier: number): PropertyValue[] {
  return decoded.properties.filter(([found]) => found === identifier).map(([, value]) => value)
}

/** Bytes that are no UTF-8 string of MQTT: each value is the whole string. */
export const illFormedStrings: Readonly<Record<string, Uint8Array>> = {
  'a lone high surrogate': bytes.hex('61 ed a0 80'),
  'a lone low surrogate': bytes.hex('ed bf bf'),
  'a surrogate pair in UTF-8 (CESU-8)': bytes.hex('ed a0 bd ed b8 80'),
  'an overlong slash': bytes.hex('61 c0 af'),
  'an overlong U+0000': bytes.hex('c0 80'),
  'a sequence cut short': bytes.hex('61 e2 82'),
  'a stray continuation byte': bytes.hex('80'),
  'a byte that is never UTF-8': bytes.hex('61 ff'),
  'a code point above U+10FFFF': bytes.hex('f4 90 80 80'),
  'U+0000': bytes.hex('61 00 62'),
}
