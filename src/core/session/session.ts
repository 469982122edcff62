/**
 * A session: what a client's connections have in common. It has an internal number that is never reused; client ids are.
 */
import type { ProtocolVersion, Qos } from '../../mqtt/packet.ts'
import type { Broker } from '../broker.ts'
import type { Client } from '../connection/client.ts'
import type { Deadline } from '../deadlines.ts'
import type { DropLine } from '../drop-ledger.ts'
import type { Consumer } from '../logs/consumer.ts'
import type { StreamReader } from '../logs/stream-reader.ts'
import type { Namespace } from '../namespace.ts'
import type { QueueFullPolicy } from '../options.ts'
import type { SentMark } from '../ports/journal.ts'
import type { Link } from '../ports/link.ts'
import type { RecoveredPage } from '../ports/recovered.ts'
import { deliver } from '../publish/deliver.ts'
import type { Publication } from '../publish/publication.ts'
import { RetainedQueue } from '../retained/retained-delivery.ts'
import type { Shaper } from '../shaping/shaper.ts'
import { type Ahead, type Destination, nothingAhead } from '../subscriptions/destination.ts'
import type { SharedGroup } from '../subscriptions/shared-group.ts'
import type { Subscription } from '../subscriptions/subscription-index.ts'
import type { Delivery } from './delivery.ts'
import type { Leaving } from './left-groups.ts'
import { MessageLog } from './message-log.ts'
import type { PendingWill } from './will.ts'
import { Window } from './window.ts'

/** Session Expiry Interval that never expires. */
export const neverExpires = 0xffffffff

/** What a session may keep in memory though all together keep more than they may. */
const fairShareBytes = 64 * 1024

/** Limits of one session's queue, and what happens at them. */
export interface QueueBounds {
  readonly messagesMax: number
  readonly bytesMax: number
  readonly full: QueueFullPolicy
}

export class Session implements Destination {
  readonly number: number
  readonly namespace: Namespace
  readonly clientId: string
  version: ProtocolVersion
  username = ''
  /** Who made it, to whom it belongs; empty: none is known. */
  principal = ''
  /** Seconds; 0: ends with the connection. 3.x: 0 or never. */
  expiryInterval = 0
  /** It is written to the store: it outlives its connection, and the store is durable. */
  stored = false
  /** The store has a row of it. Kept by the journal. */
  recorded = false
  /** The connection's output; null while the client is away. Here, not behind `client`, for the hot path. */
  link: Link | null = null
  client: Client | null = null
  /** When its client's CONNECT was accepted, or the last one's. */
  connectedAt = 0
  readonly subscriptions = new Map<string, Subscription>()
  /** Its QoS 1 and 2 deliveries, until the last acknowledgement of each. */
  readonly queue: MessageLog<Delivery>
  /** Those in flight on its connection. */
  readonly window: Window
  /** QoS 2 packet identifiers received and not yet released -> the turn that recorded them (0: none). */
  incoming: Map<number, number> | null = null
  /** Its client said, in 3.x, that it is another broker's bridge: to its subscriptions No Local and Retain As Published apply. */
  bridge = false
  /** Of its queue, where they are not those of all sessions. */
  bounds: QueueBounds | null = null
  expiry: Deadline | null = null
  will: PendingWill | null = null
  /** A page of its queue was asked of the store, for this. */
  pageUse: ((page: RecoveredPage) => void) | null = null
  /** The record of the turn being gathered that says how far was sent. Kept by the journal. */
  mark: SentMark | null = null
  /** Nothing is sent before this turn is committed: without what it removes, a restart would take that for sent before what follows. */
  sendAfter = 0
  /** Positions of recovered QoS 2 deliveries whose PUBREL is due, in order, not yet back in the queue. */
  releasedPositions: number[] = []
  /** It is over, and there only until its share groups have taken over what it had of them. */
  ended = false
  /** Of share groups that it left; null: none is under way. */
  handOvers: Set<Leaving> | null = null
  /** By filter: those it unsubscribed from of which something may be in the store only; null: none. */
  leftGroups: Map<string, SharedGroup> | null = null
  /** A drop because of its full queue was logged since it last drained. */
  dropLogged = false
  /** Its subscriptions to queues; null: it never had one. */
  consumers: Set<Consumer> | null = null
  /** Its subscriptions to streams; null: it never had one. */
  readers: Set<StreamReader> | null = null
  /** Where its shaped subscriptions end; null: it never had one. */
  shapers: Set<Shaper> | null = null
  /** Messages that it did not get. Kept by `drop`. */
  dropped = 0
  /** Where the latest of them is written down. Kept by the ledger. */
  dropLine: DropLine | null = null
  /** Retained messages due for its subscriptions, oldest subscription first. */
  readonly pendingRetained = new RetainedQueue()
  retainedActive = false
  matchNumber = 0
  matchSlot = 0

  constructor(number: number, clientId: string, version: ProtocolVersion, namespace: Namespace) {
    this.namespace = namespace
    this.queue = new MessageLog(namespace.budgets.queueBytes, namespace.quotas.queuedBytes, namespace.queueTotals)
    this.window = new Window(this.queue, namespace.queueTotals)
    this.number = number
    this.clientId = clientId
    this.version = version
  }

  get name(): string {
    return this.clientId
  }

  /** Queues or streams have more for it when it has room. */
  get drawsMore(): boolean {
    return this.consumers !== null || this.readers !== null
  }

  get refuses(): boolean {
    return this.bounds === null || this.bounds.full === 'reject'
  }

  get ownPolicy(): boolean {
    return this.bounds !== null
  }

  get online(): boolean {
    return this.link !== null
  }

  get ready(): boolean {
    return this.link !== null && !this.link.full
  }

  get load(): number {
    return this.window.inflight + this.queue.waiting
  }

  /** Whether it outlives its connection. */
  get durable(): boolean {
    return this.expiryInterval > 0
  }

  get hasRoom(): boolean {
    return this.hasRoomBehind(nothingAhead)
  }

  hasRoomBehind(ahead: Ahead): boolean {
    const { waiting, bytes, residentBytes } = this.queue
    const { options, budgets, quotas } = this.namespace
    if (quotas.queuedBytes.used + ahead.namespaceBytes >= quotas.queuedBytes.max) return false
    const { bounds } = this
    if (waiting + ahead.messages >= (bounds === null ? options.sessionQueueMessagesMax : bounds.messagesMax))
      return false
    if (bytes + ahead.bytes >= (bounds === null ? options.sessionQueueBytesMax : bounds.bytesMax)) return false
    if (this.stored || residentBytes + ahead.bytes < fairShareBytes) return true
    // What the store does not hold too has nowhere else to go.
    return budgets.queueBytes.used + ahead.heldBytes < budgets.queueBytes.max
  }

  mayReceive(topic: string, qos: Qos, retain: boolean, group: string | null): boolean {
    const grant = this.client === null ? null : this.client.grant
    return grant === null || grant.mayReceive(topic, qos, retain, group)
  }

  accept(broker: Broker, publication: Publication, subscription: Subscription): void {
    deliver(broker, publication, this, subscription)
  }
}
