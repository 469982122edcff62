/** Packets as aedes gives them to a program, and what of a program's packets goes into the gateway. */
import type { Message } from '../core/publish/message.ts'
import type { ConnectPacket as CoreConnect, Properties, PublishFrame, Qos, Will } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'

export interface PublishPacket {
  cmd?: 'publish'
  topic: string
  payload?: string | Uint8Array
  qos?: Qos
  retain?: boolean
  dup?: boolean
  messageId?: number
  /** MQTT 5.0 properties. */
  properties?: Properties
}

/** One that a client sent, before it is authorized. */
export interface IncomingPublishPacket {
  cmd: 'publish'
  topic: string
  payload: Buffer
  qos: Qos
  retain: boolean
  dup: boolean
  messageId?: number
  /** Its Remaining Length. */
  length?: number
  properties?: Properties
}

/** One that is there already. */
export interface AedesPublishPacket {
  cmd: 'publish'
  topic: string
  payload: Buffer
  qos: Qos
  retain: boolean
  dup: boolean
  messageId?: number
  /** Of the publisher; absent: the program itself. */
  clientId?: string
  brokerId: string
  brokerCounter: number
  properties?: Properties
}

export interface ConnectPacket {
  cmd: 'connect'
  protocolId: 'MQTT' | 'MQIsdp'
  protocolVersion: 3 | 4 | 5
  clean: boolean
  clientId: string
  keepalive: number
  username?: string
  password?: Buffer
  will?: { topic: string; payload: Buffer; qos: Qos; retain: boolean }
  properties?: Properties
}

export interface ConnackPacket {
  cmd: 'connack'
  returnCode: number
  sessionPresent: boolean
}

export interface Subscription {
  topic: string
  qos: number
  /** Retain handling, retain as published, no local: of MQTT 5.0. */
  rh?: number | undefined
  rap?: boolean | undefined
  nl?: boolean | undefined
}

export interface PingreqPacket {
  cmd: 'pingreq'
}

/** What an acknowledgement was for; `topic` and `payload` are absent where nothing was kept of the message. */
export interface AckPacket {
  cmd: 'publish' | 'pubrel'
  messageId: number
  topic?: string
  payload?: Buffer
  qos?: Qos
}

/** Numbers packets as aedes does. */
export class Origin {
  readonly brokerId: string
  #counter = 0

  constructor(brokerId: string) {
    this.brokerId = brokerId
  }

  get count(): number {
    return this.#counter
  }

  get next(): Pick<AedesPublishPacket, 'brokerId' | 'brokerCounter'> {
    return { brokerId: this.brokerId, brokerCounter: ++this.#counter }
  }
}

export function packetOfFrame(frame: PublishFrame, topic: string): IncomingPublishPacket {
  const { buffer, qos, retain, dup, packetId } = frame
  const properties = publishProperties(buffer.subarray(frame.propertiesStart, frame.propertiesEnd))
  return {
    ...{ cmd: 'publish', topic, payload: Buffer.from(buffer.subarray(frame.payloadStart, frame.end)) },
    ...{ qos, retain, dup, length: frame.end - frame.topicStart + 2 },
    ...(qos > 0 && { messageId: packetId }),
    ...(Object.keys(properties).length > 0 && { properties }),
  }
}

export function packetOfMessage(
  message: Message,
  given: { qos: Qos; retain: boolean },
  origin: Origin,
): AedesPublishPacket {
  const properties = publishProperties(message.forwardProperties)
  return {
    ...{
      cmd: 'publish',
      topic: message.name,
      payload: bufferOf(message.payload),
      dup: false,
      ...given,
      ...origin.next,
    },
    ...(message.publisher !== '' && { clientId: message.publisher }),
    ...(Object.keys(properties).length > 0 && { properties }),
  }
}

export function packetOfWill(will: Will, clientId: string, origin: Origin): AedesPublishPacket {
  const { topic, payload, qos, retain } = will
  return { cmd: 'publish', topic, payload: bufferOf(payload), qos, retain, dup: false, clientId, ...origin.next }
}

export function packetOfConnect(packet: CoreConnect): ConnectPacket {
  const { version, cleanStart, keepAlive, clientId, username, password, will, properties } = packet
  return {
    ...{ cmd: 'connect', protocolId: version === 3 ? 'MQIsdp' : 'MQTT', protocolVersion: version, clientId },
    ...{ clean: cleanStart, keepalive: keepAlive },
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password: bufferOf(password) }),
    ...(will !== undefined && {
      will: { topic: will.topic, payload: bufferOf(will.payload), qos: will.qos, retain: will.retain },
    }),
    ...(version === 5 && { properties }),
  }
}

export function bytesOf(payload: string | Uint8Array | undefined): Uint8Array {
  return typeof payload === 'string' ? Buffer.from(payload) : (payload ?? Buffer.alloc(0))
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
