/**
 * From the authority's yes to CONNACK: whose the session is, whether it is this node's, and what the client gets of it.
 */
import { encodeConnack } from '../../mqtt/encoder.ts'
import type { ConnectPacket, Properties } from '../../mqtt/packet.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { gatewayProperty } from '../../mqtt/user-property.ts'
import type { Broker } from '../broker.ts'
import type { Namespace } from '../namespace.ts'
import type { BrokerOptions } from '../options.ts'
import type { Claim } from '../ports/directory.ts'
import { limitsOf, publishRates } from '../publish/publish-rates.ts'
import { OutgoingAliases } from '../publish/send.ts'
import { neverExpires, type Session } from '../session/session.ts'
import { attach, endSession } from '../session/session-lifecycle.ts'
import { discardWill, keptWill, setWill, willBytes } from '../session/will.ts'
import type { Client } from './client.ts'
import { refuse } from './refuse.ts'
import { endForbiddenSubscriptions } from './rights.ts'

/** The authority has said yes. */
export function claimSession(broker: Broker, client: Client): void {
  const { clientId, cleanStart } = client.connect!
  client.times.askAuthority(
    (done) => broker.directory.claim(client.namespace.name, clientId, cleanStart, done),
    onClaim,
    claimTimeout,
  )
}

const claimTimeout: Claim = { reasonCode: ReasonCode.serverUnavailable }

function onClaim(broker: Broker, client: Client, { reasonCode, serverReference }: Claim): void {
  if (reasonCode !== 0) refuse(broker, client, reasonCode, serverReference === undefined ? {} : { serverReference })
  else if (!mayHaveSession(broker, client)) refuse(broker, client, ReasonCode.clientIdentifierNotValid)
  else if (!mayHaveAnother(broker, client)) {
    broker.audit.limited('user_sessions', client)
    refuse(broker, client, ReasonCode.quotaExceeded, { reasonString: 'its user has sessionsMax sessions' })
  } else if (!hasRoom(broker, client, client.connect!)) refuse(broker, client, ReasonCode.quotaExceeded)
  else if (client.link.admit(client.namespace.sessions.get(client.clientId)?.link ?? null))
    accept(broker, client, client.connect!)
  else
    refuse(broker, client, ReasonCode.quotaExceeded, {
      reasonString: 'there is no room for another client (connectionsMax, connectionsPerAddressMax)',
    })
}

/**
 * A session belongs to the principal that made it: whoever else comes with its client id neither gets nor ends it, and neither
 * takes over its connection. One that belongs to nobody goes to the first principal that comes, unless ownership is strict.
 */
function mayHaveSession(broker: Broker, client: Client): boolean {
  const { log, counters, options } = broker
  const { clientId, principal, namespace } = client
  const owner = namespace.sessions.get(clientId)?.principal ?? principal
  if (owner === principal || options.sessionOwnership === 'none') return true
  const fields = { audit: true, clientId, principal, address: client.peer.address }
  if (owner === '' && options.sessionOwnership === 'adopt') {
    counters.sessionsAdopted++
    log.info(fields, 'a session that belonged to nobody is adopted')
    return true
  }
  counters.sessionOwnerRefusals++
  log.warn({ ...fields, owner }, 'refused: the client id is that of a session of somebody else')
  return false
}

/** A session that its principal does not have yet. */
function mayHaveAnother(broker: Broker, client: Client): boolean {
  const { namespace, principal, clientId } = client
  if (principal === '' || namespace.sessions.get(clientId)?.principal === principal) return true
  return namespace.sessionsOf(principal) < (limitsOf(broker, client).sessionsMax ?? Infinity)
}

