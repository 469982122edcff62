/** A message as it arrived; its payload is turned into what is asked for, when it is asked for. */
import type { MessageFrame, MessageProperties, Qos } from './wire.ts'

export class Message {
  readonly topic: string
  readonly qos: Qos
  /** It was published with RETAIN and stood at the gateway when this program subscribed. */
  readonly retain: boolean
  /** It may have come before: the gateway had no acknowledgement of it. */
  readonly duplicate: boolean
  /** What came with it: content type, response topic, user properties. */
  readonly properties: MessageProperties
  /** Of a message of a stream: its place there. */
  readonly offset: number | undefined
  readonly #frame: MessageFrame

  constructor(frame: MessageFrame) {
    this.topic = frame.topic
    this.qos = frame.qos
    this.retain = frame.retain
    this.duplicate = frame.dup ?? false
    this.properties = frame.properties ?? {}
    this.offset = frame.offset
    this.#frame = frame
  }

  /** The payload's bytes. */
  get bytes(): Uint8Array {
    const { payload, encoding } = this.#frame
    if (encoding === 'base64') return Uint8Array.from(atob(String(payload)), (letter) => letter.charCodeAt(0))
    return new TextEncoder().encode(this.text)
  }

  /** The payload as text; what is not UTF-8 in it becomes U+FFFD. */
  get text(): string {
    const { payload, encoding } = this.#frame
    if (encoding === 'base64') return new TextDecoder().decode(this.bytes)
    return typeof payload === 'string' && encoding !== 'json' ? payload : JSON.stringify(payload)
  }

  /** The payload parsed as JSON. Throws SyntaxError where it is none. */
  json<Value = unknown>(): Value {
    const { payload, encoding } = this.#frame
    return (encoding === 'json' ? payload : JSON.parse(this.text)) as Value
  }
}
