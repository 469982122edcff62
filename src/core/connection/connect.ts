/**
 * CONNECT to CONNACK: the checks that need no one else, the authority's word, and the session.
 */
import { encodeAuth, encodeConnack } from '../../mqtt/encoder.ts'
import type { ConnectPacket, Properties } from '../../mqtt/packet.ts'
import { ConnectReturnCode, ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { BrokerOptions } from '../options.ts'
import type { ExchangeStep, Verdict } from '../ports/authority.ts'
import { OutgoingAliases } from '../publish/send.ts'
import { neverExpires, type Session } from '../session/session.ts'
import { attach, endSession } from '../session/session-lifecycle.ts'
import { discardWill } from '../session/will.ts'
import type { Client } from './client.ts'

/** A 5.0 reason code in the words of 3.1 and 3.1.1; undefined: they have none, the connection is just closed. */
export function returnCode(reasonCode: number): number | undefined {
  switch (reasonCode) {
    case ReasonCode.unsupportedProtocolVersion:
      return ConnectReturnCode.unacceptableProtocolVersion
    case ReasonCode.clientIdentifierNotValid:
      return ConnectReturnCode.identifierRejected
    case ReasonCode.serverUnavailable:
    case ReasonCode.serverBusy:
    case ReasonCode.quotaExceeded:
    case ReasonCode.useAnotherServer:
    case ReasonCode.serverMoved:
      return ConnectReturnCode.serverUnavailable
    case ReasonCode.badUserNameOrPassword:
    case ReasonCode.badAuthenticationMethod:
      return ConnectReturnCode.badUserNameOrPassword
    case ReasonCode.notAuthorized:
    case ReasonCode.banned:
      return ConnectReturnCode.notAuthorized
    default:
      return undefined
  }
}

/** Answers CONNECT with an error, as the client's protocol has it, and closes [MQTT-3.2.2-7]. */
export function refuse(broker: Broker, client: Client, reasonCode: number, details: Properties = {}): void {
  const properties = client.problemInformation ? details : withoutProblems(details)
  const code = client.version === 5 ? reasonCode : returnCode(reasonCode)
  const version = client.version === 0 ? 4 : client.version
  if (code !== undefined) {
    const connack = { sessionPresent: false, reasonCode: code, properties }
    let frame = encodeConnack(version, connack)
    // What is longer than the client accepts goes without its text [MQTT-3.2.2-19, MQTT-3.2.2-20].
    if (frame.length > client.maximumPacketSize) frame = encodeConnack(version, { ...connack, properties: {} })
    if (frame.length <= client.maximumPacketSize) client.link.write(frame)
  }
  broker.counters.connects.add(reasonName(reasonCode))
  client.end('connect_refused')
}

function withoutProblems(details: Properties): Properties {
  const { reasonString: _reason, userProperties: _user, ...rest } = details
  return rest
}

/** The first packet. Goes on in `accept` when the authority has spoken. */
export function onConnect(broker: Broker, client: Client, packet: ConnectPacket): void {
  client.version = packet.version
  client.problemInformation = packet.properties.requestProblemInformation !== 0
  client.maximumPacketSize = packet.properties.maximumPacketSize ?? Infinity
  const problem = checkConnect(broker, packet)
  if (problem !== undefined) {
    refuse(broker, client, problem)
    return
  }
  if (packet.clientId === '') {
    client.assignedClientId = broker.assignClientId()
    packet.clientId = client.assignedClientId
  }
  client.clientId = packet.clientId
  client.connect = packet
  const method = packet.properties.authenticationMethod
  if (method === undefined) {
    client.askAuthority((done) => broker.authority.authenticate(packet, client.remoteAddress, done), decide)
    return
  }
  client.exchange = broker.authority.beginExchange(method, packet.clientId, packet.username)
  if (client.exchange === null) {
    refuse(broker, client, ReasonCode.badAuthenticationMethod)
    return
  }
  client.authenticationMethod = method
  continueExchange(client, packet.properties.authenticationData)
}

/** The reason to refuse a CONNECT at sight; undefined: none. */
function checkConnect(broker: Broker, packet: ConnectPacket): number | undefined {
  const { options } = broker
  const emptyIdAllowed = packet.version === 5 || (packet.version === 4 && packet.cleanStart)
  // [MQTT-3.1.3-8] of 3.1.1: an empty client id needs Clean Session 1; 3.1 knows none.
  if (packet.clientId === '' && !emptyIdAllowed) return ReasonCode.clientIdentifierNotValid
  const known = broker.sessions.has(packet.clientId) && !packet.cleanStart
  if (broker.storeFull && !known && requestedExpiry(packet) > 0) return ReasonCode.quotaExceeded
  if (packet.will === undefined) return undefined
  if (packet.will.qos > options.maximumQos) return ReasonCode.qosNotSupported
  if (packet.will.retain && !options.retainAvailable) return ReasonCode.retainNotSupported
  if (packet.will.topic.startsWith('$SYS/')) return ReasonCode.notAuthorized
  if (packet.will.topic.split('/').length > options.topicLevelsMax) return ReasonCode.topicNameInvalid
  return undefined
}

export function continueExchange(client: Client, data: Uint8Array | undefined): void {
  client.askAuthority((done) => client.exchange!.next(data, done), onExchangeStep)
}

/** One step of enhanced authentication, within CONNECT or after it (section 4.12). */
function onExchangeStep(broker: Broker, client: Client, step: ExchangeStep): void {
  const authenticationMethod = client.authenticationMethod!
  const properties: Properties = { authenticationMethod }
  if (step.type !== 'failure' && step.data !== undefined) properties.authenticationData = step.data
  switch (step.type) {
    case 'continue':
      sendAuth(broker, client, ReasonCode.continueAuthentication, properties)
      return
    case 'success':
      client.exchange = null
      if (client.connected) {
        if (step.grant !== undefined) client.grant = step.grant
        sendAuth(broker, client, ReasonCode.success, properties)
        return
      }
      client.finalAuthenticationData = step.data
      decide(broker, client, { reasonCode: 0, grant: step.grant ?? null })
      return
    case 'failure': {
      const details = step.reasonString === undefined ? {} : { reasonString: step.reasonString }
      if (client.connected) client.disconnect(step.reasonCode, details)
      else refuse(broker, client, step.reasonCode, details)
      return
    }
    default:
      step satisfies never
  }
}

/** An AUTH larger than the client accepts may not be sent [MQTT-3.1.2-24], and without it the exchange can't go on. */
function sendAuth(broker: Broker, client: Client, reasonCode: number, properties: Properties): void {
  const frame = encodeAuth(reasonCode, properties)
  if (frame.length <= client.maximumPacketSize) client.link.write(frame)
  else if (client.connected) client.disconnect(ReasonCode.packetTooLarge)
  else refuse(broker, client, ReasonCode.packetTooLarge)
}

function decide(broker: Broker, client: Client, verdict: Verdict): void {
  if (verdict.reasonCode !== 0) {
    const details: Properties = {}
    if (verdict.reasonString !== undefined) details.reasonString = verdict.reasonString
    if (verdict.serverReference !== undefined) details.serverReference = verdict.serverReference
    refuse(broker, client, verdict.reasonCode, details)
    return
  }
  client.grant = verdict.grant ?? null
  const will = client.connect!.will
  if (will !== undefined && client.grant?.mayPublish(will.topic, will.qos, will.retain) === false) {
    refuse(broker, client, ReasonCode.notAuthorized)
    return
  }
  accept(broker, client, client.connect!)
}

function accept(broker: Broker, client: Client, packet: ConnectPacket): void {
  const { journal, options, counters } = broker
  const appended = journal.appended
  const requested = requestedExpiry(packet)
  const expiryInterval = Math.min(requested, options.sessionExpirySecondsMax)
  const properties = packet.version === 5 ? connackProperties(broker, client, packet, requested, expiryInterval) : {}
  const connack = encodeConnack(packet.version, { sessionPresent: false, reasonCode: 0, properties })
  if (connack.length > client.maximumPacketSize) {
    // [MQTT-3.1.2-24]: it may not be sent, and without it nothing may follow.
    client.end('connack_too_large')
    return
  }
  const [session, sessionPresent] = findSession(broker, packet)
  // The flag's byte follows the type and the length, which these properties keep to one or two bytes.
  // 3.1 has no Session Present: the byte is reserved.
  if (sessionPresent && packet.version > 3) connack[connack[1]! < 0x80 ? 2 : 3] = 1
  session.expiryInterval = expiryInterval
  session.username = packet.username ?? ''
  applyLimits(broker, client, packet)
  client.session = session
  client.connected = true
  client.connect = null
  attach(broker, session, client)
  if (packet.will !== undefined) {
    session.will = { will: packet.will, deadline: null }
    if (journal.durable) {
      if (!session.recorded) journal.session(session, Infinity)
      journal.will(session, session.will)
    }
  }
  if (journal.appended === appended) {
    client.link.write(connack)
  } else {
    client.link.hold(connack, journal.ticket, false)
    client.link.holdAll()
  }
  counters.connects.add('success')
  if (sessionPresent) counters.sessionsResumed++
  client.startKeepAlive()
  broker.log.info(
    { clientId: session.clientId, version: packet.version, sessionPresent, address: client.remoteAddress },
    'client connected',
  )
  client.pump()
}

/** Takes over from a connection of the same client, and resumes, replaces or creates the session. */
function findSession(broker: Broker, packet: ConnectPacket): [session: Session, present: boolean] {
  broker.sessions.get(packet.clientId)?.client?.takenOver()
  // The other connection's end may have ended its session.
  const existing = broker.sessions.get(packet.clientId)
  if (existing !== undefined && !existing.lasting) {
    // It ended with the last process, and was kept for its will only: the client is back in time.
    discardWill(broker, existing)
  } else if (existing !== undefined && !packet.cleanStart) {
    // The client is back in time [MQTT-3.1.3-9].
    discardWill(broker, existing)
    return [existing, true]
  }
  if (existing !== undefined) endSession(broker, existing)
  return [broker.createSession(packet.clientId, packet.version), false]
}

/** Seconds. In 3.x a session lasts for ever or as long as its connection. */
function requestedExpiry(packet: ConnectPacket): number {
  if (packet.version === 5) return packet.properties.sessionExpiryInterval ?? 0
  return packet.cleanStart ? 0 : neverExpires
}

function applyLimits(broker: Broker, client: Client, packet: ConnectPacket): void {
  const { options } = broker
  const { properties } = packet
  client.keepAlive = boundedKeepAlive(options, packet)
  client.inflightMax = Math.min(options.inflightMessagesMax, properties.receiveMaximum ?? 65_535)
  const aliases = Math.min(properties.topicAliasMaximum ?? 0, options.outgoingTopicAliasMaximum)
  client.outgoingAliases = aliases > 0 ? new OutgoingAliases(aliases) : null
}

/** Seconds; 0: off. Only a 5.0 client can be told to keep alive at shorter intervals than it wants [MQTT-3.1.2-21]. */
function boundedKeepAlive(
  { serverKeepAliveSeconds: bound }: BrokerOptions,
  { version, keepAlive }: ConnectPacket,
): number {
  if (version !== 5 || bound === undefined || bound === 0) return keepAlive
  return keepAlive === 0 ? bound : Math.min(keepAlive, bound)
}

function connackProperties(
  broker: Broker,
  client: Client,
  packet: ConnectPacket,
  requestedExpiryInterval: number,
  expiryInterval: number,
): Properties {
  const { options } = broker
  const properties: Properties = {
    receiveMaximum: options.receiveMaximum,
    maximumPacketSize: options.packetBytesMax,
    topicAliasMaximum: options.topicAliasMaximum,
  }
  if (expiryInterval !== requestedExpiryInterval) properties.sessionExpiryInterval = expiryInterval
  if (options.maximumQos < 2) properties.maximumQos = options.maximumQos
  if (!options.retainAvailable) properties.retainAvailable = 0
  if (!options.wildcardSubscriptionAvailable) properties.wildcardSubscriptionAvailable = 0
  if (!options.sharedSubscriptionAvailable) properties.sharedSubscriptionAvailable = 0
  if (!options.subscriptionIdentifiersAvailable) properties.subscriptionIdentifierAvailable = 0
  if (client.assignedClientId !== undefined) properties.assignedClientIdentifier = client.assignedClientId
  const keepAlive = boundedKeepAlive(options, packet)
  if (keepAlive !== packet.keepAlive) properties.serverKeepAlive = keepAlive
  if (packet.properties.requestResponseInformation === 1 && options.responseInformation !== undefined) {
    properties.responseInformation = options.responseInformation
  }
  if (client.authenticationMethod !== undefined) properties.authenticationMethod = client.authenticationMethod
  if (client.finalAuthenticationData !== undefined) properties.authenticationData = client.finalAuthenticationData
  return properties
}
