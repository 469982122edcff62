/** One trace: which packets it is about, where they go, and how much of it there may be. */
import { topicMatchesFilter } from '../mqtt/topic.ts'
import type { PacketView } from './packet-view.ts'
import type { TraceAsked, TraceLine } from './views.ts'

/** Beyond it packets are left out and counted: a trace may cost its gateway only so much. */
export const tracedPacketsPerSecondMax = 2000

export interface TraceTarget {
  /** False: there is no room for it now. */
  write(line: TraceLine): boolean
  end(): void
}

export class Trace {
  readonly asked: TraceAsked
  /** Packets that it was too slow for, or its target. */
  leftOut = 0
  lines = 0
  readonly #target: TraceTarget
  readonly #now: () => number
  readonly #onLeftOut: () => void
  #leftOutSinceLine = 0
  #second = 0
  #linesThisSecond = 0

  constructor(asked: TraceAsked, target: TraceTarget, world: { now: () => number; onLeftOut: () => void }) {
    this.asked = asked
    this.#target = target
    this.#now = world.now
    this.#onLeftOut = world.onLeftOut
  }

  /** Whether it is about a connection; of one whose CONNECT has not come yet the client id is not known: maybe. */
  concerns({ clientId, address, connected }: { clientId: string; address: string; connected: boolean }): boolean {
    const { asked } = this
    if (asked.address !== undefined && asked.address !== address) return false
    return asked.clientId === undefined || asked.clientId === clientId || !connected
  }

  fits(line: Pick<TraceLine, 'namespace' | 'clientId'>, topic: string | undefined): boolean {
    const { namespace, clientId, filter } = this.asked
    if (namespace !== undefined && line.namespace !== namespace) return false
    if (clientId !== undefined && line.clientId !== clientId) return false
    return filter === undefined || (topic !== undefined && topicMatchesFilter(filter, topic))
  }

  write(line: Omit<TraceLine, 'at' | 'leftOut'> & PacketView): void {
    const now = this.#now()
    const second = Math.floor(now / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#linesThisSecond = 0
    }
    const hasTurn = this.#linesThisSecond++ < tracedPacketsPerSecondMax
    const written =
      hasTurn &&
      this.#target.write({ at: new Date(now).toISOString(), ...line, leftOut: this.#leftOutSinceLine } as TraceLine)
    if (written) {
      this.lines++
      this.#leftOutSinceLine = 0
    } else {
      this.leftOut++
      this.#leftOutSinceLine++
      this.#onLeftOut()
    }
  }

  end(): void {
    this.#target.end()
  }
}
