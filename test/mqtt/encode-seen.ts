/** The way back from what a sink was handed to bytes: the encoder that belongs to each packet. */
import * as encoder from '../../src/mqtt/encoder.ts'
import {
  type AuthPacket,
  type ConnackPacket,
  type ConnectPacket,
  PacketType,
  type Qos,
  type SubackPacket,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../src/mqtt/packet.ts'
import { encodePublish, publishProperties, publishSize } from '../../src/mqtt/publish.ts'
import type { Seen, SeenPacket, SeenPublish, Version } from './packets.ts'

export function encodeSeen(version: Version, seen: Seen): Buffer {
  if ('topic' in seen) return encodeSeenPublish(version, seen)
  return Buffer.from(encodeSeenPacket(version, seen))
}

function encodeSeenPacket(
  version: Version,
  { type, packet, packetId = 0, reasonCode, properties }: SeenPacket,
): Uint8Array {
  switch (type) {
    case 'connect':
      return encoder.encodeConnect(packet as ConnectPacket)
    case 'connack':
      return encoder.encodeConnack(version, packet as ConnackPacket)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return encoder.encodeAck(version, PacketType[type], packetId, reasonCode, properties)
    case 'subscribe':
      return encoder.encodeSubscribe(version, packet as SubscribePacket)
    case 'suback':
      return encoder.encodeSuback(version, packet as SubackPacket)
    case 'unsubscribe':
      return encoder.encodeUnsubscribe(version, packet as UnsubscribePacket)
    case 'unsuback':
      return encoder.encodeUnsuback(version, packet as SubackPacket)
    case 'pingreq':
      return encoder.encodePingreq()
    case 'pingresp':
      return encoder.encodePingresp()
    case 'disconnect': {
      const { reasonCode: code, properties: with5 } = packet as AuthPacket
      return encoder.encodeDisconnect(version, code, with5)
    }
    case 'auth': {
      const { reasonCode: code, properties: with5 } = packet as AuthPacket
      return encoder.encodeAuth(code, with5)
    }
    default:
      throw new Error(`no encoder for ${type}`)
  }
}

/** The hop's own properties from their fields, the forwarded ones from the seen properties: the encoder puts these first. */
function encodeSeenPublish(version: Version, seen: SeenPublish): Buffer {
  const {
    messageExpiryInterval: _expiry,
    topicAlias: _alias,
    subscriptionIdentifiers: _identifiers,
    ...forwarded
  } = publishProperties(Buffer.from(seen.properties, 'hex'))
  const parts = {
    topic: Buffer.from(seen.topic, 'utf8'),
    payload: Buffer.from(seen.payload, 'hex'),
    forwardProperties: encoder.encodeProperties(PacketType.publish, forwarded),
  }
  const options = {
    qos: seen.qos as Qos,
    retain: seen.retain,
    dup: seen.dup,
    packetId: seen.packetId,
    expiryIntervalSeconds: seen.messageExpiryInterval,
    subscriptionIdentifiers: seen.subscriptionIdentifiers,
    topicAlias: seen.topicAlias,
    omitTopic: seen.topic === '',
  }
  const { bytes, packetIdAt, expiryAt } = encodePublish(version, parts, options)
  const buffer = Buffer.from(bytes)
  if (seen.qos > 0 && buffer.readUInt16BE(packetIdAt) !== seen.packetId) throw new Error('packetIdAt points elsewhere')
  if (seen.qos === 0 && packetIdAt !== 0) throw new Error('packetIdAt is not 0 at QoS 0')
  if (expiryAt > 0 && buffer.readUInt32BE(expiryAt) !== seen.messageExpiryInterval)
    throw new Error('expiryAt points elsewhere')
  if (publishSize(version, parts, options) !== bytes.length) throw new Error('publishSize says otherwise')
  return buffer
}
