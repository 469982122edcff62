/** Frames of one connection that wait for a commit, in the order in which they leave. */
export interface HeldFrame {
  /** Null: an acknowledgement of four bytes, which `ack` says. */
  readonly frame: Uint8Array | null
  /** Its first byte in bits 16 to 23, below them its packet identifier. */
  readonly ack: number
  readonly ticket: number
  /** It ends an incoming PUBLISH's place in the receive window. */
  readonly freesReceiveSlot: boolean
}

export const ackBytes = 4

export class HeldFrames {
  #frames: (HeldFrame | undefined)[] = []
  #next = 0
  bytes = 0

  get first(): HeldFrame | undefined {
    return this.#frames[this.#next]
  }

  /** The bytes are kept: they must be the caller's own. */
  push(frame: Uint8Array, ticket: number, freesReceiveSlot: boolean): void {
    this.#frames.push({ frame, ack: 0, ticket, freesReceiveSlot })
    this.bytes += frame.length
  }

  pushAck(firstByte: number, packetId: number, ticket: number, freesReceiveSlot: boolean): void {
    this.#frames.push({ frame: null, ack: (firstByte << 16) | packetId, ticket, freesReceiveSlot })
    this.bytes += ackBytes
  }

  shift(): void {
    const first = this.#frames[this.#next]
    if (first === undefined) return
    this.#frames[this.#next++] = undefined
    this.bytes -= first.frame === null ? ackBytes : first.frame.length
    if (this.#next > 1024 && this.#next * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#next)
      this.#next = 0
    }
  }
}
