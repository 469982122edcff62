/** Why a peer's bytes are left in the socket, if they are. */
import type { ByteStream } from './byte-stream.ts'

/**
 * An answer of the authority; room for what waits for a commit; a peer that asks without reading the answers; others' turn; the
 * rate at which it may publish.
 */
export const pausedFor = { answer: 1, commit: 2, output: 4, turn: 8, rate: 16 } as const

export class Reading {
  readonly #stream: ByteStream
  /** Any of `pausedFor`; 0: they are read. */
  #reasons = 0
  #over = false

  constructor(stream: ByteStream) {
    this.#stream = stream
  }

  has(reasons: number): boolean {
    return (this.#reasons & reasons) !== 0
  }

  pause(reason: number): void {
    if (this.#reasons === 0) this.#stream.pause()
    this.#reasons |= reason
  }

  /** The reason is gone; `flow` is to follow when nothing came in its place. */
  clear(reason: number): void {
    this.#reasons &= ~reason
  }

  resume(reason: number): void {
    if (!this.has(reason)) return
    this.clear(reason)
    this.flow()
  }

  flow(): void {
    if (this.#reasons === 0 && !this.#over) this.#stream.resume()
  }

  /** The connection is closing: nothing is read any more. */
  end(): void {
    this.#over = true
  }
}
