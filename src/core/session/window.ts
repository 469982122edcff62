/**
 * What one session has in flight: sent on its connection, and not yet acknowledged [MQTT-4.9].
 *
 * It holds no deliveries of its own. A delivery's packet identifier is its position in the message log mod 65,535, plus 1, so
 * that sending writes nothing to the store first, and an acknowledgement finds its delivery without a table. What is in flight
 * are the positions from the log's `start` up to its `sendPosition` that hold something. They never span 65,535 positions, so
 * that an identifier is never in use twice.
 */
import type { Delivery } from './delivery.ts'
import type { MessageLog } from './message-log.ts'

/** 1 to 65,535 [MQTT-2.2.1-3]. */
export const packetIds = 65_535

export function packetIdOf(position: number): number {
  return (position % packetIds) + 1
}

export class Window {
  /** Sent and not yet acknowledged. */
  inflight = 0
  readonly #log: MessageLog<Delivery>

  constructor(log: MessageLog<Delivery>) {
    this.#log = log
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
