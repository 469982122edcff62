/** An incoming PUBLISH from the wire to the route, and its acknowledgements (sections 3.3 and 4.3). */
import { encodeAck } from '../../mqtt/encoder.ts'
import { PacketType, type PublishFrame } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { drop } from '../drop.ts'
import type { Explainer } from '../explain/explainer.ts'
import type { Address } from '../logs/address.ts'
import { onVerdict } from '../logs/client-verdict.ts'
import { undecided } from '../ports/hooks.ts'
import { rewrittenEntry } from '../rewrite/entrance.ts'
import type { Session } from '../session/session.ts'
import { mayPublishTo } from './may-publish.ts'
import { messageFromFrame } from './message.ts'
import { type PublishOutcome, publishFrame, publishMessage } from './publish.ts'
import { isTopic, type TopicEntry } from './route-cache.ts'

/**
 * A PUBLISH while it is judged and answered: who sent it and what was found out about it. One for the broker, filled anew for
 * each packet, since judging never nests.
 */
export class IncomingPublish {
  client: Client | null = null
  session: Session | null = null
  frame: PublishFrame | null = null
  entry: TopicEntry | null = null
  /** A queue had it already. */
  cameBefore = false
  /** Why it is refused, as a reason code: by the client's grant, its rate, or a hook; 0: it is not; `undecided`: a hook is to say. */
  refusal: number = ReasonCode.success
  /** `entry` is not that of the topic on the wire. */
  isRewritten = false
}

/** Returns the reason code of what became of it. */
export function onPublish(broker: Broker, client: Client, session: Session, frame: PublishFrame): number {
  const { options } = broker
  const { traffic } = client.namespace
  traffic.messagesReceived[frame.qos]!++
  traffic.publishBytesReceived += frame.end - frame.payloadStart
  if (frame.qos > options.maximumQos) {
    throw new ProtocolError(ReasonCode.qosNotSupported, 'PUBLISH above Maximum QoS [MQTT-3.2.2-11]')
  }
  if (frame.retain && !options.retainAvailable) {
    throw new ProtocolError(
      ReasonCode.retainNotSupported,
      'PUBLISH with RETAIN though Retain Available is 0 [MQTT-3.2.2-14]',
    )
  }
  const given = topicOf(broker, client, frame)
  const { rewrite } = given
  const entry = rewrite === null ? given : rewrittenEntry(broker, given, rewrite, session.clientId)
  let refusal = broker.firstVerdict
  if (client.rates?.refuses(frame)) refusal = ReasonCode.quotaExceeded
  if (!mayPublish(client, entry, frame)) refusal = ReasonCode.notAuthorized
  if (refusal === ReasonCode.notAuthorized && options.closeOnRefusedPublish && client.version !== 5) {
    noteRefusal(broker, client, entry, refusal)
    closeIfRefused(broker, client, entry)
  }
  const publish = broker.incomingPublish
  publish.client = client
  publish.session = session
  publish.frame = frame
  publish.entry = entry
  publish.refusal = refusal
  publish.isRewritten = rewrite !== null
  publish.cameBefore = false
  return broker.explainer === null ? accept(broker, publish) : acceptExplained(broker, broker.explainer, publish)
}

/** @throws ProtocolError where a client of 3.x, which has no reason code for it, is not to be answered as if all were well */
function closeIfRefused({ options }: Broker, { version }: Client, { topic }: TopicEntry): void {
  if (options.closeOnRefusedPublish && version !== 5)
    throw new ProtocolError(ReasonCode.notAuthorized, `not authorized to publish to ${topic}`)
}

/** A function of its own: a closure's variables would cost an allocation for each message, also where none is explained. */
function acceptExplained(broker: Broker, explainer: Explainer, publish: IncomingPublish): number {
  let reasonCode: number = ReasonCode.success
  explainer.incoming(publish, () => {
    reasonCode = accept(broker, publish)
  })
  return reasonCode
}

function accept(broker: Broker, publish: IncomingPublish): number {
  const { qos } = publish.frame!
  switch (qos) {
    case 0:
      // [MQTT-4.3.1-1] no answer.
      return route(broker, publish)
    case 1:
      return onPublishQos1(broker, publish)
    case 2:
      return onPublishQos2(broker, publish)
    default:
      return qos satisfies never
  }
}

