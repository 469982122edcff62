/**
 * The client half of RFC 6455 as far as a load generator needs it: the upgrade, binary frames out (masked with a zero key, which
 * the broker has to unmask all the same), and a deframer that hands out payload slices without copying them.
 */

const endOfHead = Buffer.from('\r\n\r\n')

export function upgradeRequest(host: string, port: number, path: string): Buffer {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: bXF0aWRlLWJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n',
  )
}

/** One masked binary frame around `payload`. */
export function maskedFrame(payload: Uint8Array): Buffer {
  const length = payload.length
  let head: Buffer
  if (length < 126) {
    head = Buffer.of(0x82, 0x80 | length, 0, 0, 0, 0)
  } else if (length < 65_536) {
    head = Buffer.of(0x82, 0x80 | 126, length >> 8, length & 0xff, 0, 0, 0, 0)
  } else {
    head = Buffer.alloc(14)
    head[0] = 0x82
    head[1] = 0x80 | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, payload])
}

type Slice = (chunk: Buffer, start: number, end: number) => void

export class WebSocketReader {
  upgraded = false
  #head = Buffer.alloc(0)
  readonly #frameHead = Buffer.alloc(14)
  #frameHeadLength = 0
  /** Payload bytes of the current frame that have not come yet. */
  #missing = 0
  #opcode = 0
  readonly #onUpgrade: () => void
  readonly #onPayload: Slice

  constructor(onUpgrade: () => void, onPayload: Slice) {
    this.#onUpgrade = onUpgrade
    this.#onPayload = onPayload
  }

  /** Throws when the upgrade is refused or the server closes. */
  feed(chunk: Buffer, start: number, end: number): void {
    let at = start
    if (!this.upgraded) {
      at = this.#upgrade(chunk, start, end)
      if (at < 0) return
    }
    while (at < end) {
      if (this.#missing === 0) {
        at = this.#readFrameHead(chunk, at, end)
        if (at < 0) return
      }
      const take = Math.min(this.#missing, end - at)
      this.#missing -= take
      if (this.#opcode <= 2 && take > 0) this.#onPayload(chunk, at, at + take)
      at += take
    }
  }

  #upgrade(chunk: Buffer, start: number, end: number): number {
    const before = this.#head.length
    this.#head = Buffer.concat([this.#head, chunk.subarray(start, end)])
    const found = this.#head.indexOf(endOfHead)
    if (found < 0) return -1
    const head = this.#head.toString('latin1', 0, found)
    if (!head.startsWith('HTTP/1.1 101')) throw new Error(`WebSocket upgrade refused: ${head.split('\r\n')[0]}`)
    this.upgraded = true
    this.#onUpgrade()
    return start + found + endOfHead.length - before
  }

  /** Gathers a frame's head byte by byte; returns where the payload starts, or -1 when the chunk ended first. */
  #readFrameHead(chunk: Buffer, start: number, end: number): number {
    const head = this.#frameHead
    let at = start
    while (at < end) {
      head[this.#frameHeadLength++] = chunk[at++]!
      if (this.#frameHeadLength < 2) continue
      const short = head[1]! & 0x7f
      const needed = short < 126 ? 2 : short === 126 ? 4 : 10
      if (this.#frameHeadLength < needed) continue
      this.#missing = short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2))
      this.#opcode = head[0]! & 0x0f
      this.#frameHeadLength = 0
      if (this.#opcode === 8) throw new Error('the broker closed the WebSocket')
      if (this.#opcode === 1) throw new Error('the broker sent a text frame')
      return at
    }
    return -1
  }
}
