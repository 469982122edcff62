/** A client's operations as the packets that the core knows, of MQTT 5.0. */
import { isBase64 } from '../mqtt/base64.ts'
import { emptyPublishFrame, fillPublishFrame, type PublishRules } from '../mqtt/decode-publish.ts'
import { encodeProperties } from '../mqtt/encoder.ts'
import {
  type ConnectPacket,
  noBytes,
  type PacketSink,
  PacketType,
  type Properties,
  type PublishFrame,
  type SubscribePacket,
  type Will,
} from '../mqtt/packet.ts'
import { unlimited } from '../mqtt/packet-limits.ts'
import { encodePublish, type PublishOptions } from '../mqtt/publish.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { isValidTopicName } from '../mqtt/topic.ts'
import { encodeUtf8, isEncodable } from '../mqtt/utf8.ts'
import type {
  ConnectOperation,
  FilterRequest,
  MessageProperties,
  PayloadForm,
  PublishOperation,
  RequestId,
  ShapingFields,
  WillFields,
} from './operations.ts'

/** The core's client, as the JSON decoder meets it. */
export interface JsonSink extends PacketSink {
  /** How it gets payloads. */
  payloadForm: PayloadForm | null
  /** May bring a token, as the Authorization header of a WebSocket's handshake does, unless a ticket says who it is. */
  peer: { readonly bearer?: string; readonly ticket?: TicketFields }
  /** Returns the reason code of what became of it, also at QoS 0. */
  onPublish(frame: PublishFrame): number
  /** A message is taken, at whatever QoS above 0 it came. */
  onAck(packetId: number, reasonCode: number, properties: Properties): void
}

/** Something is wrong with one request; the connection goes on. */
export class RequestFault extends Error {
  override name = 'RequestFault'
  readonly reasonCode: number

  constructor(reasonCode: number, message: string) {
    super(message)
    this.reasonCode = reasonCode
  }
}

/** What a ticket says in place of a client. */
interface TicketFields {
  readonly username?: string
  readonly password?: string
  readonly transient: boolean
}

/** What was said, and what the ticket says. @throws RequestFault where both say who it is */
export function connectByTicket(operation: ConnectOperation, ticket: TicketFields | undefined): ConnectOperation {
  if (ticket === undefined) return operation
  if (operation.username !== undefined || operation.password !== undefined || operation.token !== undefined) {
    throw new RequestFault(ReasonCode.protocolError, 'a ticket stands in place of username, password and token')
  }
  const { transient, ...credentials } = ticket
  const asked = { ...operation, ...credentials }
  return transient ? { ...asked, clientId: '', clean: true, sessionExpirySeconds: 0 } : asked
}

/** @throws RequestFault */
export function connectPacketOf(operation: ConnectOperation): ConnectPacket {
  const { clientId = '', sessionExpirySeconds = 0, keepAliveSeconds: keepAlive = 0, username, token } = operation
  const properties: Properties = {}
  if (sessionExpirySeconds > 0) properties.sessionExpiryInterval = sessionExpirySeconds
  if (operation.messageBytesMax !== undefined) properties.maximumPacketSize = operation.messageBytesMax
  if (operation.inflightMessagesMax !== undefined) properties.receiveMaximum = operation.inflightMessagesMax
  const packet: ConnectPacket = {
    version: 5,
    cleanStart: operation.clean ?? sessionExpirySeconds === 0,
    keepAlive,
    clientId: mqttText(clientId, 'clientId'),
    properties,
  }
  if (username !== undefined) packet.username = mqttText(username, 'username')
  // Where tokens are configured to stand in the password, that is where this one stands.
  const password = operation.password ?? token
  if (password !== undefined) packet.password = Buffer.from(password, 'utf8')
  if (operation.will !== undefined) packet.will = willOf(operation.will)
  return packet
}

function willOf(will: WillFields): Will {
  const { topic, qos = 0, retain = false, delaySeconds = 0 } = will
  checkTopic(topic, 'will.topic')
  const payload = payloadOf(will)
  if (payload.length > 65_535) throw new RequestFault(ReasonCode.packetTooLarge, 'will.payload: at most 65,535 bytes')
  return {
    ...{ topic, payload, qos, retain, forwardProperties: noBytes },
    properties: delaySeconds > 0 ? { willDelayInterval: delaySeconds } : {},
  }
}

/** Where an answer is awaited. */
export interface AwaitedAnswer {
  readonly responseTopic: string
  readonly correlationData: Uint8Array
  /** None will come. */
  giveUp(): void
}

/** In MQTT the place in a stream is a user property. */
const startProperty = 'stream-offset'

/** @throws RequestFault */
export function subscribePacketOf(
  filters: readonly FilterRequest[],
  properties: Properties = {},
): Omit<SubscribePacket, 'packetId'> {
  const subscriptions = filters.map(
    ({ filter, qos = 0, noLocal = false, retainAsPublished = false, retainHandling = 0 }) => {
      checkFilter(filter)
      if (noLocal && filter.startsWith('$share/')) {
        throw new RequestFault(ReasonCode.protocolError, 'noLocal has no place in a shared subscription')
      }
      return { topicFilter: filter, qos, noLocal, retainAsPublished, retainHandling }
    },
  )
  return { subscriptions, properties }
}

/** The longest number that MQTT has for a subscription. */
const identifierMax = 268_435_455

/** With `identify`, the id of a request as Subscription Identifier. @throws RequestFault for one that can't be it */
export function identifiedBy({ id, identify = false }: { id?: RequestId; identify?: boolean }): Properties {
  if (!identify) return {}
  if (typeof id !== 'number' || id < 1 || id > identifierMax) {
    throw new RequestFault(ReasonCode.protocolError, `identify takes an id from 1 to ${identifierMax}`)
  }
  return { subscriptionIdentifiers: [id] }
}