function mayPublish({ grant }: Client, entry: TopicEntry, { qos, retain }: PublishFrame): boolean {
  const { topic, readOnly, address } = entry
  if (readOnly) return false
  if (address !== null) return mayPublishTo(entry, address, grant, { qos, retain })
  return grant === null || grant.mayPublish(topic, qos, retain)
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
    if (known.live) return known
    const entry = topics.lookup(client.namespace, known.bytes, 0, known.bytes.length)
    client.incomingAliases![topicAlias] = entry
    return entry
  }
  const last = client.lastTopic
  let entry: TopicEntry
  if (last?.live && isTopic(last, buffer, topicStart, topicEnd)) {
    entry = last
  } else {
    entry = topics.lookup(client.namespace, buffer, topicStart, topicEnd)
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
  if (link.inboundInflight >= broker.options.receiveMaximum && wasTold(client)) {
    throw new ProtocolError(ReasonCode.receiveMaximumExceeded, 'more PUBLISH packets unanswered than Receive Maximum')
  }
  link.inboundInflight++
}

/** Whether it knows Receive Maximum: a client of JSON was told of none. */
function wasTold({ version, payloadForm, peer }: Client): boolean {
  return version === 5 && payloadForm === null && peer.relays === undefined
}

/**
 * Answers a PUBLISH or PUBREL: the four bytes, or with the reason for 5.0. The exchange ends with PUBACK, with the PUBREC of an
 * error, and with the PUBCOMP of an identifier that was known.
 */
function answer(client: Client, type: number, packetId: number, reasonCode: number, ticket: number): void {
  const ends = type === PacketType.puback || (type === PacketType.pubrec ? reasonCode >= 0x80 : reasonCode === 0)
  if (reasonCode === 0 || client.version !== 5) {
    client.link.holdAck(type << 4, packetId, ticket, ends)
  } else {
    client.link.hold(encodeAck(5, type as 4, packetId, reasonCode as ReasonCode), ticket, ends)
  }
}

/**
 * Routes what is allowed. What a rule refuses is dropped and counted: a 3.x client, which has no reason codes, is acknowledged
 * all the same [MQTT-3.3.5-2], since it would send the message again for ever. What there is no room for is never acknowledged
 * to it.
 */
function route(broker: Broker, publish: IncomingPublish): number {
  const { client, session, frame, entry, refusal } = publish
  if (refusal !== ReasonCode.success) {
    if (refusal === undecided) return routeAsked(broker, publish)
    if (refusal === ReasonCode.notAuthorized) drop(entry!.topic, 'not_authorized', client!.namespace)
    return noteRefusal(broker, client!, entry!, refusal)
  }
  const { address } = entry!
  if (address?.kind === 'verdict' || address?.kind === 'malformed')
    return noted(broker, publish, answerAddressed(broker, publish, address))
  if (address?.kind === 'queue' && !entry!.namespace.queues.get(address.queue)?.declared) {
    return noted(broker, publish, ReasonCode.topicNameInvalid)
  }
  return answerTo(broker, publish, publishFrame(broker, frame!, client!.version === 5, entry!, session!))
}

/** What a hook of the program makes of it. */
function routeAsked(broker: Broker, publish: IncomingPublish): number {
  const session = publish.session!
  const client = publish.client!
  const entry = publish.entry!
  if (!isMessage(entry)) {
    publish.refusal = ReasonCode.success
    return route(broker, publish)
  }
  const { namespace } = client
  const message = messageFromFrame(publish.frame!, entry, session.clientId, broker.now)
  const answer = broker.hooks!.incoming(session, { message, retain: publish.frame!.retain }, false)
  // Whom the hook disconnects has published nothing.
  const refusal = client.ended ? ReasonCode.notAuthorized : answer
  if (typeof refusal === 'number') {
    publish.refusal = refusal
    drop(entry.topic, 'hook_refused', namespace)
    noteRefusal(broker, client, entry, refusal)
    if (refusal === ReasonCode.notAuthorized) closeIfRefused(broker, client, entry)
    return refusal
  }
  publish.refusal = ReasonCode.success
  if (refusal === null) return route(broker, publish)
  return answerTo(broker, publish, publishMessage(broker, namespace, refusal.message, refusal.retain, session))
}

/** A verdict, what takes a delayed message back, and what is no address are not. */
function isMessage({ address, namespace }: TopicEntry): boolean {
  if (address === null || address.kind === 'delayed') return true
  if (address.kind === 'queue') return namespace.queues.get(address.queue)?.declared === true
  return address.kind !== 'verdict' && address.kind !== 'malformed' && address.kind !== 'cancel'
}

