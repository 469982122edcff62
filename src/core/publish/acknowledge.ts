/** PUBACK, PUBREC and PUBCOMP from a recipient (section 4.3): what is in flight to it comes to its end, and more may be sent. */
import { PacketType, type Properties, type Qos } from '../../mqtt/packet.ts'
import { ProtocolError } from '../../mqtt/protocol-error.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { type Delivery, DeliveryState, releasedQos2, sentQos2 } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import { pump } from './deliver.ts'

/** The delivery is done: acknowledged, or refused by its receiver. */
function complete(broker: Broker, session: Session, position: number, delivery: Delivery, refused: boolean): void {
  const { queue } = session
  if (broker.explainer !== null) broker.explainer.acknowledged(session, position, refused)
  session.window.inflight--
  queue.clear(position)
  if (session.stored) broker.journal.dequeue(session, position, delivery)
  if (!queue.drained || session.pendingRetained.length > 0 || session.drawsMore) pump(broker, session)
}

/**
 * The delivery that an acknowledgement is for; null: its packet identifier is not in flight, for instance because the session
 * was replaced meanwhile.
 *
 * @throws ProtocolError for one that is in flight and may not be acknowledged like that (figures 4.1 to 4.3)
 */
function acknowledged(session: Session, packetId: number, qos: Qos, state: DeliveryState | null): Delivery | null {
  const position = session.window.find(packetId)
  const delivery = position < 0 ? null : session.queue.at(position)
  if (delivery === null) return null
  if (delivery.qos !== qos || (state !== null && delivery.state !== state)) {
    throw new ProtocolError(
      ReasonCode.protocolError,
      `packet identifier ${packetId} is in flight at QoS ${delivery.qos}`,
    )
  }
  return delivery
}

/** Returns false for an identifier that is not in flight. */
export function onPuback(
  broker: Broker,
  session: Session,
  packetId: number,
  reasonCode: number,
  properties: Properties,
): boolean {
  const delivery = acknowledged(session, packetId, 1, null)
  if (delivery === null) return false
  const position = session.window.find(packetId)
  const { lease } = delivery
  if (lease === null) {
    complete(broker, session, position, delivery, false)
    return true
  }
  session.window.inflight--
  session.queue.clear(position)
  lease.onAcknowledged(broker, reasonCode, properties)
  pump(broker, session)
  return true
}

/** Answers with PUBREL. Returns false for an identifier that is not in flight. */
export function onPubrec(broker: Broker, session: Session, packetId: number, reasonCode: number): boolean {
  const { queue, window, link } = session
  const delivery = acknowledged(session, packetId, 2, null)
  if (delivery === null || link === null) return false
  const position = window.find(packetId)
  if (reasonCode >= 0x80) {
    // [MQTT-4.3.3-4] no PUBREL; for a shared subscription the message ends here as well [MQTT-4.8.2-6].
    complete(broker, session, position, delivery, true)
    return true
  }
  let ticket = 0
  if (delivery === sentQos2) {
    queue.replace(position, releasedQos2)
  } else if (delivery.message !== null) {
    delivery.state = DeliveryState.released
    if (session.stored) {
      broker.journal.release(session, position, delivery)
      ticket = broker.journal.ticket
    }
    queue.letGo(delivery)
    delivery.message = null
  }
  link.holdAck((PacketType.pubrel << 4) | 2, packetId, ticket, false)
  return true
}

/** Returns false for an identifier that is not in flight. */
export function onPubcomp(broker: Broker, session: Session, packetId: number): boolean {
  const delivery = acknowledged(session, packetId, 2, DeliveryState.released)
  if (delivery === null) return false
  complete(broker, session, session.window.find(packetId), delivery, false)
  return true
}

/**
 * What a client of JSON says to a message at whatever QoS: at QoS 2, which it does not have, the exchange ends with it. Returns
 * false for an identifier that is not in flight.
 */
export function onAck(
  broker: Broker,
  session: Session,
  packetId: number,
  reasonCode: number,
  properties: Properties,
): boolean {
  const position = session.window.find(packetId)
  if (position < 0 || session.queue.at(position)?.qos !== 2) {
    return onPuback(broker, session, packetId, reasonCode, properties)
  }
  onPubrec(broker, session, packetId, reasonCode)
  return reasonCode >= 0x80 || onPubcomp(broker, session, packetId)
}

/** Counted, and no fault: the session may have been replaced meanwhile. */
export function unknownAcknowledgement({ broker, clientId }: Client, name: string, packetId: number): void {
  broker.counters.unknownAcknowledgements++
  broker.log.debug({ clientId, packetId }, `${name} for a packet identifier that is not in flight`)
}
