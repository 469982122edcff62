/** Any duplex stream of Node as the engine's byte stream: a socket, one over TLS, a WebSocket's, or one in memory. */
import type { Duplex } from 'node:stream'
import type { Peer } from '../core/ports/peer.ts'
import type { ByteStream } from '../engine/byte-stream.ts'

/** How long a peer may take to read our last words. */
const lingerMs = 2000

export interface StreamEvents {
  onData(chunk: Buffer): void
  onDrain(): void
  onEnd(reason: 'closed_by_peer' | 'socket_error', error?: Error): void
}

export class DuplexStream implements ByteStream {
  readonly peer: Peer
  readonly headroomBytes = 0
  readonly #duplex: Duplex
  #events: StreamEvents | null = null
  #isEnding = false
  #isPaused = false

  constructor(duplex: Duplex, peer: Peer) {
    this.#duplex = duplex
    this.peer = peer
  }

  /** From here on it is read. */
  begin(events: StreamEvents): void {
    const duplex = this.#duplex
    this.#events = events
    duplex.on('readable', this.#read)
    this.#read()
    duplex.on('end', () => events.onEnd('closed_by_peer'))
    duplex.on('close', () => events.onEnd('closed_by_peer'))
    duplex.on('error', (error) => events.onEnd('socket_error', error))
    if (duplex.destroyed || duplex.readableEnded) queueMicrotask(() => events.onEnd('closed_by_peer'))
  }

  /** A copy: what kind of stream keeps its chunks for how long is not known. */
  write(buffer: Buffer, start: number, end: number): boolean {
    const duplex = this.#duplex
    if (this.#isEnding || duplex.destroyed || duplex.writableEnded) return true
    let isWritten = false
    let isAwaited = false
    const hadRoom = duplex.write(Buffer.from(buffer.subarray(start, end)), () => {
      isWritten = true
      if (isAwaited) this.#events?.onDrain()
    })
    if (hadRoom || isWritten) return true
    isAwaited = true
    return false
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    // Not within the call that goes on with what is there already.
    queueMicrotask(this.#read)
  }

  /** All that is there, as it comes: a stream that flows by itself lets each chunk wait for a turn of its own. */
  readonly #read = (): void => {
    while (!this.#isPaused) {
      const chunk = this.#duplex.read() as Buffer | string | null
      if (chunk === null) return
      this.#events?.onData(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    }
  }

  end(): void {
    const duplex = this.#duplex
    if (this.#isEnding || duplex.destroyed) return
    this.#isEnding = true
    // What still comes is for nobody.
    duplex.off('readable', this.#read)
    duplex.resume()
    const timer = setTimeout(() => duplex.destroy(), lingerMs)
    timer.unref()
    duplex.once('close', () => clearTimeout(timer))
    duplex.end(() => duplex.destroy())
  }

  destroy(): void {
    this.#duplex.destroy()
  }
}
