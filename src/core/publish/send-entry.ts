/**
 * A message of a stream to a reader's connection. All readers that get the same variant share its bytes; only for what differs from one to
 * the other (an alias, identifiers, a gap) it is encoded anew.
 */
import { PacketType, type Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import type { StreamEntry } from '../logs/stream-entry.ts'
import type { StreamLoan } from '../logs/stream-loan.ts'
import { DeliveryState, sentQos1, waitingDelivery } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import { packetIdOf } from '../session/window.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { remainingExpiry } from './message.ts'
import { countSent, sendMessage, tooLarge } from './send.ts'

interface Sending {
  readonly entry: StreamEntry
  /** What is kept of it until it is acknowledged; null: nothing. */
  readonly loan: StreamLoan | null
  /** Messages that are lost before it. */
  readonly missed: number
}

/** To a reader that has room: at QoS 1 it takes the next position of its session's queue, in memory only. False: it is too large for the client. */
export function sendEntry(broker: Broker, reader: Subscription & { session: Session }, sending: Sending): boolean {
  const { session, identifiers } = reader
  const client = session.client!
  const { entry, loan } = sending
  if (reader.qos === 0) return write(broker, client, sending, { qos: 0, packetId: 0, identifiers })
  const { queue, window } = session
  const delivery = loan === null ? sentQos1 : waitingDelivery(entry.message, 1, false, identifiers, null)
  if (loan !== null) delivery.lease = loan
  const position = queue.push(delivery)
  queue.sendPosition++
  if (!write(broker, client, sending, { qos: 1, packetId: packetIdOf(position), identifiers })) {
    queue.clear(position)
    return false
  }
  if (loan !== null) delivery.state = DeliveryState.sent
  window.inflight++
  return true
}

interface Envelope {
  readonly qos: Qos
  readonly packetId: number
  readonly identifiers: readonly number[]
}

function write(
  broker: Broker,
  client: Client,
  { entry, missed }: Sending,
  { qos, packetId, identifiers }: Envelope,
): boolean {
  const { message } = entry
  const is5 = client.version === 5
  const wallTime = broker.wallTime(entry.at)
  const isOwn = is5 && (identifiers.length > 0 || missed > 0)
  if (isOwn || client.outgoingAliases !== null) {
    const expiryIntervalSeconds = remainingExpiry(message, broker.now)
    const parts = is5 ? entry.partsBehindGap(wallTime, missed) : message
    const outgoing = { qos, retain: false, dup: false, packetId, expiryIntervalSeconds }
    if (!sendMessage(broker, client, message, parts, { ...outgoing, subscriptionIdentifiers: identifiers }))
      return false
  } else {
    const { bytes, packetIdAt } =
      client.payloadForm === null
        ? entry.encoded(client.version || 4, qos, { now: broker.now, wallTime })
        : entry.json(client.payloadForm, qos, wallTime)
    if (bytes.length > client.maximumPacketSize) return tooLarge(client, message.name)
    const firstByte = (PacketType.publish << 4) | (qos << 1)
    client.link.writePublish(bytes, 0, bytes.length, firstByte, packetIdAt, packetId)
  }
  return countSent(client, qos, message.payload.length)
}
