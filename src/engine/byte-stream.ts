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

/** A stream of texts, each of which its transport puts something around. */
export interface TextStream extends ByteStream {
  readonly bytesAfter: number
  /** What stands before a text of so many bytes. */
  bytesBefore(textBytes: number): number
  /** Writes what stands before and after a text into `target`, where all of it begins at `at`. */
  writeAround(target: Buffer, at: number, textBytes: number): void
  /** Said to the peer when the stream ends. */
  endsBecause(reasonCode: number, text: string): void
}
