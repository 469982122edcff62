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

/** Below this a loop of byte stores is cheaper than a call to copy. */
const loopCopyBytesMax = 128

export function copy(source: Uint8Array, start: number, end: number, target: Buffer, at: number): void {
  if (end - start <= loopCopyBytesMax) {
    let to = at
    for (let i = start; i < end; i++) target[to++] = source[i]!
  } else {
    target.set(start === 0 && end === source.length ? source : source.subarray(start, end), at)
  }
}

/** Sets the first byte and, at `packetIdAt` > 0, the packet identifier of the PUBLISH that begins at `at`. */
export function patch(frame: Buffer, at: number, firstByte: number, packetIdAt: number, packetId: number): void {
  frame[at] = firstByte
  if (packetIdAt > 0) frame.writeUInt16BE(packetId, at + packetIdAt)
}
