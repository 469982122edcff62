/**
 * The frames that a WebSocket client sends (RFC 6455, section 5), read as a stream of bytes: what a frame carries is unmasked
 * where it lies and handed on as it arrives, whatever length the frame declares. Between two chunks a connection keeps a few
 * numbers and at most one control frame. MQTT is binary and takes no notice of where frames and messages end [MQTT-6.0.0-2]; where
 * texts are spoken, each message is one.
 *
 * The payloads in one chunk are moved together, so that the sink is called once per chunk, also where each frame has one byte; with
 * texts, once per chunk and message.
 */

/** Why a WebSocket is closed, as the close frame says it (section 7.4.1). */
export const CloseCode = {
  normal: 1000,
  protocolError: 1002,
  unsupportedData: 1003,
  messageTooBig: 1009,
} as const

/** Of the text in a close frame. */
export const closeBytesMax = 123

/** A reason code of MQTT as a code for a close frame: 4000 and more are free for applications. */
export function ofReason(reasonCode: number): number {
  return reasonCode === 0 ? CloseCode.normal : 4000 + reasonCode
}

/** The client's fault. */
export class FrameError extends Error {
  /** For the close frame. */
  readonly closeCode: number

  constructor(closeCode: number, message: string) {
    super(message)
    this.closeCode = closeCode
  }
}

/** Who gets what the frames carry. The bytes are valid until the call returns. */
export interface FrameSink {
  /** `ends`: a text ends with them, of which there may be none. */
  onPayload(bytes: Buffer, ends: boolean): void
  onPing(payload: Buffer): void
  /** The client's close frame, with the code that it gives. What follows it is not read. */
  onClose(code: number | undefined): void
}

const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
const controlBytesMax = 125
const noBytes = Buffer.alloc(0)

export class FrameReader {
  readonly #sink: FrameSink
  readonly #texts: boolean
  /** The first byte of the current frame; -1 where a frame begins. */
  #first = -1
  /** The payload's length, or what has been read of it; -1 before the second byte. */
  #length = -1
  /** Bytes of the header still to come: of an extended length, of the mask. */
  #lengthBytes = 0
  #maskBytes = 0
  #mask = 0
  /** Bytes of the payload that have been read. */
  #read = 0
  /** A control frame's payload as far as it was read. */
  #control = noBytes
  /** A message has begun whose last fragment has not. */
  #fragmented = false
  #closed = false
  /** Where the payload that this chunk has brought lies in it. */
  #start = 0
  #end = 0

  /** `texts`: whether messages are texts. */
  constructor(sink: FrameSink, texts = false) {
    this.#sink = sink
    this.#texts = texts
  }

  /**
   * Reads a chunk, which is written over. What comes before a fault is handed on first; nothing is read after one.
   *
   * @throws FrameError
   */
  push(chunk: Buffer): void {
    this.#start = 0
    this.#end = 0
    let at = 0
    try {
      while (at < chunk.length && !this.#closed)
        at = this.#inHeader() ? this.#header(chunk, at) : this.#payload(chunk, at)
    } catch (error) {
      this.#closed = true
      throw error
    } finally {
      this.#handOn(chunk)
    }
  }

  #inHeader(): boolean {
    return this.#length < 0 || this.#lengthBytes > 0 || this.#maskBytes > 0
  }

