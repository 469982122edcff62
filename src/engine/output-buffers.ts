/**
 * Output chunks, shared by all connections: a connection holds one only while it has something to write, so that ten
 * thousand idle ones hold none. Most turns have little for a connection, and five hundred subscribers are written to in one
 * turn: they take small chunks, which stay in the processor's cache. What outgrows one moves to a large chunk.
 *
 * A chunk is used again when the kernel has taken it whole. How many are kept idle is bounded; beyond it they are left to
 * the garbage collector.
 */

export const smallChunkBytes = 4 * 1024
/** Room for most turns' output of one connection, so that it leaves in one write. */
export const largeChunkBytes = 64 * 1024

const idleSmallChunksMax = 2048
const idleLargeChunksMax = 128

const small: Buffer[] = []
const large: Buffer[] = []

/** A chunk with room for so many bytes: one of the two sizes, or, beyond them, one of its own. */
export function takeChunk(bytes: number): Buffer {
  // Not from the pool of Buffer.allocUnsafe: its memory is touched only as far as it is filled.
  if (bytes <= smallChunkBytes) return small.pop() ?? Buffer.allocUnsafeSlow(smallChunkBytes)
  if (bytes <= largeChunkBytes) return large.pop() ?? Buffer.allocUnsafeSlow(largeChunkBytes)
  return Buffer.allocUnsafeSlow(bytes)
}

export function giveBackChunk(chunk: Buffer): void {
  if (chunk.length === smallChunkBytes) {
    if (small.length < idleSmallChunksMax) small.push(chunk)
  } else if (chunk.length === largeChunkBytes) {
    if (large.length < idleLargeChunksMax) large.push(chunk)
  }
}
