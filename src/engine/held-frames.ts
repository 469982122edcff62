/** Frames of one connection that wait for a commit, in the order in which they leave. */
export interface HeldFrame {
  readonly frame: Uint8Array
  readonly ticket: number
  /** It ends an incoming PUBLISH's place in the receive window. */
  readonly freesReceiveSlot: boolean
}

export class HeldFrames {
  #frames: HeldFrame[] = []
  #next = 0
  bytes = 0

  get first(): HeldFrame | undefined {
    return this.#frames[this.#next]
  }

  /** The bytes are kept: they must be the caller's own. */
  push(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void {
    this.#frames.push({ frame, ticket, freesReceiveSlot })
    this.bytes += frame.length
  }

  shift(): void {
    const first = this.#frames[this.#next++]
    if (first === undefined) return
    this.bytes -= first.frame.length
    if (this.#next > 1024 && this.#next * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#next)
      this.#next = 0
    }
  }
}