  /** Reads the header, or what there is of it. Returns where it stopped. */
  #header(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length) {
      const byte = chunk[at++]!
      if (this.#first < 0) this.#first = this.#judgedFirst(byte)
      else if (this.#length < 0) this.#second(byte)
      else if (this.#lengthBytes > 0) this.#extendedLength(byte)
      else {
        this.#mask = (this.#mask << 8) | byte
        if (--this.#maskBytes > 0) continue
        this.#read = 0
        if (this.#length === 0) this.#endFrame(chunk)
        return at
      }
    }
    return at
  }

  #judgedFirst(byte: number): number {
    if ((byte & 0x70) !== 0) throw protocolError('a reserved bit is set, and no extension was agreed on')
    const opcode = byte & 0x0f
    const final = byte >= 0x80
    if (opcode >= Opcode.close) {
      if (opcode > Opcode.pong) throw protocolError(`${opcode} is no opcode`)
      if (!final) throw protocolError('a control frame is fragmented')
      return byte
    }
    if (opcode > Opcode.binary) throw protocolError(`${opcode} is no opcode`)
    if (opcode === (this.#texts ? Opcode.binary : Opcode.text)) {
      const text = this.#texts ? 'JSON needs text frames' : 'MQTT needs binary frames'
      throw new FrameError(CloseCode.unsupportedData, text)
    }
    if ((opcode === Opcode.continuation) !== this.#fragmented) {
      throw protocolError(this.#fragmented ? 'a message begins within another one' : 'there is no message to continue')
    }
    this.#fragmented = !final
    return byte
  }

  #second(byte: number): void {
    if (byte < 0x80) throw protocolError('a frame of the client is not masked')
    const length = byte & 0x7f
    if (length > controlBytesMax && this.#isControl()) throw protocolError('a control frame is too long')
    this.#lengthBytes = length <= controlBytesMax ? 0 : length === 126 ? 2 : 8
    this.#length = this.#lengthBytes === 0 ? length : 0
    this.#maskBytes = 4
  }

  #extendedLength(byte: number): void {
    if (this.#lengthBytes === 8 && byte >= 0x80) throw protocolError('the first bit of a length is set')
    this.#length = this.#length * 256 + byte
    this.#lengthBytes--
    if (this.#length > Number.MAX_SAFE_INTEGER) throw new FrameError(CloseCode.messageTooBig, 'the frame is too long')
  }

  #isControl(): boolean {
    return (this.#first & 0x08) !== 0
  }

  /** Reads of the payload what there is. Returns where it stopped. */
  #payload(chunk: Buffer, at: number): number {
    const bytes = Math.min(this.#length - this.#read, chunk.length - at)
    if (this.#isControl()) {
      if (this.#read === 0) this.#control = Buffer.alloc(this.#length)
      chunk.copy(this.#control, this.#read, at, at + bytes)
      unmask(this.#control, this.#read, bytes, this.#rotatedMask(), this.#read)
    } else {
      // What comes first in the chunk stays where it is, the rest joins its end.
      if (this.#start === this.#end) this.#start = this.#end = at
      unmask(chunk, at, bytes, this.#rotatedMask(), this.#end)
      this.#end += bytes
    }
    this.#read += bytes
    if (this.#read === this.#length) this.#endFrame(chunk)
    return at + bytes
  }

  /** The mask with the byte in front that belongs to the next byte of the payload. */
  #rotatedMask(): number {
    const bits = (this.#read & 3) * 8
    return bits === 0 ? this.#mask : (this.#mask << bits) | (this.#mask >>> (32 - bits))
  }

  #endFrame(chunk: Buffer): void {
    const opcode = this.#first & 0x0f
    const endsText = this.#texts && opcode < Opcode.close && this.#first >= 0x80
    const payload = this.#control
    this.#first = -1
    this.#length = -1
    this.#mask = 0
    this.#control = noBytes
    if (endsText) this.#handOn(chunk, true)
    if (opcode === Opcode.ping) this.#sink.onPing(payload)
    if (opcode !== Opcode.close) return
    const code = closeCodeOf(payload)
    this.#handOn(chunk)
    this.#closed = true
    this.#sink.onClose(code)
  }

  #handOn(chunk: Buffer, ends = false): void {
    if (this.#start === this.#end && !ends) return
    const payload = chunk.subarray(this.#start, this.#end)
    this.#start = this.#end = 0
    this.#sink.onPayload(payload, ends)
  }
}

function protocolError(text: string): FrameError {
  return new FrameError(CloseCode.protocolError, text)
}

/** Moves `bytes` bytes from `from` to `to`, which is not behind it, without their mask. */
function unmask(buffer: Buffer, from: number, bytes: number, mask: number, to: number): void {
  const first = mask >>> 24
  const second = (mask >>> 16) & 0xff
  const third = (mask >>> 8) & 0xff
  const fourth = mask & 0xff
  const shift = to - from
  const last = from + bytes
  let at = from
  for (; at + 3 < last; at += 4) {
    buffer[at + shift] = buffer[at]! ^ first
    buffer[at + shift + 1] = buffer[at + 1]! ^ second
    buffer[at + shift + 2] = buffer[at + 2]! ^ third
    buffer[at + shift + 3] = buffer[at + 3]! ^ fourth
  }
  if (at < last) buffer[at + shift] = buffer[at]! ^ first
  if (at + 1 < last) buffer[at + shift + 1] = buffer[at + 1]! ^ second
  if (at + 2 < last) buffer[at + shift + 2] = buffer[at + 2]! ^ third
}

/** Codes that a close frame may have (section 7.4); the others only stand for what happened to a connection. */
function isCloseCode(code: number): boolean {
  return (
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999)
  )
}

function closeCodeOf(payload: Buffer): number | undefined {
  if (payload.length === 0) return undefined
  if (payload.length === 1) throw protocolError('a close frame has half a code')
  const code = payload.readUInt16BE(0)
  if (!isCloseCode(code)) throw protocolError(`${code} is no code for a close frame`)
  return code
}
