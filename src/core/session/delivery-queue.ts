/**
 * One session's QoS 1 and 2 deliveries, in order, from enqueue to the last acknowledgement.
 *
 * Every delivery has a position, counted up from 0 for the session's life; its packet identifier is the position mod 65,535,
 * plus 1, given at enqueue, so that sending writes nothing to the store first. Positions divide into three stretches:
 *
 *     base ........ sendPosition ........ residentEnd ........ nextPosition
 *      in flight      waiting, in memory     waiting, in the store only
 *
 * In flight and waiting entries stand in one ring indexed by position. Acknowledgements may come in any order and leave
 * holes; `base` moves past them. The window never spans 65,535 positions, so an identifier is never in use twice.
 */
import type { Qos } from '../../mqtt/packet.ts'
import type { QueueBudget } from '../budgets.ts'
import { type Message, messageBytes } from '../publish/message.ts'
import type { SharedGroup } from '../subscriptions/shared-group.ts'

/** The states of a delivery. QoS 1: waiting, sent. QoS 2: waiting, sent, released (PUBREC came, PUBCOMP is due). */
export const DeliveryState = { waiting: 0, sent: 1, released: 2 } as const
export type DeliveryState = (typeof DeliveryState)[keyof typeof DeliveryState]

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
  /** The batch that holds its reference; 0: none. Kept by the journal. */
  ticket: number
  /** Its reference's place in that batch; -1: none. Kept by the journal. */
  record: number
}

export function waitingDelivery(
  message: Message,
  qos: Qos,
  retain: boolean,
  identifiers: readonly number[],
  group: SharedGroup | null,
): Delivery {
  return { message, qos, retain, identifiers, group, state: DeliveryState.waiting, dup: false, ticket: 0, record: -1 }
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
  })
}

/**
 * Deliveries in flight to a session that ends with its connection: there is no second sending, so that nothing but the
 * state is kept, and all share these.
 */
export const sentQos1 = anonymous(1, DeliveryState.sent)
export const sentQos2 = anonymous(2, DeliveryState.sent)
export const releasedQos2 = anonymous(2, DeliveryState.released)

const packetIds = 65_535
const ringSizeMin = 8

export function packetIdOf(position: number): number {
  return (position % packetIds) + 1
}

export class DeliveryQueue {
  #ring: (Delivery | null)[] | null = null
  #mask = 0
  /** Oldest position that may be unacknowledged. */
  base = 0
  sendPosition = 0
  residentEnd = 0
  nextPosition = 0
  /** Sent and not yet acknowledged. */
  inflight = 0
  /** Not yet sent, in memory and in the store. */
  waiting = 0
  /** Of those, the ones in memory. */
  resident = 0
  /** Bytes of what waits, in memory and in the store. What is in flight is bounded by the window instead. */
  bytes = 0
  /** Everything below this position is recorded as sent, with this turn at the latest. Only for a session that is stored. */
  marked = 0
  /** Below this position nothing is left in memory that a full queue may drop. */
  dropFrom = 0
  /** No message that waits in memory expires earlier. */
  residentExpiry = Infinity
  /** The same of those in the store only; -Infinity: not known. */
  storedExpiry = Infinity
  /** When it was last searched for expired messages. */
  searchedAt = 0
  /** Below this position nothing that was not sent is left in the store only. */
  dropStoredFrom = 0
  /** From here on, each position in the store only has a message. */
  denseFrom = 0
  /** Positions before `denseFrom` of which a page said that they have one, up to `searchFrom`. */
  readonly found: number[] = []
  searchFrom = 0
  /** Messages taken beyond the limit until a page says what may go for them. */
  overdraft = 0
  /** Positions before this were in the store when the process began. */
  recoveredEnd = 0
  /** Message bytes in memory. */
  residentBytes = 0
  readonly #budget: QueueBudget

  constructor(budget: QueueBudget) {
    this.#budget = budget
  }

  /** Whether nothing waits: what comes now may be sent now. */
  get drained(): boolean {
    return this.sendPosition === this.nextPosition
  }

  get length(): number {
    return this.inflight + this.waiting
  }

  /** Whether one more may be in flight. */
  windowOpen(inflightMax: number): boolean {
    return this.inflight < inflightMax && this.sendPosition - this.base < packetIds
  }

