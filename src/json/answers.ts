/**
 * What the gateway says to a client of JSON besides messages: the core's packets as texts. The core speaks MQTT 5.0 to it; this
 * is where that becomes JSON, once for each answer, which are few.
 */
import { readProperties } from '../mqtt/decode-properties.ts'
import { PacketType } from '../mqtt/packet.ts'
import { PacketReader } from '../mqtt/packet-reader.ts'
import { packetName } from '../mqtt/properties.ts'
import { ReasonCode, reasonName } from '../mqtt/reason-code.ts'
import type { RequestId } from './operations.ts'
import type { JsonRequests } from './requests.ts'

/** From here on a reason code is an error. */
const failure = 0x80

/** Why the connection is about to end. */
export interface JsonEnding {
  reasonCode: number
  text: string
}

/** What a connection said, and is told only of itself. */
export interface Connected {
  clientId: string
  sessionExpirySeconds: number
  keepAliveSeconds: number
}

export class JsonAnswers {
  /** Set by what ends the connection. */
  ending: JsonEnding | null = null
  readonly #requests: JsonRequests
  readonly #connected: () => Connected

  constructor(requests: JsonRequests, connected: () => Connected) {
    this.#requests = requests
    this.#connected = connected
  }

  /** The text for a packet; null: there is none. */
  textOf(frame: Uint8Array, start: number, end: number): string | null {
    const type = frame[start]! >> 4
    let bodyStart = start + 2
    while (frame[bodyStart - 1]! >= 0x80) bodyStart++
    const reader = new PacketReader(frame, bodyStart, end, packetName(type))
    switch (type) {
      case PacketType.connack:
        return this.#connack(reader)
      case PacketType.puback:
        return this.#puback(reader)
      case PacketType.suback:
        return this.#suback(reader)
      case PacketType.unsuback: {
        const { packetId, reasonCodes } = codesOf(reader, type)
        return this.#answer('unsubscribed', packetId, `"reasons":${JSON.stringify(reasonCodes)}`)
      }
      case PacketType.pingresp:
        return `{"op":"pong","id":${JSON.stringify(this.#requests.pings.shift() ?? null)}}`
      case PacketType.disconnect:
        return this.#disconnect(reader)
      default:
        // PUBREC and PUBREL: JSON has no QoS 2, what is acknowledged is done.
        return null
    }
  }

  /** PUBACK of four bytes. */
  acknowledged(packetId: number): string | null {
    return this.#published(packetId, true)
  }

  error(id: RequestId | null, reasonCode: number, message: string): string {
    return `{"op":"error","id":${JSON.stringify(id)},"reason":${reasonCode},"message":${JSON.stringify(message)}}`
  }

  #connack(reader: PacketReader): string | null {
    const sessionPresent = reader.uint8('Connect Acknowledge Flags') === 1
    const reasonCode = reader.uint8('Reason Code')
    const { reasonString } = readProperties(reader, PacketType.connack)
    const id = this.#requests.connectId
    if (reasonCode !== 0) {
      const text = reasonString ?? inWords(reasonCode)
      this.ending = { reasonCode, text }
      return this.error(id, reasonCode, text)
    }
    if (!this.#requests.connectAsked) return null
    return JSON.stringify({ op: 'connected', id, sessionPresent, ...this.#connected() })
  }

  #puback(reader: PacketReader): string | null {
    const packetId = reader.uint16('Packet Identifier')
    const reasonCode = reader.remaining === 0 ? 0 : reader.uint8('Reason Code')
    const { reasonString } = reader.remaining === 0 ? {} : readProperties(reader, PacketType.puback)
    if (reasonCode < failure) return this.#published(packetId, reasonCode === ReasonCode.success)
    return this.error(this.#requests.end(packetId), reasonCode, reasonString ?? inWords(reasonCode))
  }

  #published(packetId: number, matched: boolean): string | null {
    const name = this.#requests.answerOf(packetId)
    const id = this.#requests.end(packetId)
    if (id === null || name === null) return null
    return name === undefined ? publishedText(id, matched) : `{"op":"${name}","id":${JSON.stringify(id)},"reason":0}`
  }

  /** Where no filter is granted the answer is an error, which nobody overlooks. */
  #suback(reader: PacketReader): string {
    const { packetId, reasonCodes, reasonString } = codesOf(reader, PacketType.suback)
    const [first = 0] = reasonCodes
    if (reasonCodes.every((code) => code >= failure)) {
      return this.error(this.#requests.end(packetId), first, reasonString ?? inWords(first))
    }
    const name = this.#requests.answerOf(packetId) ?? 'subscribed'
    return this.#answer(name, packetId, `"granted":${JSON.stringify(reasonCodes)}`)
  }

  #answer(op: string, packetId: number, fields: string): string {
    return `{"op":"${op}","id":${JSON.stringify(this.#requests.end(packetId))},${fields}}`
  }

  /** Said by the closing of the WebSocket. */
  #disconnect(reader: PacketReader): null {
    const reasonCode = reader.remaining === 0 ? 0 : reader.uint8('Reason Code')
    const { reasonString } = reader.remaining === 0 ? {} : readProperties(reader, PacketType.disconnect)
    this.ending = { reasonCode, text: reasonString ?? inWords(reasonCode) }
    return null
  }
}

function codesOf(reader: PacketReader, type: typeof PacketType.suback | typeof PacketType.unsuback) {
  const packetId = reader.uint16('Packet Identifier')
  const { reasonString } = readProperties(reader, type)
  return { packetId, reasonString, reasonCodes: [...reader.bytes.subarray(reader.at, reader.end)] }
}

export function publishedText(id: RequestId, matched: boolean): string {
  const outcome = matched ? '' : ',"outcome":"no-subscribers"'
  return `{"op":"published","id":${JSON.stringify(id)},"reason":0${outcome}}`
}

export function inWords(reasonCode: number): string {
  return reasonName(reasonCode).replaceAll('_', ' ')
}
