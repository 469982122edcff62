import type { Peer } from '../core/ports/peer.ts'

/** A byte stream to a peer, as a listener makes it. */
export interface ByteStream {
  readonly peer: Peer
  /** Bytes to leave free before the first frame of a write, for the transport's own framing. */
  readonly headroomBytes: number
  /**
   * Writes `buffer` from `start`, where `headroomBytes` before `start` may be overwritten. True: the buffer is free at once;
   * false: the kernel did not take all, and `onDrain` follows.
   */
  write(buffer: Buffer, start: number, end: number): boolean
  pause(): void
  resume(): void
  /** Ends our side after what was written, and destroys the stream when the peer does not follow in time. */
  end(): void
  destroy(): void
}
