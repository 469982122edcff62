/**
 * Server-sent events: a client of the core that only receives. What it asks for is known before it begins, so it is told to the
 * decoder of JSON as if the peer had said it; messages leave as the texts that clients of JSON get, as events.
 */
import { inWords } from '../json/answers.ts'
import { JsonDecoder } from '../json/decoder.ts'
import { RequestFault } from '../json/packets.ts'
import { JsonRequests } from '../json/requests.ts'
import { readProperties } from '../mqtt/decode-properties.ts'
import { noBytes, PacketType } from '../mqtt/packet.ts'
import { PacketReader } from '../mqtt/packet-reader.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { TextStream } from './byte-stream.ts'
import type { Connection } from './connection.ts'
import type { Engine } from './engine.ts'
import { Output } from './output.ts'
import { copy } from './output-buffers.ts'
import type { Wire } from './wire.ts'

/** A stream of events, which begins when its client has been let in and may have everything that it asked for. */
export interface EventStream extends TextStream {
  /** To be called once, before any event. */
  begin(): void
}

/** What stands in the text of a message before its fields, and is not part of an event's data. */
const operation = '{"op":"message",'
const openingBrace = 0x7b
/** With which the fields of a stream's message begin. */
const offsetField = Buffer.from('"offset":', 'latin1')
const comma = 0x2c

export const eventWire: Wire = (engine, connection, stream) => {
  const { client } = connection
  const { options } = engine.broker
  client.payloadForm = 'utf8'
  const decoder = new JsonDecoder(
    client,
    new JsonRequests(),
    // Nobody is there to be told: what is asked for was checked before.
    {
      reply() {},
      refuse: (_id, reasonCode, text) => (stream as EventStream).endsBecause(reasonCode, text),
      awaitAnswer() {
        throw new RequestFault(ReasonCode.protocolError, 'a stream of events asks for nothing')
      },
      end() {},
    },
    {
      messageBytesMax: Infinity,
      packetBytesMax: options.packetBytesMax,
      filtersMax: options.filtersPerSubscribeMax,
    },
  )
  return { decoder, output: new EventOutput(stream as EventStream, engine, connection) }
}

class EventOutput extends Output {
  readonly #events: EventStream

  constructor(stream: EventStream, engine: Engine, connection: Connection) {
    super(stream, engine, connection)
    this.#events = stream
  }

  /** A line of its own, which is no event, or a packet. */
  override write(frame: Uint8Array, start: number, end: number): void {
    const first = frame[start]!
    if (first === openingBrace) this.#event(frame, start, end)
    else if (first === 0x3a) super.write(frame, start, end)
    else this.#packet(first >> 4, frame, start, end)
  }

  override writePublish(frame: Uint8Array, start: number, end: number): void {
    this.#event(frame, start, end)
  }

  override writeAck(): void {}

  override copyOfPublish(frame: Uint8Array): Uint8Array {
    return Buffer.from(frame)
  }

  override typeOf(frame: Uint8Array): number {
    return frame[0] === openingBrace ? PacketType.publish : super.typeOf(frame)
  }

  /** Each event was shown when it was put. */
  protected override show(): void {}

  #packet(type: number, frame: Uint8Array, start: number, end: number): void {
    let bodyStart = start + 2
    while (frame[bodyStart - 1]! >= 0x80) bodyStart++
    const reader = new PacketReader(frame, bodyStart, end, 'an answer')
    switch (type) {
      case PacketType.connack: {
        reader.uint8('flags')
        const reasonCode = reader.uint8('Reason Code')
        if (reasonCode !== 0) this.#end(reasonCode, readProperties(reader, PacketType.connack).reasonString)
        return
      }
      case PacketType.suback: {
        reader.uint16('Packet Identifier')
        const { reasonString } = readProperties(reader, PacketType.suback)
        const refused = reader.bytes.subarray(reader.at, reader.end).find((code) => code >= 0x80)
        if (refused === undefined) this.#events.begin()
        else this.#end(refused, reasonString)
        return
      }
      case PacketType.disconnect: {
        const reasonCode = reader.remaining === 0 ? 0 : reader.uint8('Reason Code')
        const { reasonString } = reader.remaining === 0 ? {} : readProperties(reader, PacketType.disconnect)
        this.#end(reasonCode, reasonString)
        return
      }
    }
  }

  #end(reasonCode: number, text: string | undefined): void {
    this.#events.endsBecause(reasonCode, text ?? inWords(reasonCode))
  }

  #event(text: Uint8Array, start: number, end: number): void {
    const from = start + operation.length - 1
    const length = end - from
    const before = this.#events.bytesBefore(length)
    const id = idOf(text, from + 1)
    const at = this.reserve(id.length + before + length + this.#events.bytesAfter) + id.length
    const chunk = this.chunk!
    chunk.set(id, at - id.length)
    copy(text, from, end, chunk, at + before)
    chunk[at + before] = openingBrace
    this.#events.writeAround(chunk, at, length)
    if (this.tap !== null) this.tap.sentText(chunk, at + before, at + before + length)
  }
}

/** The line that names an event of a stream, by which a browser that comes back says where it was; nothing for other events. */
function idOf(text: Uint8Array, at: number): Uint8Array {
  const digits = at + offsetField.length
  if (text[at + 1] !== offsetField[1] || !isAt(text, at)) return noBytes
  return Buffer.from(
    `id: ${Buffer.from(text.subarray(digits, text.indexOf(comma, digits))).toString('latin1')}\n`,
    'latin1',
  )
}

function isAt(text: Uint8Array, at: number): boolean {
  return offsetField.every((byte, index) => text[at + index] === byte)
}
