/** One QoS 1 or 2 delivery to a session: what its message log holds, from enqueue to the last acknowledgement. */
import type { Properties, Qos } from '../../mqtt/packet.ts'
import type { PublishParts } from '../../mqtt/publish.ts'
import type { Broker } from '../broker.ts'
import type { Message } from '../publish/message.ts'
import type { SharedGroup } from '../subscriptions/shared-group.ts'

/** The states of a delivery. QoS 1: waiting, sent. QoS 2: waiting, sent, released (PUBREC came, PUBCOMP is due). */
export const DeliveryState = { waiting: 0, sent: 1, released: 2 } as const
export type DeliveryState = (typeof DeliveryState)[keyof typeof DeliveryState]

/** What a session has of a queue or a stream: in memory only, with whoever knows what its acknowledgement means. */
export interface Loan {
  /** It is over: what was not sent again is not sent. */
  readonly ended: boolean
  /** Its receiver is told how long the message is good for. */
  readonly expires: boolean
  /** The message, with what we say of it behind its publisher's properties. 3.x clients get none. */
  readonly parts: PublishParts
  /** PUBACK. Its packet identifier is free already. */
  onAcknowledged(broker: Broker, reasonCode: number, properties: Properties): void
  /** It could not be sent a second time: it is larger than its client takes. */
  onUnsent(broker: Broker): void
}

export interface Delivery {
  /** Null where nothing is kept for a second sending (clean sessions), and once released. */
  message: Message | null
  readonly qos: Qos
  readonly retain: boolean
  readonly identifiers: readonly number[]
  /** The shared group it was dispatched for. */
  readonly group: SharedGroup | null
  state: DeliveryState
  /** It may have been sent before, on another connection [MQTT-3.3.1-1]. */
  dup: boolean
  /** The turn that recorded its reference; 0: none. Kept by the journal. */
  ticket: number
  /** Its reference's place among that turn's records; -1: none. Kept by the journal. */
  record: number
  /** Of a message of a queue or a stream: it is with this session for a while, and the store knows nothing of that. Null: it is the session's own. */
  lease: Loan | null
}

export function waitingDelivery(
  message: Message,
  qos: Qos,
  retain: boolean,
  identifiers: readonly number[],
  group: SharedGroup | null,
): Delivery {
  const state = DeliveryState.waiting
  return { message, qos, retain, identifiers, group, state, dup: false, ticket: 0, record: -1, lease: null }
}

function anonymous(qos: Qos, state: DeliveryState): Delivery {
  return Object.freeze({
    message: null,
    qos,
    retain: false,
    identifiers: [],
    group: null,
    state,
    dup: false,
    ticket: 0,
    record: -1,
    lease: null,
  })
}

/**
 * Deliveries in flight to a session that ends with its connection: there is no second sending, so that nothing but the
 * state is kept, and all share these.
 */
export const sentQos1 = anonymous(1, DeliveryState.sent)
export const sentQos2 = anonymous(2, DeliveryState.sent)
export const releasedQos2 = anonymous(2, DeliveryState.released)
