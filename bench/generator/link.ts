/**
 * One client connection of the generator.
 *
 * Theory of operation: all sockets read into one shared buffer (`onread`), so a read allocates nothing. `feed` walks the frames
 * in place and calls `packet` for each. Of a frame that is cut by the end of a chunk only the first bytes are kept (topic, packet
 * id, stamp); the rest of its payload is counted, not stored. What the client answers is gathered in `out` and written once per
 * event-loop turn by the load that owns it.
 */
import net from 'node:net'
import tls from 'node:tls'
import { maskedFrame, upgradeRequest, WebSocketReader } from './websocket.ts'

export type Transport = 'tcp' | 'websocket' | 'tls'

export interface Endpoint {
  host: string
  port: number
  transport: Transport
  /** HTTP path of the WebSocket upgrade. */
  path?: string
  /** Source address; tens of thousands of connections need more than one. */
  localAddress?: string
  /** Over TLS: each connection resumes the session of one before. */
  resumes?: boolean
}

/** Of the latest connection of those that resume. */
let tlsSession: Buffer | undefined

/** What the links of one load report to. */
export interface LinkOwner {
  /** Something arrived or was written: run a turn soon. */
  wake(): void
  /** `link` holds bytes to write in the coming turn. */
  markDirty(link: Link): void
  failed(link: Link, reason: string): void
}

const sharedReadBuffer = Buffer.allocUnsafeSlow(256 * 1024)
const outBytesInitial = 2048
/** Enough for the fixed header, a topic, properties and the stamp. */
const keptBytesMax = 1024
const noBytes = Buffer.alloc(0)

export abstract class Link {
  readonly socket: net.Socket
  readonly index: number
  closing = false
  protected readonly owner: LinkOwner
  #out: Buffer = noBytes
  #outLength = 0
  #dirty = false
  #kept: Buffer = noBytes
  #keptLength = 0
  /** Bytes of the cut frame that are still to come; -1 while its length is unknown. */
  #missing = -1
  readonly #webSocket: WebSocketReader | undefined

  constructor(owner: LinkOwner, index: number, endpoint: Endpoint) {
    this.owner = owner
    this.index = index
    const { host, port, transport } = endpoint
    if (transport === 'websocket') {
      this.#webSocket = new WebSocketReader(
        () => this.open(),
        (chunk, start, end) => this.feed(chunk, start, end),
      )
    }
    const received = (chunk: Buffer, length: number): void => this.#received(chunk, length)
    if (transport === 'tls') {
      const session = endpoint.resumes === true && tlsSession !== undefined ? { session: tlsSession } : {}
      const socket = tls.connect({ host, port, rejectUnauthorized: false, ...session })
      if (endpoint.resumes === true) {
        socket.on('session', (given) => {
          tlsSession = given
        })
      }
      socket.on('data', (chunk: Buffer) => received(chunk, chunk.length))
      socket.once('secureConnect', () => this.open())
      this.socket = socket
    } else {
      const callback = (length: number): boolean => {
        received(sharedReadBuffer, length)
        return true
      }
      const local = endpoint.localAddress === undefined ? {} : { localAddress: endpoint.localAddress }
      this.socket = net.connect({ host, port, noDelay: true, ...local, onread: { buffer: sharedReadBuffer, callback } })
      this.socket.once('connect', () => {
        if (transport === 'tcp') this.open()
        else this.socket.write(upgradeRequest(host, port, endpoint.path ?? '/mqtt'))
      })
    }
    this.socket.on('error', (error) => this.#failed(error.message))
    this.socket.on('close', () => this.#failed('closed by the broker'))
  }

  /** The transport is up: send CONNECT. */
  protected abstract open(): void

  /** One frame: `start` is its first byte, `body` the first after the remaining length, `end` one past the last byte at hand. */
  protected abstract packet(bytes: Buffer, start: number, body: number, end: number): void

  #received(chunk: Buffer, length: number): void {
    try {
      if (this.#webSocket === undefined) this.feed(chunk, 0, length)
      else this.#webSocket.feed(chunk, 0, length)
    } catch (error) {
      this.#failed(error instanceof Error ? error.message : String(error))
    }
    this.owner.wake()
  }

  #failed(reason: string): void {
    if (this.closing) return
    this.closing = true
    this.owner.failed(this, reason)
  }

