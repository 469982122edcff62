/**
 * The traces that are on, and the taps on the connections that they are about. While there is none, no connection has a tap, and
 * the engine knows of no tapper.
 */
import type { Tapped, Tapper } from '../engine/tap.ts'
import { PacketTap } from './packet-tap.ts'
import { Trace, type TraceTarget } from './trace.ts'
import type { TraceAsked } from './views.ts'

export const tracesMax = 8

/** What it is on. */
export interface Traced {
  readonly connections: Iterable<Tapped>
  tapper: Tapper | null
}

export interface TracerWorld {
  /** Milliseconds since the epoch, as people read them. */
  now(): number
  addressOf(peer: string): string
  onError(error: unknown): void
  /** A packet was left out. */
  onLeftOut(): void
}

export class Tracer implements Tapper {
  readonly #traced: Traced
  readonly #world: TracerWorld
  readonly #traces = new Set<Trace>()
  readonly #taps = new WeakMap<Tapped, PacketTap>()

  constructor(traced: Traced, world: TracerWorld) {
    this.#traced = traced
    this.#world = world
  }

  get traces(): number {
    return this.#traces.size
  }

  /** Null: there are too many already. */
  begin(asked: TraceAsked, target: TraceTarget): Trace | null {
    if (this.#traces.size >= tracesMax) return null
    const trace = new Trace(asked, target, this.#world)
    this.#traces.add(trace)
    this.#traced.tapper = this
    for (const connection of this.#traced.connections) this.arrives(connection)
    return trace
  }

  end(trace: Trace): void {
    if (!this.#traces.delete(trace)) return
    if (this.#traces.size === 0) this.#traced.tapper = null
    for (const connection of this.#traced.connections) {
      const tap = this.#taps.get(connection)
      if (tap === undefined || !tap.traces.includes(trace)) continue
      tap.traces = tap.traces.filter((one) => one !== trace)
      if (tap.traces.length === 0) this.#letGo(connection)
    }
    trace.end()
  }

  arrives(connection: Tapped): void {
    const { clientId, connected, peer } = connection.client
    const about = { clientId, connected, address: this.#world.addressOf(peer.address) }
    const traces = [...this.#traces].filter((trace) => trace.concerns(about))
    const known = this.#taps.get(connection)
    if (traces.length === 0) {
      if (known !== undefined) this.#letGo(connection)
      return
    }
    const tap = known ?? new PacketTap(connection, (error) => this.#world.onError(error))
    tap.traces = traces
    this.#taps.set(connection, tap)
    connection.lookOn(tap)
  }

  #letGo(connection: Tapped): void {
    this.#taps.delete(connection)
    connection.lookOn(null)
  }
}
