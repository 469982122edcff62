/**
 * Output chunks, shared by all connections: a connection holds one only while it has something to write, so that ten
 * thousand idle ones hold none. A chunk that the kernel took whole is used again at once; one that it did not is left to
 * the garbage collector when the socket is done with it.
 */

/** Room for most turns' output of one connection, so that it leaves in one write. */
export const chunkBytes = 64 * 1024

/** Chunks kept for use again: the most that are idle at a time. */
const idleChunksMax = 1024

const idle: Buffer[] = []

export function takeChunk(): Buffer {
  // Not from the pool of Buffer.allocUnsafe: its memory is touched only as far as it is filled.
  return idle.pop() ?? Buffer.allocUnsafeSlow(chunkBytes)
}

export function giveBackChunk(chunk: Buffer): void {
  if (idle.length < idleChunksMax) idle.push(chunk)
}
