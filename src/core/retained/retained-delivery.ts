/**
 * Retained messages for a new subscription, taken from the store of retained messages at the pace of the client's socket and
 * window, so that a wildcard over a hundred thousand of them neither fills memory nor holds up others.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import { retainedStepsMax } from '../cost.ts'
import { drop } from '../drop.ts'
import { enqueue } from '../publish/deliver.ts'
import { type Message, republished } from '../publish/message.ts'
import { sendQos0 } from '../publish/send.ts'
import { waitingDelivery } from '../session/delivery.ts'
import type { Session } from '../session/session.ts'
import { Shaper } from '../shaping/shaper.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import { expireRetained } from './retained-changes.ts'
import type { RetainedScan } from './retained-scan.ts'

export interface PendingRetained {
  readonly subscription: Subscription
  readonly messages: RetainedScan
  readonly qos: Qos
  readonly identifiers: readonly number[]
  /** The turn of its SUBACK, which it follows. */
  readonly ticket: number
}

/** Retained messages due for a session's subscriptions, oldest subscription first. */
export class RetainedQueue {
  #pending: PendingRetained[] = []
  #first = 0

  get length(): number {
    return this.#pending.length - this.#first
  }

  get first(): PendingRetained | undefined {
    return this.#pending[this.#first]
  }

  push(pending: PendingRetained): void {
    this.#pending.push(pending)
  }

  /** The first is done. An array's own shift moves all that follow, of which there may be a hundred thousand. */
  shift(): void {
    this.#first++
    if (this.#first * 2 < this.#pending.length) return
    this.#pending = this.#pending.slice(this.#first)
    this.#first = 0
  }

  clear(): void {
    this.#pending = []
    this.#first = 0
  }
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
  const { cost } = broker
  const stepsEnd = cost.steps + retainedStepsMax
  let messages = 0
  for (let pending = session.pendingRetained.first; pending !== undefined; pending = session.pendingRetained.first) {
    if (pending.ticket > broker.journal.committed) {
      broker.awaitCommit(client)
      return
    }
    cost.steps++
    // [MQTT-3.10.4-2]: after UNSUBACK nothing is added for the filter.
    const { subscription } = pending
    const isLive = session.subscriptions.get(subscription.filter) === subscription
    while (isLive && !pending.messages.done) {
      if (!roomFor(session, client, pending.qos)) return
      if (messages === messagesPerTurnMax || cost.steps >= stepsEnd) {
        broker.awaitTurn(client)
        return
      }
      const message = pending.messages.next(stepsEnd)
      if (message === null) continue
      messages++
      sendRetained(broker, session, client, message, pending)
    }
    session.pendingRetained.shift()
  }
}

function roomFor(session: Session, client: Client, qos: Qos): boolean {
  if (client.link.full) return false
  return qos === 0 || session.load < client.inflightMax
}

function sendRetained(
  broker: Broker,
  session: Session,
  client: Client,
  message: Message,
  pending: PendingRetained,
): void {
  if (message.expiresAt <= broker.now) {
    expireRetained(broker, session.namespace, message.name, message)
    return
  }
  const { identifiers, subscription } = pending
  if (subscription.destination instanceof Shaper && !subscription.destination.wantsRetained(message)) return
  const qos: Qos = message.qos < pending.qos ? message.qos : pending.qos
  if (client.grant?.mayReceive(message.name, qos, true, null, { message }) === false) {
    drop(message.name, 'not_authorized', session)
    return
  }
  if (qos > 0) {
    // A retained message's body is in the store as long as it is retained, but for what is read only, which is retained in memory only.
    const own = session.namespace.isReadOnly(message.name) ? republished(message) : message
    enqueue(broker, session, waitingDelivery(own, qos, true, identifiers, null))
    return
  }
  sendQos0(broker, client, message, true, identifiers)
}
