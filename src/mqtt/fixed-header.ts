/**
 * Which first bytes a packet may have, section 2.1, as tables: one lookup per packet tells its type or that it is refused.
 *
 * A table belongs to who receives, the protocol version and whether the connection has begun; why a byte is refused is
 * found out only then.
 */
import { PacketType, type ProtocolVersion } from './packet.ts'
import { packetName } from './properties.ts'
import { malformed, type ProtocolError, protocolFault } from './protocol-error.ts'

/** By first byte: the packet type, or 0 for a byte that is refused. */
export type FirstBytes = Uint8Array

const byBoth = [PacketType.publish, PacketType.puback, PacketType.pubrec, PacketType.pubrel, PacketType.pubcomp]
const byClients = [PacketType.subscribe, PacketType.unsubscribe, PacketType.pingreq, PacketType.disconnect]
const byServers = [PacketType.suback, PacketType.unsuback, PacketType.pingresp]

/** Flags that are 0010 instead of 0000. */
const withQos1Flag: readonly number[] = [PacketType.pubrel, PacketType.subscribe, PacketType.unsubscribe]

function firstBytes(types: readonly PacketType[], version: ProtocolVersion): FirstBytes {
  const table = new Uint8Array(256)
  for (const type of types) {
    for (let flags = 0; flags < 16; flags++) {
      if (flagsAreValid(type, flags, version)) table[(type << 4) | flags] = type
    }
  }
  return table
}

function flagsAreValid(type: PacketType, flags: number, version: ProtocolVersion): boolean {
  if (type === PacketType.publish) {
    const qos = (flags >> 1) & 3
    return qos !== 3 && (qos !== 0 || (flags & 8) === 0)
  }
  if (!withQos1Flag.includes(type)) return flags === 0
  // 3.1 marks a repeated PUBREL, SUBSCRIBE and UNSUBSCRIBE with DUP.
  return flags === 2 || (version === 3 && flags === 10)
}

function byVersion(types: (version: ProtocolVersion) => readonly PacketType[]): Record<ProtocolVersion, FirstBytes> {
  return { 3: firstBytes(types(3), 3), 4: firstBytes(types(4), 4), 5: firstBytes(types(5), 5) }
}

const authOf = (version: ProtocolVersion) => (version === 5 ? [PacketType.auth] : [])

/** What a server takes as a connection's first packet [MQTT-3.1.0-1]. */
export const connectOnly = firstBytes([PacketType.connect], 5)
/** What a server takes after CONNECT, which may not come again [MQTT-3.1.0-2]. */
export const toServer = byVersion((version) => [...byBoth, ...byClients, ...authOf(version)])
/** What a client takes before CONNACK [MQTT-3.2.0-1]. */
export const connackOnly = byVersion((version) => [PacketType.connack, ...authOf(version)])
/** What a client takes after CONNACK, which may not come again [MQTT-3.2.0-2]. Only 5.0 lets a server send DISCONNECT. */
export const toClient = byVersion((version) => [
  ...byBoth,
  ...byServers,
  ...(version === 5 ? [PacketType.disconnect, PacketType.auth] : []),
])

/** Why a first byte is refused. @param bytes what has arrived from that byte on */
export function refusedFirstByte(bytes: Uint8Array, table: FirstBytes, version: ProtocolVersion | 0): ProtocolError {
  const first = bytes[0]!
  const type = first >> 4
  const name = packetName(type)
  if (table === connectOnly) {
    const foreign = foreignProtocol(bytes)
    if (foreign !== undefined) return protocolFault(`${foreign} on the MQTT port [MQTT-3.1.0-1]`)
    if (type === PacketType.connect) return malformed('CONNECT has reserved flags set [MQTT-2.1.3-1]')
    return protocolFault(`the first packet is ${name}, not CONNECT [MQTT-3.1.0-1]`)
  }
  if (type === 0 || (type === PacketType.auth && version !== 5))
    return malformed(`packet type ${type} is reserved (2.1.2)`)
  if (!table.includes(type)) return outOfPlace(type)
  if (type === PacketType.publish) {
    return (first & 6) === 6
      ? malformed('PUBLISH with QoS 3 [MQTT-3.3.1-4]')
      : malformed('PUBLISH with QoS 0 and DUP [MQTT-3.3.1-2]')
  }
  return malformed(`${name} has reserved flags set [MQTT-2.1.3-1]`)
}

function outOfPlace(type: number): ProtocolError {
  const name = packetName(type)
  if (type === PacketType.connect) return protocolFault('a second CONNECT, or one from a server [MQTT-3.1.0-2]')
  if (type === PacketType.connack) return protocolFault('a second CONNACK, or one from a client [MQTT-3.2.0-2]')
  return protocolFault(`${name} is not for this side to receive, or not yet (2.1.2)`)
}

/** What else the first bytes of a connection look like; undefined where they look like MQTT or like nothing known. */
function foreignProtocol(bytes: Uint8Array): string | undefined {
  const text = String.fromCharCode(...bytes.subarray(0, 8))
  // By its first byte alone, so that the answer is the same however little has arrived.
  if (bytes[0] === 0x16) return 'a TLS hello'
  if (text.startsWith('PROXY ') || '\r\n\r\n\0\r\nQ'.startsWith(text)) return 'a PROXY protocol header'
  if (text.startsWith('SSH-')) return 'an SSH greeting'
  if (/^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PRI)( |$)/.test(text)) return 'an HTTP request'
  return undefined
}
