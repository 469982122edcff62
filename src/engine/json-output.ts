/**
 * The output of a connection that gets texts: each packet becomes a text of its own, with what its transport puts around it.
 * Messages come as texts already, which all recipients of a form share; the rest is made a text here.
 */
import type { JsonAnswers } from '../json/answers.ts'
import { writePacketId } from '../json/json-message.ts'
import { PacketType } from '../mqtt/packet.ts'
import type { TextStream } from './byte-stream.ts'
import type { Connection } from './connection.ts'
import type { Engine } from './engine.ts'
import { Output } from './output.ts'
import { copy } from './output-buffers.ts'

const openingBrace = 0x7b

export class JsonOutput extends Output {
  readonly #texts: TextStream
  readonly #answers: JsonAnswers

  constructor(stream: TextStream, engine: Engine, connection: Connection, answers: JsonAnswers) {
    super(stream, engine, connection)
    this.#texts = stream
    this.#answers = answers
  }

  override write(frame: Uint8Array, start: number, end: number): void {
    if (frame[start] === openingBrace) {
      this.#showText(this.#putBytes(frame, start, end), end - start)
      return
    }
    const text = this.#answers.textOf(frame, start, end)
    const { ending } = this.#answers
    if (ending !== null) this.#texts.endsBecause(ending.reasonCode, ending.text)
    if (text !== null) this.putText(text)
  }

  putText(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    this.#showText(this.#putBytes(bytes, 0, bytes.length), bytes.length)
  }

  override writePublish(
    frame: Uint8Array,
    start: number,
    end: number,
    _firstByte: number,
    packetIdAt: number,
    packetId: number,
  ): void {
    const at = this.#putBytes(frame, start, end)
    if (packetIdAt > 0) writePacketId(this.chunk!, at + packetIdAt - start, packetId)
    this.#showText(at, end - start)
  }

  override writeAck(firstByte: number, packetId: number): void {
    if (firstByte >> 4 !== PacketType.puback) return
    const text = this.#answers.acknowledged(packetId)
    if (text !== null) this.putText(text)
  }

  override copyOfPublish(frame: Uint8Array, _firstByte: number, packetIdAt: number, packetId: number): Uint8Array {
    const own = Buffer.from(frame)
    if (packetIdAt > 0) writePacketId(own, packetIdAt, packetId)
    return own
  }

  override typeOf(frame: Uint8Array): number {
    return frame[0] === openingBrace ? PacketType.publish : super.typeOf(frame)
  }

  /** Each text was shown when it was put: what is given to the stream has more around it. */
  protected override show(): void {}

  #showText(at: number, length: number): void {
    if (this.tap !== null) this.tap.sentText(this.chunk!, at, at + length)
  }

  /** Returns where the text begins in the chunk. */
  #putBytes(bytes: Uint8Array, start: number, end: number): number {
    const length = end - start
    const before = this.#texts.bytesBefore(length)
    const from = this.reserve(before + length + this.#texts.bytesAfter)
    const chunk = this.chunk!
    copy(bytes, start, end, chunk, from + before)
    this.#texts.writeAround(chunk, from, length)
    return from + before
  }
}
