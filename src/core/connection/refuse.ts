/** What a peer is told that broke a rule or is not let in, in the words of each protocol version. */
import { encodeConnack } from '../../mqtt/encoder.ts'
import type { Properties, ProtocolVersion } from '../../mqtt/packet.ts'
import type { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ConnectReturnCode, ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import { sayable } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
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
    case ReasonCode.connectionRateExceeded:
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

/** The peer broke a rule: it is told as its protocol has it, and the connection ends. */
export function onFault(
  broker: Broker,
  client: Client,
  error: ProtocolError,
  decodedVersion: ProtocolVersion | 0,
): void {
  if (client.ended) return
  const { link } = client
  const { reasonCode, message } = error
  // A client whose earlier messages were taken and not acknowledged would send them again when it is back, meet what there is no
  // room for again, and so on for ever. Nothing more of it is decoded.
  const again = (): void => onFault(broker, client, error, decodedVersion)
  if (reasonCode === ReasonCode.quotaExceeded && link.awaitHeld(again)) return
  // Of a CONNECT that was not understood it is unknown whether texts are wanted and how long a packet may be.
  // It may tell what the peer has sent.
  const details = client.version === 0 ? {} : { reasonString: sayable(message) }
  if (client.version === 0) client.version = decodedVersion
  link.fault(reasonCode, message)
  broker.counters.protocolErrors.add(reasonName(reasonCode))
  if (client.connected) {
    client.disconnect(reasonCode, details)
  } else if (client.version !== 0) {
    refuse(broker, client, reasonCode, details)
  } else {
    // Not even the protocol is known; only a level that is not served is answered [MQTT-3.1.2-2].
    const code = reasonCode === ReasonCode.unsupportedProtocolVersion ? returnCode(reasonCode) : undefined
    if (code !== undefined) link.write(encodeConnack(4, { sessionPresent: false, reasonCode: code, properties: {} }))
    client.end('protocol_error')
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
