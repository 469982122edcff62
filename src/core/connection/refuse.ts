/** CONNACK with an error, in the words of each protocol version. */
import { encodeConnack } from '../../mqtt/encoder.ts'
import type { Properties } from '../../mqtt/packet.ts'
import { ConnectReturnCode, ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
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
