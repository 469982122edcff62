/**
 * A durable publisher as the specification wants it: it keeps what is not acknowledged, and after a reconnect sends it
 * again in the original order, PUBREL where PUBREC had come [MQTT-4.4.0-1], before anything new.
 */
import type { Packet } from 'mqtt-packet'
import { isSuccess, Link } from './link.ts'

export interface Outgoing {
  topic: string
  payload: string
  qos: 1 | 2
  retain: boolean
  /** Before each transmission. */
  onSend(): void
  onAcknowledged(): void
  onRefused?(): void
}

export interface PublisherOptions {
  clientId: string
  version: 4 | 5
  port: number
  /** Messages in flight. */
  window: number
  next(): Outgoing
}

interface Inflight {
  message: Outgoing
  released: boolean
}

const reconnectMs = 20
const tickMs = 4

export class DurablePublisher {
  readonly clientId: string
  /** CONNACKs that denied a session that an earlier one had confirmed. */
  sessionsLost = 0
  /** New messages are made only while this holds; those in flight are finished in any case. */
  publishing = false
  readonly #version: 4 | 5
  readonly #port: number
  readonly #window: number
  readonly #next: () => Outgoing
  readonly #inflight = new Map<number, Inflight>()
  readonly #timer: NodeJS.Timeout
  #link: Link | undefined
  #connected = false
  #hadSession = false
  #packetId = 0
  #stopped = false

  constructor({ clientId, version, port, window, next }: PublisherOptions) {
    this.clientId = clientId
    this.#version = version
    this.#port = port
    this.#window = window
    this.#next = next
    this.#timer = setInterval(() => this.#pump(), tickMs)
    this.#connect()
  }

  get isIdle(): boolean {
    return this.#inflight.size === 0
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#link?.end()
  }

  #connect(): void {
    if (this.#stopped) return
    this.#link = new Link(
      this.#port,
      { clientId: this.clientId, protocolVersion: this.#version },
      {
        onPacket: (packet) => this.#onPacket(packet),
        onClose: () => {
          this.#connected = false
          setTimeout(() => this.#connect(), reconnectMs)
        },
      },
    )
  }

  #onPacket(packet: Packet): void {
    switch (packet.cmd) {
      case 'connack':
        if (isSuccess(packet)) this.#onConnack(packet.sessionPresent)
        break
      case 'puback':
        if (isSuccess(packet)) this.#onAcknowledged(packet.messageId!)
        else this.#inflight.get(packet.messageId!)?.message.onRefused?.()
        this.#inflight.delete(packet.messageId!)
        break
      case 'pubrec':
        if (!isSuccess(packet)) this.#inflight.delete(packet.messageId!)
        else {
          this.#onAcknowledged(packet.messageId!)
          this.#link!.send({ cmd: 'pubrel', messageId: packet.messageId! })
        }
        break
      case 'pubcomp':
        this.#inflight.delete(packet.messageId!)
        break
    }
  }

  #onConnack(sessionPresent: boolean): void {
    this.#connected = true
    if (this.#hadSession && !sessionPresent) this.sessionsLost++
    this.#hadSession = true
    for (const [messageId, { released, message }] of this.#inflight) {
      if (released && sessionPresent) this.#link!.send({ cmd: 'pubrel', messageId })
      else if (released) this.#inflight.delete(messageId)
      else this.#send(messageId, message, sessionPresent)
    }
  }

  #onAcknowledged(messageId: number): void {
    const inflight = this.#inflight.get(messageId)
    if (inflight === undefined || inflight.released) return
    inflight.released = true
    inflight.message.onAcknowledged()
  }

  #pump(): void {
    if (!this.#connected || !this.publishing) return
    while (this.#inflight.size < this.#window) {
      do this.#packetId = (this.#packetId % 65_535) + 1
      while (this.#inflight.has(this.#packetId))
      const message = this.#next()
      this.#inflight.set(this.#packetId, { message, released: false })
      this.#send(this.#packetId, message, false)
    }
  }

  #send(messageId: number, { topic, payload, qos, retain, onSend }: Outgoing, dup: boolean): void {
    onSend()
    this.#link!.send({ cmd: 'publish', topic, payload, qos, retain, dup, messageId })
  }
}
