/**
 * One network connection's protocol: what its packets may be and what they do.
 *
 * A `Client` is the decoder's sink. Before CONNECT is accepted only CONNECT and AUTH are served; what it may do afterwards
 * reads like section 3 of the specification. Faults are thrown as `ProtocolError` and come back through `onFault`.
 */

import type { PayloadForm } from '../../json/operations.ts'
import type { JsonSink } from '../../json/packets.ts'
import { encodeAck, encodeDisconnect, encodePingresp } from '../../mqtt/encoder.ts'
import {
  type AuthPacket,
  type ConnectPacket,
  type DisconnectPacket,
  PacketType,
  type Properties,
  type ProtocolVersion,
  type PublishFrame,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode, reasonName } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import { yieldWhereDue } from '../cost.ts'
import type { Namespace } from '../namespace.ts'
import type { ClientLimits, Exchange, Grant } from '../ports/authority.ts'
import type { Link } from '../ports/link.ts'
import type { Peer } from '../ports/peer.ts'
import { onAck, onPuback, onPubcomp, onPubrec, unknownAcknowledgement } from '../publish/acknowledge.ts'
import { pump } from '../publish/deliver.ts'
import type { PublishRates } from '../publish/publish-rates.ts'
import { onPublish, onPubrel } from '../publish/receive.ts'
import type { TopicEntry } from '../publish/route-cache.ts'
import type { OutgoingAliases } from '../publish/send.ts'
import type { Session } from '../session/session.ts'
import { detach, leaveOrderly } from '../session/session-lifecycle.ts'
import { onSubscribe, onUnsubscribe } from '../subscriptions/subscribe.ts'
import { onAuth } from './authentication.ts'
import { ClientTimes } from './client-times.ts'
import { onConnect } from './connect.ts'
import { onFault } from './refuse.ts'
import { changeGrant } from './rights.ts'

const pingresp = encodePingresp()

export class Client implements JsonSink {
  readonly broker: Broker
  readonly link: Link
  peer: Peer
  /** 0 until CONNECT. */
  version: ProtocolVersion | 0 = 0
  clientId = ''
  /** Where it is let in. Certain when the authority has said yes. */
  namespace: Namespace
  isInNamespace = false
  session: Session | null = null
  connected = false
  ended = false
  /** CONNECT while it is being decided. */
  connect: ConnectPacket | null = null
  grant: Grant | null = null
  /** A stable name of whom the authority let in; empty: nobody in particular. */
  principal = ''
  limits: ClientLimits | undefined
  /** Whatever its CONNECT says is refused with this reason code; 0: it is not. */
  refusal: number = ReasonCode.success
  /** Null: it may publish as fast as it can. */
  rates: PublishRates | null = null
  exchange: Exchange | null = null
  authenticationMethod: string | undefined
  finalAuthenticationData: Uint8Array | undefined
  assignedClientId: string | undefined
  /** Whether the client wants reason strings and user properties [MQTT-3.1.2-29]. */
  problemInformation = true
  inflightMax = 0
  /** How a client of JSON gets payloads; null: it speaks MQTT. */
  payloadForm: PayloadForm | null = null
  maximumPacketSize = Infinity
  /** Topics behind the client's aliases, by alias. */
  incomingAliases: (TopicEntry | undefined)[] | null = null
  outgoingAliases: OutgoingAliases | null = null
  /** The topic of its last PUBLISH: most publishers have one. */
  lastTopic: TopicEntry | null = null
  /** Seconds; 0: off. */
  keepAlive = 0
  /** When its last whole packet arrived. */
  lastReceivedAt = 0
  readonly times: ClientTimes

  constructor(broker: Broker, link: Link, peer: Peer) {
    this.broker = broker
    this.link = link
    this.peer = peer
    // What it sends before it is let in counts there.
    this.namespace = broker.namespaces.get(peer.namespace ?? '') ?? broker.defaultNamespace
    this.lastReceivedAt = broker.now
    this.times = new ClientTimes(broker, this)
    broker.connections++
  }

  /** Whether deliveries may be sent. */
  get mayDeliver(): boolean {
    return this.connected && !this.ended
  }

  onConnect(packet: ConnectPacket): void {
    this.#count(PacketType.connect)
    onConnect(this.broker, this, packet)
  }

