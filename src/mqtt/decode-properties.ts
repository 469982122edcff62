/** Properties from the wire to an object, validated by the table; and what is cut out of encoded ones without decoding them. */
import { noBytes, noProperties, PacketType, type Properties, type UserProperty } from './packet.ts'
import { tooManyProperties } from './packet-limits.ts'
import { copyBytes, PacketReader } from './packet-reader.ts'
import { type PropertyDefinition, type PropertyPlace, placeName, propertyById } from './properties.ts'
import { malformed, ProtocolError, protocolFault } from './protocol-error.ts'
import { ReasonCode } from './reason-code.ts'
import { refuseBadTopicName } from './topic.ts'

type Value = number | string | Uint8Array
type Values = { -readonly [name in keyof Properties]: Value | number[] | UserProperty[] }

/** A Property Length and the properties after it. */
export function readProperties(reader: PacketReader, place: PropertyPlace): Properties {
  const length = reader.variableByteInteger('Property Length')
  if (length === 0) return noProperties
  const part = reader.part(length, placeName(place), 'properties')
  return decode(part, place)
}

/** Properties without their length. */
export function decodeProperties(bytes: Uint8Array, start: number, end: number, place: PropertyPlace): Properties {
  if (start === end) return noProperties
  return decode(new PacketReader(bytes, start, end, placeName(place)), place)
}

function decode(reader: PacketReader, place: PropertyPlace): Properties {
  const { propertiesPerPacketMax } = reader.limits
  const values: Values = {}
  for (let count = 0; reader.remaining > 0; count++) {
    if (count >= propertiesPerPacketMax) throw tooManyProperties(reader.what, propertiesPerPacketMax)
    readProperty(reader, place, values)
  }
  if (values.authenticationData !== undefined && values.authenticationMethod === undefined)
    throw protocolFault(`${reader.what} has authentication data without a method (3.1.2.11.10)`)
  return values as Properties
}

function readProperty(reader: PacketReader, place: PropertyPlace, values: Values): void {
  const id = reader.variableByteInteger('property identifier')
  const definition = propertyById[id]
  if (definition === undefined || (definition.places & (1 << place)) === 0) throw propertyOutOfPlace(id, place)
  const { name, title } = definition
  if (name === 'userProperties') {
    const pair: UserProperty = [reader.string(title), reader.string(title)]
    const pairs = values.userProperties as UserProperty[] | undefined
    if (pairs === undefined) values.userProperties = [pair]
    else pairs.push(pair)
    return
  }
  const value = readValue(reader, definition)
  if (name === 'subscriptionIdentifiers') {
    const identifiers = values.subscriptionIdentifiers as number[] | undefined
    if (identifiers === undefined) values.subscriptionIdentifiers = [value as number]
    else if (place === PacketType.publish) identifiers.push(value as number)
    else throw propertyTwice(title, reader.what)
    return
  }
  if (values[name] !== undefined) throw propertyTwice(title, reader.what)
  values[name] = value
}

function readValue(reader: PacketReader, { name, title, type, least, greatest }: PropertyDefinition): Value {
  switch (type) {
    case 'string': {
      const text = reader.string(title)
      if (name === 'responseTopic') refuseBadTopicName(text, `${reader.what}: the response topic`, '[MQTT-3.3.2-14]')
      return text
    }
    case 'stringPair':
    case 'binary':
      return reader.binary(title)
    default: {
      const value = reader[type === 'byte' ? 'uint8' : type](title)
      if (value < (least ?? 0) || value > (greatest ?? value)) throw propertyOutOfRange(name, title, value, reader.what)
      return value
    }
  }
}

export function propertyOutOfPlace(id: number, place: PropertyPlace): ProtocolError {
  const title = propertyById[id]?.title
  return malformed(
    title === undefined
      ? `${placeName(place)} has a property 0x${id.toString(16)}, which does not exist (2.2.2.2)`
      : `${placeName(place)} must not carry ${title} (2.2.2.2)`,
  )
}

export function propertyTwice(title: string, what: string): ProtocolError {
  return protocolFault(`${what} carries ${title} more than once (2.2.2.2)`)
}

export function propertyOutOfRange(name: keyof Properties, title: string, value: number, what: string): ProtocolError {
  if (name === 'topicAlias')
    return new ProtocolError(ReasonCode.topicAliasInvalid, `${what}: Topic Alias 0 [MQTT-3.3.2-8]`)
  return protocolFault(`${what}: ${title} must not be ${value} (2.2.2.2)`)
}

/** Encoded, valid properties without those of some identifiers, in their order, copied. */
export function copyPropertiesWithout(
  bytes: Uint8Array,
  start: number,
  end: number,
  dropped: readonly number[],
): Uint8Array {
  if (start === end) return noBytes
  const kept = new Uint8Array(end - start)
  let length = 0
  for (let at = start; at < end; ) {
    const next = propertyEnd(bytes, at)
    if (!dropped.includes(bytes[at]!)) {
      kept.set(bytes.subarray(at, next), length)
      length += next - at
    }
    at = next
  }
  return copyBytes(kept, 0, length)
}

/** Offset after the valid property at `at`. */
function propertyEnd(bytes: Uint8Array, at: number): number {
  const value = at + 1
  switch (propertyById[bytes[at]!]!.type) {
    case 'byte':
      return value + 1
    case 'uint16':
      return value + 2
    case 'uint32':
      return value + 4
    case 'variableByteInteger': {
      let next = value
      while (bytes[next++]! >= 0x80);
      return next
    }
    case 'string':
    case 'binary':
      return lengthPrefixedEnd(bytes, value)
    case 'stringPair':
      return lengthPrefixedEnd(bytes, lengthPrefixedEnd(bytes, value))
  }
}

function lengthPrefixedEnd(bytes: Uint8Array, at: number): number {
  return at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!)
}
