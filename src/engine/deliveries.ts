/**
 * Messages as they are given to clients' connections, for a hook of the program: what leaves is decoded once more, as for a trace
 * (`tap.ts`), so that sending knows nothing of it. A tracer may look at the same connections beside it.
 */
import type { Client } from '../core/connection/client.ts'
import { Decoder } from '../mqtt/decoder.ts'
import { type PacketSink, PacketType, type Properties, type PublishFrame, type Qos } from '../mqtt/packet.ts'
import { publishProperties } from '../mqtt/publish.ts'
import type { DeliveredMessage } from './hooks.ts'
import type { Tap, Tapped, Tapper } from './tap.ts'

export interface DeliveryListener {
  delivered(message: DeliveredMessage, client: Client): void
  /** It is told of no more deliveries to one connection. */
  failed(name: string, error: unknown): void
}

interface Connections {
  readonly connections: Iterable<Tapped>
}

/** All connections with somebody who looks at what they are sent; `tapper` is who looks beside. */
export class Deliveries implements Tapper, Connections {
  tapper: Tapper | null = null
  readonly #engine: Connections
  readonly #listener: DeliveryListener
  readonly #shared = new WeakMap<Tapped, SharedConnection>()

  constructor(engine: Connections, listener: DeliveryListener) {
    this.#engine = engine
    this.#listener = listener
  }

  get connections(): Iterable<Tapped> {
    return [...this.#engine.connections].map((connection) => this.#share(connection))
  }

  arrives(connection: Tapped): void {
    const shared = this.#share(connection)
    this.tapper?.arrives(shared)
  }

  #share(connection: Tapped): SharedConnection {
    let shared = this.#shared.get(connection)
    if (shared === undefined) {
      shared = new SharedConnection(connection, this.#listener)
      this.#shared.set(connection, shared)
    }
    return shared
  }
}

/** A connection for one more who looks on. */
class SharedConnection implements Tapped {
  readonly client: Client
  readonly #connection: Tapped
  readonly #own: Tap
  #other: Tap | null = null

  constructor(connection: Tapped, listener: DeliveryListener) {
    this.client = connection.client
    this.#connection = connection
    this.#own = new DeliveryTap(connection.client, listener)
    connection.lookOn(this.#own)
  }

  lookOn(tap: Tap | null): void {
    if (tap === this.#other) return
    this.#other = tap
    this.#connection.lookOn(tap === null ? this.#own : bothTaps(this.#own, tap))
  }
}

/** The second is who stands between decoder and client. */
function bothTaps(first: Tap, second: Tap): Tap {
  return {
    sink: second.sink,
    sent(...bytes) {
      first.sent(...bytes)
      second.sent(...bytes)
    },
    sentText(...bytes) {
      first.sentText(...bytes)
      second.sentText(...bytes)
    },
    fault: (reason, text) => second.fault(reason, text),
    closed: (reason) => second.closed(reason),
  }
}

const nothing = (): void => {}

class DeliveryTap implements Tap {
  readonly sink: Tap['sink']
  readonly #client: Client
  readonly #listener: DeliveryListener
  readonly #aliases = new Map<number, string>()
  #decoder: Decoder | null = null
  #failed = false

  constructor(client: Client, listener: DeliveryListener) {
    this.sink = client
    this.#client = client
    this.#listener = listener
  }

  sent(buffer: Uint8Array, start: number, end: number): void {
    this.#guarded(() => {
      const { connected, version } = this.#client
      // Who is refused gets no messages.
      if (!connected) return
      const established = buffer[start]! >> 4 !== PacketType.connack
      const options = { role: 'client', version: version || 4, packetBytesMax: Number.POSITIVE_INFINITY } as const
      this.#decoder ??= new Decoder(this.#sentSink(), { ...options, established })
      // A copy: the chunk is written over when it has left, and the messages are the program's.
      this.#decoder.push(new Uint8Array(buffer.subarray(start, end)))
    })
  }

  sentText(buffer: Uint8Array, start: number, end: number): void {
    this.#guarded(() => this.#onText(Buffer.from(buffer.subarray(start, end)).toString()))
  }

  fault(): void {}

  closed(): void {}

  #onText(text: string): void {
    const told = JSON.parse(text) as JsonText
    // Of server-sent events, which are messages only, it says no operation.
    const { op = 'message', topic, payload, encoding } = told
    if (op !== 'message' || topic === undefined) return
    const { qos = 0, retain = false, dup = false, properties = {} } = told
    const { correlationData, ...others } = properties
    this.#listener.delivered(
      {
        ...{ topic, qos, retain, dup },
        payload: payloadOf(payload, encoding),
        properties:
          correlationData === undefined
            ? others
            : { ...others, correlationData: Buffer.from(correlationData, 'base64') },
      },
      this.#client,
    )
  }

  #onPublish(frame: PublishFrame): void {
    const { buffer, qos, retain, dup, propertiesStart, propertiesEnd } = frame
    const bytes = buffer.subarray(propertiesStart, propertiesEnd)
    this.#listener.delivered(
      {
        topic: this.#topicOf(frame),
        payload: buffer.subarray(frame.payloadStart, frame.end),
        ...{ qos, retain, dup },
        get properties() {
          return publishProperties(bytes)
        },
      },
      this.#client,
    )
  }

  #topicOf({ buffer, topicStart, topicEnd, topicAlias }: PublishFrame): string {
    const named = Buffer.from(buffer.subarray(topicStart, topicEnd)).toString()
    if (topicAlias === 0) return named
    if (named !== '') this.#aliases.set(topicAlias, named)
    return this.#aliases.get(topicAlias) ?? ''
  }

  #sentSink(): PacketSink {
    return {
      onPublish: (frame) => this.#onPublish(frame),
      ...{ onConnect: nothing, onConnack: nothing, onPuback: nothing, onPubrec: nothing, onPubrel: nothing },
      ...{ onPubcomp: nothing, onSubscribe: nothing, onSuback: nothing, onUnsubscribe: nothing },
      ...{ onUnsuback: nothing, onPingreq: nothing, onPingresp: nothing, onDisconnect: nothing, onAuth: nothing },
    }
  }

  #guarded(action: () => void): void {
    if (this.#failed) return
    try {
      action()
    } catch (error) {
      this.#failed = true
      this.#listener.failed('onDeliver', error)
    }
  }
}

interface JsonText {
  op?: string
  topic?: string
  payload?: unknown
  encoding?: string
  qos?: Qos
  retain?: boolean
  dup?: boolean
  properties?: Omit<Properties, 'correlationData'> & { correlationData?: string }
}

function payloadOf(payload: unknown, encoding: string | undefined): Uint8Array {
  if (encoding === 'json') return Buffer.from(JSON.stringify(payload))
  return Buffer.from(String(payload), encoding === 'base64' ? 'base64' : 'utf8')
}
