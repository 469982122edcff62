/** The packets that are neither CONNECT, CONNACK nor PUBLISH: sections 3.4 to 3.15. */
import { readProperties } from './decode-properties.ts'
import {
  type DisconnectPacket,
  noProperties,
  PacketType,
  type ProtocolVersion,
  type Qos,
  type SubackPacket,
  type SubscribePacket,
  type SubscriptionRequest,
  type UnsubscribePacket,
} from './packet.ts'
import { tooManyFilters } from './packet-limits.ts'
import type { PacketReader } from './packet-reader.ts'
import { malformed, protocolFault } from './protocol-error.ts'
import { refuseStrayReasonCode, type Sender } from './reason-code-places.ts'
import { isSharedFilter } from './topic.ts'

/** @throws ProtocolError protocolError for 0: it parses, and is not allowed */
export function readPacketId(reader: PacketReader): number {
  const packetId = reader.uint16('Packet Identifier')
  if (packetId === 0) throw protocolFault(`${reader.what} has the packet identifier 0 [MQTT-2.2.1-3]`)
  return packetId
}

export function readSubscribe(reader: PacketReader, version: ProtocolVersion): SubscribePacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readProperties(reader, PacketType.subscribe) : noProperties
  if (reader.remaining === 0) throw protocolFault('SUBSCRIBE without a topic filter [MQTT-3.8.3-2]')
  refuseManyFilters(reader, 1)
  const subscriptions: SubscriptionRequest[] = []
  while (reader.remaining > 0) subscriptions.push(readSubscription(reader, version))
  return { packetId, subscriptions, properties }
}

function readSubscription(reader: PacketReader, version: ProtocolVersion): SubscriptionRequest {
  const topicFilter = readTopicFilter(reader)
  const options = reader.uint8('Subscription Options')
  if (options & (version === 5 ? 0xc0 : 0xfc))
    throw malformed('SUBSCRIBE has reserved bits set in its subscription options [MQTT-3.8.3-5]')
  const qos = options & 3
  // 5.0 names it a protocol error; 3.1.1 calls the packet malformed and closes either way [MQTT-3-8.3-4].
  if (qos === 3) throw protocolFault('SUBSCRIBE asks for QoS 3 (3.8.3.1)')
  const retainHandling = options >> 4
  if (retainHandling === 3) throw protocolFault('SUBSCRIBE has a Retain Handling of 3 (3.8.3.1)')
  const noLocal = (options & 4) !== 0
  if (noLocal && isSharedFilter(topicFilter))
    throw protocolFault('SUBSCRIBE sets No Local on a shared subscription [MQTT-3.8.3-4]')
  return {
    topicFilter,
    qos: qos as Qos,
    noLocal,
    retainAsPublished: (options & 8) !== 0,
    retainHandling: retainHandling as 0 | 1 | 2,
  }
}

/** Counted before anything is made of them. @param optionsBytes behind each filter */
function refuseManyFilters(reader: PacketReader, optionsBytes: number): void {
  const { bytes, end, limits } = reader
  const most = limits.filtersPerSubscribeMax
  // A filter takes at least its length's two bytes and one more.
  if (reader.remaining < (3 + optionsBytes) * most) return
  let count = 0
  for (let at = reader.at; at + 1 < end; at += 2 + ((bytes[at]! << 8) | bytes[at + 1]!) + optionsBytes) {
    if (++count > most) throw tooManyFilters(reader.what, most)
  }
}

function readTopicFilter(reader: PacketReader): string {
  const topicFilter = reader.string('Topic Filter')
  if (topicFilter === '') throw protocolFault(`${reader.what} has an empty topic filter [MQTT-4.7.3-1]`)
  return topicFilter
}

export function readUnsubscribe(reader: PacketReader, version: ProtocolVersion): UnsubscribePacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readProperties(reader, PacketType.unsubscribe) : noProperties
  if (reader.remaining === 0) throw protocolFault('UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]')
  refuseManyFilters(reader, 0)
  const topicFilters: string[] = []
  while (reader.remaining > 0) topicFilters.push(readTopicFilter(reader))
  return { packetId, topicFilters, properties }
}

export function readSuback(reader: PacketReader, version: ProtocolVersion): SubackPacket {
  const packetId = readPacketId(reader)
  const properties = version === 5 ? readProperties(reader, PacketType.suback) : noProperties
  if (reader.remaining === 0) throw protocolFault('SUBACK without a reason code [MQTT-3.8.4-6]')
  const reasonCodes: number[] = []
  while (reader.remaining > 0) {
    const reasonCode = reader.uint8('Reason Code')
    if (version === 5) refuseStrayReasonCode(PacketType.suback, 'server', reasonCode)
    else if (reasonCode > 2 && reasonCode !== 0x80)
      throw protocolFault(`SUBACK with the reserved return code ${reasonCode} (3.1.1: [MQTT-3.9.3-2])`)
    reasonCodes.push(reasonCode)
  }
  return { packetId, reasonCodes, properties }
}

export function readUnsuback(reader: PacketReader, version: ProtocolVersion): SubackPacket {
  const packetId = readPacketId(reader)
  if (version !== 5) {
    reader.expectEnd()
    return { packetId, reasonCodes: [], properties: noProperties }
  }
  const properties = readProperties(reader, PacketType.unsuback)
  if (reader.remaining === 0) throw protocolFault('UNSUBACK without a reason code (3.11.3)')
  const reasonCodes: number[] = []
  while (reader.remaining > 0) {
    const reasonCode = reader.uint8('Reason Code')
    refuseStrayReasonCode(PacketType.unsuback, 'server', reasonCode)
    reasonCodes.push(reasonCode)
  }
  return { packetId, reasonCodes, properties }
}

export function readDisconnect(reader: PacketReader, version: ProtocolVersion, sender: Sender): DisconnectPacket {
  if (version !== 5) reader.expectEnd()
  if (reader.remaining === 0) return { reasonCode: 0, properties: noProperties }
  const reasonCode = reader.uint8('Reason Code')
  refuseStrayReasonCode(PacketType.disconnect, sender, reasonCode)
  // 3.14.2.2.1: without a Property Length it is 0.
  const properties = reader.remaining === 0 ? noProperties : readProperties(reader, PacketType.disconnect)
  reader.expectEnd()
  if (sender === 'server' && properties.sessionExpiryInterval !== undefined)
    throw protocolFault('DISCONNECT from a server has a Session Expiry Interval [MQTT-3.14.2-2]')
  return { reasonCode, properties }
}

export function readAuth(reader: PacketReader, sender: Sender): DisconnectPacket {
  const short = reader.remaining === 0
  const reasonCode = short ? 0 : reader.uint8('Reason Code')
  refuseStrayReasonCode(PacketType.auth, sender, reasonCode)
  // 3.15.2.1: reason code and properties may be left out together, for Success.
  if (short) return { reasonCode, properties: noProperties }
  const properties = readProperties(reader, PacketType.auth)
  reader.expectEnd()
  if (properties.authenticationMethod === undefined)
    throw protocolFault('AUTH without an Authentication Method (3.15.2.2.2)')
  return { reasonCode, properties }
}