/** The user properties by which a client of MQTT says the same. @throws RequestFault */
export function shapedBy({ where, sample, maxPerSecond, latest }: ShapingFields): [string, string][] {
  const properties: [string, string][] = []
  if (where !== undefined) properties.push(['mqtide-where', mqttText(where, 'where')])
  if (sample !== undefined) properties.push(['mqtide-sample', String(sample)])
  // No more than three decimals, and never as a power of ten.
  if (maxPerSecond !== undefined) properties.push(['mqtide-max-per-second', String(Number(maxPerSecond.toFixed(3)))])
  if (latest !== undefined) properties.push(['mqtide-latest', String(latest)])
  return properties
}

/** The same of the place in a stream. @throws RequestFault */
export function startingAt({ from }: { from?: string }): [string, string][] {
  return from === undefined ? [] : [[startProperty, mqttText(from, 'from')]]
}

/** What could not have come by MQTT. What else may be wrong with a filter is the core's to say. @throws RequestFault */
export function checkFilter(filter: string): void {
  if (!isEncodable(filter)) throw new RequestFault(ReasonCode.topicFilterInvalid, 'filters: not a topic filter')
}

const rules: PublishRules = { sender: 'client', version5: true, limits: unlimited }

/**
 * The PUBLISH that a client of MQTT would have sent.
 *
 * @param newPacketId called at QoS 1, when nothing can be wrong any more
 * @throws RequestFault
 */
export function publishFrameOf(
  operation: PublishOperation,
  packetBytesMax: number,
  newPacketId: () => number,
): PublishFrame {
  const { topic, qos = 0, retain = false, properties = {} } = operation
  checkTopic(topic, 'topic')
  const payload = payloadOf(operation)
  if (payload.length + topic.length > packetBytesMax) throw tooLarge(packetBytesMax)
  const { messageExpiryInterval: expiryIntervalSeconds = -1, ...forwarded } = properties
  const parts = { topic: encodeUtf8(topic), payload, forwardProperties: encodedProperties(forwarded) }
  const options: PublishOptions = {
    ...{ qos, retain, dup: false, packetId: 0, topicAlias: 0, omitTopic: false },
    ...{ expiryIntervalSeconds, subscriptionIdentifiers: [] },
  }
  const { bytes, packetIdAt } = encodePublish(5, parts, options)
  if (bytes.length > packetBytesMax) throw tooLarge(packetBytesMax)
  if (qos > 0) {
    const packetId = newPacketId()
    bytes[packetIdAt] = packetId >> 8
    bytes[packetIdAt + 1] = packetId & 0xff
  }
  const frame = emptyPublishFrame()
  frame.buffer = bytes
  frame.end = bytes.length
  let bodyStart = 2
  while (bytes[bodyStart - 1]! >= 0x80) bodyStart++
  fillPublishFrame(frame, bodyStart, rules)
  return frame
}

function tooLarge(packetBytesMax: number): RequestFault {
  return new RequestFault(ReasonCode.packetTooLarge, `a message has at most ${packetBytesMax} bytes`)
}

function encodedProperties(given: Omit<MessageProperties, 'messageExpiryInterval'>): Uint8Array {
  const { correlationData, ...others } = given
  if (others.contentType !== undefined) mqttText(others.contentType, 'properties.contentType')
  for (const text of (others.userProperties ?? []).flat()) mqttText(text, 'properties.userProperties')
  if (others.responseTopic !== undefined) checkTopic(others.responseTopic, 'properties.responseTopic')
  const properties: Properties = others
  if (correlationData !== undefined) {
    const bytes = bytesOf(correlationData, 'properties.correlationData')
    if (bytes.length > 65_535) {
      throw new RequestFault(ReasonCode.protocolError, 'properties.correlationData: at most 65,535 bytes')
    }
    properties.correlationData = bytes
  }
  return encodeProperties(PacketType.publish, properties)
}

function checkTopic(topic: string, place: string): void {
  if (!isEncodable(topic) || !isValidTopicName(topic)) {
    throw new RequestFault(ReasonCode.topicNameInvalid, `${place}: not a topic name`)
  }
}

function mqttText(text: string, place: string): string {
  if (isEncodable(text)) return text
  const because = 'MQTT carries no U+0000, no half of a surrogate pair and no more than 65,535 bytes'
  throw new RequestFault(ReasonCode.protocolError, `${place}: ${because}`)
}

/** Without an encoding a string is text, and anything else is JSON. */
export function payloadOf({ payload, encoding }: { payload?: unknown; encoding?: string }): Uint8Array {
  if (payload === undefined) return noBytes
  const form = encoding ?? (typeof payload === 'string' ? 'utf8' : 'json')
  if (form === 'json') return Buffer.from(JSON.stringify(payload), 'utf8')
  if (typeof payload !== 'string') {
    throw new RequestFault(ReasonCode.payloadFormatInvalid, `payload: expected a string for ${form}`)
  }
  if (form === 'base64') return bytesOf(payload, 'payload')
  if (payload.isWellFormed()) return Buffer.from(payload, 'utf8')
  throw new RequestFault(ReasonCode.payloadFormatInvalid, 'payload: half of a surrogate pair')
}

function bytesOf(base64: string, place: string): Uint8Array {
  if (!isBase64(base64)) {
    throw new RequestFault(ReasonCode.payloadFormatInvalid, `${place}: expected base64`)
  }
  return Buffer.from(base64, 'base64')
}