  at(position: number): Delivery | null {
    const ring = this.#ring
    return ring === null || position - this.base >= ring.length ? null : ring[position & this.#mask]!
  }

  /** Places in memory for deliveries. */
  get slots(): number {
    return this.#ring === null ? 0 : this.#ring.length
  }

  /** Appends behind everything that waits. Returns its position. */
  push(delivery: Delivery): number {
    const position = this.nextPosition++
    this.residentEnd = this.nextPosition
    this.#put(position, delivery)
    return position
  }

  /** Takes a position for a delivery that stays in the store only. */
  pushStored(): number {
    return this.nextPosition++
  }

  /** Puts a delivery that was read from the store at its position, which must not be below `residentEnd`. */
  restore(position: number, delivery: Delivery): void {
    this.residentEnd = position + 1
    this.#put(position, delivery)
  }

  replace(position: number, delivery: Delivery): void {
    this.#ring![position & this.#mask] = delivery
  }

  /** Empties a position; `base` moves past the holes at the front. */
  clear(position: number): void {
    const ring = this.#ring!
    const delivery = ring[position & this.#mask]
    if (delivery != null) this.letGo(delivery)
    ring[position & this.#mask] = null
    while (this.base < this.sendPosition && ring[this.base & this.#mask] === null) this.base++
    if (this.base < this.nextPosition) return
    // What was only estimated (`dropOldestStored`) is known now.
    this.waiting = 0
    this.resident = 0
    this.bytes = 0
    if (ring.length > 1024) this.#ring = null
  }

  /** Empties a position without moving anything. */
  forget(position: number): void {
    this.#ring![position & this.#mask] = null
  }

  /** Moves past an empty position that was to be sent next. */
  skip(): void {
    this.sendPosition++
    if (this.base === this.sendPosition - 1) this.base++
  }

  /**
   * Behind what is in flight a full queue leaves a gap that grows with each delivery it drops. What is in flight moves up by
   * whole rounds of packet identifiers, so that it keeps its own. Not for a session whose positions are in the store.
   */
  closeGap(): void {
    const ring = this.#ring
    if (ring === null || this.dropFrom - this.base < 2 * packetIds) return
    let last = this.dropFrom - 1
    while (last > this.base && this.at(last) === null) last--
    const moved = Math.floor((this.dropFrom - 1 - last) / packetIds) * packetIds
    if (moved === 0) return
    const sent = this.sendPosition > last
    for (let position = last; position >= this.base; position--) {
      const delivery = ring[position & this.#mask]!
      ring[position & this.#mask] = null
      ring[(position + moved) & this.#mask] = delivery
    }
    this.base += moved
    this.sendPosition = sent ? Math.max(this.sendPosition, last + moved + 1) : this.sendPosition + moved
  }

  /** The delivery's message is kept no longer. */
  letGo({ message }: Delivery): void {
    if (message === null) return
    this.residentBytes -= messageBytes(message)
    this.#budget.letGo(message)
  }

  /** Its session ended. */
  abandon(): void {
    for (const delivery of this.#ring ?? []) if (delivery !== null) this.letGo(delivery)
    this.#ring = null
    this.base = this.nextPosition
    this.sendPosition = this.nextPosition
    this.residentEnd = this.nextPosition
    this.inflight = 0
    this.waiting = 0
    this.resident = 0
    this.bytes = 0
  }

  /** A delivery in memory does not wait any more. */
  taken(bytes: number): void {
    this.waiting--
    this.resident--
    this.bytes -= bytes
  }

  /** A delivery in the store only does not wait any more. Positions up to `position` have gone, -1: this one alone. */
  takenStored(position: number, bytes: number): void {
    this.waiting--
    this.bytes = Math.max(0, this.bytes - bytes)
    if (position < 0) return
    this.dropStoredFrom = position + 1
    if (position !== this.residentEnd) return
    this.residentEnd++
    if (this.sendPosition === this.residentEnd - 1) this.skip()
  }

  /** Of what is in the store only, some has gone from the middle: what is left has to be searched for. */
  leaveHoles(): void {
    this.denseFrom = this.nextPosition
    this.searchFrom = 0
    this.found.length = 0
  }

  /** All is in memory: what was only estimated is known. */
  recount(): void {
    this.waiting = 0
    this.bytes = 0
    for (let position = this.sendPosition; position < this.residentEnd; position++) {
      const delivery = this.at(position)
      if (delivery === null || delivery.message === null) continue
      this.waiting++
      this.bytes += messageBytes(delivery.message)
    }
    this.resident = this.waiting
    this.storedExpiry = Infinity
  }

  /** The position in flight that has this packet identifier; -1: none. */
  find(packetId: number): number {
    if (this.#ring === null) return -1
    const position = this.base + ((packetId - packetIdOf(this.base) + packetIds) % packetIds)
    if (position >= this.sendPosition || this.at(position) === null) return -1
    return position
  }

  /** Starts behind what a recovered session had: positions from `base` on, none resident. */
  recover(firstPosition: number, nextPosition: number, messages: number, bytes: number): void {
    this.base = firstPosition
    this.sendPosition = firstPosition
    this.residentEnd = firstPosition
    this.nextPosition = nextPosition
    this.recoveredEnd = nextPosition
    this.waiting = messages
    this.bytes = bytes
    this.denseFrom = messages === nextPosition - firstPosition ? firstPosition : nextPosition
    this.storedExpiry = messages > 0 ? -Infinity : Infinity
  }

  /** An earlier process sent everything below this position: none of those goes to another message. */
  recoverSent(end: number): void {
    this.marked = end
    if (end <= this.nextPosition) return
    this.denseFrom = end
    this.nextPosition = end
  }

  #put(position: number, delivery: Delivery): void {
    const { message } = delivery
    if (message !== null) {
      this.residentBytes += messageBytes(message)
      this.#budget.hold(message)
    }
    const ring = this.#ring
    if (ring === null || position - this.base >= ring.length) this.#grow(position)
    this.#ring![position & this.#mask] = delivery
  }

  #grow(position: number): void {
    const old = this.#ring
    let size = old === null ? ringSizeMin : old.length * 2
    while (position - this.base >= size) size *= 2
    const ring = new Array<Delivery | null>(size).fill(null)
    if (old !== null) {
      const oldMask = old.length - 1
      for (let i = this.base; i < position && i < this.base + old.length; i++) ring[i & (size - 1)] = old[i & oldMask]!
    }
    this.#ring = ring
    this.#mask = size - 1
  }
}