  /** Walks MQTT frames in `chunk[start, end)`. */
  protected feed(chunk: Buffer, start: number, end: number): void {
    let at = start
    if (this.#keptLength > 0) {
      at = this.#completeKept(chunk, at, end)
      if (at < 0) return
    }
    while (at + 2 <= end) {
      let length = chunk[at + 1]!
      let body = at + 2
      if (length > 127) {
        length &= 127
        let shift = 7
        let byte = 128
        while (byte > 127 && body < end && shift < 28) {
          byte = chunk[body++]!
          length |= (byte & 127) << shift
          shift += 7
        }
        if (byte > 127) break
      }
      if (body + length > end) break
      this.packet(chunk, at, body, body + length)
      at = body + length
    }
    if (at < end) this.#completeKept(chunk, at, end)
  }

  /** Goes on with (or begins) a cut frame; returns where the next frame starts, or -1 when this one is still incomplete. */
  #completeKept(chunk: Buffer, start: number, end: number): number {
    if (this.#kept.length === 0) this.#kept = Buffer.allocUnsafeSlow(keptBytesMax)
    let at = start
    while (this.#missing < 0) {
      if (at === end) return -1
      const byte = chunk[at++]!
      this.#kept[this.#keptLength++] = byte
      if (this.#keptLength >= 2 && byte < 128) this.#missing = this.#remainingLength()
    }
    const take = Math.min(this.#missing, end - at)
    const keep = Math.min(take, keptBytesMax - this.#keptLength)
    if (keep > 0) chunk.copy(this.#kept, this.#keptLength, at, at + keep)
    this.#keptLength += keep
    this.#missing -= take
    if (this.#missing > 0) return -1
    let body = 1
    while (this.#kept[body++]! > 127);
    const kept = this.#keptLength
    this.#keptLength = 0
    this.#missing = -1
    this.packet(this.#kept, 0, body, kept)
    return at + take
  }

  #remainingLength(): number {
    let length = 0
    for (let i = 1; i < this.#keptLength; i++) length += (this.#kept[i]! & 127) * 128 ** (i - 1)
    return length
  }

  /** Appends to what the coming turn writes. */
  put(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#out.set(bytes, this.#outLength)
    this.#outLength += bytes.length
  }

  /** Appends a four-byte acknowledgement. */
  putAcknowledgement(firstByte: number, idHigh: number, idLow: number): void {
    this.#reserve(4)
    const out = this.#out
    const at = this.#outLength
    out[at] = firstByte
    out[at + 1] = 2
    out[at + 2] = idHigh
    out[at + 3] = idLow
    this.#outLength = at + 4
  }

  #reserve(length: number): void {
    if (!this.#dirty) {
      this.#dirty = true
      this.owner.markDirty(this)
    }
    const needed = this.#outLength + length
    if (needed <= this.#out.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#out.length * 2, outBytesInitial))
    this.#out.copy(larger, 0, 0, this.#outLength)
    this.#out = larger
  }

  /** Writes what was gathered, in one write. The buffer is used again unless the socket had to keep it. */
  flush(): void {
    this.#dirty = false
    if (this.#outLength === 0 || this.closing) return
    this.write(this.#out.subarray(0, this.#outLength))
    this.#outLength = 0
    if (this.socket.writableLength > 0) this.#out = noBytes
  }

  /** Writes now. `bytes` must stay unchanged while `socket.writableLength` is not 0. */
  write(bytes: Uint8Array): void {
    if (this.#webSocket?.upgraded) this.socket.write(maskedFrame(bytes))
    else this.socket.write(bytes)
  }

  /** Ends the connection without the failure being reported. */
  close(): void {
    this.closing = true
    this.socket.destroy()
  }
}
