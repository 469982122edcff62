/**
 * The few MQTT packets a load generator sends, encoded once before the clock starts.
 *
 * This is deliberately independent of the gateway's own codec: a fault there must not hide itself by being on both ends
 * of the measurement.
 */

export type ProtocolVersion = 4 | 5
export type Qos = 0 | 1 | 2

export const packetType = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  suback: 9,
  disconnect: 14,
} as const

/** Bytes at the start of every payload that say who sent the message, as which number, and when it was due. */
export const stampBytes = 16
const stampMagic = 0x4d51

/** An MQTT variable byte integer, 1 to 4 bytes. */
export function encodeVariableInteger(value: number): Buffer {
  if (value < 0 || value > 268_435_455) throw new RangeError(`no variable byte integer: ${value}`)
  const bytes: number[] = []
  do {
    const low = value % 128
    value = Math.floor(value / 128)
    bytes.push(value > 0 ? low | 0x80 : low)
  } while (value > 0)
  return Buffer.from(bytes)
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}

function packet(firstByte: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.of(firstByte), encodeVariableInteger(body.length), body])
}

export interface ConnectFields {
  version: ProtocolVersion
  clientId: string
  /** Whether the session outlives the connection: clean session 0 in 3.1.1, an expiry of an hour in 5.0. */
  durable: boolean
  username?: string
  password?: string
}

/** CONNECT with keep alive 0, so that an idle connection costs no pings. */
export function encodeConnect(fields: ConnectFields): Buffer {
  const cleanStart = fields.durable ? 0 : 0x02
  const flags = cleanStart | (fields.username === undefined ? 0 : 0x80) | (fields.password === undefined ? 0 : 0x40)
  const parts: Buffer[] = [encodeString('MQTT'), Buffer.of(fields.version, flags, 0, 0)]
  if (fields.version === 5) {
    const expiry = fields.durable ? [0x11, 0, 0, 0x0e, 0x10] : []
    // Receive Maximum 65,535 and Topic Alias Maximum 64, so that the broker's own settings decide.
    const properties = Buffer.of(...expiry, 0x21, 0xff, 0xff, 0x22, 0, 64)
    parts.push(encodeVariableInteger(properties.length), properties)
  }
  parts.push(encodeString(fields.clientId))
  if (fields.username !== undefined) parts.push(encodeString(fields.username))
  if (fields.password !== undefined) parts.push(encodeString(fields.password))
  return packet(0x10, parts)
}

export function encodeSubscribe(
  version: ProtocolVersion,
  packetId: number,
  filters: readonly string[],
  qos: Qos,
): Buffer {
  const parts: Buffer[] = [Buffer.of(packetId >> 8, packetId & 0xff)]
  if (version === 5) parts.push(Buffer.of(0))
  for (const filter of filters) parts.push(encodeString(filter), Buffer.of(qos))
  return packet(0x82, parts)
}

export const disconnectPacket: Buffer = Buffer.of(0xe0, 0)

export interface PublishFields {
  version: ProtocolVersion
  topic: string
  qos: Qos
  retain: boolean
  payload: Uint8Array
  topicAlias?: number
  /** With the properties a telemetry message of a 5.0 device carries: content type, format, expiry, two user properties. */
  properties: boolean
}

export interface EncodedPublish {
  bytes: Buffer
  /** Offset of the packet id, 0 at QoS 0. */
  packetIdAt: number
  payloadAt: number
}

export function encodePublish(fields: PublishFields): EncodedPublish {
  const topic = encodeString(fields.topic)
  const id = fields.qos > 0 ? Buffer.of(0, 1) : Buffer.alloc(0)
  const properties = fields.version === 5 ? encodePublishProperties(fields) : Buffer.alloc(0)
  const bytes = packet(0x30 | (fields.qos << 1) | (fields.retain ? 1 : 0), [topic, id, properties, fields.payload])
  const payloadAt = bytes.length - fields.payload.length
  return { bytes, packetIdAt: fields.qos > 0 ? payloadAt - properties.length - 2 : 0, payloadAt }
}

function encodePublishProperties(fields: PublishFields): Buffer {
  const parts: Buffer[] = []
  if (fields.properties) {
    parts.push(Buffer.of(0x01, 1, 0x02, 0, 0, 0x0e, 0x10, 0x03), encodeString('application/json'))
    parts.push(Buffer.of(0x26), encodeString('site'), encodeString('north'))
    parts.push(Buffer.of(0x26), encodeString('firmware'), encodeString('4.2.0'))
  }
  if (fields.topicAlias !== undefined) parts.push(Buffer.of(0x23, fields.topicAlias >> 8, fields.topicAlias & 0xff))
  const body = Buffer.concat(parts)
  return Buffer.concat([encodeVariableInteger(body.length), body])
}

export interface Stamp {
  publisher: number
  sequence: number
  /** Microseconds since the job's epoch at which the message was due, modulo 2^32. */
  dueMicroseconds: number
}

/** Writes a stamp at `at`: magic (2), publisher (4), sequence (4), due time (4), two bytes left as they are. */
export function writeStamp(bytes: Uint8Array, at: number, publisher: number, sequence: number, due: number): void {
  bytes[at] = stampMagic >> 8
  bytes[at + 1] = stampMagic & 0xff
  writeUint32(bytes, at + 2, publisher)
  writeUint32(bytes, at + 6, sequence)
  writeUint32(bytes, at + 10, due)
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

export function hasStamp(bytes: Uint8Array, at: number): boolean {
  return ((bytes[at]! << 8) | bytes[at + 1]!) === stampMagic
}

export const stampField = { publisher: 2, sequence: 6, due: 10 } as const