/** For its session, if that is a new one, and for its will, which takes the place of the one before. */
function hasRoom({ budgets, storeFull }: Broker, { principal, namespace }: Client, packet: ConnectPacket): boolean {
  const { clientId, will, cleanStart } = packet
  const existing = namespace.sessions.get(clientId)
  const known = existing !== undefined && !cleanStart
  // Who comes back may: to take what waits is how room is made.
  const storesAnew = requestedExpiry(packet) > 0 || will !== undefined
  if (storeFull && !known && storesAnew) return false
  const { quotas } = namespace
  if ((existing?.client ?? null) === null && !quotas.connections.admits(1)) return false
  if (existing === undefined) {
    if (!quotas.sessions.admits(1)) return false
    if (!budgets.sessions.admits(1)) return false
    if (principal === '' && !budgets.anonymousSessions.admits(1)) return false
  }
  if (will === undefined) return true
  const before = existing?.will == null ? 0 : willBytes(existing.will.will)
  return budgets.willBytes.admits(willBytes(will) - before)
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
  const [session, sessionPresent] = findSession(broker, client.namespace, packet)
  // The flag's byte follows the type and the length, which these properties keep to one or two bytes.
  // 3.1 has no Session Present: the byte is reserved.
  if (sessionPresent && packet.version > 3) connack[connack[1]! < 0x80 ? 2 : 3] = 1
  session.expiryInterval = expiryInterval
  session.username = packet.username ?? ''
  session.bridge = packet.bridge === true
  applyLimits(broker, client, packet)
  client.session = session
  client.connected = true
  client.namespace.quotas.connections.used++
  client.connect = null
  if (client.principal !== '') broker.adopt(session, client.principal)
  attach(broker, session, client)
  if (sessionPresent && client.grant !== null) endForbiddenSubscriptions(broker, session, client.grant)
  if (packet.will !== undefined) {
    const will = setWill(broker, session, keptWill(packet.will))
    if (journal.durable) {
      if (!session.recorded) journal.session(session, Infinity)
      journal.will(session, will)
    }
  }
  const changed = journal.appended !== appended
  const ticket = changed ? journal.ticket : broker.endings.ticketOf(client.namespace, session.clientId)
  if (ticket === 0) {
    client.link.write(connack)
  } else {
    client.link.hold(connack, ticket, false)
    client.link.holdAll()
  }
  counters.connects.add('success')
  if (broker.hooks !== null) broker.hooks.connected(client, packet, sessionPresent)
  if (sessionPresent) counters.sessionsResumed++
  client.times.startKeepAlive()
  broker.log.info(
    {
      clientId: session.clientId,
      ...session.namespace.logged,
      version: packet.version,
      sessionPresent,
      address: client.peer.address,
    },
    'client connected',
  )
  client.pump()
}

/** Takes over from a connection of the same client, and resumes, replaces or creates the session. */
function findSession(
  broker: Broker,
  namespace: Namespace,
  packet: ConnectPacket,
): [session: Session, present: boolean] {
  namespace.sessions.get(packet.clientId)?.client?.takenOver()
  // The other connection's end may have ended its session.
  const existing = namespace.sessions.get(packet.clientId)
  if (existing !== undefined && !existing.durable) {
    // It ended with the last process, and was kept for its will only: the client is back in time.
    discardWill(broker, existing)
  } else if (existing !== undefined && !packet.cleanStart) {
    // The client is back in time [MQTT-3.1.3-9].
    discardWill(broker, existing)
    return [existing, true]
  }
  if (existing !== undefined) endSession(broker, existing, 'replaced')
  return [broker.createSession(namespace, packet.clientId, packet.version), false]
}

/** Seconds. In 3.x a session lasts for ever or as long as its connection. */
export function requestedExpiry(packet: ConnectPacket): number {
  if (packet.version === 5) return packet.properties.sessionExpiryInterval ?? 0
  return packet.cleanStart ? 0 : neverExpires
}

function applyLimits(broker: Broker, client: Client, packet: ConnectPacket): void {
  const { options } = broker
  const { properties } = packet
  client.keepAlive = boundedKeepAlive(options, packet)
  client.inflightMax = Math.min(options.inflightMessagesMax, properties.receiveMaximum ?? 65_535)
  const aliases = Math.min(properties.topicAliasMaximum ?? 0, options.outgoingTopicAliasMaximum)
  client.rates = publishRates(broker, client)
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
  // A bridge takes no message back to a gateway that has had it.
  if (
    broker.gatewayId !== '' &&
    packet.properties.userProperties?.some(([name]) => name === gatewayProperty) === true
  ) {
    properties.userProperties = [[gatewayProperty, broker.gatewayId]]
  }
  if (client.authenticationMethod !== undefined) properties.authenticationMethod = client.authenticationMethod
  if (client.finalAuthenticationData !== undefined) properties.authenticationData = client.finalAuthenticationData
  return properties
}
