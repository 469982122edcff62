/**
 * What the core asks of a network connection: a place to put frames. The engine's connection implements it; a test's fake
 * does too. No call waits, throws, or calls back into the core before it returns.
 */
import type { ReasonCode } from '../../mqtt/reason-code.ts'

export interface Link {
  /** Output beyond the limit waits to be read by the peer: QoS 0 is dropped, QoS 1 and 2 stay in the session's queue. */
  readonly full: boolean
  /** We leave the peer's bytes in the socket: it is not silent. */
  readonly readingPaused: boolean
  /** Durability level that its acknowledgements wait for, as `Journal.requireDurability` takes it. */
  readonly durability: number
  /** Nothing at all waits: a message larger than the whole buffer still passes. */
  readonly empty: boolean
  /** PUBLISHes at QoS 1 and 2 received and not yet answered on the wire: what Receive Maximum limits. */
  inboundInflight: number
  /** Puts a whole packet, or its bytes `start` to `end`, into the output. They are copied before the call returns. */
  write(frame: Uint8Array, start?: number, end?: number): void
  /** Puts a PUBLISH into the output with another first byte and, at `packetIdAt` > 0, another packet identifier. */
  writePublish(
    frame: Uint8Array,
    start: number,
    end: number,
    firstByte: number,
    packetIdAt: number,
    packetId: number,
  ): void
  /**
   * Puts a packet that may leave only when turn `ticket` is committed, and not before those held earlier. Ticket 0 waits
   * for nothing but those. `freesReceiveSlot`: it ends an incoming PUBLISH's place in the receive window when it leaves.
   */
  hold(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void
  /** The same for the four-byte acknowledgement without reason code. */
  holdAck(firstByte: number, packetId: number, ticket: number, freesReceiveSlot: boolean): void
  /** From here on everything written waits behind what is held: used for CONNACK, which nothing may precede. */
  holdAll(): void
  /** Calls back when what is held has left, or takes too long; not if the connection ends before. False: nothing is held. */
  awaitHeld(then: () => void): boolean
  /** Stops and resumes the decoding of packets, for instance while an authenticator decides. */
  pauseReading(): void
  resumeReading(): void
  /** Stops and resumes the decoding of packets of a client that publishes too fast. */
  pauseForRate(): void
  resumeFromRate(): void
  /** Makes it a client's, in place of the connection that it takes over from if there is one; false: there is no room for it. */
  admit(replaced: Link | null): boolean
  /** What the peer sent took many steps: the rest of it is decoded in the next turn, after others had theirs. */
  yieldTurn(): void
  /** Flushes, ends the connection and, after a time for the peer to read, destroys it. What is held dies with it. */
  close(reason: string): void
  /** Logs and counts a fault of the peer. */
  fault(reasonCode: ReasonCode, text: string): void
}
