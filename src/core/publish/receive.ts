/** An incoming PUBLISH from the wire to the route, and its acknowledgements (sections 3.3 and 4.3). */
import { encodeAck } from '../../mqtt/encoder.ts'
import { PacketType, type PublishFrame } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { drop } from '../drop.ts'
import type { Session } from '../session/session.ts'
import { publishFrame } from './publish.ts'
import { isTopic, type TopicEntry } from './route-cache.ts'

export function onPublish(broker: Broker, client: Client, session: Session, frame: PublishFrame): void {
  const { counters, options } = broker
  counters.messagesReceived[frame.qos]!++
  counters.publishBytesReceived += frame.end - frame.payloadStart
  if (frame.qos > options.maximumQos) {
    throw new ProtocolError(ReasonCode.qosNotSupported, 'PUBLISH above Maximum QoS [MQTT-3.2.2-11]')
  }
  if (frame.retain && !options.retainAvailable) {
    throw new ProtocolError(
      ReasonCode.retainNotSupported,
      'PUBLISH with RETAIN though Retain Available is 0 [MQTT-3.2.2-14]',
    )
  }
  const entry = topicOf(broker, client, frame)
  const refused = !mayPublish(client, entry.topic)
  if (refused && client.version !== 5) {
    throw new ProtocolError(ReasonCode.notAuthorized, `not authorized to publish to ${entry.topic}`)
  }
  switch (frame.qos) {
    case 0:
      // [MQTT-4.3.1-1] no answer.
      if (refused) drop(broker, null, 'not_authorized', null)
      else publishFrame(broker, frame, client.version === 5, entry, session)
      return
    case 1:
      onPublishQos1(broker, client, session, frame, entry, refused)
      return
    case 2:
      onPublishQos2(broker, client, session, frame, entry, refused)
      return
    default:
      frame.qos satisfies never
  }
}

/** The server's own topics are read only. */
function mayPublish(client: Client, topic: string): boolean {
  if (topic.charCodeAt(0) === 0x24 && topic.startsWith('$SYS/')) return false
  return client.grant === null || client.grant.mayPublish(topic)
}

/** The topic by name or by alias (section 3.3.2.3.4). */
function topicOf(broker: Broker, client: Client, frame: PublishFrame): TopicEntry {
  const { topics, options } = broker
  const { buffer, topicStart, topicEnd, topicAlias } = frame
  if (topicAlias > options.topicAliasMaximum) {
    throw new ProtocolError(ReasonCode.topicAliasInvalid, 'topic alias above Topic Alias Maximum [MQTT-3.3.2-9]')
  }
  if (topicStart === topicEnd) {
    const known = client.incomingAliases?.[topicAlias]
    if (known === undefined) {
      throw new ProtocolError(ReasonCode.protocolError, 'topic alias that was not set on this connection')
    }
    if (known.epoch === topics.epoch) return known
    const entry = topics.lookup(known.bytes, 0, known.bytes.length)
    client.incomingAliases![topicAlias] = entry
    return entry
  }
  const last = client.lastTopic
  let entry: TopicEntry
  if (last !== null && last.epoch === topics.epoch && isTopic(last, buffer, topicStart, topicEnd)) {
    entry = last
  } else {
    entry = topics.lookup(buffer, topicStart, topicEnd)
    client.lastTopic = entry
  }
  if (topicAlias > 0) {
    client.incomingAliases ??= []
    client.incomingAliases[topicAlias] = entry
  }
  return entry
}

/** [MQTT-3.3.4-9] of the client's side: it may not have more unanswered than it was told. */
function enterWindow(broker: Broker, client: Client): void {
  const { link } = client
  if (client.version === 5 && link.inboundInflight >= broker.options.receiveMaximum) {
    throw new ProtocolError(ReasonCode.receiveMaximumExceeded, 'more PUBLISH packets unanswered than Receive Maximum')
  }
  link.inboundInflight++
}

/** Ends a PUBLISH with its acknowledgement: the four bytes, or with the reason for 5.0. */
function answer(
  client: Client,
  type: number,
  packetId: number,
  reasonCode: number,
  ticket: number,
  ends: boolean,
): void {
  if (reasonCode === 0 || client.version !== 5) {
    client.link.holdAck(type << 4, packetId, ticket, ends)
  } else {
    client.link.hold(encodeAck(5, type as 4, packetId, reasonCode as ReasonCode), ticket, ends)
  }
}

function route(
  broker: Broker,
  client: Client,
  session: Session,
  frame: PublishFrame,
  entry: TopicEntry,
  refused: boolean,
): number {
  if (refused) {
    drop(broker, null, 'not_authorized', null)
    return ReasonCode.notAuthorized
  }
  switch (publishFrame(broker, frame, client.version === 5, entry, session)) {
    case 'delivered':
      return ReasonCode.success
    case 'no-subscribers':
      return ReasonCode.noMatchingSubscribers
    default:
      if (client.version !== 5)
        throw new ProtocolError(ReasonCode.quotaExceeded, 'a recipient has no room for the message')
      return ReasonCode.quotaExceeded
  }
}

function onPublishQos1(
  broker: Broker,
  client: Client,
  session: Session,
  frame: PublishFrame,
  entry: TopicEntry,
  refused: boolean,
): void {
  const { journal } = broker
  enterWindow(broker, client)
  const appended = journal.appended
  const { packetId } = frame
  const reasonCode = route(broker, client, session, frame, entry, refused)
  const ticket = journal.appended === appended ? 0 : journal.ticket
  answer(client, PacketType.puback, packetId, reasonCode, ticket, true)
}

/** Method A of figure 4.3: the message goes on at PUBLISH, its identifier is kept until PUBREL [MQTT-4.3.3-10]. */
function onPublishQos2(
  broker: Broker,
  client: Client,
  session: Session,
  frame: PublishFrame,
  entry: TopicEntry,
  refused: boolean,
): void {
  const { journal } = broker
  const { packetId } = frame
  session.incoming ??= new Map()
  const known = session.incoming.get(packetId)
  if (known !== undefined) {
    // Sent again: it waits for the same commit as the first, and is not delivered again.
    answer(client, PacketType.pubrec, packetId, 0, known, false)
    return
  }
  enterWindow(broker, client)
  const appended = journal.appended
  const reasonCode = route(broker, client, session, frame, entry, refused)
  const accepted = reasonCode < 0x80
  if (accepted && session.stored) journal.incoming(session, packetId)
  const ticket = journal.appended === appended ? 0 : journal.ticket
  if (accepted) session.incoming.set(packetId, ticket)
  answer(client, PacketType.pubrec, packetId, reasonCode, ticket, !accepted)
}

export function onPubrel(broker: Broker, client: Client, session: Session, packetId: number): void {
  const { journal } = broker
  const known = session.incoming?.delete(packetId) ?? false
  if (!known) {
    // [MQTT-4.3.3-11]: answered all the same, behind a PUBCOMP that still waits for its commit.
    answer(client, PacketType.pubcomp, packetId, ReasonCode.packetIdentifierNotFound, 0, false)
    return
  }
  let ticket = 0
  if (session.stored) {
    journal.incomingEnd(session, packetId)
    ticket = journal.ticket
  }
  answer(client, PacketType.pubcomp, packetId, ReasonCode.success, ticket, true)
}
