/**
 * The control packets as bytes, all but PUBLISH (publish.ts).
 *
 * What a caller hands in is ours, not the peer's: a value that the wire can't carry, or a property where it has no place, is
 * a RangeError.
 */
import {
  type ConnackPacket,
  type ConnectPacket,
  noProperties,
  PacketType,
  type Properties,
  type ProtocolVersion,
  type SubackPacket,
  type SubscribePacket,
  type UnsubackPacket,
  type UnsubscribePacket,
  type UserProperty,
  type Will,
} from './packet.ts'
import { PacketWriter } from './packet-writer.ts'
import { type PropertyDefinition, type PropertyPlace, placeName, propertyDefinitions, willPlace } from './properties.ts'

const pingreq = Uint8Array.of(PacketType.pingreq << 4, 0)
const pingresp = Uint8Array.of(PacketType.pingresp << 4, 0)

const protocolNames: Record<ProtocolVersion, string> = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' }

/** The will's `forwardProperties` are a decoder's; its `properties` are written. */
export function encodeConnect(packet: ConnectPacket): Uint8Array {
  const { version, will, username, password } = packet
  const writer = new PacketWriter()
  writer.string(protocolNames[version])
  writer.uint8(version)
  writer.uint8(
    (username === undefined ? 0 : 0x80) |
      (password === undefined ? 0 : 0x40) |
      (will === undefined ? 0 : 0x04 | (will.qos << 3) | (will.retain ? 0x20 : 0)) |
      (packet.cleanStart ? 0x02 : 0),
  )
  writer.uint16(packet.keepAlive)
  writeProperties(writer, version, PacketType.connect, packet.properties)
  writer.string(packet.clientId)
  if (will !== undefined) writeWill(writer, version, will)
  if (username !== undefined) writer.string(username)
  if (password !== undefined) writer.binary(password)
  return writer.packet(PacketType.connect << 4)
}

function writeWill(writer: PacketWriter, version: ProtocolVersion, will: Will): void {
  writeProperties(writer, version, willPlace, will.properties)
  writer.string(will.topic)
  writer.binary(will.payload)
}

/** `reasonCode` is a 5.0 reason code or a 3.x return code, as the version has it. */
export function encodeConnack(version: ProtocolVersion, packet: ConnackPacket): Uint8Array {
  const writer = new PacketWriter()
  // 3.1 has no Session Present flag.
  writer.uint8(packet.sessionPresent && version !== 3 ? 1 : 0)
  writer.uint8(packet.reasonCode)
  writeProperties(writer, version, PacketType.connack, packet.properties)
  return writer.packet(PacketType.connack << 4)
}

export type AcknowledgementType =
  | typeof PacketType.puback
  | typeof PacketType.pubrec
  | typeof PacketType.pubrel
  | typeof PacketType.pubcomp

/** Four bytes where the code is 0 and there are no properties, and always in 3.x, which knows neither. */
export function encodeAck(
  version: ProtocolVersion,
  type: AcknowledgementType,
  packetId: number,
  reasonCode = 0,
  properties: Properties = noProperties,
): Uint8Array {
  const first = (type << 4) | (type === PacketType.pubrel ? 2 : 0)
  const hasProperties = !isEmpty(properties)
  if (version !== 5 || (reasonCode === 0 && !hasProperties)) {
    const packet = Buffer.allocUnsafe(4)
    packet[0] = first
    packet[1] = 2
    packet[2] = packetId >> 8
    packet[3] = packetId & 0xff
    return packet
  }
  const writer = new PacketWriter()
  writer.uint16(packetId)
  writer.uint8(reasonCode)
  if (hasProperties) writeProperties(writer, version, type, properties)
  return writer.packet(first)
}

export function encodeSubscribe(version: ProtocolVersion, packet: SubscribePacket): Uint8Array {
  const writer = new PacketWriter()
  writer.uint16(packet.packetId)
  writeProperties(writer, version, PacketType.subscribe, packet.properties)
  for (const { topicFilter, qos, noLocal, retainAsPublished, retainHandling } of packet.subscriptions) {
    writer.string(topicFilter)
    writer.uint8(version === 5 ? qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4) : qos)
  }
  return writer.packet((PacketType.subscribe << 4) | 2)
}

export function encodeSuback(version: ProtocolVersion, packet: SubackPacket): Uint8Array {
  const writer = new PacketWriter()
  writer.uint16(packet.packetId)
  writeProperties(writer, version, PacketType.suback, packet.properties)
  for (const reasonCode of packet.reasonCodes) writer.uint8(reasonCode)
  return writer.packet(PacketType.suback << 4)
}

