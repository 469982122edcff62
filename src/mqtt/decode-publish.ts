/**
 * PUBLISH in place, section 3.3: the offsets of its parts into a frame that is filled again for each packet.
 *
 * Nothing is allocated for a packet without properties. Properties are walked once: validated as strictly as any other
 * packet's, but only what a server acts on is taken out, since the rest is forwarded as it came.
 */
import { propertyOutOfPlace, propertyOutOfRange, propertyTwice } from './decode-properties.ts'
import { noBytes, PacketType, type PublishFrame, type Qos } from './packet.ts'
import { type PacketLimits, tooManyProperties } from './packet-limits.ts'
import { PacketReader } from './packet-reader.ts'
import { PropertyId, propertyById } from './properties.ts'
import { malformed, protocolFault } from './protocol-error.ts'
import type { Sender } from './reason-code-places.ts'
import { refuseBadTopicName } from './topic.ts'
import { decodeUtf8, isValidUtf8 } from './utf8.ts'

/** What holds for every PUBLISH of one connection. */
export interface PublishRules {
  sender: Sender
  /** The protocol is 5.0. */
  version5: boolean
  limits: PacketLimits
}

const noIdentifiers: readonly number[] = []

export function emptyPublishFrame(): PublishFrame {
  return {
    buffer: noBytes,
    start: 0,
    end: 0,
    qos: 0,
    retain: false,
    dup: false,
    topicStart: 0,
    topicEnd: 0,
    packetId: 0,
    packetIdAt: 0,
    propertiesStart: 0,
    propertiesEnd: 0,
    payloadStart: 0,
    topicAlias: 0,
    messageExpiryInterval: -1,
    messageExpiryAt: -1,
    topicAliasAt: -1,
    subscriptionIdentifiers: noIdentifiers,
  }
}

/** Reads the packet at the frame's `buffer`, `start` and `end`. @param bodyStart of the variable header */
export function fillPublishFrame(frame: PublishFrame, bodyStart: number, rules: PublishRules): void {
  const { buffer: bytes, end } = frame
  const first = bytes[frame.start]!
  const qos = ((first >> 1) & 3) as Qos
  const topicStart = bodyStart + 2
  // A length past the packet's end is the next packet's, or none and counts as 0: either way `at` is past the end too.
  const topicEnd = topicStart + ((bytes[bodyStart]! << 8) | bytes[bodyStart + 1]!)
  let at = qos === 0 ? topicEnd : topicEnd + 2
  if (at > end) throw malformed('PUBLISH ends inside its Topic Name or Packet Identifier')
  frame.qos = qos
  frame.retain = (first & 1) !== 0
  frame.dup = (first & 8) !== 0
  frame.topicStart = topicStart
  frame.topicEnd = topicEnd
  if (qos === 0) {
    frame.packetId = 0
    frame.packetIdAt = 0
  } else {
    const packetId = (bytes[topicEnd]! << 8) | bytes[topicEnd + 1]!
    if (packetId === 0) throw protocolFault('PUBLISH has the packet identifier 0 [MQTT-2.2.1-3]')
    frame.packetId = packetId
    frame.packetIdAt = topicEnd
  }
  frame.topicAlias = 0
  frame.messageExpiryInterval = -1
  frame.messageExpiryAt = -1
  frame.topicAliasAt = -1
  frame.subscriptionIdentifiers = noIdentifiers
  frame.propertiesStart = at
  if (rules.version5) {
    if (at < end && bytes[at] === 0) frame.propertiesStart = ++at
    else at = fillProperties(frame, bytes, at, end, rules)
    if (topicStart === topicEnd && frame.topicAlias === 0)
      throw protocolFault('PUBLISH has neither a topic name nor a topic alias (3.3.2.1)')
  }
  frame.propertiesEnd = at
  frame.payloadStart = at
}

/** @param at where the Property Length stands @returns the offset after the properties */
function fillProperties(frame: PublishFrame, bytes: Uint8Array, at: number, end: number, rules: PublishRules): number {
  let length = bytes[at]!
  let start = at + 1
  if (at >= end || length >= 0x80) {
    const reader = new PacketReader(bytes, at, end, 'PUBLISH')
    length = reader.variableByteInteger('Property Length')
    start = reader.at
  }
  if (start + length > end) throw truncated('properties')
  frame.propertiesStart = start
  walkProperties(frame, bytes, start, start + length, rules)
  return start + length
}

