/**
 * Requests of one JSON client that wait for their answers: a message that asks for an answer at a topic (MQTT 5.0, section 4.10), and
 * the first that comes. Each has a topic that only its answerer is told of, subscribed to before the request is published, so
 * that no answer is too early and none can be taken for another's.
 */
import { randomBytes } from 'node:crypto'
import type { Client } from '../core/connection/client.ts'
import { InProcessSubscriber } from '../core/subscriptions/in-process.ts'
import { encodeJsonMessage } from '../json/json-message.ts'
import type { RequestId } from '../json/operations.ts'
import { type AwaitedAnswer, RequestFault } from '../json/packets.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { Engine } from './engine.ts'

/** Of one connection at the same time. */
export const jsonRequestsMax = 100
const secretBytes = 16

interface Waiting {
  subscriber: InProcessSubscriber
  cancel(): void
}

export class AwaitedAnswers {
  readonly #engine: Engine
  readonly #client: Client
  readonly #say: (text: string) => void
  readonly #refuse: (id: RequestId, reasonCode: number, message: string) => void
  readonly #waiting = new Map<string, Waiting>()

  constructor(
    engine: Engine,
    client: Client,
    say: (text: string) => void,
    refuse: (id: RequestId, reasonCode: number, message: string) => void,
  ) {
    this.#engine = engine
    this.#client = client
    this.#say = say
    this.#refuse = refuse
  }

  /** @throws RequestFault where as many wait as may */
  await(id: RequestId, timeoutMs: number): AwaitedAnswer {
    if (this.#waiting.size >= jsonRequestsMax) {
      throw new RequestFault(ReasonCode.quotaExceeded, `${jsonRequestsMax} requests wait for their answers`)
    }
    const responseTopic = `mqtide/response/${randomBytes(secretBytes).toString('hex')}`
    const correlationData = randomBytes(secretBytes)
    const take = () => this.#take(id, responseTopic)
    const subscriber = new InProcessSubscriber(this.#engine.broker, take, this.#client.namespace)
    subscriber.subscribe(responseTopic)
    const cancel = this.#engine.after(timeoutMs, () => {
      this.#refuse(id, ReasonCode.unspecifiedError, `no answer in ${timeoutMs} ms`)
      this.#end(responseTopic)
    })
    this.#waiting.set(responseTopic, { subscriber, cancel })
    return { responseTopic, correlationData, giveUp: () => this.#end(responseTopic) }
  }

  /** The connection is over. */
  end(): void {
    for (const responseTopic of [...this.#waiting.keys()]) this.#end(responseTopic)
  }

  #take(id: RequestId, responseTopic: string): void {
    const waiting = this.#waiting.get(responseTopic)
    const taken = waiting?.subscriber.take() ?? null
    if (taken === null) return
    this.#end(responseTopic)
    const { message } = taken
    const { payloadForm, maximumPacketSize } = this.#client
    const at = this.#engine.broker.wallTime(message.publishedAt)
    const form = { form: payloadForm ?? 'utf8', qos: 0, retain: false, dup: false, packetId: 0, at } as const
    const { bytes } = encodeJsonMessage(message, form)
    if (bytes.length > maximumPacketSize) {
      this.#refuse(id, ReasonCode.packetTooLarge, 'the answer is longer than messageBytesMax')
      return
    }
    const fields = Buffer.from(bytes).toString('utf8').slice('{"op":"message",'.length)
    this.#say(`{"op":"response","id":${JSON.stringify(id)},${fields}`)
  }

  #end(responseTopic: string): void {
    const waiting = this.#waiting.get(responseTopic)
    if (waiting === undefined) return
    this.#waiting.delete(responseTopic)
    waiting.cancel()
    // It may be the answer's own route that this is called from.
    this.#engine.after(0, () => waiting.subscriber.end())
  }
}