export function encodeUnsubscribe(version: ProtocolVersion, packet: UnsubscribePacket): Uint8Array {
  const writer = new PacketWriter()
  writer.uint16(packet.packetId)
  writeProperties(writer, version, PacketType.unsubscribe, packet.properties)
  for (const topicFilter of packet.topicFilters) writer.string(topicFilter)
  return writer.packet((PacketType.unsubscribe << 4) | 2)
}

/** In 3.x the packet identifier is all. */
export function encodeUnsuback(version: ProtocolVersion, packet: UnsubackPacket): Uint8Array {
  const writer = new PacketWriter()
  writer.uint16(packet.packetId)
  writeProperties(writer, version, PacketType.unsuback, packet.properties)
  if (version === 5) for (const reasonCode of packet.reasonCodes) writer.uint8(reasonCode)
  return writer.packet(PacketType.unsuback << 4)
}

/** The same bytes each time; not to be changed. */
export function encodePingreq(): Uint8Array {
  return pingreq
}

/** The same bytes each time; not to be changed. */
export function encodePingresp(): Uint8Array {
  return pingresp
}

/** In 3.x, where only clients send it, two bytes whatever the code. */
export function encodeDisconnect(
  version: ProtocolVersion,
  reasonCode = 0,
  properties: Properties = noProperties,
): Uint8Array {
  return encodeReason(PacketType.disconnect, version === 5 ? reasonCode : 0, version === 5 ? properties : noProperties)
}

/** 5.0 only. */
export function encodeAuth(reasonCode = 0, properties: Properties = noProperties): Uint8Array {
  return encodeReason(PacketType.auth, reasonCode, properties)
}

/** DISCONNECT and AUTH: nothing at all for code 0 without properties (3.14.2.1, 3.15.2.1). */
function encodeReason(type: PacketType, reasonCode: number, properties: Properties): Uint8Array {
  const writer = new PacketWriter()
  if (reasonCode !== 0 || !isEmpty(properties)) {
    writer.uint8(reasonCode)
    writeProperties(writer, 5, type, properties)
  }
  return writer.packet(type << 4)
}

/** The properties without their length, in the order of the table; user properties in their own. */
export function encodeProperties(place: PropertyPlace, properties: Properties): Uint8Array {
  const writer = new PacketWriter()
  for (const definition of propertyDefinitions) {
    const value = properties[definition.name]
    if (value === undefined) continue
    if ((definition.places & (1 << place)) === 0)
      throw new RangeError(`${placeName(place)} must not carry ${definition.title} (2.2.2.2)`)
    if (definition.name === 'userProperties') {
      for (const [name, text] of value as readonly UserProperty[]) {
        writer.uint8(definition.id)
        writer.string(name)
        writer.string(text)
      }
    } else {
      for (const one of definition.name === 'subscriptionIdentifiers' ? (value as readonly number[]) : [value]) {
        writer.uint8(definition.id)
        writeValue(writer, definition, one as number | string | Uint8Array)
      }
    }
  }
  return writer.body()
}

function writeValue(writer: PacketWriter, definition: PropertyDefinition, value: number | string | Uint8Array): void {
  if (typeof value === 'string') writer.string(value)
  else if (typeof value !== 'number') writer.binary(value)
  else {
    const { type, title, least = 0, greatest = value } = definition
    if (value < least || value > greatest) throw new RangeError(`${title} must not be ${value} (2.2.2.2)`)
    if (type === 'byte') writer.uint8(value)
    else if (type === 'uint16') writer.uint16(value)
    else if (type === 'uint32') writer.uint32(value)
    else writer.variableByteInteger(value)
  }
}

/** The Property Length and the properties; nothing in 3.x. */
function writeProperties(
  writer: PacketWriter,
  version: ProtocolVersion,
  place: PropertyPlace,
  properties: Properties,
): void {
  if (version !== 5) return
  if (isEmpty(properties)) {
    writer.uint8(0)
    return
  }
  const bytes = encodeProperties(place, properties)
  writer.variableByteInteger(bytes.length)
  writer.raw(bytes)
}

function isEmpty(properties: Properties): boolean {
  if (properties !== noProperties)
    for (const name in properties) if (properties[name as keyof Properties] !== undefined) return false
  return true
}
