/**
 * Somebody who looks on while packets pass: between a connection's decoder and its client, and where its output is given to the
 * stream. A connection without one is as if there were no such thing.
 */
import type { Client } from '../core/connection/client.ts'
import type { JsonSink } from '../json/packets.ts'

export interface Tap {
  /** Gets the packets in the client's place, and hands each on to it. */
  readonly sink: JsonSink
  /** Whole packets, as they are given to the stream. Never throws. */
  sent(buffer: Uint8Array, start: number, end: number): void
  /** The same of a connection that gets texts: one, JSON. */
  sentText(buffer: Uint8Array, start: number, end: number): void
  /** The peer did something that ends its connection. */
  fault(reason: string, text: string): void
  closed(reason: string): void
}

export interface Tapped {
  readonly client: Client
  /** Null: nobody does any more. */
  lookOn(tap: Tap | null): void
}

/** Chooses connections to look at. */
export interface Tapper {
  /** Before its first packet. */
  arrives(connection: Tapped): void
}
