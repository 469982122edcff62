/**
 * What a device asks of its MQTT client, whichever it is. A client is one MQTT session's protocol state over successive
 * connections; when to connect, what to send and how to come back is the device's business.
 */
import type { Protocol } from '../scenario/schema.ts'
import type { LinkShape } from './link.ts'
import type { StreamTarget } from './stream.ts'

export type Qos = 0 | 1 | 2

export interface WillSpec {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  delaySeconds: number
}

export interface SessionOptions {
  clientId: string
  protocol: Protocol
  clean: boolean
  sessionExpirySeconds: number
  keepAliveSeconds: number
  receiveMaximum: number | undefined
  username: string | undefined
  password: string | undefined
  will: WillSpec | undefined
}

export interface OutgoingMessage {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  /** The envelope as a user property; MQTT 5.0 only. */
  envelope?: string
  responseTopic?: string
  correlationData?: Uint8Array
}

export interface IncomingMessage {
  topic: string
  payload: Uint8Array
  qos: Qos
  retain: boolean
  envelope: string | undefined
  responseTopic: string | undefined
  correlationData: Uint8Array | undefined
  /** Of a queue: under which name its verdict is said, and how often it was tried, from 1. */
  delivery?: { id: string; attempt: number } | undefined
}

export interface SubscriptionRequest {
  filter: string
  qos: Qos
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
  /** Of the whole SUBSCRIBE; MQTT 5.0 and MQTT.js only. */
  userProperties?: Readonly<Record<string, string>>
}

export interface ClientEvents {
  /** The CONNACK accepted; `receiveMaximum` is what the broker takes in flight. */
  onOnline(sessionPresent: boolean, receiveMaximum: number): void
  /** The CONNACK refused. */
  onRefused(code: number): void
  /** The connection is gone, for whatever reason; also after a failed dial. */
  onClosed(): void
  /** The payload is valid until the call returns. */
  onMessage(message: IncomingMessage): void
  /** Milliseconds to wait before the message just given is acknowledged; 0 for a consumer without work. */
  workMs(topic: string): number
  onError(text: string): void
}

export interface Client {
  /** Dials; at most one connection at a time. */
  connect(target: StreamTarget): void
  /** `onAcknowledged` gets PUBACK's or PUBCOMP's reason code; never called for QoS 0. */
  publish(message: OutgoingMessage, onAcknowledged: (reasonCode: number) => void): void
  subscribe(requests: readonly SubscriptionRequest[], onGranted: (codes: readonly number[]) => void): void
  /** DISCONNECT, then the close; the session's state stays for the next connect. */
  disconnect(): void
  /** The connection dies without DISCONNECT. */
  sever(): void
  /** Leaves the connection open behind it; the next connect has to take the session over. */
  abandon(onOutcome: (closedByBroker: boolean) => void): void
  setShape(shape: LinkShape | undefined): void
  hold(up: boolean, down: boolean): void
  release(): void
  /** Once a second, for a client without timers of its own. */
  tick(): void
  /** Writes what was gathered in this turn. */
  flush(): void
  /** For good. */
  end(): void
}
