/** CONNECT and CONNACK, sections 3.1 and 3.2. */
import { copyPropertiesWithout, readProperties } from './decode-properties.ts'
import {
  type ConnackPacket,
  type ConnectPacket,
  noBytes,
  noProperties,
  PacketType,
  type ProtocolVersion,
  type Qos,
  type Will,
} from './packet.ts'
import type { PacketReader } from './packet-reader.ts'
import { PropertyId, willPlace } from './properties.ts'
import { malformed, ProtocolError, protocolFault } from './protocol-error.ts'
import { ConnectReturnCode, ReasonCode } from './reason-code.ts'
import { refuseStrayReasonCode } from './reason-code-places.ts'
import { refuseBadTopicName } from './topic.ts'

/** A protocol level that this server does not speak. */
export class UnsupportedProtocolVersion extends ProtocolError {
  readonly level: number

  constructor(name: string, level: number) {
    super(
      ReasonCode.unsupportedProtocolVersion,
      `CONNECT asks for protocol ${name} level ${level}; MQIsdp 3, MQTT 4 and MQTT 5 are spoken here [MQTT-3.1.2-2]`,
    )
    this.level = level
  }
}

const bridgeBit = 0x80

const flagCleanStart = 0x02
const flagWill = 0x04
const flagWillRetain = 0x20
const flagPassword = 0x40
const flagUsername = 0x80

/** What stands before the Connect Flags: all later fields depend on it. */
export function readProtocolVersion(reader: PacketReader): ProtocolVersion {
  const name = reader.string('Protocol Name')
  if (name !== 'MQTT' && name !== 'MQIsdp')
    throw protocolFault(`CONNECT has the protocol name ${JSON.stringify(name.slice(0, 40))} [MQTT-3.1.2-1]`)
  const level = reader.uint8('Protocol Version')
  // Mosquitto's bridges set bit 7 of the level of 3.1 and 3.1.1 to say that they are bridges.
  const version = level === 0x83 || level === 0x84 ? level & ~bridgeBit : level
  if (name === 'MQIsdp' ? version === 3 : version === 4 || version === 5) return version as ProtocolVersion
  throw new UnsupportedProtocolVersion(name, level)
}

/** @param reader stands at the Connect Flags, behind the level */
export function readConnect(reader: PacketReader, version: ProtocolVersion): ConnectPacket {
  const isBridge = (reader.bytes[reader.at - 1]! & bridgeBit) !== 0
  const flags = reader.uint8('Connect Flags')
  refuseBadConnectFlags(flags, version)
  const keepAlive = reader.uint16('Keep Alive')
  const properties = version === 5 ? readProperties(reader, PacketType.connect) : noProperties
  const clientId = reader.string('Client Identifier')
  const will = flags & flagWill ? readWill(reader, version, flags) : undefined
  // The text of 3.1 lets User Name and Password be missing although their flags are set, where the packet ends before them.
  const mayEnd = version === 3
  const username = flags & flagUsername && !(mayEnd && reader.remaining === 0) ? reader.string('User Name') : undefined
  const password = flags & flagPassword && !(mayEnd && reader.remaining === 0) ? reader.binary('Password') : undefined
  reader.expectEnd()
  return {
    version,
    cleanStart: (flags & flagCleanStart) !== 0,
    keepAlive,
    clientId,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(will !== undefined && { will }),
    ...(isBridge && { bridge: true as const }),
    properties,
  }
}

function refuseBadConnectFlags(flags: number, version: ProtocolVersion): void {
  if (flags & 1) throw malformed('CONNECT has its reserved flag set [MQTT-3.1.2-3]')
  const willQos = (flags >> 3) & 3
  if (willQos === 3) throw malformed('CONNECT has a will QoS of 3 [MQTT-3.1.2-12]')
  if (!(flags & flagWill) && willQos > 0) throw malformed('CONNECT has a will QoS without a will [MQTT-3.1.2-11]')
  if (!(flags & flagWill) && flags & flagWillRetain)
    throw malformed('CONNECT has the will retain flag without a will [MQTT-3.1.2-13]')
  // 5.0 allows it (3.1.2.9); the statement's number is 3.1.1's.
  if (version !== 5 && flags & flagPassword && !(flags & flagUsername))
    throw malformed('CONNECT has a password without a user name (3.1.1: [MQTT-3.1.2-22])')
}

function readWill(reader: PacketReader, version: ProtocolVersion, flags: number): Will {
  const propertiesAt = reader.at
  const properties = version === 5 ? readProperties(reader, willPlace) : noProperties
  const forwardProperties =
    properties === noProperties ? noBytes : forwardedOfWill(reader.bytes, propertiesAt, reader.at)
  const topic = reader.string('Will Topic')
  refuseBadTopicName(topic, "CONNECT: the will's topic", '[MQTT-4.7.0-1]')
  return {
    topic,
    payload: reader.binary('Will Payload'),
    qos: ((flags >> 3) & 3) as Qos,
    retain: (flags & flagWillRetain) !== 0,
    properties,
    forwardProperties,
  }
}

/** @param lengthAt where the Property Length stands */
function forwardedOfWill(bytes: Uint8Array, lengthAt: number, end: number): Uint8Array {
  let start = lengthAt
  while (bytes[start++]! >= 0x80);
  return copyPropertiesWithout(bytes, start, end, [PropertyId.willDelayInterval, PropertyId.messageExpiryInterval])
}

export function readConnack(reader: PacketReader, version: ProtocolVersion): ConnackPacket {
  const flags = reader.uint8('Connect Acknowledge Flags')
  // 3.1 says of this byte that it is not used.
  if (version !== 3 && flags > 1) throw malformed('CONNACK has reserved flags set [MQTT-3.2.2-1]')
  const reasonCode = reader.uint8('Reason Code')
  if (version === 5) refuseStrayReasonCode(PacketType.connack, 'server', reasonCode)
  else if (reasonCode > ConnectReturnCode.notAuthorized)
    throw protocolFault(`CONNACK with the reserved return code ${reasonCode} (3.1.1: 3.2.2.3)`)
  const properties = version === 5 ? readProperties(reader, PacketType.connack) : noProperties
  reader.expectEnd()
  const sessionPresent = version !== 3 && flags === 1
  if (sessionPresent && reasonCode !== 0)
    throw protocolFault('CONNACK refuses the connection and says Session Present [MQTT-3.2.2-6]')
  return { sessionPresent, reasonCode, properties }
}
