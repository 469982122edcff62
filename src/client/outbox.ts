/**
 * What this program publishes, until it is sent (QoS 0) or acknowledged (QoS 1). It outlives connections: what was under way
 * when one broke is sent again first, in its order, on the next. Bounded in messages and bytes; what does not fit is refused
 * with an error, never dropped quietly.
 */
import { MqtideError } from './errors.ts'
import type { Link } from './link.ts'
import type { PublishFrame, Qos } from './wire.ts'

export interface OutboxLimits {
  /** Messages that wait or are under way. 1,000 */
  messagesMax: number
  /** Their JSON text, in UTF-16 units; what the socket has not yet sent counts too. 4 MiB */
  bytesMax: number
  /** One of them, as it goes over the wire: what the gateway takes, its limit for JSON messages. 256 KiB */
  messageBytesMax: number
}

interface Item {
  topic: string
  qos: Qos
  /** The frame as JSON, but for its id, which is another on each connection. */
  text: string
  resolve: () => void
  reject: (error: Error) => void
}

export class Outbox {
  readonly #limits: OutboxLimits
  readonly #idOf: () => number
  #waiting: Item[] = []
  readonly #underWay = new Map<number, Item>()
  #bytes = 0
  #link: Link | undefined
  #windowSize = 1
  #onEmpty: (() => void) | undefined

  constructor(limits: OutboxLimits, idOf: () => number) {
    this.#limits = limits
    this.#idOf = idOf
  }

  get size(): number {
    return this.#waiting.length + this.#underWay.size
  }

  add(frame: PublishFrame): Promise<void> {
    const { topic, qos } = frame
    const text = JSON.stringify(frame)
    const { messagesMax, bytesMax, messageBytesMax } = this.#limits
    if (isLonger(text, messageBytesMax)) {
      const what = `publishing to ${topic}: longer than the ${messageBytesMax} bytes that the gateway takes`
      return Promise.reject(new MqtideError('refused', what, { reason: 0x95 }))
    }
    if (this.size >= messagesMax || this.#bytes + text.length + (this.#link?.bufferedBytes ?? 0) > bytesMax) {
      const held = `${this.size} messages with ${this.#bytes} bytes wait`
      return Promise.reject(new MqtideError('outbox-full', `the outbox is full: ${held}`))
    }
    return new Promise((resolve, reject) => {
      this.#bytes += text.length
      this.#waiting.push({ topic, qos, text, resolve, reject })
      this.#send()
    })
  }

  /** Sends what waits over a new connection, at most so many at QoS 1 without an answer. */
  onConnected(link: Link, windowSize: number): void {
    this.#link = link
    this.#windowSize = windowSize
    this.#send()
  }

  onDisconnected(): void {
    this.#link = undefined
    this.#waiting = [...this.#underWay.values(), ...this.#waiting]
    this.#underWay.clear()
  }

  /** The gateway's answer to one at QoS 1, or its refusal of one. */
  onAnswer(id: number, reason: number, message?: string): boolean {
    const item = this.#underWay.get(id)
    if (item === undefined) return false
    this.#underWay.delete(id)
    this.#bytes -= item.text.length
    if (reason < 0x80) item.resolve()
    else item.reject(refusal(item.topic, reason, message))
    this.#send()
    if (this.size === 0) this.#onEmpty?.()
    return true
  }

  /** The gateway ended the connection over a message that is too long: the longest under way, or it would do so for ever. */
  onTooLong(error: MqtideError): void {
    const [longest] = [...this.#underWay].toSorted(([, a], [, b]) => b.text.length - a.text.length)
    if (longest) this.onAnswer(longest[0], 0x95, error.message)
  }

  /** Resolves when it is empty, or has had its time. */
  flushed(mostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, mostMs)
      this.#onEmpty = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Gives everything up. */
  close(error: MqtideError): void {
    const items = [...this.#underWay.values(), ...this.#waiting]
    this.#waiting = []
    this.#underWay.clear()
    this.#bytes = 0
    for (const { reject } of items) reject(error)
  }

  #send(): void {
    let sent = 0
    while (this.#link !== undefined && sent < this.#waiting.length && this.#underWay.size < this.#windowSize) {
      const item = this.#waiting[sent++]!
      if (item.qos === 0) {
        this.#link.sendText(item.text)
        this.#bytes -= item.text.length
        item.resolve()
      } else {
        const id = this.#idOf()
        this.#underWay.set(id, item)
        this.#link.sendText(`{"id":${id},${item.text.slice(1)}`)
      }
    }
    if (sent > 0) this.#waiting.splice(0, sent)
  }
}

function refusal(topic: string, reason: number, message = `the gateway refused it with reason ${reason}`): MqtideError {
  return new MqtideError('refused', `publishing to ${topic}: ${message}`, { reason })
}

/** In UTF-8, where an id of up to 16 digits is added. */
function isLonger(text: string, bytesMax: number): boolean {
  const idBytes = 22
  return text.length * 3 + idBytes > bytesMax && new TextEncoder().encode(text).length + idBytes > bytesMax
}
