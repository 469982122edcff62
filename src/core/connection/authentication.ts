/**
 * Who the client is: one question to the authority, or an enhanced authentication exchange within CONNECT or after it (section
 * 4.12). The answer is an admission: a principal, a grant, limits, and until when it holds.
 */
import { encodeAuth } from '../../mqtt/encoder.ts'
import { type AuthPacket, type ConnectPacket, PacketType, type Properties, type Will } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { mayCarry } from '../../mqtt/reason-code-places.ts'
import { sayable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { defaultNamespaceName } from '../namespace.ts'
import type { Admission, ExchangeStep, Verdict } from '../ports/authority.ts'
import { mayPublishWill } from '../publish/may-publish.ts'
import { publishRates } from '../publish/publish-rates.ts'
import { rewrittenTopic } from '../rewrite/entrance.ts'
import { claimSession } from './accept.ts'
import type { Client } from './client.ts'
import { refuse } from './refuse.ts'
import { changeGrant } from './rights.ts'

/** An authority that does not answer in time has not said yes. */
const verdictTimeout: Verdict = { reasonCode: ReasonCode.serverUnavailable }
const stepTimeout: ExchangeStep = { type: 'failure', reasonCode: ReasonCode.serverUnavailable }

export function authenticate(broker: Broker, client: Client, packet: ConnectPacket): void {
  if (client.peer.admission !== undefined) {
    admit(broker, client, client.peer.admission)
    return
  }
  const method = packet.properties.authenticationMethod
  if (method === undefined) {
    client.times.askAuthority(
      (done) => broker.authority.authenticate(packet, client.peer, done),
      onVerdict,
      verdictTimeout,
    )
    return
  }
  const { clientId, username } = packet
  client.exchange = broker.authority.beginExchange(method, { clientId, username, peer: client.peer, renews: false })
  if (client.exchange === null) {
    refuse(broker, client, ReasonCode.badAuthenticationMethod)
    return
  }
  client.authenticationMethod = method
  continueExchange(client, packet.properties.authenticationData)
}

/** Goes on with an exchange, or begins another one to stay. */
export function onAuth(broker: Broker, client: Client, packet: AuthPacket): void {
  const { authenticationMethod, authenticationData } = packet.properties
  const { clientId, peer, session } = client
  if (client.authenticationMethod === undefined) {
    throw new ProtocolError(
      ReasonCode.protocolError,
      'AUTH from a client that connected without an authentication method',
    )
  }
  if (authenticationMethod !== client.authenticationMethod) {
    throw new ProtocolError(ReasonCode.protocolError, 'AUTH names another method than CONNECT did [MQTT-4.12.0-5]')
  }
  if (packet.reasonCode === ReasonCode.reAuthenticate && client.connected && client.exchange === null) {
    const claimant = { clientId, username: session?.username, peer, renews: true }
    client.exchange = broker.authority.beginExchange(client.authenticationMethod, claimant)
    if (client.exchange === null) {
      throw new ProtocolError(ReasonCode.badAuthenticationMethod, 'the authentication method can not begin anew')
    }
  } else if (packet.reasonCode !== ReasonCode.continueAuthentication || client.exchange === null) {
    throw new ProtocolError(ReasonCode.protocolError, 'AUTH does not continue an exchange')
  }
  continueExchange(client, authenticationData)
}

function continueExchange(client: Client, data: Uint8Array | undefined): void {
  client.times.askAuthority((done) => client.exchange!.next(data, done), onExchangeStep, stepTimeout)
}

function onVerdict(broker: Broker, client: Client, verdict: Verdict): void {
  if (verdict.reasonCode === 0) {
    admit(broker, client, verdict)
    return
  }
  const details: Properties = {}
  if (verdict.reasonString !== undefined) details.reasonString = sayable(verdict.reasonString)
  if (verdict.serverReference !== undefined) details.serverReference = verdict.serverReference
  refuse(broker, client, verdict.reasonCode, details)
}

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
      if (!client.connected) {
        client.finalAuthenticationData = step.data
        admit(broker, client, step)
      } else if (renew(broker, client, step)) {
        sendAuth(broker, client, ReasonCode.success, properties)
      }
      return
    case 'failure': {
      const details = step.reasonString === undefined ? {} : { reasonString: sayable(step.reasonString) }
      if (!client.connected) refuse(broker, client, step.reasonCode, details)
      else {
        broker.counters.renewals.add('no')
        client.disconnect(forDisconnect(step.reasonCode), details)
      }
      return
    }
    default:
      step satisfies never
  }
}

