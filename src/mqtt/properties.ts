/**
 * The properties of MQTT 5.0, section 2.2.2, as one table: decoder and encoder read everything they know of a property here.
 */
import { PacketType, type Properties } from './packet.ts'

/** Where properties can stand: a packet, or the will inside CONNECT. */
export type PropertyPlace = PacketType | typeof willPlace
export const willPlace = 0

export type PropertyType = 'byte' | 'uint16' | 'uint32' | 'variableByteInteger' | 'string' | 'binary' | 'stringPair'

export interface PropertyDefinition {
  id: number
  name: keyof Properties
  /** The specification's name, for messages. */
  title: string
  type: PropertyType
  /** Bit `1 << place` for each place that may carry it. */
  places: number
  /** For numbers, the least and the greatest value that is no protocol error; undefined: the type's own range. */
  least?: number
  greatest?: number
}

const { connect, connack, publish, puback, pubrec, pubrel, pubcomp } = PacketType
const { subscribe, suback, unsubscribe, unsuback, disconnect, auth } = PacketType
const acknowledgements: readonly PacketType[] = [puback, pubrec, pubrel, pubcomp, suback, unsuback]

function define(
  id: number,
  name: keyof Properties,
  title: string,
  type: PropertyType,
  places: readonly PropertyPlace[],
): PropertyDefinition {
  let bits = 0
  for (const place of places) bits |= 1 << place
  return { id, name, title, type, places: bits }
}

const flag = { least: 0, greatest: 1 }
const notZero = { least: 1 }

/** In the order of table 2-4. Subscription Identifier (in PUBLISH) and User Property may repeat, all others not. */
export const propertyDefinitions: readonly PropertyDefinition[] = [
  { ...define(0x01, 'payloadFormatIndicator', 'Payload Format Indicator', 'byte', [publish, willPlace]), ...flag },
  define(0x02, 'messageExpiryInterval', 'Message Expiry Interval', 'uint32', [publish, willPlace]),
  define(0x03, 'contentType', 'Content Type', 'string', [publish, willPlace]),
  define(0x08, 'responseTopic', 'Response Topic', 'string', [publish, willPlace]),
  define(0x09, 'correlationData', 'Correlation Data', 'binary', [publish, willPlace]),
  {
    ...define(0x0b, 'subscriptionIdentifiers', 'Subscription Identifier', 'variableByteInteger', [publish, subscribe]),
    ...notZero,
  },
  define(0x11, 'sessionExpiryInterval', 'Session Expiry Interval', 'uint32', [connect, connack, disconnect]),
  define(0x12, 'assignedClientIdentifier', 'Assigned Client Identifier', 'string', [connack]),
  define(0x13, 'serverKeepAlive', 'Server Keep Alive', 'uint16', [connack]),
  define(0x15, 'authenticationMethod', 'Authentication Method', 'string', [connect, connack, auth]),
  define(0x16, 'authenticationData', 'Authentication Data', 'binary', [connect, connack, auth]),
  { ...define(0x17, 'requestProblemInformation', 'Request Problem Information', 'byte', [connect]), ...flag },
  define(0x18, 'willDelayInterval', 'Will Delay Interval', 'uint32', [willPlace]),
  { ...define(0x19, 'requestResponseInformation', 'Request Response Information', 'byte', [connect]), ...flag },
  define(0x1a, 'responseInformation', 'Response Information', 'string', [connack]),
  define(0x1c, 'serverReference', 'Server Reference', 'string', [connack, disconnect]),
  define(0x1f, 'reasonString', 'Reason String', 'string', [connack, ...acknowledgements, disconnect, auth]),
  { ...define(0x21, 'receiveMaximum', 'Receive Maximum', 'uint16', [connect, connack]), ...notZero },
  define(0x22, 'topicAliasMaximum', 'Topic Alias Maximum', 'uint16', [connect, connack]),
  { ...define(0x23, 'topicAlias', 'Topic Alias', 'uint16', [publish]), ...notZero },
  { ...define(0x24, 'maximumQos', 'Maximum QoS', 'byte', [connack]), ...flag },
  { ...define(0x25, 'retainAvailable', 'Retain Available', 'byte', [connack]), ...flag },
  define(0x26, 'userProperties', 'User Property', 'stringPair', [
    connect,
    connack,
    publish,
    willPlace,
    subscribe,
    unsubscribe,
    disconnect,
    auth,
    ...acknowledgements,
  ]),
  { ...define(0x27, 'maximumPacketSize', 'Maximum Packet Size', 'uint32', [connect, connack]), ...notZero },
  { ...define(0x28, 'wildcardSubscriptionAvailable', 'Wildcard Subscription Available', 'byte', [connack]), ...flag },
  {
    ...define(0x29, 'subscriptionIdentifierAvailable', 'Subscription Identifier Available', 'byte', [connack]),
    ...flag,
  },
  { ...define(0x2a, 'sharedSubscriptionAvailable', 'Shared Subscription Available', 'byte', [connack]), ...flag },
]

/** The identifiers that the decoder of PUBLISH and the encoders tell apart. */
export const PropertyId = {
  payloadFormatIndicator: 0x01,
  messageExpiryInterval: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  subscriptionIdentifier: 0x0b,
  willDelayInterval: 0x18,
  topicAlias: 0x23,
  userProperty: 0x26,
} as const

/** By id; undefined where no property has it. */
export const propertyById: readonly (PropertyDefinition | undefined)[] = Array.from({ length: 0x2b }, (_, id) =>
  propertyDefinitions.find((definition) => definition.id === id),
)

/** "PUBLISH", "the will": how messages call the place. */
export function placeName(place: PropertyPlace): string {
  return place === willPlace ? 'the will' : packetName(place)
}

/** The control packet's name as the specification writes it; "packet type 0" where there is none. */
export function packetName(type: number): string {
  return packetNames[type] ?? `packet type ${type}`
}

const packetNames: readonly (string | undefined)[] = [
  undefined,
  ...Object.keys(PacketType).map((name) => name.toUpperCase()),
]
