/**
 * The decoder of one connection: bytes in, whole packets out to a sink.
 *
 * Packets are framed and decoded where they lie in the chunk; only the bytes of a packet that a chunk's end cuts are copied,
 * into a buffer of their own that grows with what has arrived, not with what was declared. A fixed header is judged as
 * soon as it is there: a packet that is refused by its type, flags or length is never buffered.
 */
import { readConnack, readConnect, readProtocolVersion, UnsupportedProtocolVersion } from './decode-connect.ts'
import {
  readAuth,
  readDisconnect,
  readPacketId,
  readSuback,
  readSubscribe,
  readUnsuback,
  readUnsubscribe,
} from './decode-packets.ts'
import { readProperties } from './decode-properties.ts'
import { emptyPublishFrame, fillPublishFrame, type PublishRules } from './decode-publish.ts'
import { connackOnly, connectOnly, type FirstBytes, refusedFirstByte, toClient, toServer } from './fixed-header.ts'
import { noBytes, noProperties, type PacketSink, PacketType, type Properties, type ProtocolVersion } from './packet.ts'
import { type PacketLimits, unlimited } from './packet-limits.ts'
import { PacketReader } from './packet-reader.ts'
import { packetName } from './properties.ts'
import { malformed, ProtocolError } from './protocol-error.ts'
import { ReasonCode } from './reason-code.ts'
import { refuseStrayReasonCode, type Sender } from './reason-code-places.ts'

/** Before CONNECT nobody is known yet: room for a client id, user name, password, will and properties of 64 KiB each. */
export const connectPacketBytesMaxDefault = 400_000

export interface DecoderOptions {
  /** Who receives. */
  role: 'server' | 'client'
  /** Largest packet in bytes, fixed header included. */
  packetBytesMax: number
  /** For a client, what it sent in CONNECT. */
  version?: ProtocolVersion
  /** For a client: CONNACK has come already. */
  established?: boolean
  /** Largest CONNECT in bytes. */
  connectPacketBytesMax?: number
  /** How many things one packet may hold; without, as many as it has room for. */
  limits?: PacketLimits
  /** For packets of more than 64 KiB that arrive in parts. */
  memory?: DecoderMemory
}

/** Where memory comes from and goes back to once its packet was handed over: the kernel takes long to clear new memory. */
export interface DecoderMemory {
  /** At least so many bytes, with anything in them. */
  take(bytes: number): Uint8Array
  giveBack(memory: Uint8Array): void
}

const ownMemory: DecoderMemory = { take: (bytes) => Buffer.allocUnsafeSlow(bytes), giveBack: () => {} }
/** Up to here a partial packet's buffer is the decoder's own. */
const ownBytesMax = 64 * 1024

const flowing = 0
const paused = 1
const closed = 2

/** Smallest buffer for a packet that a chunk's end cuts. */
const partialBytesMin = 64

/** Of a packet that met a fault. */
const refusedBytesMax = 64

export class Decoder {
  /** 0 until CONNECT's level is known. 5 where CONNECT asked for a higher one, so that the refusal takes 5.0's form. */
  version: ProtocolVersion | 0
  /** Largest packet in bytes, fixed header included; may be changed between packets. */
  packetBytesMax: number
  /** The beginning of the packet at which an exception ended decoding. */
  refusedBytes: Uint8Array | null = null
  #sink: PacketSink
  readonly #sender: Sender
  readonly #connectPacketBytesMax: number
  readonly #memory: DecoderMemory
  readonly #frame = emptyPublishFrame()
  readonly #rules: PublishRules
  #firstBytes: FirstBytes
  #state: number = flowing
  #running = false
  /** The first bytes of a packet whose rest has not arrived; its whole length, 0 while the fixed header is incomplete. */
  #partial = noBytes
  #partialBytes = 0
  #partialPacketBytes = 0
  /** What arrived behind the packet at which the sink paused; later in the stream than `#partial`. */
  #kept: Uint8Array[] = []

