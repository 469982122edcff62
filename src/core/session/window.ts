/**
 * What one session has in flight: sent on its connection, and not yet acknowledged [MQTT-4.9].
 *
 * It holds no deliveries of its own. A delivery's packet identifier is its position in the message log mod 65,535, plus 1, so
 * that sending writes nothing to the store first, and an acknowledgement finds its delivery without a table. What is in flight
 * are the positions from the log's `start` up to its `sendPosition` that hold something. They never span 65,535 positions, so
 * that an identifier is never in use twice.
 */
import type { Delivery } from './delivery.ts'
import type { MessageLog, QueueTotals } from './message-log.ts'

/** 1 to 65,535 [MQTT-2.2.1-3]. */
export const packetIds = 65_535

export function packetIdOf(position: number): number {
  return (position % packetIds) + 1
}

export class Window {
  readonly #log: MessageLog<Delivery>
  readonly #totals: QueueTotals
  #inflight = 0

  constructor(log: MessageLog<Delivery>, totals: QueueTotals = { waiting: 0, inflight: 0 }) {
    this.#log = log
    this.#totals = totals
  }

  /** Sent and not yet acknowledged. */
  get inflight(): number {
    return this.#inflight
  }

  set inflight(inflight: number) {
    this.#totals.inflight += inflight - this.#inflight
    this.#inflight = inflight
  }

  /** Whether one more may be in flight. */
  open(inflightMax: number): boolean {
    const log = this.#log
    return this.inflight < inflightMax && log.sendPosition - log.base < packetIds
  }

  /** The position in flight that has this packet identifier; -1: none. */
  find(packetId: number): number {
    const { base, sendPosition } = this.#log
    const position = base + ((packetId - packetIdOf(base) + packetIds) % packetIds)
    return position >= sendPosition || this.#log.at(position) === null ? -1 : position
  }
}
