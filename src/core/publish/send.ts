/** Encodes and writes PUBLISH and PUBREL for one client, within its Maximum Packet Size and with its topic aliases. */
import { encodeJsonMessage, withIdentifiers } from '../../json/json-message.ts'
import { encodeAck } from '../../mqtt/encoder.ts'
import { PacketType, type Qos } from '../../mqtt/packet.ts'
import { encodePublish, type PublishParts, publishSize } from '../../mqtt/publish.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { drop } from '../drop.ts'
import type { Delivery } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import { packetIdOf } from '../session/window.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { type Message, remainingExpiry } from './message.ts'

/** Topic aliases towards one 5.0 client: given to the first topics it gets, as many as it allows, for the connection's life. */
export class OutgoingAliases {
  readonly #aliases = new Map<string, number>()
  readonly #maximum: number
  /** Whether the alias that `of` returned last is known to the client already, so that the topic may be left out. */
  known = false

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /** 0: no alias is left. */
  of(topic: string): number {
    const alias = this.#aliases.get(topic)
    this.known = alias !== undefined
    if (alias !== undefined) return alias
    if (this.#aliases.size >= this.#maximum) return 0
    this.#aliases.set(topic, this.#aliases.size + 1)
    return this.#aliases.size
  }

  /** What an alias stands for, for whoever looks on. */
  topicOf(alias: number): string | undefined {
    for (const [topic, given] of this.#aliases) if (given === alias) return topic
    return undefined
  }

  /** The PUBLISH that would have introduced the alias was not sent. */
  forget(topic: string): void {
    this.#aliases.delete(topic)
  }
}

interface OutgoingPublish {
  qos: Qos
  retain: boolean
  dup: boolean
  packetId: number
  expiryIntervalSeconds: number
  subscriptionIdentifiers: readonly number[]
}

/** Sends the publication that is being routed. False: it is larger than the client accepts, and was dropped [MQTT-3.1.2-25]. */
export function sendPublication(
  broker: Broker,
  client: Client,
  recipient: Subscription,
  qos: Qos,
  packetId: number,
): boolean {
  const { publication } = broker
  const retain = publication.retain && recipient.retainAsPublished
  const firstByte = (PacketType.publish << 4) | (qos << 1) | (retain ? 1 : 0)
  if (client.payloadForm !== null) {
    const shared = publication.json(broker, client.payloadForm, qos, retain)
    const { identifiers } = recipient
    const { bytes, packetIdAt } = identifiers.length === 0 ? shared : withIdentifiers(shared, identifiers)
    if (bytes.length > client.maximumPacketSize) return tooLarge(client, publication.entry!.topic)
    client.link.writePublish(bytes, 0, bytes.length, firstByte, packetIdAt, packetId)
    return countSent(client, qos, publication.payloadLength)
  }
  const { frame } = publication
  const is5 = client.version === 5
  const plain = !is5 || (recipient.identifiers.length === 0 && client.outgoingAliases === null)
  if (frame !== null && plain && publication.verbatim && qos === frame.qos && is5 === publication.version5) {
    const length = frame.end - frame.start
    if (length > client.maximumPacketSize) return tooLarge(client, publication.entry!.topic)
    client.link.writePublish(frame.buffer, frame.start, frame.end, firstByte, frame.packetIdAt, packetId)
  } else if (client.outgoingAliases !== null) {
    const expiryIntervalSeconds = publication.expiryInterval
    const subscriptionIdentifiers = recipient.identifiers
    const outgoing = { qos, retain, dup: false, packetId, expiryIntervalSeconds, subscriptionIdentifiers }
    if (!sendParts(client, publication.entry!.topic, publication.parts, outgoing)) return false
  } else {
    const { bytes, packetIdAt } = publication.encoded(client.version || 4, qos, recipient.identifiers)
    if (bytes.length > client.maximumPacketSize) return tooLarge(client, publication.entry!.topic)
    client.link.writePublish(bytes, 0, bytes.length, firstByte, packetIdAt, packetId)
  }
  return countSent(client, qos, publication.payloadLength)
}

export function countSent({ namespace: { traffic } }: Client, qos: Qos, payloadBytes: number): true {
  traffic.messagesSent[qos]!++
  traffic.publishBytesSent += payloadBytes
  return true
}

/** Sends a delivery from the queue. False: it is larger than the client accepts. */
export function sendDelivery(broker: Broker, session: Session, delivery: Delivery, packetId: number): boolean {
  const message = delivery.message!
  const client = session.client!
  const parts = partsOf(client, delivery)
  const sent = sendMessage(broker, client, message, parts, outgoingOf(delivery, packetId, broker.now))
  return sent && countSent(client, delivery.qos, message.payload.length)
}

/** What the client gets of it: of a message of a queue or a stream, what we say of it too. */
function partsOf({ version }: Client, { lease, message }: Delivery): PublishParts {
  return lease === null || version !== 5 ? message! : lease.parts
}

function outgoingOf(
  { message, lease, qos, retain, dup, identifiers }: Delivery,
  packetId: number,
  now: number,
): OutgoingPublish {
  const expiryIntervalSeconds = lease !== null && !lease.expires ? -1 : remainingExpiry(message!, now)
  return { qos, retain, dup, packetId, expiryIntervalSeconds, subscriptionIdentifiers: identifiers }
}

/** Whether it is no larger than the client accepts. */
export function fits(client: Client, delivery: Delivery, now: number): boolean {
  if (client.maximumPacketSize === Infinity) return true
  const options = {
    ...outgoingOf(delivery, 1, now),
    topicAlias: client.outgoingAliases === null ? 0 : 1,
    omitTopic: false,
  }
  return publishSize(client.version || 4, partsOf(client, delivery), options) <= client.maximumPacketSize
}

/** Sends a message that is not being routed, at QoS 0. */
export function sendQos0(
  broker: Broker,
  client: Client,
  message: Message,
  retain: boolean,
  subscriptionIdentifiers: readonly number[],
): void {
  const expiryIntervalSeconds = remainingExpiry(message, broker.now)
  const outgoing = { qos: 0, retain, dup: false, packetId: 0, expiryIntervalSeconds, subscriptionIdentifiers } as const
  if (sendMessage(broker, client, message, message, outgoing)) countSent(client, 0, message.payload.length)
}

function sendParts(client: Client, topic: string, parts: PublishParts, outgoing: OutgoingPublish): boolean {
  const aliases = client.outgoingAliases
  const topicAlias = aliases === null ? 0 : aliases.of(topic)
  const omitTopic = topicAlias > 0 && aliases!.known
  const { bytes } = encodePublish(client.version || 4, parts, { ...outgoing, topicAlias, omitTopic })
  if (bytes.length > client.maximumPacketSize) {
    if (topicAlias > 0 && !omitTopic) aliases!.forget(topic)
    return tooLarge(client, topic)
  }
  client.link.write(bytes)
  return true
}

export function sendMessage(
  broker: Broker,
  client: Client,
  message: Message,
  parts: PublishParts,
  outgoing: OutgoingPublish,
): boolean {
  if (client.payloadForm === null) return sendParts(client, message.name, parts, outgoing)
  const { qos, retain, dup, packetId, subscriptionIdentifiers: identifiers } = outgoing
  const at = broker.wallTime(message.publishedAt)
  const { bytes, packetIdAt } = encodeJsonMessage(parts, {
    ...{ form: client.payloadForm, qos, retain, dup, packetId, identifiers, at },
  })
  if (bytes.length > client.maximumPacketSize) return tooLarge(client, message.name)
  client.link.writePublish(bytes, 0, bytes.length, PacketType.publish << 4, packetIdAt, packetId)
  return true
}

export function tooLarge(client: Client, topic: string): false {
  drop(topic, 'too_large', client.session ?? client.namespace)
  return false
}

export function releaseFrame(session: Session, position: number): Uint8Array {
  return encodeAck(session.version, PacketType.pubrel, packetIdOf(position))
}
