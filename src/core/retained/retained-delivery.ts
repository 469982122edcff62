/**
 * Retained messages for a new subscription, taken from the store of retained messages at the pace of the client's socket and
 * window, so that a wildcard over a hundred thousand of them neither fills memory nor holds up others.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { enqueue } from '../publish/deliver.ts'
import { type Message, republished } from '../publish/message.ts'
import { sendQos0 } from '../publish/send.ts'
import { waitingDelivery } from '../session/delivery-queue.ts'
import type { Session } from '../session/session.ts'
import { expireRetained } from './retained-changes.ts'

export interface PendingRetained {
  readonly messages: Iterator<Message, void>
  readonly qos: Qos
  readonly identifiers: readonly number[]
  /** The batch of its SUBACK, which it follows. */
  readonly ticket: number
}

/** So many at a time; the rest in the next turn. */
const messagesPerTurnMax = 500

export function pumpRetained(broker: Broker, session: Session): void {
  const { client } = session
  if (client === null || !client.mayDeliver || session.retainedActive) return
  // What is sent below ends in `pump`, which would come back here.
  session.retainedActive = true
  try {
    takeRetained(broker, session, client)
  } finally {
    session.retainedActive = false
  }
}

function takeRetained(broker: Broker, session: Session, client: Client): void {
  let budget = messagesPerTurnMax
  for (let pending = session.pendingRetained[0]; pending !== undefined; pending = session.pendingRetained[0]) {
    if (pending.ticket > broker.journal.committed) {
      broker.awaitCommit(client)
      return
    }
    while (roomFor(session, client, pending.qos)) {
      if (budget-- === 0) {
        broker.awaitTurn(client)
        return
      }
      const next = pending.messages.next()
      if (next.done === true) break
      sendRetained(broker, session, client, next.value, pending)
    }
    if (!roomFor(session, client, pending.qos)) return
    session.pendingRetained.shift()
  }
}

function roomFor(session: Session, client: Client, qos: Qos): boolean {
  if (client.link.full) return false
  return qos === 0 || session.queue.length < client.inflightMax
}

function sendRetained(
  broker: Broker,
  session: Session,
  client: Client,
  message: Message,
  pending: PendingRetained,
): void {
  if (message.expiresAt <= broker.now) {
    expireRetained(broker, message.name, message)
    return
  }
  const { identifiers } = pending
  const qos: Qos = message.qos < pending.qos ? message.qos : pending.qos
  if (client.grant?.mayReceive(message.name, qos, true, null) === false) return
  if (qos > 0) {
    // A retained message's body is in the store as long as it is retained, but for $SYS, which is retained in memory only.
    const own = message.name.startsWith('$SYS/') ? republished(message) : message
    enqueue(broker, session, waitingDelivery(own, qos, true, identifiers, null))
    return
  }
  sendQos0(broker, client, message, true, identifiers)
}
