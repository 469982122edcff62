/**
 * `mqtt-packet`, the codec of MQTT.js and aedes, as a second opinion: our packets as its objects and back.
 *
 * It groups user properties by name and can't tell their order, so names must differ for the two to agree; it has flags as
 * booleans where the wire has bytes.
 */
import { createRequire } from 'node:module'
import { encodeProperties } from '../../src/mqtt/encoder.ts'
import { type ConnectPacket, PacketType, type Properties, type SubscribePacket } from '../../src/mqtt/packet.ts'
import { publishProperties } from '../../src/mqtt/publish.ts'
import type { Seen, SeenPacket, SeenPublish, Version } from './packets.ts'

interface PeerPacket {
  cmd: string
  messageId?: number
  reasonCode?: number
  returnCode?: number
  properties?: Record<string, unknown>
  [field: string]: unknown
}

interface PeerParser {
  on(event: string, listener: (value: never) => void): void
  parse(bytes: Buffer): number
}

interface Peer {
  generate(packet: PeerPacket, options: { protocolVersion: Version }): Buffer
  parser(options: { protocolVersion: Version }): PeerParser
}

// Its type declarations know fewer fields than it reads and writes.
const peer = createRequire(import.meta.url)('mqtt-packet') as Peer

const booleans: readonly string[] = [
  'payloadFormatIndicator',
  'requestProblemInformation',
  'requestResponseInformation',
  'retainAvailable',
  'wildcardSubscriptionAvailable',
  'subscriptionIdentifiersAvailable',
  'sharedSubscriptionAvailable',
]
const renamed: Record<string, string> = {
  maximumQos: 'maximumQoS',
  subscriptionIdentifierAvailable: 'subscriptionIdentifiersAvailable',
  subscriptionIdentifiers: 'subscriptionIdentifier',
}
const renamedBack = Object.fromEntries(Object.entries(renamed).map(([ours, theirs]) => [theirs, ours]))

function propertiesToPeer(properties: Properties): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(properties).map(([ours, value]) => {
      const name = renamed[ours] ?? ours
      if (name === 'userProperties') return [name, Object.fromEntries(value as [string, string][])]
      if (booleans.includes(name)) return [name, value === 1]
      return [name, value instanceof Uint8Array ? Buffer.from(value) : value]
    }),
  )
}

function propertiesFromPeer(properties: Record<string, unknown> = {}): Properties {
  return Object.fromEntries(
    Object.entries(properties).map(([theirs, value]) => {
      const name = renamedBack[theirs] ?? theirs
      if (name === 'userProperties') return [name, Object.entries(value as Record<string, string>)]
      if (name === 'subscriptionIdentifiers') return [name, Array.isArray(value) ? value : [value]]
      if (booleans.includes(theirs)) return [name, value ? 1 : 0]
      return [name, value instanceof Uint8Array ? new Uint8Array(value) : value]
    }),
  )
}

/** A PUBLISH with its properties as an object: which order they have on the wire is the sender's choice. */
export interface ComparablePublish extends Omit<SeenPublish, 'properties'> {
  properties: Properties
}
export type Comparable = ComparablePublish | SeenPacket

export function comparable(seen: Seen): Comparable {
  return 'topic' in seen ? { ...seen, properties: publishProperties(Buffer.from(seen.properties, 'hex')) } : seen
}

export function peerEncodes(version: Version, seen: Seen): Buffer {
  return peer.generate(toPeer(version, seen), { protocolVersion: version })
}

function toPeer(version: Version, seen: Seen): PeerPacket {
  if ('topic' in seen) {
    const { topic, qos, retain, dup, packetId, payload } = seen
    const properties = propertiesToPeer(publishProperties(Buffer.from(seen.properties, 'hex')))
    const base = { cmd: 'publish', topic, qos, retain, dup, payload: Buffer.from(payload, 'hex'), properties }
    return qos > 0 ? { ...base, messageId: packetId } : base
  }
  const { type, packetId, reasonCode = 0, properties = {} } = seen
  if (packetId !== undefined)
    return { cmd: type, messageId: packetId, reasonCode, properties: propertiesToPeer(properties) }
  if (type === 'connect') return connectToPeer(seen.packet as ConnectPacket)
  const packet = (seen.packet ?? {}) as Record<string, unknown>
  const base = { cmd: type, properties: propertiesToPeer((packet['properties'] ?? {}) as Properties) }
  const id = { messageId: packet['packetId'] as number }
  const code = packet['reasonCode'] as number
  switch (type) {
    case 'connack':
      return {
        ...base,
        sessionPresent: packet['sessionPresent'],
        ...(version === 5 ? { reasonCode: code } : { returnCode: code }),
      }
    case 'subscribe': {
      const { subscriptions } = packet as unknown as SubscribePacket
      return {
        ...base,
        ...id,
        subscriptions: subscriptions.map(({ topicFilter, qos, noLocal, retainAsPublished, retainHandling }) => {
          return { topic: topicFilter, qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling }
        }),
      }
    }
    case 'unsubscribe':
      return { ...base, ...id, unsubscriptions: packet['topicFilters'] }
    case 'suback':
    case 'unsuback':
      return { ...base, ...id, granted: packet['reasonCodes'] }
    default:
      return { ...base, ...(code !== undefined && { reasonCode: code }) }
  }
}

