/**
 * Chunks for output, and for packets that arrive in parts, shared by all connections: a connection holds one only while it has something to write, so that ten
 * thousand idle ones hold none. Most turns have little for a connection, and five hundred subscribers are written to in one
 * turn: they take small chunks, which stay in the processor's cache. What outgrows one moves to a large chunk.
 *
 * A chunk is used again when the kernel has taken it whole. How many are kept idle is bounded; beyond it they are left to
 * the garbage collector. A frame that needs more than a large chunk gets one of its own, of a power of two, also to be
 * used again: the kernel clears every page of new memory, which takes longer than to copy a message there.
 */

export const smallChunkBytes = 4 * 1024
/** Room for most turns' output of one connection, so that it leaves in one write. */
export const largeChunkBytes = 64 * 1024

const idleSmallChunksMax = 2048
const idleLargeChunksMax = 128
/** Frames beyond this are rare enough to get memory of exactly their size. */
const hugeChunkBytesMax = 4 * 1024 * 1024
const idleHugeBytesMax = 16 * 1024 * 1024

const small: Buffer[] = []
const large: Buffer[] = []
/** By the number of leading zeros of their size. */
const huge: Buffer[][] = Array.from({ length: 32 }, () => [])
let idleHugeBytes = 0

/** A chunk with room for so many bytes. */
export function takeChunk(bytes: number): Buffer {
  // Not from the pool of Buffer.allocUnsafe: its memory is touched only as far as it is filled.
  if (bytes <= smallChunkBytes) return small.pop() ?? Buffer.allocUnsafeSlow(smallChunkBytes)
  if (bytes <= largeChunkBytes) return large.pop() ?? Buffer.allocUnsafeSlow(largeChunkBytes)
  return bytes <= hugeChunkBytesMax ? takeHuge(bytes) : Buffer.allocUnsafeSlow(bytes)
}

function takeHuge(bytes: number): Buffer {
  const zeros = Math.clz32(bytes - 1)
  const chunk = huge[zeros - 1]!.pop()
  if (chunk === undefined) return Buffer.allocUnsafeSlow(2 ** (32 - zeros))
  idleHugeBytes -= chunk.length
  return chunk
}

export function giveBackChunk(chunk: Buffer): void {
  if (chunk.length === smallChunkBytes) {
    if (small.length < idleSmallChunksMax) small.push(chunk)
  } else if (chunk.length === largeChunkBytes) {
    if (large.length < idleLargeChunksMax) large.push(chunk)
  } else if (chunk.length <= hugeChunkBytesMax && idleHugeBytes + chunk.length <= idleHugeBytesMax) {
    huge[Math.clz32(chunk.length)]!.push(chunk)
    idleHugeBytes += chunk.length
  }
}

export const chunkMemory = { take: takeChunk, giveBack: giveBackChunk }

/** Up to this a loop of byte stores is cheaper than a call to copy, which costs the same for 16 bytes and for 256. */
const loopCopyBytesMax = 32
const copyBytes = Buffer.prototype.copy

export function copy(source: Uint8Array, start: number, end: number, target: Buffer, at: number): void {
  if (end - start <= loopCopyBytesMax) {
    let to = at
    for (let i = start; i < end; i++) target[to++] = source[i]!
  } else {
    copyBytes.call(source, target, at, start, end)
  }
}

/** Sets the first byte and, at `packetIdAt` > 0, the packet identifier of the PUBLISH that begins at `at`. */
export function patch(frame: Buffer, at: number, firstByte: number, packetIdAt: number, packetId: number): void {
  frame[at] = firstByte
  if (packetIdAt > 0) frame.writeUInt16BE(packetId, at + packetIdAt)
}