  onPublish(frame: PublishFrame): number {
    this.#count(PacketType.publish)
    const reasonCode = onPublish(this.broker, this, this.#session(), frame)
    yieldWhereDue(this.broker.cost, this.link)
    return reasonCode
  }

  onAck(packetId: number, reasonCode: number, properties: Properties): void {
    this.#count(PacketType.puback)
    if (!onAck(this.broker, this.#session(), packetId, reasonCode, properties))
      unknownAcknowledgement(this, 'ack', packetId)
  }

  onPuback(packetId: number, reasonCode: number, properties: Properties): void {
    this.#count(PacketType.puback)
    if (!onPuback(this.broker, this.#session(), packetId, reasonCode, properties))
      unknownAcknowledgement(this, 'PUBACK', packetId)
  }

  onPubrec(packetId: number, reasonCode: number): void {
    this.#count(PacketType.pubrec)
    if (onPubrec(this.broker, this.#session(), packetId, reasonCode)) return
    unknownAcknowledgement(this, 'PUBREC', packetId)
    if (reasonCode >= 0x80) return
    const version = this.session!.version
    this.link.hold(encodeAck(version, PacketType.pubrel, packetId, ReasonCode.packetIdentifierNotFound), 0, false)
  }

  onPubrel(packetId: number): void {
    this.#count(PacketType.pubrel)
    onPubrel(this.broker, this, this.#session(), packetId)
  }

  onPubcomp(packetId: number): void {
    this.#count(PacketType.pubcomp)
    if (!onPubcomp(this.broker, this.#session(), packetId)) unknownAcknowledgement(this, 'PUBCOMP', packetId)
  }

  onSubscribe(packet: SubscribePacket): void {
    this.#count(PacketType.subscribe)
    this.#session()
    onSubscribe(this.broker, this, packet)
  }

  onUnsubscribe(packet: UnsubscribePacket): void {
    this.#count(PacketType.unsubscribe)
    this.#session()
    onUnsubscribe(this.broker, this, packet)
  }

  onPingreq(): void {
    this.#count(PacketType.pingreq)
    this.#session()
    this.link.write(pingresp)
  }

  onDisconnect(packet: DisconnectPacket): void {
    this.#count(PacketType.disconnect)
    if (!this.connected) {
      this.end('client')
      return
    }
    const session = this.#session()
    const expiryInterval = packet.properties.sessionExpiryInterval
    if (expiryInterval !== undefined && this.version === 5) {
      if (session.expiryInterval === 0 && expiryInterval > 0) {
        // [MQTT-3.14.2-2]; the text of 3.1.2.11.2 names the code.
        throw new ProtocolError(ReasonCode.protocolError, 'DISCONNECT gives an expiry to a session that had none')
      }
      session.expiryInterval = Math.min(expiryInterval, this.broker.options.sessionExpirySecondsMax)
    }
    if (packet.reasonCode === ReasonCode.normalDisconnection) leaveOrderly(this.broker, session)
    this.end('client')
  }

  onAuth(packet: AuthPacket): void {
    this.#count(PacketType.auth)
    onAuth(this.broker, this, packet)
  }

  onConnack(): void {
    this.#notForServers('CONNACK')
  }

  onSuback(): void {
    this.#notForServers('SUBACK')
  }

  onUnsuback(): void {
    this.#notForServers('UNSUBACK')
  }

  onPingresp(): void {
    this.#notForServers('PINGRESP')
  }

  onFault(error: ProtocolError, decodedVersion: ProtocolVersion | 0): void {
    onFault(this.broker, this, error, decodedVersion)
  }

  /** Ends the connection with a DISCONNECT to a 5.0 client. Its will is due. */
  disconnect(reasonCode: number, details: Properties = {}): void {
    if (this.ended) return
    if (this.connected && this.version === 5) {
      const properties = this.problemInformation ? { ...details } : {}
      if (details.serverReference !== undefined) properties.serverReference = details.serverReference
      const frame = encodeDisconnect(5, reasonCode, properties)
      // What is longer than the client accepts goes without its text [MQTT-3.14.2-3].
      this.link.write(frame.length > this.maximumPacketSize ? encodeDisconnect(5, reasonCode) : frame)
    }
    this.end(reasonName(reasonCode))
  }

  /** Answers SUBSCRIBE or UNSUBSCRIBE; one longer than the client accepts may not be sent [MQTT-3.1.2-24]. */
  answer(frame: Uint8Array, ticket: number): void {
    if (frame.length <= this.maximumPacketSize) this.link.hold(frame, ticket, false)
    else this.disconnect(ReasonCode.packetTooLarge, { reasonString: 'the answer is larger than Maximum Packet Size' })
  }

  /** Another connection has the same client id [MQTT-3.1.4-3]. */
  takenOver(): void {
    this.broker.counters.sessionsTakenOver++
    this.disconnect(ReasonCode.sessionTakenOver)
  }

  /** The connection is over, by either side; whatever was not said by DISCONNECT stands. */
  end(reason: string): void {
    if (this.ended) return
    this.ended = true
    const { broker, session } = this
    broker.connections--
    if (this.connected) this.namespace.quotas.connections.used--
    this.times.end()
    this.rates?.end()
    broker.counters.disconnects.add(reason)
    this.link.close(reason)
    if (session !== null && session.client === this) {
      broker.log.info({ clientId: this.clientId, ...session.namespace.logged, reason }, 'client disconnected')
      detach(broker, session, { reason, since: broker.now, lastSeen: this.lastReceivedAt })
    }
  }

  /** Sends what waits, as far as it may. */
  pump(): void {
    const { session } = this
    if (session !== null && this.mayDeliver) this.withDurability(() => pump(this.broker, session))
  }

  /** Does what this connection is the cause of: what is recorded meanwhile has to survive what its frames wait for. */
  withDurability(action: () => void): void {
    const { journal } = this.broker
    const before = journal.requireDurability(this.link.durability)
    try {
      action()
    } catch (error) {
      this.broker.faultyClient ??= this
      throw error
    } finally {
      journal.requireDurability(before)
    }
  }

  /** The client has other rights from here on, also for what is subscribed and queued already; null: it may do everything. */
  regrant(grant: Grant | null): void {
    this.withDurability(() => changeGrant(this.broker, this, grant))
  }

  #session(): Session {
    if (!this.connected || this.session === null) {
      throw new ProtocolError(ReasonCode.protocolError, 'a packet before CONNECT was accepted [MQTT-3.1.0-1]')
    }
    return this.session
  }

  #count(type: PacketType): void {
    this.namespace.traffic.packetsReceived[type]!++
    // Whole packets count, not bytes [MQTT-3.1.2-22].
    this.lastReceivedAt = this.broker.now
  }

  #notForServers(name: string): never {
    throw new ProtocolError(ReasonCode.protocolError, `${name} is sent by servers only`)
  }
}