function answerTo(broker: Broker, publish: IncomingPublish, outcome: PublishOutcome): number {
  const { client, frame, entry } = publish
  switch (outcome) {
    case 'delivered':
      return ReasonCode.success
    case 'no-subscribers':
      return ReasonCode.noMatchingSubscribers
    case 'duplicate':
      publish.cameBefore = true
      return ReasonCode.success
    case 'malformed-address':
      return noted(broker, publish, ReasonCode.topicNameInvalid)
    case 'malformed-id':
      return noted(broker, publish, ReasonCode.implementationSpecificError)
    default:
      noteRefusal(broker, client!, entry!, ReasonCode.quotaExceeded)
      if (client!.version !== 5 && frame!.qos > 0) {
        throw new ProtocolError(ReasonCode.quotaExceeded, 'there is no room for the message')
      }
      return ReasonCode.quotaExceeded
  }
}

/** A verdict on a message of a queue, or what is no address. */
function answerAddressed(broker: Broker, { frame, entry, session }: IncomingPublish, address: Address): ReasonCode {
  if (address.kind !== 'verdict') return ReasonCode.topicNameInvalid
  return onVerdict(broker, session!, address, messageFromFrame(frame!, entry!, session!.clientId, broker.now))
}

/** To a 3.x client, which has no reason codes, a verdict about nothing is acknowledged; a topic that is no place ends its connection. */
function noted(broker: Broker, { client, entry }: IncomingPublish, refusal: ReasonCode): ReasonCode {
  if (refusal < 0x80) return refusal
  noteRefusal(broker, client!, entry!, refusal)
  if (client!.version !== 5 && refusal === ReasonCode.topicNameInvalid) {
    throw new ProtocolError(refusal, `${entry!.topic} is nothing that can be published to`)
  }
  return refusal
}

/** Returns the reason. */
function noteRefusal({ counters, audit }: Broker, client: Client, { topic }: TopicEntry, refusal: number): number {
  const reason = reasonName(refusal)
  counters.publishesRefused.add(reason)
  audit.refused('publish', client, topic, reason)
  return refusal
}

function onPublishQos1(broker: Broker, publish: IncomingPublish): number {
  const { journal } = broker
  const client = publish.client!
  const { packetId } = publish.frame!
  enterWindow(broker, client)
  const appended = journal.appended
  const reasonCode = route(broker, publish)
  const ticket = journal.appended === appended ? 0 : journal.ticket
  if (publish.cameBefore) answerAgain(client, PacketType.puback, packetId, ticket)
  else answer(client, PacketType.puback, packetId, reasonCode, ticket)
  return reasonCode
}

/** The message came before: it is told that all is well, and why nothing new comes of it. */
function answerAgain(client: Client, type: 4 | 5, packetId: number, ticket: number): void {
  const { link, version, problemInformation } = client
  const ends = type === PacketType.puback
  if (version !== 5 || !problemInformation) answer(client, type, packetId, ReasonCode.success, ticket)
  else link.hold(encodeAck(5, type, packetId, ReasonCode.success, { reasonString: 'duplicate' }), ticket, ends)
}

/** Method A of figure 4.3: the message goes on at PUBLISH, its identifier is kept until PUBREL [MQTT-4.3.3-10]. */
function onPublishQos2(broker: Broker, publish: IncomingPublish): number {
  const { journal } = broker
  const client = publish.client!
  const session = publish.session!
  const { packetId } = publish.frame!
  session.incoming ??= new Map()
  const known = session.incoming.get(packetId)
  if (known !== undefined) {
    // Sent again: it waits for the same commit as the first, and is not delivered again.
    answer(client, PacketType.pubrec, packetId, 0, known)
    return ReasonCode.success
  }
  enterWindow(broker, client)
  const appended = journal.appended
  const reasonCode = route(broker, publish)
  const accepted = reasonCode < 0x80
  if (accepted && session.stored) journal.incoming(session, packetId)
  const ticket = journal.appended === appended ? 0 : journal.ticket
  if (accepted) session.incoming.set(packetId, ticket)
  if (publish.cameBefore) answerAgain(client, PacketType.pubrec, packetId, ticket)
  else answer(client, PacketType.pubrec, packetId, reasonCode, ticket)
  return reasonCode
}

export function onPubrel(broker: Broker, client: Client, session: Session, packetId: number): void {
  const { journal } = broker
  const known = session.incoming?.delete(packetId) ?? false
  if (!known) {
    // [MQTT-4.3.3-11]: answered all the same, behind a PUBCOMP that still waits for its commit.
    answer(client, PacketType.pubcomp, packetId, ReasonCode.packetIdentifierNotFound, 0)
    return
  }
  let ticket = 0
  if (session.stored) {
    journal.incomingEnd(session, packetId)
    ticket = journal.ticket
  }
  answer(client, PacketType.pubcomp, packetId, ReasonCode.success, ticket)
}