  constructor(sink: PacketSink, options: DecoderOptions) {
    this.#sink = sink
    this.packetBytesMax = options.packetBytesMax
    this.#memory = options.memory ?? ownMemory
    this.#connectPacketBytesMax = options.connectPacketBytesMax ?? connectPacketBytesMaxDefault
    if (options.role === 'server') {
      this.version = 0
      this.#sender = 'client'
      this.#firstBytes = connectOnly
    } else {
      this.version = options.version ?? 4
      this.#sender = 'server'
      this.#firstBytes = (options.established === true ? toClient : connackOnly)[this.version]
    }
    this.#rules = { sender: this.#sender, version5: this.version === 5, limits: options.limits ?? unlimited }
  }

  /** Bytes held back: of an incomplete packet, or because of a pause. */
  get bufferedBytes(): number {
    let bytes = this.#partialBytes
    for (const chunk of this.#kept) bytes += chunk.length
    return bytes
  }

  /** Memory taken for that. */
  get memoryBytes(): number {
    return this.bufferedBytes - this.#partialBytes + this.#partial.length
  }

  /**
   * Hands each whole packet to the sink before it returns. The chunk is not kept. Not to be called by the sink.
   *
   * @throws ProtocolError with the reason code for the peer's fault, or what the sink throws; the decoder is closed then
   */
  push(chunk: Uint8Array): void {
    if (this.#state === closed || chunk.length === 0) return
    if (this.#state === paused) this.#kept.push(ownChunk(chunk))
    else this.#guarded(() => this.#feed(chunk, false))
  }

  /** For the sink: the current packet is the last until `resume`. What is pushed meanwhile is kept, without a limit. */
  pause(): void {
    if (this.#state === flowing) this.#state = paused
  }

  /** Goes on with what was kept. @throws as `push` */
  resume(): void {
    if (this.#state !== paused) return
    this.#state = flowing
    if (this.#running) return
    this.#guarded(() => {
      while (this.#state === flowing) {
        const chunk = this.#kept.shift()
        if (chunk === undefined) return
        this.#feed(chunk, true)
      }
    })
  }

  /** The next packet is for this one; may be called by the sink itself. */
  handTo(sink: PacketSink): void {
    this.#sink = sink
  }

  /** No packet comes any more, whatever is pushed. */
  close(): void {
    this.#state = closed
    this.#dropPartial()
    this.#kept = []
  }

  #guarded(run: () => void): void {
    this.#running = true
    try {
      run()
    } catch (error) {
      this.close()
      throw error
    } finally {
      this.#running = false
      // A frame that went on pointing at the chunk would keep its 64 KB alive for as long as the connection idles.
      this.#frame.buffer = noBytes
    }
  }

  /** @param isOwn whether the chunk's memory is ours, so that a rest of it may be kept without copying */
  #feed(chunk: Uint8Array, isOwn: boolean): void {
    let at = this.#partialBytes > 0 ? this.#completePartial(chunk) : 0
    if (this.#state === flowing) at = this.#run(chunk, at)
    if (at === chunk.length || this.#state === closed) return
    if (this.#state === flowing) {
      if (this.#partialBytes === 0) this.#partialPacketBytes = this.#packetBytes(chunk, at, chunk.length)
      this.#append(chunk, at, chunk.length)
    } else this.#kept.unshift(isOwn ? chunk.subarray(at) : ownChunk(chunk.subarray(at)))
  }

  /** @returns the offset of the first byte that belongs to no whole packet, or behind a pause */
  #run(chunk: Uint8Array, from: number): number {
    const { length } = chunk
    let at = from
    try {
      while (at < length && this.#state === flowing) {
        const size = this.#packetBytes(chunk, at, length)
        const end = at + size
        if (size === 0 || end > length) return at
        let bodyStart = at + 2
        while (chunk[bodyStart - 1]! >= 0x80) bodyStart++
        const type = chunk[at]! >> 4
        if (type === PacketType.publish) {
          const frame = this.#frame
          frame.buffer = chunk
          frame.start = at
          frame.end = end
          fillPublishFrame(frame, bodyStart, this.#rules)
          this.#sink.onPublish(frame)
        } else if (type >= PacketType.puback && type <= PacketType.pubcomp)
          this.#acknowledgement(type, chunk, bodyStart, end)
        else this.#packet(type as PacketType, chunk, bodyStart, end)
        at = end
      }
    } catch (error) {
      this.refusedBytes = chunk.slice(at, at + refusedBytesMax)
      throw error
    }
    return at
  }

  /** The size of the packet at `at`; 0 while its fixed header is incomplete. Refuses what the fixed header gives away. */
  #packetBytes(bytes: Uint8Array, at: number, end: number): number {
    const first = bytes[at]!
    const type = this.#firstBytes[first]!
    if (type === 0) throw refusedFirstByte(bytes.subarray(at, end), this.#firstBytes, this.version)
    if (at + 1 === end) return 0
    let next = at + 1
    let byte = bytes[next++]!
    let remaining = byte & 0x7f
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (shift === 28) throw malformed('the Remaining Length is longer than four bytes (2.1.4)')
      if (next === end) return 0
      byte = bytes[next++]!
      remaining |= (byte & 0x7f) << shift
      // Statement 1.5.5-1 is 5.0's; 3.1.1 lets the length take more bytes than it needs. CONNECT may turn out to be 5.0's.
      if (byte === 0 && this.version === 5) throw paddedRemainingLength()
    }
    const size = next - at + remaining
    if (size > this.packetBytesMax || (type === PacketType.connect && size > this.#connectPacketBytesMax))
      throw this.#tooLarge(type, size)
    return size
  }

  #tooLarge(type: number, size: number): ProtocolError {
    const most =
      type === PacketType.connect ? Math.min(this.packetBytesMax, this.#connectPacketBytesMax) : this.packetBytesMax
    return new ProtocolError(
      ReasonCode.packetTooLarge,
      `${packetName(type)} declares ${size} bytes, ${most} are accepted (3.1.2.11.4, 3.2.2.3.6)`,
    )
  }

  /** Adds the chunk's first bytes to the packet begun earlier; hands it over if that completes it. @returns what it took */
  #completePartial(chunk: Uint8Array): number {
    let at = 0
    while (this.#partialPacketBytes === 0) {
      if (at === chunk.length) return at
      this.#append(chunk, at, ++at)
    }
    const missing = this.#partialPacketBytes - this.#partialBytes
    const end = Math.min(chunk.length, at + missing)
    this.#append(chunk, at, end)
    if (this.#partialBytes < this.#partialPacketBytes) return end
    const memory = this.#partial
    const packet = memory.subarray(0, this.#partialPacketBytes)
    this.#partial = noBytes
    this.#dropPartial()
    this.#run(packet, 0)
    this.#giveBack(memory)
    return end
  }

  #append(chunk: Uint8Array, start: number, end: number): void {
    const length = this.#partialBytes + end - start
    if (length > this.#partial.length) {
      // At most four times what has arrived, and no more than was declared.
      const room = Math.max(4 * length, partialBytesMin)
      const bytes = this.#partialPacketBytes > 0 ? Math.min(room, this.#partialPacketBytes) : room
      const grown = bytes > ownBytesMax ? this.#memory.take(bytes) : Buffer.allocUnsafeSlow(bytes)
      grown.set(this.#partial.subarray(0, this.#partialBytes))
      this.#giveBack(this.#partial)
      this.#partial = grown
    }
    this.#partial.set(chunk.subarray(start, end), this.#partialBytes)
    this.#partialBytes = length
    if (this.#partialPacketBytes === 0) this.#partialPacketBytes = this.#packetBytes(this.#partial, 0, length)
  }

  #giveBack(memory: Uint8Array): void {
    if (memory.length > ownBytesMax) this.#memory.giveBack(memory)
  }

  #dropPartial(): void {
    this.#giveBack(this.#partial)
    this.#partial = noBytes
    this.#partialBytes = 0
    this.#partialPacketBytes = 0
  }

  #acknowledgement(type: number, bytes: Uint8Array, start: number, end: number): void {
    let packetId: number
    let reasonCode = 0
    let properties: Properties = noProperties
    if (end - start === 2) {
      packetId = (bytes[start]! << 8) | bytes[start + 1]!
      if (packetId === 0) readPacketId(new PacketReader(bytes, start, end, packetName(type), this.#rules.limits))
    } else {
      const reader = new PacketReader(bytes, start, end, packetName(type), this.#rules.limits)
      packetId = readPacketId(reader)
      if (this.version === 5) {
        reasonCode = reader.uint8('Reason Code')
        refuseStrayReasonCode(type as PacketType, this.#sender, reasonCode)
        // 3.4.2.2.1: without a Property Length it is 0.
        if (reader.remaining > 0) properties = readProperties(reader, type as PacketType)
      }
      reader.expectEnd()
    }
    if (type === PacketType.puback) this.#sink.onPuback(packetId, reasonCode, properties)
    else if (type === PacketType.pubrec) this.#sink.onPubrec(packetId, reasonCode, properties)
    else if (type === PacketType.pubrel) this.#sink.onPubrel(packetId, reasonCode, properties)
    else this.#sink.onPubcomp(packetId, reasonCode, properties)
  }

  #packet(type: PacketType, bytes: Uint8Array, start: number, end: number): void {
    const reader = new PacketReader(bytes, start, end, packetName(type), this.#rules.limits)
    const version = this.version || 4
    const sink = this.#sink
    switch (type) {
      case PacketType.connect:
        this.#connect(reader)
        break
      case PacketType.connack: {
        const packet = readConnack(reader, version)
        this.#firstBytes = toClient[version]
        sink.onConnack(packet)
        break
      }
      case PacketType.subscribe:
        sink.onSubscribe(readSubscribe(reader, version))
        break
      case PacketType.suback:
        sink.onSuback(readSuback(reader, version))
        break
      case PacketType.unsubscribe:
        sink.onUnsubscribe(readUnsubscribe(reader, version))
        break
      case PacketType.unsuback:
        sink.onUnsuback(readUnsuback(reader, version))
        break
      case PacketType.pingreq:
        reader.expectEnd()
        sink.onPingreq()
        break
      case PacketType.pingresp:
        reader.expectEnd()
        sink.onPingresp()
        break
      case PacketType.disconnect:
        sink.onDisconnect(readDisconnect(reader, version, this.#sender))
        break
      case PacketType.auth:
        sink.onAuth(readAuth(reader, this.#sender))
        break
      default:
        throw new Error(`packet type ${type} is decoded elsewhere`)
    }
  }

  #connect(reader: PacketReader): void {
    const { bytes, at: bodyStart } = reader
    try {
      this.version = readProtocolVersion(reader)
    } catch (error) {
      if (error instanceof UnsupportedProtocolVersion && error.level > 5) this.version = 5
      throw error
    }
    // The last byte of a Remaining Length of several bytes is 0 only where a shorter one would do.
    if (this.version === 5 && bytes[bodyStart - 1] === 0) throw paddedRemainingLength()
    this.#rules.version5 = this.version === 5
    const packet = readConnect(reader, this.version)
    this.#firstBytes = toServer[this.version]
    this.#sink.onConnect(packet)
  }
}

/** A copy that is a chunk like those that sockets bring, so that what works on frames meets one kind of buffer. */
function ownChunk(chunk: Uint8Array): Uint8Array {
  const own = Buffer.allocUnsafeSlow(chunk.length)
  own.set(chunk)
  return own
}

function paddedRemainingLength(): ProtocolError {
  return malformed('the Remaining Length takes more bytes than its value needs [MQTT-1.5.5-1]')
}