function connectToPeer(packet: ConnectPacket): PeerPacket {
  const { version, cleanStart, keepAlive, clientId, username, password, will, properties } = packet
  return {
    cmd: 'connect',
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    protocolVersion: version,
    clean: cleanStart,
    keepalive: keepAlive,
    clientId,
    properties: propertiesToPeer(properties),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: Buffer.from(password) }),
    ...(will !== undefined && {
      will: {
        topic: will.topic,
        payload: Buffer.from(will.payload),
        qos: will.qos,
        retain: will.retain,
        properties: propertiesToPeer(will.properties),
      },
    }),
  }
}

/** What it reads, as our sinks see it; undefined where it refuses the bytes or waits for more. */
export function peerDecodes(version: Version, bytes: Buffer): Comparable[] | undefined {
  const seen: Comparable[] = []
  const parser = peer.parser({ protocolVersion: version })
  let refused = false
  parser.on('packet', (packet: PeerPacket) => seen.push(fromPeer(version, packet)))
  parser.on('error', () => {
    refused = true
  })
  try {
    parser.parse(bytes)
  } catch {
    return undefined
  }
  return refused || seen.length === 0 ? undefined : seen
}

function fromPeer(version: Version, peerPacket: PeerPacket): Comparable {
  const { cmd, messageId = 0, reasonCode = 0 } = peerPacket
  const properties = propertiesFromPeer(peerPacket.properties)
  switch (cmd) {
    case 'publish':
      return publishFromPeer(peerPacket, properties)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return { type: cmd, packetId: messageId, reasonCode, properties }
    case 'connect':
      return { type: cmd, packet: connectFromPeer(peerPacket, properties) }
    case 'connack': {
      const code = version === 5 ? reasonCode : peerPacket.returnCode
      return { type: cmd, packet: { sessionPresent: peerPacket['sessionPresent'], reasonCode: code, properties } }
    }
    case 'subscribe': {
      const subscriptions = peerPacket['subscriptions'] as {
        topic: string
        qos: number
        nl?: boolean
        rap?: boolean
        rh?: number
      }[]
      return {
        type: cmd,
        packet: {
          packetId: messageId,
          subscriptions: subscriptions.map(({ topic, qos, nl = false, rap = false, rh = 0 }) => {
            return { topicFilter: topic, qos, noLocal: nl, retainAsPublished: rap, retainHandling: rh }
          }),
          properties,
        },
      }
    }
    case 'unsubscribe':
      return { type: cmd, packet: { packetId: messageId, topicFilters: peerPacket['unsubscriptions'], properties } }
    case 'suback':
    case 'unsuback':
      return { type: cmd, packet: { packetId: messageId, reasonCodes: peerPacket['granted'] ?? [], properties } }
    case 'disconnect':
    case 'auth':
      return { type: cmd, packet: { reasonCode, properties } }
    default:
      return { type: cmd }
  }
}

function publishFromPeer(packet: PeerPacket, properties: Properties): ComparablePublish {
  return {
    type: 'publish',
    topic: packet['topic'] as string,
    qos: packet['qos'] as number,
    retain: packet['retain'] as boolean,
    dup: packet['dup'] as boolean,
    packetId: packet.messageId ?? 0,
    properties,
    payload: (packet['payload'] as Buffer).toString('hex'),
    topicAlias: properties.topicAlias ?? 0,
    messageExpiryInterval: properties.messageExpiryInterval ?? -1,
    subscriptionIdentifiers: properties.subscriptionIdentifiers ?? [],
  }
}

function connectFromPeer(packet: PeerPacket, properties: Properties): ConnectPacket {
  const will = packet['will'] as {
    topic: string
    payload: Buffer
    qos: 0
    retain: boolean
    properties?: Record<string, unknown>
  }
  const willProperties = propertiesFromPeer(will?.properties)
  const { willDelayInterval: _delay, messageExpiryInterval: _expiry, ...forwarded } = willProperties
  return {
    version: packet['protocolVersion'] as Version,
    cleanStart: packet['clean'] as boolean,
    keepAlive: packet['keepalive'] as number,
    clientId: packet['clientId'] as string,
    properties,
    ...(packet['username'] !== undefined && { username: packet['username'] as string }),
    ...(packet['password'] !== undefined && { password: new Uint8Array(packet['password'] as Buffer) }),
    ...(will && {
      will: {
        topic: will.topic,
        payload: new Uint8Array(will.payload),
        qos: will.qos,
        retain: will.retain,
        properties: willProperties,
        forwardProperties: new Uint8Array(encodeProperties(PacketType.publish, forwarded)),
      },
    }),
  }
}
