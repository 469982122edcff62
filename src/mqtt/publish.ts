/**
 * PUBLISH on its way out: what of a received one's properties goes on, and the packet that a recipient gets.
 *
 * One encoding serves all recipients of a variant (version, QoS, retain, identifiers): what differs between them is
 * patched in place, hence the offsets beside the bytes.
 */
import { copyPropertiesWithout, decodeProperties } from './decode-properties.ts'
import { noBytes, PacketType, type Properties, type ProtocolVersion, type PublishFrame, type Qos } from './packet.ts'
import { copyBytes } from './packet-reader.ts'
import { PropertyId } from './properties.ts'
import { stringBytesMax } from './utf8.ts'
import { variableByteIntegerLength, variableByteIntegerMax, writeVariableByteInteger } from './variable-byte-integer.ts'

/** Up to here a loop over bytes beats a call that copies, which costs the same for 16 bytes and for 256. */
const copyLoopBytesMax = 32

const notForwarded = [PropertyId.messageExpiryInterval, PropertyId.topicAlias, PropertyId.subscriptionIdentifier]

/**
 * The frame's properties as every recipient gets them, encoded, copied, in their order: without Message Expiry Interval,
 * Topic Alias and Subscription Identifiers, which belong to one hop [MQTT-3.3.2-4, -15 to -18, -20].
 */
export function forwardProperties(frame: PublishFrame): Uint8Array {
  const { buffer, propertiesStart, propertiesEnd } = frame
  if (propertiesStart === propertiesEnd) return noBytes
  if (frame.messageExpiryAt < 0 && frame.topicAliasAt < 0 && frame.subscriptionIdentifiers.length === 0)
    return copyBytes(buffer, propertiesStart, propertiesEnd)
  return copyPropertiesWithout(buffer, propertiesStart, propertiesEnd, notForwarded)
}

/** PUBLISH properties, encoded without their length, as an object. */
export function publishProperties(bytes: Uint8Array): Properties {
  return decodeProperties(bytes, 0, bytes.length, PacketType.publish)
}

export interface PublishParts {
  /** UTF-8. */
  topic: Uint8Array
  payload: Uint8Array
  /** Encoded, without their length. Not sent to 3.x. */
  forwardProperties: Uint8Array
}

export interface PublishOptions {
  qos: Qos
  retain: boolean
  dup: boolean
  /** Ignored at QoS 0. */
  packetId: number
  /** Seconds; -1: none. */
  expiryIntervalSeconds: number
  subscriptionIdentifiers: readonly number[]
  /** 0: none. */
  topicAlias: number
  /** With an alias that the recipient knows already: send an empty topic name (3.3.2.3.4). */
  omitTopic: boolean
}

export interface EncodedPublish {
  bytes: Uint8Array
  /** Where the packet identifier's two bytes stand; 0 at QoS 0. */
  packetIdAt: number
  /** Where the four bytes of the Message Expiry Interval's value stand; 0: none. */
  expiryAt: number
}

/** @throws RangeError where the packet would exceed what a Remaining Length can say */
export function encodePublish(version: ProtocolVersion, parts: PublishParts, options: PublishOptions): EncodedPublish {
  const { qos, topicAlias, expiryIntervalSeconds } = options
  const topic = options.omitTopic ? noBytes : parts.topic
  const propertiesLength = version === 5 ? lengthOfProperties(parts, options) : 0
  const remaining = remainingLength(version, topic, parts, qos, propertiesLength)
  const bytes = Buffer.allocUnsafe(1 + variableByteIntegerLength(remaining) + remaining)
  bytes[0] = (PacketType.publish << 4) | (options.dup ? 8 : 0) | (qos << 1) | (options.retain ? 1 : 0)
  let at = writeVariableByteInteger(bytes, 1, remaining)
  bytes[at++] = topic.length >> 8
  bytes[at++] = topic.length & 0xff
  at = copyInto(bytes, at, topic)
  let packetIdAt = 0
  let expiryAt = 0
  if (qos > 0) {
    packetIdAt = at
    bytes[at++] = options.packetId >> 8
    bytes[at++] = options.packetId & 0xff
  }
  if (version === 5) {
    at = writeVariableByteInteger(bytes, at, propertiesLength)
    if (expiryIntervalSeconds >= 0) {
      bytes[at++] = PropertyId.messageExpiryInterval
      expiryAt = at
      at = writeExpiryInterval(bytes, at, expiryIntervalSeconds)
    }
    if (topicAlias > 0) {
      bytes[at++] = PropertyId.topicAlias
      bytes[at++] = topicAlias >> 8
      bytes[at++] = topicAlias & 0xff
    }
    for (const identifier of options.subscriptionIdentifiers) {
      bytes[at++] = PropertyId.subscriptionIdentifier
      at = writeVariableByteInteger(bytes, at, identifier)
    }
    at = copyInto(bytes, at, parts.forwardProperties)
  }
  copyInto(bytes, at, parts.payload)
  return { bytes, packetIdAt, expiryAt }
}

/** Size in bytes of what `encodePublish` would return. */
export function publishSize(version: ProtocolVersion, parts: PublishParts, options: PublishOptions): number {
  const topic = options.omitTopic ? noBytes : parts.topic
  const propertiesLength = version === 5 ? lengthOfProperties(parts, options) : 0
  const remaining = remainingLength(version, topic, parts, options.qos, propertiesLength)
  return 1 + variableByteIntegerLength(remaining) + remaining
}

/** Four bytes, for a copy whose time in the server has grown. @returns the offset after them */
export function writeExpiryInterval(bytes: Uint8Array, at: number, seconds: number): number {
  bytes[at] = seconds >>> 24
  bytes[at + 1] = (seconds >>> 16) & 0xff
  bytes[at + 2] = (seconds >>> 8) & 0xff
  bytes[at + 3] = seconds & 0xff
  return at + 4
}

function lengthOfProperties(parts: PublishParts, options: PublishOptions): number {
  let length = parts.forwardProperties.length
  if (options.expiryIntervalSeconds >= 0) length += 5
  if (options.topicAlias > 0) length += 3
  for (const identifier of options.subscriptionIdentifiers) length += 1 + variableByteIntegerLength(identifier)
  return length
}

function remainingLength(
  version: ProtocolVersion,
  topic: Uint8Array,
  parts: PublishParts,
  qos: Qos,
  propertiesLength: number,
): number {
  const properties = version === 5 ? variableByteIntegerLength(propertiesLength) + propertiesLength : 0
  const length = 2 + topic.length + (qos > 0 ? 2 : 0) + properties + parts.payload.length
  if (length > variableByteIntegerMax || topic.length > stringBytesMax)
    throw new RangeError(`a PUBLISH of ${length} bytes with a topic of ${topic.length} does not fit the wire`)
  return length
}

/** @returns the offset after it */
function copyInto(target: Uint8Array, at: number, source: Uint8Array): number {
  const { length } = source
  if (length < copyLoopBytesMax) for (let index = 0; index < length; index++) target[at + index] = source[index]!
  else target.set(source, at)
  return at + length
}
