/**
 * The control packets as values. Names are the specification's.
 *
 * All packets but PUBLISH and its acknowledgements are plain objects, made once per packet. PUBLISH, the hot one, is a
 * `PublishFrame`: a single mutable view that the decoder fills again for each packet and that is valid only until the sink
 * method returns. The four acknowledgements reach the sink as numbers.
 */

export const PacketType = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const
export type PacketType = (typeof PacketType)[keyof typeof PacketType]

/** The protocol level byte of CONNECT: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0. */
export type ProtocolVersion = 3 | 4 | 5
export type Qos = 0 | 1 | 2
export type UserProperty = readonly [name: string, value: string]

/** MQTT 5.0 properties, section 2.2.2.2. Intervals are seconds, sizes bytes; flags are 0 or 1 as on the wire. */
export interface Properties {
  payloadFormatIndicator?: number
  messageExpiryInterval?: number
  contentType?: string
  responseTopic?: string
  correlationData?: Uint8Array
  /** More than one only in a PUBLISH from a server. */
  subscriptionIdentifiers?: readonly number[]
  sessionExpiryInterval?: number
  assignedClientIdentifier?: string
  serverKeepAlive?: number
  authenticationMethod?: string
  authenticationData?: Uint8Array
  requestProblemInformation?: number
  willDelayInterval?: number
  requestResponseInformation?: number
  responseInformation?: string
  serverReference?: string
  reasonString?: string
  receiveMaximum?: number
  topicAliasMaximum?: number
  topicAlias?: number
  maximumQos?: number
  retainAvailable?: number
  /** In the order of the wire [MQTT-3.3.2-18]. */
  userProperties?: readonly UserProperty[]
  maximumPacketSize?: number
  wildcardSubscriptionAvailable?: number
  subscriptionIdentifierAvailable?: number
  sharedSubscriptionAvailable?: number
}

export interface Will {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  properties: Properties
  /**
   * The will's properties that a receiver of the published will gets, encoded, in the order of the wire: all but Will Delay
   * Interval and Message Expiry Interval. Empty for 3.x.
   */
  forwardProperties: Uint8Array
}

export interface ConnectPacket {
  version: ProtocolVersion
  /** Clean Session in 3.x. */
  cleanStart: boolean
  /** Seconds; 0 switches it off. */
  keepAlive: number
  clientId: string
  username?: string
  password?: Uint8Array
  will?: Will
  /** Of 3.x: it says that it is a bridge, by bit 7 of the protocol level. */
  bridge?: true
  properties: Properties
}

export interface ConnackPacket {
  sessionPresent: boolean
  /** A 5.0 reason code, or a 3.x return code. */
  reasonCode: number
  properties: Properties
}

export interface SubscriptionRequest {
  topicFilter: string
  qos: Qos
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  packetId: number
  subscriptions: readonly SubscriptionRequest[]
  properties: Properties
}

export interface SubackPacket {
  packetId: number
  reasonCodes: readonly number[]
  properties: Properties
}

export interface UnsubscribePacket {
  packetId: number
  topicFilters: readonly string[]
  properties: Properties
}

/** `reasonCodes` is empty in 3.x. */
export type UnsubackPacket = SubackPacket

export interface DisconnectPacket {
  reasonCode: number
  properties: Properties
}

export type AuthPacket = DisconnectPacket

/**
 * A PUBLISH in place. All offsets are into `buffer`. The topic's UTF-8 is not yet validated (whoever looks the topic up does
 * that once per distinct topic); everything else is.
 */
export interface PublishFrame {
  buffer: Uint8Array
  /** First byte of the fixed header. */
  start: number
  /** One past the last byte of the payload. */
  end: number
  qos: Qos
  retain: boolean
  dup: boolean
  topicStart: number
  topicEnd: number
  /** 0 at QoS 0. */
  packetId: number
  /** Offset of the packet identifier's first byte; 0 at QoS 0. */
  packetIdAt: number
  /** The properties without their length; empty (start = end) in 3.x. */
  propertiesStart: number
  propertiesEnd: number
  payloadStart: number
  /** 0: no alias. */
  topicAlias: number
  /** Seconds; -1: none. */
  messageExpiryInterval: number
  /** Offset of the Message Expiry Interval property's identifier byte; -1: none. */
  messageExpiryAt: number
  /** Offset of the Topic Alias property's identifier byte; -1: none. */
  topicAliasAt: number
  /** From a server only; empty otherwise. */
  subscriptionIdentifiers: readonly number[]
}

/** What receives the packets of one connection, in the order of the wire. A server's sink throws for packets it must not get. */
export interface PacketSink {
  onConnect(packet: ConnectPacket): void
  onConnack(packet: ConnackPacket): void
  onPublish(frame: PublishFrame): void
  onPuback(packetId: number, reasonCode: number, properties: Properties): void
  onPubrec(packetId: number, reasonCode: number, properties: Properties): void
  onPubrel(packetId: number, reasonCode: number, properties: Properties): void
  onPubcomp(packetId: number, reasonCode: number, properties: Properties): void
  onSubscribe(packet: SubscribePacket): void
  onSuback(packet: SubackPacket): void
  onUnsubscribe(packet: UnsubscribePacket): void
  onUnsuback(packet: UnsubackPacket): void
  onPingreq(): void
  onPingresp(): void
  onDisconnect(packet: DisconnectPacket): void
  onAuth(packet: AuthPacket): void
}

/** Shared by all packets without properties, so that none is allocated for them. */
export const noProperties: Properties = Object.freeze({})
export const noBytes: Uint8Array = new Uint8Array(0)
