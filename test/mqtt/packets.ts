/** What the codec tests share: hex vectors, and a sink that gathers packets as plain values. */
import { Decoder, type DecoderOptions } from '../../src/mqtt/decoder.ts'
import type { PacketSink, Properties, PublishFrame } from '../../src/mqtt/packet.ts'
import { ProtocolError } from '../../src/mqtt/protocol-error.ts'
import { decodeTopicName } from '../../src/mqtt/topic.ts'

/**
 * Bytes from a notation close to the specification's figures: pairs of hex digits; `'text'` for its UTF-8 bytes; `"text"` for
 * the same behind a two-byte length; `[ ... ]` for what's inside behind its length as a Variable Byte Integer.
 */
export function hex(text: string): Buffer {
  const open: Uint8Array[][] = [[]]
  for (const [token] of text.matchAll(/'[^']*'|"[^"]*"|[[\]]|[0-9a-f]{2}|\S/g)) {
    const top = open.at(-1)!
    const inner = Buffer.from(token.slice(1, -1), 'utf8')
    if (token === '[') open.push([])
    else if (token === ']') {
      const body = Buffer.concat(open.pop()!)
      open.at(-1)!.push(Uint8Array.from(variableLength(body.length)), body)
    } else if (token[0] === "'") top.push(inner)
    else if (token[0] === '"') top.push(Uint8Array.of(inner.length >> 8, inner.length & 0xff), inner)
    else if (/^[0-9a-f]{2}$/.test(token)) top.push(Uint8Array.of(Number.parseInt(token, 16)))
    else throw new Error(`no bytes: ${token} in ${text}`)
  }
  if (open.length !== 1) throw new Error(`unbalanced: ${text}`)
  return Buffer.concat(open[0]!)
}

/** The same as a decoder copies binary data: a plain Uint8Array. */
export function binary(text: string): Uint8Array {
  return new Uint8Array(hex(text))
}

function variableLength(length: number): number[] {
  const bytes: number[] = []
  let rest = length
  do {
    bytes.push(rest > 0x7f ? (rest & 0x7f) | 0x80 : rest)
    rest >>>= 7
  } while (rest > 0)
  return bytes
}

/** A packet: the first byte, the Remaining Length and the body. */
export function packet(first: number, body: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of(first, ...variableLength(body.length)), body])
}

/** A PUBLISH as values, copied out of the frame, which is only valid inside the sink's method. */
export interface SeenPublish {
  type: 'publish'
  topic: string
  qos: number
  retain: boolean
  dup: boolean
  packetId: number
  properties: string
  payload: string
  topicAlias: number
  messageExpiryInterval: number
  subscriptionIdentifiers: readonly number[]
}

export interface SeenPacket {
  type: string
  packetId?: number
  reasonCode?: number
  properties?: Properties
  packet?: unknown
}

export type Seen = SeenPublish | SeenPacket

export function seenPublish(frame: PublishFrame): SeenPublish {
  const { buffer } = frame
  const bytes = Buffer.from(buffer)
  return {
    type: 'publish',
    topic: frame.topicStart === frame.topicEnd ? '' : decodeTopicName(buffer, frame.topicStart, frame.topicEnd),
    qos: frame.qos,
    retain: frame.retain,
    dup: frame.dup,
    packetId: frame.packetId,
    properties: bytes.toString('hex', frame.propertiesStart, frame.propertiesEnd),
    payload: bytes.toString('hex', frame.payloadStart, frame.end),
    topicAlias: frame.topicAlias,
    messageExpiryInterval: frame.messageExpiryInterval,
    subscriptionIdentifiers: frame.subscriptionIdentifiers,
  }
}

/** Gathers every packet in `seen`; `after` runs inside each sink method. */
export function gatheringSink(seen: Seen[], after: () => void = () => {}): PacketSink {
  const take = (packet: Seen) => {
    seen.push(packet)
    after()
  }
  const whole = (type: string) => (value: unknown) => take({ type, packet: value })
  const acknowledgement = (type: string) => (packetId: number, reasonCode: number, properties: Properties) =>
    take({ type, packetId, reasonCode, properties })
  return {
    onConnect: whole('connect'),
    onConnack: whole('connack'),
    onPublish: (frame) => take(seenPublish(frame)),
    onPuback: acknowledgement('puback'),
    onPubrec: acknowledgement('pubrec'),
    onPubrel: acknowledgement('pubrel'),
    onPubcomp: acknowledgement('pubcomp'),
    onSubscribe: whole('subscribe'),
    onSuback: whole('suback'),
    onUnsubscribe: whole('unsubscribe'),
    onUnsuback: whole('unsuback'),
    onPingreq: () => take({ type: 'pingreq' }),
    onPingresp: () => take({ type: 'pingresp' }),
    onDisconnect: whole('disconnect'),
    onAuth: whole('auth'),
  }
}

export type Version = 3 | 4 | 5
export type Role = DecoderOptions['role']

/** The shortest packet that begins a connection: CONNECT to a server, CONNACK to a client. */
export function opening(role: Role, version: Version): Buffer {
  if (role === 'client') return hex(version === 5 ? '20 03 00 00 00' : '20 02 00 00')
  const name = version === 3 ? '"MQIsdp"' : '"MQTT"'
  return hex(`10 [ ${name} 0${version} 02 003c ${version === 5 ? '[]' : ''} "c" ]`)
}

export interface Opened {
  decoder: Decoder
  seen: Seen[]
}

/** A decoder whose connection has begun. */
export function opened(role: Role, version: Version, options: Partial<DecoderOptions> = {}): Opened {
  const seen: Seen[] = []
  const decoder = new Decoder(gatheringSink(seen), { role, version, packetBytesMax: 268_435_460, ...options })
  decoder.push(opening(role, version))
  seen.length = 0
  return { decoder, seen }
}

/** What a decoder hands over for these bytes after the connection has begun. */
export function decode(role: Role, version: Version, bytes: Uint8Array): Seen[] {
  const { decoder, seen } = opened(role, version)
  decoder.push(bytes)
  return seen
}

/** What is handed over for the first bytes of a connection. */
export function decodeFirst(bytes: Uint8Array, role: Role = 'server', version: Version = 5): Seen[] {
  const seen: Seen[] = []
  new Decoder(gatheringSink(seen), { role, version, packetBytesMax: 268_435_460 }).push(bytes)
  return seen
}

/** The one packet that was handed over, as what the test knows it to be. */
export function only<P>(seen: readonly Seen[]): P {
  if (seen.length !== 1) throw new Error(`${seen.length} packets instead of one`)
  return (seen[0] as SeenPacket).packet as P
}

/** The ProtocolError that `run` throws. Anything else, or nothing, fails the test. */
export function faultOf(run: () => unknown): ProtocolError {
  try {
    run()
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error('it was accepted')
}
