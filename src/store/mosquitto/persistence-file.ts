/**
 * `mosquitto.db`, the file in which Mosquitto keeps what has to last: read chunk by chunk, with one chunk in memory at a time.
 *
 * The file begins with a magic text, four bytes that are not used and the number of its format. Then come chunks: kind and length, a part of
 * fixed size, and texts and bytes whose lengths stand in that part. Lengths and most numbers are big-endian; times and the ids of bodies are in
 * the order of the machine that wrote them, little-endian on all that are common. Of the formats, 5 is Mosquitto 1.6's and 6 that of 2.0,
 * which adds the user's name to a client.
 *
 * The file has no checksums, and no end. What contradicts itself is told; a payload that was changed is not, nor a file that was cut exactly
 * between two chunks.
 */
import { isUtf8 } from 'node:buffer'
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SourceFault } from '../export/store-import.ts'

const magic = Buffer.from('\u0000\u00b5\u0000mosquitto db', 'latin1')
const headerBytes = magic.length + 8
const chunkHeaderBytes = 8
export const chunkBytesMax = 400 * 1024 * 1024

const Chunk = { configuration: 1, body: 2, delivery: 3, retained: 4, subscription: 5, client: 6 } as const

export interface MosquittoConfiguration {
  /** It was written at the end, not while it ran. */
  atShutdown: boolean
}

export interface MosquittoClient {
  clientId: string
  /** Empty where there is none, and in format 5. */
  username: string
  /** Seconds; 0xFFFFFFFF: never. */
  expiryInterval: number
  /** Seconds since the epoch; 0: not known. */
  expiresAt: number
}

export interface MosquittoBody {
  id: number
  /** Of the client that published it. */
  publisher: string
  topic: string
  payload: Buffer
  /** With their length. */
  properties: Buffer
  qos: number
  retain: boolean
  /** Seconds since the epoch; 0: never. */
  expiresAt: number
}

export interface MosquittoDelivery {
  clientId: string
  body: number
  packetId: number
  qos: number
  state: number
  retain: boolean
  /** From the client, not to it. */
  incoming: boolean
  properties: Buffer
}

export interface MosquittoSubscription {
  clientId: string
  filter: string
  qos: number
  /** As in SUBSCRIBE of MQTT 5.0, without the QoS. */
  options: number
  /** 0: none. */
  identifier: number
}

export interface PersistenceSink {
  configuration(configuration: MosquittoConfiguration): void
  client(client: MosquittoClient): void
  body(body: MosquittoBody): void
  delivery(delivery: MosquittoDelivery): void
  retained(body: number): void
  subscription(subscription: MosquittoSubscription): void
}

export function isPersistenceFile(beginning: Uint8Array): boolean {
  return beginning.length >= magic.length && magic.equals(beginning.subarray(0, magic.length))
}

/** Throws a `SourceFault` that says where; what the sink throws gets the place before it by `at`. */
export function readPersistenceFile(
  path: string,
  sink: PersistenceSink,
  at: (place: string, error: unknown) => Error,
): void {
  const descriptor = openSync(path, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const format = formatOf(readAt(descriptor, 0, Math.min(headerBytes, size)))
    let position = headerBytes
    for (let number = 1; position < size; number++) {
      const place = `chunk ${number} at byte ${position}`
      const header = readAt(descriptor, position, chunkHeaderBytes)
      if (header.length < chunkHeaderBytes) throw cutOff(place)
      const length = header.readUInt32BE(4)
      position += chunkHeaderBytes
      if (length > size - position) throw cutOff(place)
      if (length > chunkBytesMax) throw new SourceFault(`${place} is longer than ${chunkBytesMax} bytes`)
      const fields = new Fields(readAt(descriptor, position, length), place)
      position += length
      try {
        readChunk(header.readUInt32BE(0), fields, format, sink)
      } catch (error) {
        throw error instanceof SourceFault ? error : at(place, error)
      }
      if (number === 1 && header.readUInt32BE(0) !== Chunk.configuration) {
        throw new SourceFault(`${place} is not the configuration, with which a file begins`)
      }
    }
    if (position === headerBytes) throw new SourceFault('the file ends behind its header: it was truncated')
  } finally {
    closeSync(descriptor)
  }
}

function cutOff(place: string): SourceFault {
  return new SourceFault(`${place} is cut off: the file was truncated or is damaged`)
}

function readAt(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let read = 0
  for (let more = 1; read < length && more > 0; read += more) {
    more = readSync(descriptor, bytes, read, length - read, position + read)
  }
  return bytes.subarray(0, read)
}

function formatOf(header: Buffer): 5 | 6 {
  if (header.length < headerBytes) throw new SourceFault('the header is cut off: the file was truncated')
  const format = header.readUInt32BE(magic.length + 4)
  if (format === 5 || format === 6) return format
  throw new SourceFault(
    format < 5
      ? `it has persistence format ${format}, of a Mosquitto before 1.6, and 5 and 6 can be read: ` +
          'start and stop Mosquitto 2.0 with it once, which writes format 6'
      : `it has persistence format ${format}, and 5 and 6 (Mosquitto 1.6 and 2.0) can be read`,
  )
}