/** A DISCONNECT can't carry all that a CONNACK can, as 0x86 and 0x88. */
function forDisconnect(reasonCode: number): number {
  return mayCarry(PacketType.disconnect, 'server', reasonCode) ? reasonCode : ReasonCode.notAuthorized
}

/** An AUTH larger than the client accepts may not be sent [MQTT-3.1.2-24], and without it the exchange can't go on. */
function sendAuth(broker: Broker, client: Client, reasonCode: number, properties: Properties): void {
  const frame = encodeAuth(reasonCode, properties)
  if (frame.length <= client.maximumPacketSize) client.link.write(frame)
  else if (client.connected) client.disconnect(ReasonCode.packetTooLarge)
  else refuse(broker, client, ReasonCode.packetTooLarge)
}

function admit(broker: Broker, client: Client, admission: Admission): void {
  client.grant = admission.grant ?? null
  client.principal = admission.principal ?? ''
  client.limits = admission.limits
  if (!enterNamespace(broker, client, admission)) return
  const will = client.connect!.will
  if (will !== undefined && !rewriteWill(broker, client, will)) {
    refuse(broker, client, ReasonCode.topicNameInvalid)
    return
  }
  const forbiddenWill =
    will !== undefined &&
    (client.namespace.isReadOnly(will.topic) || !mayPublishWill(client.namespace, client.grant, will))
  if (forbiddenWill || hasExpired(broker, admission)) {
    refuse(broker, client, ReasonCode.notAuthorized)
    return
  }
  client.times.setExpiry(admission.expiresAt ?? Infinity)
  claimSession(broker, client)
}

/** Its topic is rewritten now, so that its rights are asked for where it goes. False: that can be no topic. */
function rewriteWill(broker: Broker, client: Client, will: Will): boolean {
  try {
    will.topic = rewrittenTopic(broker, client.namespace, will.topic, client.clientId)
    return true
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return false
  }
}

/**
 * The authority's word and the listener's must not contradict each other: whoever belongs elsewhere does not get in by it. Nor is a
 * namespace made because somebody names it.
 */
function enterNamespace(broker: Broker, client: Client, admission: Admission): boolean {
  const { namespace: ofListener } = client.peer
  const name = namespaceNameOf(client, admission)
  const namespace = broker.namespaces.get(name)
  if (namespace?.open === true && (ofListener === undefined || ofListener === name)) {
    client.namespace = namespace
    client.isInNamespace = true
    if (!broker.bans.refusesIn(name, client.clientId)) return true
    refuse(broker, client, ReasonCode.banned)
    return false
  }
  broker.audit.refused('connect', client, name, namespace?.open === true ? 'not_behind_this_listener' : 'no_namespace')
  broker.counters.namespaceRefusals++
  refuse(broker, client, ReasonCode.notAuthorized)
  return false
}

function namespaceNameOf({ peer }: Client, { namespace }: Admission): string {
  return namespace ?? peer.namespace ?? defaultNamespaceName
}

/**
 * After re-authentication. What the answer does not name stays, but for the expiry: it is said anew or there is none. An answer that
 * names the principal says where it belongs as well, as it would at CONNECT: what does not open a namespace does not keep one open.
 */
function renew(broker: Broker, client: Client, admission: Admission): boolean {
  const { principal = client.principal, grant, limits } = admission
  const isSilent = admission.principal === undefined && admission.namespace === undefined
  const namespace = isSilent ? client.namespace.name : namespaceNameOf(client, admission)
  // The session belongs to the principal that it was opened for.
  const refusal =
    principal !== client.principal
      ? 'other_principal'
      : namespace !== client.namespace.name
        ? 'other_namespace'
        : hasExpired(broker, admission) && 'expired'
  broker.counters.renewals.add(refusal || 'yes')
  if (refusal) {
    broker.audit.refused('renewal', client, principal, refusal)
    client.disconnect(ReasonCode.notAuthorized)
    return false
  }
  client.times.setExpiry(admission.expiresAt ?? Infinity)
  if (limits !== undefined) {
    client.limits = limits
    client.rates = publishRates(broker, client)
  }
  if (grant !== undefined) changeGrant(broker, client, grant)
  return true
}

function hasExpired(broker: Broker, { expiresAt = Infinity }: Admission): boolean {
  return expiresAt <= broker.now
}