function walkProperties(frame: PublishFrame, bytes: Uint8Array, start: number, end: number, rules: PublishRules): void {
  const { sender, limits } = rules
  let left = limits.propertiesPerPacketMax
  let seen = 0
  let at = start
  while (at < end) {
    if (left-- === 0) throw tooManyProperties('PUBLISH', limits.propertiesPerPacketMax)
    const id = bytes[at]!
    if (id < 32) {
      const bit = 1 << id
      if (seen & bit && id !== PropertyId.subscriptionIdentifier) throw twice(id)
      seen |= bit
    }
    switch (id) {
      case PropertyId.payloadFormatIndicator: {
        if (at + 2 > end) throw truncated('Payload Format Indicator')
        if (bytes[at + 1]! > 1) throw outOfRange(id, bytes[at + 1]!)
        at += 2
        break
      }
      case PropertyId.messageExpiryInterval: {
        if (at + 5 > end) throw truncated('Message Expiry Interval')
        frame.messageExpiryAt = at
        frame.messageExpiryInterval =
          ((bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!) >>> 0
        at += 5
        break
      }
      case PropertyId.topicAlias: {
        if (at + 3 > end) throw truncated('Topic Alias')
        if (frame.topicAliasAt >= 0) throw twice(id)
        frame.topicAliasAt = at
        frame.topicAlias = (bytes[at + 1]! << 8) | bytes[at + 2]!
        if (frame.topicAlias === 0) throw outOfRange(id, 0)
        at += 3
        break
      }
      case PropertyId.subscriptionIdentifier:
        at = takeSubscriptionIdentifier(frame, bytes, at + 1, end, sender)
        break
      case PropertyId.correlationData:
        at = lengthPrefixedEnd(bytes, at + 1, end, 'Correlation Data')
        break
      case PropertyId.contentType:
        at = stringEnd(bytes, at + 1, end, 'Content Type')
        break
      case PropertyId.userProperty:
        at = stringEnd(bytes, stringEnd(bytes, at + 1, end, 'User Property'), end, 'User Property')
        break
      case PropertyId.responseTopic:
        at = responseTopicEnd(bytes, at + 1, end)
        break
      default:
        throw unknownProperty(bytes, at, end)
    }
  }
}

function takeSubscriptionIdentifier(
  frame: PublishFrame,
  bytes: Uint8Array,
  at: number,
  end: number,
  sender: Sender,
): number {
  if (sender === 'client') throw protocolFault('PUBLISH from a client has a Subscription Identifier [MQTT-3.3.4-6]')
  const reader = new PacketReader(bytes, at, end, 'PUBLISH')
  const identifier = reader.variableByteInteger('Subscription Identifier')
  if (identifier === 0) throw outOfRange(PropertyId.subscriptionIdentifier, 0)
  frame.subscriptionIdentifiers = [...frame.subscriptionIdentifiers, identifier]
  return reader.at
}

function lengthPrefixedEnd(bytes: Uint8Array, at: number, end: number, title: string): number {
  const next = at + 2 + ((bytes[at]! << 8) | bytes[at + 1]!)
  if (at + 2 > end || next > end) throw truncated(title)
  return next
}

function stringEnd(bytes: Uint8Array, at: number, end: number, title: string): number {
  const next = lengthPrefixedEnd(bytes, at, end, title)
  if (!isValidUtf8(bytes, at + 2, next))
    throw malformed(`PUBLISH: ${title} is no valid UTF-8 string [MQTT-1.5.4-1, MQTT-1.5.4-2]`)
  return next
}

function responseTopicEnd(bytes: Uint8Array, at: number, end: number): number {
  const next = stringEnd(bytes, at, end, 'Response Topic')
  refuseBadTopicName(decodeUtf8(bytes, at + 2, next)!, 'PUBLISH: the response topic', '[MQTT-3.3.2-14]')
  return next
}

function truncated(title: string) {
  return malformed(`PUBLISH ends inside its ${title}`)
}

function twice(id: number) {
  return propertyTwice(propertyById[id]?.title ?? `property ${id}`, 'PUBLISH')
}

function outOfRange(id: number, value: number) {
  const { name, title } = propertyById[id]!
  return propertyOutOfRange(name, title, value, 'PUBLISH')
}

function unknownProperty(bytes: Uint8Array, at: number, end: number) {
  const id = new PacketReader(bytes, at, end, 'PUBLISH').variableByteInteger('property identifier')
  return propertyOutOfPlace(id, PacketType.publish)
}
