/** CONNECT: the checks that need no one else, before the authority is asked. */
import type { ConnectPacket } from '../../mqtt/packet.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { encodeUtf8 } from '../../mqtt/utf8.ts'
import type { Broker } from '../broker.ts'
import { addressOf } from '../logs/address.ts'
import { countLevels } from '../topic-trie.ts'
import { authenticate } from './authentication.ts'
import type { Client } from './client.ts'
import { refuse } from './refuse.ts'

/** The first packet. Goes on in `claimSession` when the authority has spoken. */
export function onConnect(broker: Broker, client: Client, packet: ConnectPacket): void {
  client.version = packet.version
  client.problemInformation = packet.properties.requestProblemInformation !== 0
  client.maximumPacketSize = packet.properties.maximumPacketSize ?? Infinity
  const banned = broker.bans.refuses(packet.clientId, client.peer.address)
  const problem = banned ? ReasonCode.banned : client.refusal || checkConnect(broker, packet)
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
  authenticate(broker, client, packet)
}

/** The reason to refuse a CONNECT at sight; undefined: none. */
function checkConnect(broker: Broker, packet: ConnectPacket): number | undefined {
  const { options } = broker
  const emptyIdAllowed = packet.version === 5 || (packet.version === 4 && packet.cleanStart)
  // [MQTT-3.1.3-8] of 3.1.1: an empty client id needs Clean Session 1; 3.1 knows none.
  if (packet.clientId === '' && !emptyIdAllowed) return ReasonCode.clientIdentifierNotValid
  if (isLonger(packet.clientId, options.clientIdBytesMax)) return ReasonCode.clientIdentifierNotValid
  if (packet.will === undefined) return undefined
  if (packet.will.qos > options.maximumQos) return ReasonCode.qosNotSupported
  if (packet.will.retain && !options.retainAvailable) return ReasonCode.retainNotSupported
  if (countLevels(packet.will.topic) > options.topicLevelsMax) return ReasonCode.topicNameInvalid
  if (addressOf(packet.will.topic)?.kind === 'malformed') return ReasonCode.topicNameInvalid
  return undefined
}

/** A character takes three bytes at most; two that make a pair take four. */
function isLonger(text: string, bytesMax: number): boolean {
  return text.length > bytesMax || (3 * text.length > bytesMax && encodeUtf8(text).length > bytesMax)
}
