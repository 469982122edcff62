/**
 * The output of one connection: frames put into chunks through the turn, written at its end, and counted until the kernel has
 * taken them. While the socket is behind nothing is given to it, so that all that waits is counted here. Beyond `limit` the
 * connection is full: its own limit, or 64 KiB while the output of all connections together is beyond its budget.
 *
 * Where the kernel takes everything at once, nothing of a connection is in the budget: what a turn gathers leaves with its end.
 */

import type { Client } from '../core/connection/client.ts'
import type { ByteStream } from './byte-stream.ts'
import type { Engine } from './engine.ts'
import { ackBytes } from './held-frames.ts'
import { copy, giveBackChunk, largeChunkBytes, patch, takeChunk } from './output-buffers.ts'
import type { Tap } from './tap.ts'

/** What may wait for one connection though all together have more than they may. */
export const fairOutputBytes = 64 * 1024

export class Output {
  /** Sees what is given to the stream; null: nobody looks on. */
  tap: Tap | null = null
  /** What is being filled; there is one after `reserve`. */
  chunk: Buffer | null = null
  readonly #stream: ByteStream
  readonly #headroomBytes: number
  /** Whose it is. */
  readonly #owner: { readonly client: Client }
  readonly #engine: Pick<Engine, 'broker' | 'outputBufferBytesMax'>
  /** In `chunk`. */
  #length = 0
  #chunks: { buffer: Buffer; end: number }[] = []
  #chunksBytes = 0
  /** Writes that the stream took and the kernel did not take whole yet. */
  #blockedWrites = 0
  #blockedBytes = 0
  #lent: Buffer[] = []
  /** What it counts for in the budget. */
  #counted = 0

  constructor(stream: ByteStream, engine: Pick<Engine, 'broker' | 'outputBufferBytesMax'>, owner: { client: Client }) {
    this.#owner = owner
    this.#stream = stream
    this.#headroomBytes = stream.headroomBytes
    this.#engine = engine
  }

  get bytes(): number {
    return this.#length + this.#chunksBytes + this.#blockedBytes
  }

  get blocked(): boolean {
    return this.#blockedWrites > 0
  }

  /** Beyond so many bytes it is full. */
  get limit(): number {
    const { broker, outputBufferBytesMax } = this.#engine
    return broker.budgets.outputBytes.exceeded ? Math.min(fairOutputBytes, outputBufferBytesMax) : outputBufferBytesMax
  }

  /** Makes room for a frame in `chunk`. Returns where it begins. */
  reserve(bytes: number): number {
    const at = this.#headroomBytes + this.#length
    const { chunk } = this
    if (chunk === null || at + bytes > chunk.length) return this.#reserveAnew(bytes)
    this.#length += bytes
    return at
  }

  /** Puts a frame into the output. */
  write(frame: Uint8Array, start: number, end: number): void {
    const at = this.reserve(end - start)
    copy(frame, start, end, this.chunk!, at)
  }

  /** Puts a PUBLISH, with what is its recipient's own in it. */
  writePublish(
    frame: Uint8Array,
    start: number,
    end: number,
    firstByte: number,
    packetIdAt: number,
    packetId: number,
  ): void {
    const at = this.reserve(end - start)
    const chunk = this.chunk!
    copy(frame, start, end, chunk, at)
    chunk[at] = firstByte
    if (packetIdAt > 0) {
      chunk[at + packetIdAt - start] = packetId >> 8
      chunk[at + packetIdAt - start + 1] = packetId
    }
  }

  /** Puts an acknowledgement of four bytes. */
  writeAck(firstByte: number, packetId: number): void {
    const at = this.reserve(ackBytes)
    const chunk = this.chunk!
    chunk[at] = firstByte
    chunk[at + 1] = 2
    chunk[at + 2] = packetId >> 8
    chunk[at + 3] = packetId
  }

  /** A copy of a PUBLISH, with what is its recipient's own in it. */
  copyOfPublish(frame: Uint8Array, firstByte: number, packetIdAt: number, packetId: number): Uint8Array {
    const own = Buffer.from(frame)
    patch(own, 0, firstByte, packetIdAt, packetId)
    return own
  }

  /** The type of a packet that was held. */
  typeOf(frame: Uint8Array): number {
    return frame[0]! >> 4
  }

  /** To who looks on. */
  protected show(buffer: Buffer, start: number, end: number): void {
    this.tap?.sent(buffer, start, end)
  }

  /** Gives everything to the stream. */
  writeOut(): void {
    const headroom = this.#headroomBytes
    if (this.#chunks.length > 0) {
      for (const { buffer, end } of this.#chunks) this.#give(buffer, headroom, end)
      this.#chunks = []
      this.#chunksBytes = 0
    }
    const { chunk } = this
    if (chunk === null) return
    const end = headroom + this.#length
    this.#owner.client.namespace.traffic.bytesSent += this.#length
    this.chunk = null
    this.#length = 0
    this.#give(chunk, headroom, end)
  }

  /** Brings the budget up to date; the turn ends. */
  count(): void {
    const waiting = this.#blockedWrites === 0 ? 0 : this.bytes
    if (waiting === this.#counted) return
    const { outputBytes } = this.#engine.broker.budgets
    if (waiting > this.#counted) outputBytes.admits(waiting - this.#counted)
    outputBytes.used += waiting - this.#counted
    this.#counted = waiting
  }

  /** The kernel took everything of a write that it did not take at once. Returns whether that was the last. */
  onDrain(): boolean {
    if (--this.#blockedWrites > 0) return false
    this.#blockedBytes = 0
    for (const chunk of this.#lent) giveBackChunk(chunk)
    this.#lent = []
    this.count()
    return true
  }

  /** The connection is over: what was not given to the stream is not sent. */
  drop(): void {
    this.chunk = null
    this.#chunks = []
    this.#length = 0
    this.#chunksBytes = 0
    // What the stream still has is let go with it.
    this.#engine.broker.budgets.outputBytes.used -= this.#counted
    this.#counted = 0
  }

  #give(buffer: Buffer, start: number, end: number): void {
    if (this.tap !== null) this.show(buffer, start, end)
    if (this.#stream.write(buffer, start, end)) {
      giveBackChunk(buffer)
      return
    }
    this.#lent.push(buffer)
    this.#blockedWrites++
    this.#blockedBytes += end - start
  }

  #reserveAnew(bytes: number): number {
    const headroom = this.#headroomBytes
    const { chunk } = this
    const together = headroom + this.#length + bytes
    if (chunk === null || together > largeChunkBytes) {
      if (chunk !== null) this.#setAside(chunk)
      this.chunk = takeChunk(headroom + bytes)
    } else {
      const larger = takeChunk(together)
      chunk.copy(larger, headroom, headroom, headroom + this.#length)
      giveBackChunk(chunk)
      this.chunk = larger
    }
    const at = headroom + this.#length
    this.#length += bytes
    return at
  }

  #setAside(chunk: Buffer): void {
    this.#chunks.push({ buffer: chunk, end: this.#headroomBytes + this.#length })
    this.#chunksBytes += this.#length
    this.#owner.client.namespace.traffic.bytesSent += this.#length
    this.#length = 0
  }
}