function readChunk(kind: number, fields: Fields, format: 5 | 6, sink: PersistenceSink): void {
  switch (kind) {
    case Chunk.configuration:
      sink.configuration(configurationOf(fields))
      break
    case Chunk.client:
      sink.client(clientOf(fields, format))
      break
    case Chunk.body:
      sink.body(bodyOf(fields))
      break
    case Chunk.delivery:
      sink.delivery(deliveryOf(fields))
      break
    case Chunk.retained:
      sink.retained(fields.id())
      break
    case Chunk.subscription:
      sink.subscription(subscriptionOf(fields))
      break
    default:
      throw new SourceFault(`${fields.place} is of kind ${kind}, which there is not: the file is damaged`)
  }
  fields.end()
}

const idBytes = 8

function configurationOf(fields: Fields): MosquittoConfiguration {
  fields.id()
  const atShutdown = fields.uint8() === 1
  const size = fields.uint8()
  fields.skip(6)
  if (size !== idBytes) throw new SourceFault(`${fields.place} says ids of ${size} bytes, and ${idBytes} can be read`)
  return { atShutdown }
}

function clientOf(fields: Fields, format: 5 | 6): MosquittoClient {
  const expiresAt = fields.time()
  const expiryInterval = fields.uint32()
  fields.skip(2)
  const clientIdBytes = fields.uint16()
  let usernameBytes = 0
  if (format === 6) {
    fields.skip(2)
    usernameBytes = fields.uint16()
    fields.skip(4)
  }
  return { expiresAt, expiryInterval, clientId: fields.text(clientIdBytes), username: fields.text(usernameBytes) }
}

function bodyOf(fields: Fields): MosquittoBody {
  const id = fields.id()
  const expiresAt = fields.time()
  const payloadBytes = fields.uint32()
  fields.skip(2)
  const publisherBytes = fields.uint16()
  const usernameBytes = fields.uint16()
  const topicBytes = fields.uint16()
  fields.skip(2)
  const qos = fields.uint8()
  const retain = fields.uint8() !== 0
  const publisher = fields.text(publisherBytes)
  fields.skip(usernameBytes)
  const topic = fields.text(topicBytes)
  const payload = fields.bytes(payloadBytes)
  return { id, expiresAt, qos, retain, publisher, topic, payload, properties: fields.rest() }
}

const incomingDirection = 0

function deliveryOf(fields: Fields): MosquittoDelivery {
  const body = fields.id()
  const packetId = fields.uint16()
  const clientIdBytes = fields.uint16()
  const qos = fields.uint8()
  const state = fields.uint8()
  const retain = (fields.uint8() & 0xf0) !== 0
  const incoming = fields.uint8() === incomingDirection
  return {
    body,
    packetId,
    qos,
    state,
    retain,
    incoming,
    clientId: fields.text(clientIdBytes),
    properties: fields.rest(),
  }
}

function subscriptionOf(fields: Fields): MosquittoSubscription {
  const identifier = fields.uint32()
  const clientIdBytes = fields.uint16()
  const filterBytes = fields.uint16()
  const qos = fields.uint8()
  const options = fields.uint8()
  fields.skip(2)
  return { identifier, qos, options, clientId: fields.text(clientIdBytes), filter: fields.text(filterBytes) }
}

/** A chunk's bytes from its beginning on. */
class Fields {
  readonly place: string
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer, place: string) {
    this.#bytes = bytes
    this.place = place
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  /** A number of the machine's order. */
  id(): number {
    return this.#safe(this.#bytes.readBigUInt64LE(this.#take(8)))
  }

  time(): number {
    return this.#safe(this.#bytes.readBigInt64LE(this.#take(8)))
  }

  text(length: number): string {
    const bytes = this.bytes(length)
    if (!isUtf8(bytes)) throw new SourceFault(`${this.place} has a text that is not UTF-8: the file is damaged`)
    return bytes.toString()
  }

  bytes(length: number): Buffer {
    const from = this.#take(length)
    return this.#bytes.subarray(from, from + length)
  }

  skip(length: number): void {
    this.#take(length)
  }

  rest(): Buffer {
    return this.bytes(this.#bytes.length - this.#at)
  }

  end(): void {
    const left = this.#bytes.length - this.#at
    if (left > 0) throw new SourceFault(`${this.place} has ${left} bytes too many: the file is damaged`)
  }

  #take(length: number): number {
    const from = this.#at
    if (length > this.#bytes.length - from) {
      throw new SourceFault(`${this.place} is shorter than what it says it has: the file is damaged`)
    }
    this.#at += length
    return from
  }

  #safe(value: bigint): number {
    if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
    throw new SourceFault(`${this.place} has the number ${value}, which can't be: the file is damaged`)
  }
}
